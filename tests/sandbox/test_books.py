"""The books on disk: read again at start, whole lines only, card numbers masked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.sandbox.conftest import Dial, open_bank
from tests.sandbox.gateway import charge, completion, refund, reversal
from tollhouse.sandbox.books import Books
from tollhouse.sandbox.cards import compose
from tollhouse.sandbox.journal import Journal, JournalUnusable

GOOD = "4242424242424242"


async def fill(folder: Path, dial: Dial) -> bytes:
    """Books with an operation of every kind; returned as JSON."""
    async with open_bank(folder) as bank:
        gateway = await dial(bank.port)
        authorization, sale, undone = charge(GOOD), charge(compose(answer="10")), charge(compose(fault=1, later=5))
        await gateway.exchange("0100", authorization)
        await gateway.exchange("0220", completion(authorization, amount=600))
        await gateway.exchange("0200", sale)
        await gateway.exchange("0200", refund(sale, amount=100))
        await gateway.send(("0200", undone))
        for mti in ("0400", "0420", "0421"):
            await gateway.exchange(mti, reversal(undone))
        await gateway.exchange("0200", charge(compose(answer="51")))
        return msgspec.json.encode([bank.books.select(), bank.books.totals()])


async def test_read_again(tmp_path: Path, dial: Dial) -> None:
    """Books opened again hold the same operations in the same order, and the same totals."""
    before = await fill(tmp_path, dial)
    async with open_bank(tmp_path) as bank:
        assert msgspec.json.encode([bank.books.select(), bank.books.totals()]) == before


async def test_goes_on_after_a_restart(tmp_path: Path, dial: Dial) -> None:
    """What was approved before a restart is answered again, refunded and reversed after it; faults are remembered."""
    sale, lost, stubborn = charge(GOOD), charge(compose(later=1)), charge(compose(fault=1, later=5))
    async with open_bank(tmp_path) as bank:
        gateway = await dial(bank.port)
        first = await gateway.exchange("0200", sale)
        await gateway.exchange("0200", lost)
        await gateway.send(("0200", stubborn))
        assert (await gateway.exchange("0400", reversal(stubborn)))["39"] == "96"
    async with open_bank(tmp_path) as bank:
        gateway = await dial(bank.port)
        again = await gateway.exchange("0201", sale)
        assert (again["39"], again["38"]) == ("00", first["38"])
        assert (await gateway.exchange("0200", refund(sale)))["39"] == "00"
        assert (await gateway.exchange("0200", refund(lost)))["39"] == "05"
        assert (await gateway.exchange("0420", reversal(stubborn)))["39"] == "96"
        assert (await gateway.exchange("0421", reversal(stubborn)))["39"] == "00"


async def test_a_torn_last_line_is_cut_off(tmp_path: Path, dial: Dial) -> None:
    """A last line that was never finished was never answered: it goes, and the next line stands by itself."""
    before = await fill(tmp_path, dial)
    file = tmp_path / "books.jsonl"
    whole = file.read_bytes()
    for torn in (b"[", whole.splitlines()[0][:-1]):
        file.write_bytes(whole + torn)
        async with open_bank(tmp_path) as bank:
            assert msgspec.json.encode([bank.books.select(), bank.books.totals()]) == before
        assert file.read_bytes() == whole


async def test_a_broken_line_is_refused(tmp_path: Path, dial: Dial) -> None:
    """A whole line that is no entry stops the start with the file, the line and what to do."""
    await fill(tmp_path, dial)
    file = tmp_path / "books.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b'[{"kind":"gift"}]\n', *lines[1:]]))
    journal = Journal(file)
    with pytest.raises(JournalUnusable, match=r"books\.jsonl: line 2 is not an entry of the books.*move the file away"):
        Books(journal)
    await journal.close()


async def test_no_pan_in_the_books(tmp_path: Path, dial: Dial) -> None:
    """The file holds masks, never a PAN or a CVV."""
    await fill(tmp_path, dial)
    written = (tmp_path / "books.jsonl").read_text()
    assert "424242******4242" in written
    for pan in (GOOD, compose(answer="10"), compose(fault=1, later=5), compose(answer="51")):
        assert pan not in written
    assert (tmp_path / "books.jsonl").stat().st_mode & 0o777 == 0o600


async def test_one_sandbox_at_a_time(tmp_path: Path) -> None:
    """A second sandbox on the same books is refused with what to do; when the first has gone it may start."""
    first = Journal(tmp_path / "books.jsonl")
    with pytest.raises(JournalUnusable, match="another sandbox keeps its books here"):
        Journal(tmp_path / "books.jsonl")
    await first.close()
    await Journal(tmp_path / "books.jsonl").close()


async def test_closing_as_the_disk_gets_full() -> None:
    """A line that cannot be written is told, and whoever closes the books meanwhile does not wait for it for ever."""
    journal, problems = Journal(Path("/dev/full")), list[JournalUnusable]()
    journal.on_failure = problems.append
    journal.append(b"one")
    async with asyncio.timeout(10):
        await journal.close()
    assert [str(problem) for problem in problems] == [
        "/dev/full: cannot be written (No space left on device); nothing more is answered"
    ]


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be is refused by name."""
    (tmp_path / "sandbox").write_text("")
    with pytest.raises(JournalUnusable, match="cannot be opened"):
        Journal(tmp_path / "sandbox" / "books.jsonl")


async def test_selection(tmp_path: Path, dial: Dial) -> None:
    """An RRN gives its operation and its reversals; a limit gives the newest; totals are of the whole books."""
    async with open_bank(tmp_path) as bank:
        gateway = await dial(bank.port)
        sales = [charge(GOOD, amount=amount) for amount in (100, 200, 300)]
        for sale in sales:
            await gateway.exchange("0200", sale)
        await gateway.exchange("0400", reversal(sales[0]))
        books = bank.books
        assert [operation.kind for operation in books.select(rrn=sales[0]["37"])] == ["sale", "reversal"]
        assert [operation.amount_minor for operation in books.select()] == [100, 200, 300, 100]
        assert [operation.amount_minor for operation in books.select(limit=2)] == [300, 100]
        assert books.select(limit=0) == books.select(rrn="RRN000000000") == []
        assert books.totals() == {
            "operations": 4,
            "kinds": {"sale": {"reversed": 1, "approved": 2}, "reversal": {"approved": 1}},
            "currencies": {"eur": {"approved_minor": 500, "captured_minor": 500, "refunded_minor": 0}},
        }
