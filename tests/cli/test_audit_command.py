"""`tollhouse audit`: what people do is in the log, the log is proven whole, and what was changed is named."""

from __future__ import annotations

import json

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
