"""`tollhouse up` where it cannot start: one clear line, a non-zero exit code, and nothing left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import environment, free_ports, free_settings, tollhouse
from tollhouse.cli.failure import Failure
from tollhouse.cli.home import claim, make_home
from tollhouse.store import cluster


def refused(home: Path, *words: object, **variables: object) -> str:
    """What `up` says on stderr when it ends with exit code 1 and nothing on stdout."""
    ended = tollhouse("up", *words, env=environment(**({"home": home} | free_settings() | variables)))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["port", "shop_port", "sandbox_port", "acquirer_port"])
def test_taken_port(name: str, tmp_path: Path) -> None:
    """A taken port is named with its setting and a free one, before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path / "home", **{name: port})
    flag = "--" + name.replace("_", "-")
    assert said.startswith(f"error: port {port} (TOLLHOUSE_{name.upper()}) is taken by another program; stop that one,")
    assert f"for example {flag} " in said
    assert not (tmp_path / "home").exists()


def test_flag_wins_over_variable(tmp_path: Path) -> None:
    """The flag names the port that is checked, whatever the variable says."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} (TOLLHOUSE_PORT) is taken" in refused(tmp_path / "home", "--port", port)


def test_address_of_another_machine(tmp_path: Path) -> None:
    """An address that is not ours to listen on is named with its setting."""
    said = refused(tmp_path / "home", host="192.0.2.1")
    assert said.startswith("error: cannot listen on 192.0.2.1 (TOLLHOUSE_HOST): ")


def test_sealed_line_to_the_acquirer(tmp_path: Path) -> None:
    """The sandbox's acquirer speaks plain TCP, so a sealed line would never come up."""
    said = refused(tmp_path / "home", acquirer_line="tls")
    assert said.startswith(
        "error: TOLLHOUSE_ACQUIRER_LINE=tls: is for `tollhouse serve` and `tollhouse work`; the sandbox"
    )
    assert not (tmp_path / "home").exists()


def test_unknown_setting(tmp_path: Path) -> None:
    """A variable with our prefix that is no setting is refused with the nearest one."""
    said = refused(tmp_path / "home", acquirer_prot=8583)
    assert said.startswith(
        "error: TOLLHOUSE_ACQUIRER_PROT: there is no such setting; did you mean TOLLHOUSE_ACQUIRER_PORT?"
    )


def test_unreachable_database(tmp_path: Path) -> None:
    """A database that does not answer is named by its place, without the password."""
    [port] = free_ports(1)
    said = refused(tmp_path / "home", database_url=f"postgresql://a:secret@127.0.0.1:{port}/shop")
    assert said.startswith(f"error: cannot reach the database at 127.0.0.1:{port}/shop: ")
    assert "TOLLHOUSE_DATABASE_URL" in said
    assert "secret" not in said


def test_home_is_a_file(tmp_path: Path) -> None:
    """A home that is no folder is refused."""
    (tmp_path / "home").write_text("")
    assert refused(tmp_path / "home") == f"error: TOLLHOUSE_HOME {tmp_path / 'home'} is not a folder; choose another"


def test_home_open_to_everybody(home: Path) -> None:
    """A home in which everybody may write is refused: it holds keys."""
    home.chmod(0o777)
    assert "everybody may write to TOLLHOUSE_HOME" in refused(home)


def test_home_in_use(home: Path) -> None:
    """A home of a running `up` is refused by a line that names that process."""
    claimed = claim(home, print)
    said = refused(home)
    assert said.startswith("error: another `tollhouse up` (process ")
    assert f"is running in TOLLHOUSE_HOME {home}; stop it" in said
    claimed.release()


def test_waits_for_a_run_that_stops(home: Path) -> None:
    """A home whose run is stopping is waited for, and taken as soon as it is free."""
    claimed = claim(home, print)
    claimed.mark_stopping()
    variables = {"home": home, "database_url": "postgresql://a@127.0.0.1:1/x"} | free_settings()
    command = [sys.executable, "-m", "tollhouse.cli", "up"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**variables)) as waiting:
        assert waiting.stderr is not None
        assert "waiting for the run before" in waiting.stderr.readline()
        claimed.release()
        assert "cannot reach the database at 127.0.0.1:1/x" in waiting.stderr.read()


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no folder can be made, the error says why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot make TOLLHOUSE_HOME .*/file/home: .*; choose another folder"):
        make_home(tmp_path / "file" / "home")


def test_home_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """A new home has mode 0700, folders above it are made as usual."""
    home = tmp_path / "a" / "b"
    make_home(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_data_of_another_version(home: Path) -> None:
    """A database of another major version is refused by one line with the ways out."""
    folder = cluster.folder_of(home)
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text("14\n")
    assert f"the data in {folder / 'data'} were written by Postgres 14" in refused(home)
