"""`tollhouse vault key`: a key's life on the command line, for people and for programs."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.commands import Console
from tests.cli.programs import environment
from tests.servers import execute, fetch, run_apart
from tests.vault.samples import CARD
from tollhouse.cli.__main__ import group
from tollhouse.vault.embedded import EmbeddedVault


def keep_cards(console: Console, count: int) -> None:
    """Cards in the vault, kept as a gateway of this home does."""

    async def keep() -> None:
        vault = await EmbeddedVault.open(console.dsn, console.home, "node")
        for _ in range(count):
            await vault.keep("shop", CARD)
        await vault.close()

    run_apart(keep())


def end(console: Console, *words: str, entered: str = "", kind: str = "components") -> Result:
    """How a command ended that reads parts from its standard input."""
    environment = {
        "TOLLHOUSE_DATABASE_URL": console.dsn,
        "TOLLHOUSE_HOME": str(console.home),
        "TOLLHOUSE_VAULT_KEYS": kind,
    }
    return CliRunner().invoke(group, ["vault", "key", *words], env=environment, input=entered)


def test_a_version_from_its_first_day_to_its_last(console: Console) -> None:
    """Rotate, rewrap and retire with cards and a project; status tells how it stands after each."""
    console.create()
    keep_cards(console, 3)
    assert "version 1 of the key-encryption key is current" in console.failure("vault", "key", "retire", "1")
    assert console.json("vault", "key", "rotate") == {"purpose": "kek", "current": 2}
    keys = {(one["purpose"], one["version"]): one for one in console.json("vault", "key", "status")["keys"]}
    assert (keys["kek", 1]["state"], keys["kek", 1]["uses"]) == ("old", 4)
    assert (keys["kek", 2]["state"], keys["kek", 2]["uses"]) == ("current", 0)
    assert "projects still use version 1" in console.failure("vault", "key", "retire", "1")
    moved = console.json("vault", "key", "rewrap")
    assert (moved["moved"], moved["broken"]) == (4, [])
    assert "version 1 of the key-encryption key is gone" in console.run("vault", "key", "retire", "1")
    assert json.loads((console.home / "keys" / "kek.json").read_text())["keys"].keys() == {"2"}
    assert "nothing is left" in console.run("vault", "key", "rewrap")
    assert console.json("project", "show", "shop")["project"] == "shop"
    console.create("second")


def test_the_fingerprint_key_has_the_same_commands(console: Console) -> None:
    """With --fingerprint they are about that key."""
    keep_cards(console, 2)
    assert "version 2 of the fingerprint key is current" in console.run("vault", "key", "rotate", "--fingerprint")
    assert "--fingerprint" in console.failure("vault", "key", "retire", "1", "--fingerprint")
    assert console.json("vault", "key", "rewrap", "--fingerprint")["moved"] == 2
    assert console.json("vault", "key", "retire", "1", "--fingerprint")["retired"] == 1


def test_a_key_of_a_certain_age_is_due(console: Console) -> None:
    """Status says so, --check says so to programs, and a new version ends it."""
    keep_cards(console, 1)
    console.run("vault", "key", "status", "--check")
    run_apart(execute(console.dsn, "UPDATE vault.key SET created_at = now() - interval '400 days'"))
    ended = console.end("vault", "key", "status", "--check")
    assert ended.exit_code == 1
    assert "kek is older than 365 days; run `tollhouse vault key rotate`" in ended.stderr
    assert "400 days old" in ended.stdout
    assert console.json("vault", "key", "status")["is_due"] is True
    console.run("vault", "key", "status", "--check", "--vault-key-period-days", "500")
    console.run("vault", "key", "rotate")
    console.run("vault", "key", "rotate", "--fingerprint")
    console.run("vault", "key", "status", "--check")


def test_a_broken_row_is_named_and_the_others_move(console: Console) -> None:
    """It is left as it is, the command fails at the end, and its version cannot be retired."""
    keep_cards(console, 3)
    run_apart(
        execute(
            console.dsn,
            "UPDATE vault.card SET data_key = decode(repeat('00', 60), 'hex')"
            " WHERE token = (SELECT min(token) FROM vault.card)",
        )
    )
    (token,) = run_apart(fetch(console.dsn, "SELECT min(token) FROM vault.card"))[0]
    console.run("vault", "key", "rotate")
    assert f"1 do not open and were left as they are, such as {token}" in console.failure("vault", "key", "rewrap")
    assert "1 cards still use version 1" in console.failure("vault", "key", "retire", "1")


def test_components_and_what_custodians_enter(console: Console, tmp_path: Path) -> None:
    """Parts are made, files for custodians alone; with all of them commands work, with a wrong one they do not."""
    folder = tmp_path / "parts"
    made = end(console, "components", "--split", "3", "--to", str(folder), "--json")
    files = [Path(name) for name in json.loads(made.stdout)["parts"]]
    assert [path.name for path in files] == ["part-1-of-3", "part-2-of-3", "part-3-of-3"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    parts = "".join(path.read_text() for path in reversed(files))
    assert end(console, "rotate", entered=parts).exit_code == 0
    assert end(console, "rewrap", entered=parts).exit_code == 0
    assert end(console, "retire", "1", entered=parts).exit_code == 0
    lines = parts.splitlines(keepends=True)
    for wrong in ("", lines[0] * 3, "".join(lines[:2]), "rubbish\n"):
        ended = end(console, "rotate", entered=wrong)
        assert ended.exit_code == 1
        assert "\n" not in str(ended.exception)
    assert not (console.home / "keys").exists()


def test_new_parts_need_the_old_ones(console: Console, tmp_path: Path) -> None:
    """Without them nothing changes; with them the old parts are of no use any more."""
    end(console, "components", "--split", "2", "--to", str(tmp_path / "old"))
    old = "".join(path.read_text() for path in sorted((tmp_path / "old").iterdir()))
    assert end(console, "components", "--split", "3", "--to", str(tmp_path / "new")).exit_code == 1
    assert not (tmp_path / "new").exists()
    assert end(console, "components", "--split", "3", "--to", str(tmp_path / "new"), entered=old).exit_code == 0
    new = "".join(path.read_text() for path in sorted((tmp_path / "new").iterdir()))
    assert end(console, "rotate", entered=old).exit_code == 1
    assert end(console, "rotate", entered=new).exit_code == 0


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (("components", "--split", "3", "--to", "parts"), "file", "TOLLHOUSE_VAULT_KEYS=file: has no components"),
        (("components", "--split", "3", "--to", "/"), "components", "--to /: exists already"),
        (("components", "--split", "3", "--to", "/proc/x"), "components", "--to /proc/x: "),
        (("unlock",), "components", "nobody waits for key parts"),
        (("rotate",), "components", "make them first"),
        (("rotate",), "pkcs11", "TOLLHOUSE_VAULT_PKCS11_MODULE: is missing"),
        (("rotate",), "transit", "TOLLHOUSE_VAULT_TRANSIT_URL: is missing"),
    ],
)
def test_refusals_are_one_line(console: Console, words: tuple[str, ...], kind: str, told: str) -> None:
    """Each says what is wrong and what to do."""
    ended = end(console, *words, kind=kind)
    assert ended.exit_code == 1
    assert told in str(ended.exception)
    assert "\n" not in str(ended.exception)


@pytest.mark.parametrize(
    ("settings", "who"),
    [
        ({}, "`tollhouse up`"),
        ({"TOLLHOUSE_VAULT_LISTEN": "unix:"}, "`tollhouse vault serve`"),
        ({"TOLLHOUSE_VAULT_URL": "unix:"}, "`tollhouse vault serve`"),
        ({"TOLLHOUSE_MODE": "production"}, "`tollhouse serve` and `tollhouse work`"),
    ],
)
def test_what_custodians_are_told_to_start(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], who: str
) -> None:
    """The process that will wait for their parts, by mode and by where the vault runs."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = end(console, "components", "--split", "2", "--to", str(tmp_path / "parts"))
    assert made.stdout.splitlines()[-1].endswith(f"destroy the folder, and start {who}")
    assert str(end(console, "unlock").exception).endswith(f"start {who} with the same TOLLHOUSE_HOME")


def test_a_home_without_the_keys(console: Console, tmp_path: Path) -> None:
    """A node's home has none of a vault that runs apart: the line says where to run it."""
    console.create()
    other = Console(console.dsn, tmp_path / "node")
    other.home.mkdir(mode=0o700)
    for words in (("vault", "key", "rotate"), ("audit", "verify")):
        assert "run this with the TOLLHOUSE_HOME that has them (the vault's, on its machine" in other.failure(*words)


def test_a_home_is_made_for_us_alone(console: Console, tmp_path: Path) -> None:
    """Whatever command needs it first, nobody else may enter."""
    other = Console(console.dsn, tmp_path / "new" / "home")
    other.run("vault", "key", "rotate")
    assert stat.S_IMODE(other.home.stat().st_mode) == 0o700


def test_ctrl_c_while_keys_are_moved(console: Console) -> None:
    """It says how far it came and that it may be run again; what was moved by then is no more than the rate lets."""
    keep_cards(console, 3)
    console.run("vault", "key", "rotate")
    given = environment(database_url=console.dsn, home=console.home)
    words = [sys.executable, "-m", "tollhouse.cli", "vault", "key", "rewrap", "--rate", "1"]
    with subprocess.Popen(words, env=given, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "0 of 3 moved" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130
    assert said.splitlines()[-1].endswith("moved. Run it again: it goes on where it stopped")
    assert "Traceback" not in said
    assert console.json("vault", "key", "rewrap")["broken"] == []


def test_a_version_that_is_no_number(console: Console) -> None:
    """It is called what people call it."""
    ended = console.end("vault", "key", "retire", "abc")
    assert "'abc' is not a valid whole number" in ended.output


def test_status_needs_no_key(console: Console) -> None:
    """It reads the registry alone, so that it works for those who may not open anything."""
    row = "INSERT INTO vault.key (purpose, version, kind, check_value) VALUES ('kek', 1, 'pkcs11', 'x')"
    run_apart(execute(console.dsn, row))
    assert "kept by pkcs11" in console.run("vault", "key", "status")
    assert not (console.home / "keys").exists()
