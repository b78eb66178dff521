"""`tollhouse audit`: what people do is in the log, the log is proven whole, and what was changed is named."""

from __future__ import annotations

import json
import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.commands import Console
from tests.servers import execute


def acts(console: Console, *words: str) -> list[tuple[str, str, str]]:
    """What the log has, oldest first: what was done, how it ended, to what."""
    lines = [json.loads(line) for line in console.run("audit", "export", *words).splitlines()]
    return [(line["what"], line["outcome"], line["subject"]) for line in lines]


def test_what_people_do_is_written_down(console: Console) -> None:
    """Settings, keys, reading the log itself: before it is done and how it ended; with user and machine."""
    console.create()
    console.run("project", "set", "shop", "capture_mode=two_stage")
    console.run("vault", "key", "rotate")
    console.failure("vault", "key", "retire", "7")
    found = [one for one in acts(console) if one[0] != "audit.checkpoint"]
    assert found == [
        ("project.create", "granted", "shop"),
        ("project.create", "done", "shop"),
        ("project.set", "granted", "shop"),
        ("project.set", "done", "shop"),
        ("key.rotate", "granted", "kek"),
        ("key.rotate", "done", "kek"),
        ("key.retire", "granted", "kek version 7"),
        ("key.retire", "failed", "kek version 7"),
        ("audit.export", "granted", ""),
    ]
    lines = [json.loads(line) for line in console.run("audit", "export").splitlines()]
    assert all(line["who"].startswith("user ") and line["origin"] for line in lines)
    (details,) = [line["details"] for line in lines if line["what"] == "project.set" and line["outcome"] == "granted"]
    assert details == "capture_mode=two_stage"


def test_a_whole_log_is_proven(console: Console) -> None:
    """Exit code 0, what was walked over, and the key to note down; with it no keys are needed."""
    console.create()
    proven = console.json("audit", "verify")
    assert (proven["is_whole"], proven["findings"], proven["checkpoints"]) == (True, [], 1)
    (console.home / "keys").rename(console.home / "away")
    again = console.json("audit", "verify", "--public-key", proven["public_key"])
    assert again["is_whole"]
    assert again["entries"] > proven["entries"]


def test_a_changed_log_is_told(console: Console) -> None:
    """Exit code 1, and each finding is named."""
    console.create()

    async def tamper() -> None:
        for statement in (
            "ALTER TABLE vault.audit_entry DISABLE TRIGGER USER",
            "UPDATE vault.audit_entry SET who = 'user nobody' WHERE what = 'project.create'",
        ):
            await execute(console.dsn, statement)

    from tests.servers import run_apart

    run_apart(tamper())
    ended = console.end("audit", "verify")
    assert ended.exit_code == 1
    assert "not as they were written" in ended.stdout
    assert "is not whole" in ended.stdout


def test_another_key_vouches_for_nothing(console: Console) -> None:
    """With a public key of somebody else each checkpoint is told to be forged; what is no key is refused."""
    console.create()
    other = "A" * 42 + "E="
    assert "a checkpoint is forged" in console.end("audit", "verify", "--public-key", other).stdout
    assert "32 bytes in Base64" in console.failure("audit", "verify", "--public-key", "rubbish")


@pytest.mark.parametrize(("word", "count"), [("--since", 0), ("--until", 3)])
def test_a_part_of_the_log(console: Console, word: str, count: int) -> None:
    """Only what lies in the given time."""
    console.create()
    assert len(acts(console, word, "2999-01-01T00:00:00Z")) == count + (word == "--until")


def test_an_anchor_finds_what_is_gone(console: Console, tmp_path: Path) -> None:
    """The line names all chains; with it in a file a chain that went without a trace is found and named."""
    console.create()
    line = console.run("audit", "anchor")
    (tmp_path / "anchors").write_text(f"kept on another machine: {line}")
    assert console.json("audit", "verify", "--anchors", str(tmp_path / "anchors"))["is_whole"]

    async def cut() -> None:
        for table in ("audit_entry", "audit_link"):
            await execute(console.dsn, f"ALTER TABLE vault.{table} DISABLE TRIGGER USER")
            await execute(console.dsn, f"TRUNCATE vault.{table}")
            await execute(console.dsn, f"ALTER TABLE vault.{table} ENABLE TRIGGER USER")

    from tests.servers import run_apart

    run_apart(cut())
    assert console.json("audit", "verify")["is_whole"]
    ended = console.end("audit", "verify", "--anchors", str(tmp_path / "anchors"))
    assert ended.exit_code == 1
    assert "is gone, but the anchor of" in ended.stdout
    (tmp_path / "anchors").write_text(line.replace("=1=", "=2="))
    forged = console.end("audit", "verify", "--anchors", str(tmp_path / "anchors")).stdout
    assert "anchors, line 1: an anchor is forged" in forged
    (tmp_path / "anchors").write_text(line[:-2])
    cut_short = console.end("audit", "verify", "--anchors", str(tmp_path / "anchors")).stdout
    assert "anchors, line 1: an anchor is not whole" in cut_short
    (tmp_path / "good").write_text(line)
    (tmp_path / "anchors").write_text("nothing")
    both = ("--anchors", str(tmp_path / "good"), "--anchors", str(tmp_path / "anchors"))
    assert f"--anchors {tmp_path / 'anchors'}: has no line" in console.failure("audit", "verify", *both)
    assert "has no line with an anchor" in console.failure("audit", "verify", "--anchors", str(tmp_path / "anchors"))


def test_old_entries_are_taken_out(console: Console, tmp_path: Path) -> None:
    """Young ones never; what is taken out is proven from the file and the key alone; the database stays proven."""
    console.create()
    path = tmp_path / "old.jsonl"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert "kept for 12 months at least" in console.failure("audit", "retire", "--before", today, "--to", str(path))
    assert not path.exists()
    made = console.json("audit", "retire", "--before", "2020-01-01", "--to", str(path))
    assert (made["entries"], made["chains"]) == (0, 0)
    assert "exists already" in console.failure("audit", "retire", "--before", "2020-01-01", "--to", str(path))
    key = console.json("audit", "verify")["public_key"]
    assert console.json("audit", "verify", "--file", str(path), "--public-key", key)["is_whole"]
    assert "give --public-key" in console.failure("audit", "verify", "--file", str(path))
    other = tmp_path / "other.jsonl"
    kept = tmp_path / "anchors"
    kept.write_text(console.end("audit", "anchor").stdout.replace("=1=", "=2="))
    told = console.failure("audit", "retire", "--before", "2020-01-01", "--to", str(other), "--anchors", str(kept))
    assert "nothing was removed" in told
    assert not other.exists()
    told = console.end("audit", "verify", "--file", str(path), "--public-key", key, "--anchors", str(kept)).stdout
    assert "an anchor is forged" in told
    path.write_text("{}")
    failure = console.failure("audit", "verify", "--file", str(path), "--public-key", key)
    assert "line 1 is none of a retired audit log" in failure


def test_a_report_has_what_is_unusual_first(console: Console) -> None:
    """Counts by act, outcome and person; what failed makes the exit code 1; a word that is no time is refused."""
    console.create()
    calm = console.json("audit", "report", "--since", "1h")
    assert calm["unusual"] == []
    assert {"what": "project.create", "outcome": "done", "count": 1} in [
        {name: one[name] for name in ("what", "outcome", "count")} for one in calm["counts"]
    ]
    console.failure("vault", "key", "retire", "7")
    ended = console.end("audit", "report")
    assert ended.exit_code == 1
    assert "failed: " in ended.stdout.split("refused accesses")[0]
    assert "key.retire kek version 7" in ended.stdout
    refused = console.end("audit", "report", "--since", "soon")
    assert refused.exit_code == 2
    assert "give how long ago" in refused.stderr


def test_who_is_known_by_the_kernel(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables cannot make a user another one; whoever is behind sudo, and their address, stand there."""
    true = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5000 192.0.2.1 22")
    console.create()
    line = json.loads(console.run("audit", "export").splitlines()[0])
    assert line["who"].startswith(f"user {true} (sudo by ada")
    assert line["origin"].endswith(" from 192.0.2.7")
