"""What commands leave in the audit log: keys, parts of custodians, the schema, cards that a rewrap opens."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.cli.commands import Console
from tests.cli.test_audit_command import acts
from tests.cli.test_vault_command import end, keep_cards
from tests.servers import execute, fetch, run_apart
from tollhouse.cli.acting import record_done
from tollhouse.cli.failure import Failure
from tollhouse.vault.components import split
from tollhouse.vault.custodians import FOLDER, wait_for_root
from tollhouse.vault.keys import digest_of

ENTRIES = "SELECT what, outcome, details FROM vault.audit_entry WHERE what LIKE '{}' ORDER BY at, chain, number"


def entries(console: Console, like: str) -> list[tuple[str, str, str]]:
    """Acts whose names are like this, oldest first; asked of the database, so that nothing is added by asking."""
    return [(row[0], row[1], row[2]) for row in run_apart(fetch(console.dsn, ENTRIES.format(like)))]


def test_a_rewrap_of_fingerprints_names_its_cards(console: Console) -> None:
    """One entry before a batch is opened, with how many at most, and one after it with how many it were."""
    keep_cards(console, 3)
    (last,) = run_apart(fetch(console.dsn, "SELECT max(token) FROM vault.card"))[0]
    console.run("vault", "key", "rotate", "--fingerprint")
    console.run("vault", "key", "rewrap", "--fingerprint")
    found = [one for one in acts(console) if one[2] == "fingerprints"]
    assert found[:2] == [("card.reveal", "granted", "fingerprints"), ("card.reveal", "done", "fingerprints")]
    details = [details for _, _, details in entries(console, "card.reveal")]
    assert details[:2] == ["up to 500 after the first", f"3 moved, 0 do not open, up to shop/{last}"]
    assert "opened outside of a payment" in console.end("audit", "report").stdout


def test_no_card_is_opened_by_a_rewrap_that_cannot_be_written_down(console: Console) -> None:
    """The fingerprints stay what they were."""
    keep_cards(console, 1)
    console.run("vault", "key", "rotate", "--fingerprint")
    before = run_apart(fetch(console.dsn, "SELECT fingerprint FROM vault.card"))
    run_apart(execute(console.dsn, "ALTER TABLE vault.audit_link RENAME TO away"))
    assert console.end("vault", "key", "rewrap", "--fingerprint").exit_code != 0
    assert run_apart(fetch(console.dsn, "SELECT fingerprint FROM vault.card")) == before


def test_parts_of_custodians_are_written_down(console: Console, tmp_path: Path) -> None:
    """Each one that is entered for a command, right or wrong, and keys that did not open; never a part itself."""
    folder = tmp_path / "parts"
    assert end(console, "components", "--split", "2", "--to", str(folder)).exit_code == 0
    one, other = [path.read_text() for path in sorted(folder.iterdir())]
    assert end(console, "rotate", entered=one + other).exit_code == 0
    assert end(console, "rotate", entered=one + "rubbish\n").exit_code == 1
    found = entries(console, "key.part")
    assert [outcome for _, outcome, _ in found] == ["done", "done", "done", "refused"]
    written = repr(run_apart(fetch(console.dsn, "SELECT * FROM vault.audit_entry")))
    assert one.strip() not in written
    assert "rubbish" not in written
    assert end(console, "rotate", kind="file").exit_code == 1
    (failed,) = entries(console, "key.open")
    assert failed[1] == "failed"


def test_unlock_tells_what_the_process_said(console: Console) -> None:
    """Who entered a part into a waiting process, and whether it was taken, is written by the command."""
    root = bytes(range(32))
    lines = [part.line() for part in split(root, 2)]
    listening = threading.Event()

    async def wait() -> bytes:
        heard = wait_for_root(
            console.home, "node", parts=2, check_value=digest_of(root), tell=lambda _: listening.set()
        )
        return await asyncio.wait_for(heard, 60)

    waiting = threading.Thread(target=lambda: asyncio.run(wait()))
    waiting.start()
    assert listening.wait(30)
    assert list((console.home / FOLDER).glob("*.sock"))
    for line in ("rubbish", *lines):
        end(console, "unlock", entered=line + "\n")
    heard = [(outcome, details.split(":")[0]) for _, outcome, details in entries(console, "key.part.heard")]
    assert [outcome for outcome, _ in heard][:2] == ["refused", "done"]
    assert {process for _, process in heard} == {"node"}
    waiting.join(70)
    assert not waiting.is_alive()


def test_a_schema_that_comes_into_being_is_written_down(empty_database: str, home: Path) -> None:
    """The first and the last migration; a second time there is nothing to do and nothing to write."""
    console = Console(empty_database, home)
    console.run("db", "migrate")
    console.run("db", "migrate")
    ((_, outcome, details),) = entries(console, "database.migrate")
    assert outcome == "done"
    assert "0001_gateway to " in details


def test_a_part_that_cannot_be_written_down_opens_nothing(console: Console, tmp_path: Path) -> None:
    """The command that it was entered for fails, and says why."""
    folder = tmp_path / "parts"
    assert end(console, "components", "--split", "2", "--to", str(folder)).exit_code == 0
    entered = "".join(path.read_text() for path in sorted(folder.iterdir()))
    run_apart(execute(console.dsn, "ALTER TABLE vault.audit_link RENAME TO away"))
    ended = end(console, "rotate", entered=entered)
    assert ended.exit_code == 1
    assert "the audit log cannot be written" in str(ended.exception)


def test_what_happened_and_cannot_be_written_down_is_no_success(console: Console) -> None:
    """The command ends with a line that says what happened, and that nobody wrote it down."""
    run_apart(execute(console.dsn, "ALTER TABLE vault.audit_link RENAME TO away"))
    with pytest.raises(Failure, match="0012_more: it happened, but the audit log cannot be written"):
        run_apart(record_done(console.dsn, "database.migrate", details="0012_more"))
