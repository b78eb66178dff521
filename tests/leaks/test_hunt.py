"""The leak hunt: every flow with canary cards, then everything that the processes left is scanned (P11).

One module, in order: what needs the running system comes before it is stopped.
"""

from __future__ import annotations

import os
import signal
from itertools import cycle
from pathlib import Path

from tests.acceptance.system import is_alive, until
from tests.leaks.flights import Flight
from tests.leaks.memory import core_limit, dump
from tests.leaks.scanning import places_of, scan, torn_ids
from tollhouse.card import mask

FILES_MIN, PROFILE_FILES_MIN, TABLES_MIN = 50, 20, 20


def test_the_hunt_is_awake(flight: Flight) -> None:
    """In what a browser sent to the gateway, and in the list of canaries itself, the scan finds what is there."""
    found = scan(flight.system, "--database", flight.known.with_name("said"), known=flight.known)
    planted = flight.said.with_name("planted.txt")
    planted.write_text("\n".join(flight.numbers.values()))
    assert found.content["tables"] >= TABLES_MIN
    assert len(scan(flight.system, planted, known=flight.known).places) == len(flight.numbers)
    assert len(scan(flight.system, planted).places) == len(flight.numbers), "without knowing them too"
    assert min(flight.counts.values()) >= 1
    assert flight.counts["answers"] > 60
    assert flight.counts["webhooks"] > 40
    assert flight.counts["browser"] > 40


def test_what_others_heard(flight: Flight) -> None:
    """Answers, webhooks, pages, the browser's requests and console, commands, health and documents: no canary."""
    found = scan(flight.system, flight.said, known=flight.known)
    # The gateway's own examples and reference show familiar test numbers; no canary is one.
    assert [place for place in found.places if not _is_in_documents(place)] == []


def _is_in_documents(place: str) -> bool:
    return "doors.txt" in place and place.endswith(mask("4242424242424242"))


def test_every_row_of_every_table(flight: Flight) -> None:
    """As a dump of the whole database in SQL has it, and the planner's samples: no canary, nothing like a card."""
    rows = flight.system.rows("select bin, count(*) from vault.card group by 1")
    assert sum(count for _, count in rows) > 20, "the cards are there, sealed"
    found = scan(flight.system, "--database", known=flight.known)
    assert sorted(set(found.places)) == []
    assert (found.code, found.content["unread"]) == (0, [])


def test_no_process_may_dump_core(flight: Flight) -> None:
    """Every process that may hold card data or keys has a hard limit of zero for core files."""
    parts = (*flight.holders, "sandbox")
    assert {part: core_limit(flight.system.pid(part)) for part in parts} == dict.fromkeys(parts, ("0", "0"))


def test_a_crash_leaves_no_core(flight: Flight) -> None:
    """Ended by SIGABRT and by SIGSEGV, whoever held cards leaves no core file where the kernel would put one."""
    system = flight.system
    end(flight, signal.SIGABRT, signal.SIGSEGV)
    assert [path for folder in places_of(system) for path in folder.rglob("core*") if path.is_file()] == []


def end(flight: Flight, *numbers: signal.Signals) -> None:
    """End every holder by these signals in turn, and wait until all are back."""
    ended = {part: flight.system.pid(part) for part in flight.holders}
    for (part, pid), number in zip(ended.items(), cycle(numbers), strict=False):
        os.kill(pid, number)
        until(lambda pid=pid: not is_alive(pid), f"{part} is gone")
    for part, pid in ended.items():
        flight.system.wait_until_back(part, pid)


def test_memory_when_all_is_over(flight: Flight, folder: Path) -> None:
    """What is started anew, after all payments, holds no canary: nothing that it reads at its start has one.

    What a process did itself may stay in its memory until the place is used again: that is not promised away, and
    so no core file may come into being.
    """
    end(flight, signal.SIGKILL)
    for part in flight.holders:
        size = dump(flight.system.pid(part), folder / f"{part}.memory")
        assert size > 10_000_000
    found = scan(flight.system, folder, known=flight.known)
    assert [place for place in found.places if _is_canary(place, flight)] == []


def _is_canary(place: str, flight: Flight) -> bool:
    return any(place.endswith(mask(number)) for number in flight.numbers.values())


def test_the_browsers_profile(flight: Flight) -> None:
    """Nothing that was typed is in the payer's browser: history, storage, cache, autofill, windows to open again."""
    found = scan(flight.system, flight.profile, known=flight.known)
    assert found.content["files"] >= PROFILE_FILES_MIN
    assert found.places == []


def test_every_file_that_is_left(flight: Flight) -> None:
    """Stopped in order: the home, the database's files with its write-ahead log, every log. Nothing like a card."""
    assert flight.system.stop() == 0
    found = scan(flight.system, *places_of(flight.system), known=flight.known)
    assert found.content["files"] >= FILES_MIN
    torn = torn_ids(places_of(flight.system))
    finds = [place for place in found.places if _is_canary(place, flight) or not _is_accident(place, torn)]
    assert sorted(set(finds)) == []
    assert found.content["unread"] == []


def _is_accident(place: str, torn: set[str]) -> bool:
    """Packed digits in binary files pass now and then, and so does the end of an id in the write-ahead log."""
    return " packed " in place or ("/pg_wal/" in place and place.rpartition(" ")[2] in torn)
