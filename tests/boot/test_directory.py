"""The card ranges of a node: loaded, asked for, kept for all nodes, kept fresh; with a real server and database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.ranges_server import RangesServer, ranges_server
from tests.worlds import CountedIds, FakeClock, FakeLog
from tollhouse.acquirers.message import CardUse, NotSent, Slot
from tollhouse.authentication import Enrolment
from tollhouse.boot.directory import FRESH_SECONDS, KnownDirectory, Overtaken, RefreshFailed
from tollhouse.card import PAN
from tollhouse.card_range import CardRange, Ranges
from tollhouse.net.directory import DirectoryLink
from tollhouse.store.postgres import open_pool
from tollhouse.store.ranges import load_ranges
from tollhouse.threeds.translate import Inquiry

BOTH = ("2.2.0", "2.3.1")
LOW = CardRange("4000120000000000", "4000129999999999", BOTH, "https://acs.test/method", ("01",))
HIGH = CardRange("4000130000000000", "4000130999999999", ("2.2.0",))
CARD, STRANGER = PAN("4000120000000008"), PAN("4242424242424242")
PATIENCE_SECONDS = 20


class HurriedClock(FakeClock):
    """Whoever sleeps moves the time, and lets the others go on."""

    async def sleep(self, seconds: float) -> None:
        """Past it at once."""
        self.move(seconds)
        await asyncio.sleep(0)


class TimedLog(FakeLog):
    """Knows when it was warned, in seconds since it was made."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self._begun = clock.now()
        self.warned_at: list[float] = []

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it, and when it was."""
        super().warning(event, **fields)
        self.warned_at.append((self._clock.now() - self._begun).total_seconds())


@dataclass
class Node:
    """A node's directory with what surrounds it."""

    directory: KnownDirectory
    pool: asyncpg.Pool
    clock: HurriedClock
    log: TimedLog
    url: str

    @property
    def warnings(self) -> list[str]:
        """Why something did not work."""
        return [fields["why"] for level, _, fields in self.log.lines if level == "warning"]

    async def kept(self) -> list[CardRange]:
        """What stands in the database."""
        return list((await load_ranges(self.pool, self.url))[1])


@asynccontextmanager
async def node(database: str, url: str, *, start_seconds_max: float = PATIENCE_SECONDS) -> AsyncIterator[Node]:
    """A node on this database, asking there."""
    pool, link, clock = await open_pool(database), DirectoryLink(url), HurriedClock()
    log = TimedLog(clock)
    directory = KnownDirectory(pool, link, clock=clock, ids=CountedIds(), log=log, start_seconds_max=start_seconds_max)
    await link.start()
    try:
        yield Node(directory, pool, clock, log, url)
    finally:
        await link.close()
        await pool.close()


@asynccontextmanager
async def beside(*loops: Any) -> AsyncIterator[None]:
    """These loops go on meanwhile."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def serials(server: RangesServer) -> list[str | None]:
    """Those that were asked with, in order."""
    return [asked.get("serialNum") for asked in server.asked]


async def test_the_first_start_asks_for_all_ranges(database: str) -> None:
    """Afterwards cards are found by their range, in the highest version, with the issuer's method page."""
    with ranges_server(LOW, HIGH) as server:
        async with node(database, server.url) as one:
            assert one.directory.find_enrolment(CARD) is None
            await one.directory.start()
            enrolment = Enrolment(version="2.3.1", method_url="https://acs.test/method")
            assert one.directory.find_enrolment(CARD) == enrolment
            assert one.directory.find_enrolment(STRANGER) is None
            assert await one.kept() == [LOW, HIGH]
            assert one.warnings == []
    assert serials(server) == [None]
    assert server.asked[0]["messageVersion"] == "2.3.1"


async def test_another_start_within_a_day_asks_nobody(database: str) -> None:
    """The kept ranges are loaded; a day later only what changed is asked for."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.start()
        async with node(database, server.url) as one:
            one.clock.move(FRESH_SECONDS - 1)
            await one.directory.start()
            assert list(one.directory.ranges) == [LOW]
        assert serials(server) == [None]
        server.move_to(LOW, HIGH)
        async with node(database, server.url) as one:
            one.clock.move(FRESH_SECONDS)
            await one.directory.start()
            assert list(one.directory.ranges) == await one.kept() == [LOW, HIGH]
        assert serials(server) == [None, "0"]


async def test_a_directory_server_that_starts_a_moment_later(database: str) -> None:
    """While it refuses the connection it is asked again and again."""
    with ranges_server() as server:
        url = server.url
    async with node(database, url) as one:
        starting = asyncio.create_task(one.directory.start())
        await asyncio.sleep(0.5)
        assert not starting.done()
        with ranges_server(LOW, port=int(url.split(":")[2].split("/")[0])):
            await starting
        assert list(one.directory.ranges) == [LOW]
        assert one.warnings == []


async def test_a_directory_server_that_is_away(database: str) -> None:
    """The start waits for it a little, warns, and goes on with what is kept."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.start()
    async with node(database, server.url, start_seconds_max=0.5) as one:
        one.clock.move(2 * FRESH_SECONDS)
        await one.directory.start()
        assert list(one.directory.ranges) == [LOW]
        assert not one.directory.is_fresh
        (why,) = one.warnings
        assert why.startswith("no connection to the directory server")


async def test_a_directory_server_that_is_silent(database: str) -> None:
    """The start does not wait longer for an answer than for a connection."""
    with ranges_server(LOW) as server:
        server.hold()
        async with node(database, server.url, start_seconds_max=0.5) as one:
            await one.directory.start()
            assert one.warnings == ["no answer in time"]
            assert len(one.directory.ranges) == 0


async def test_changes_are_told(database: str) -> None:
    """How many were added, changed and removed, and the serial numbers."""
    slower = replace(HIGH, method_url="https://acs.test/other")
    with ranges_server(LOW, HIGH) as server:
        async with node(database, server.url) as one:
            first = await one.directory.refresh()
            assert (first.added, first.total, first.is_whole) == (2, 2, True)
            assert (first.serial_before, first.serial_after) == (None, "0")
            server.move_to(slower, CardRange("340000000000000", "349999999999999", BOTH))
            second = await one.directory.refresh()
            assert (second.added, second.changed, second.removed, second.total) == (1, 1, 1, 2)
            assert (second.serial_before, second.serial_after, second.is_whole) == ("0", "1", False)
            nothing = await one.directory.refresh()
            assert (nothing.added, nothing.changed, nothing.removed, nothing.serial_after) == (0, 0, 0, "1")
            whole = await one.directory.refresh_whole()
            assert (whole.added, whole.changed, whole.removed, whole.is_whole) == (0, 0, 0, True)
            assert await one.kept() == list(server.states[-1]) == list(one.directory.ranges)
    assert serials(server) == [None, "0", "1", None]


async def test_an_unknown_serial_number(database: str) -> None:
    """Refused with 307, all ranges are asked for."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            server.states = [Ranges()] * 5
            server.move_to(LOW)
            await one.directory.refresh()
            server.states = [Ranges([HIGH])]
            refreshed = await one.directory.refresh()
            assert (refreshed.is_whole, refreshed.serial_before, refreshed.serial_after) == (True, "5", "0")
            assert await one.kept() == [HIGH]
    assert serials(server) == [None, "5", None]


async def test_changes_that_do_not_fit(database: str) -> None:
    """An added range that overlaps a known one: all ranges are asked for, and a warning names eight digits."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.refresh()
            wrong = {
                "ranges": [{"startRange": LOW.last, "endRange": LOW.last}],
                "acsProtocolVersions": [{"version": "2.2.0"}],
            }
            server.script.append(server.answered(_next_request(), [wrong]))
            refreshed = await one.directory.refresh()
            assert refreshed.is_whole
            (why,) = one.warnings
            assert why.startswith("card ranges overlap: 40001200…")
            assert LOW.last not in why
            assert await one.kept() == [LOW]


def _next_request() -> dict[str, Any]:
    """The second of a node, as its ids are counted."""
    return {"messageVersion": "2.3.1", "threeDSServerTransID": "00000000-0000-4000-8000-000000000002"}


async def test_a_directory_server_of_the_older_version(database: str) -> None:
    """Refused with 102, it is asked in 2.2.0; its ranges speak no more than it does."""
    with ranges_server(LOW) as server:
        server.versions = ("2.2.0",)
        async with node(database, server.url) as one:
            await one.directory.refresh()
            assert one.directory.find_enrolment(CARD) == Enrolment(version="2.2.0", method_url=LOW.method_url)
    assert [asked["messageVersion"] for asked in server.asked] == ["2.3.1", "2.2.0"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"<html>", "card ranges are refused: 101"),
        ({"messageType": "PRes", "messageVersion": "2.3.1"}, "card ranges are refused: 201"),
        (
            {
                "messageType": "Erro",
                "messageVersion": "2.2.0",
                "errorCode": "403",
                "errorComponent": "D",
                "errorDescription": "busy",
                "errorDetail": "busy",
            },
            "answered error 403: busy",
        ),
    ],
)
async def test_an_answer_of_no_use(database: str, said: Any, why: str) -> None:
    """What was known stays, one line says why, and of what broke the tables the directory server is told."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.refresh()
            server.script.append(said)
            with pytest.raises(RefreshFailed, match=why):
                await one.directory.refresh()
            assert await one.kept() == list(one.directory.ranges) == [LOW]
    complaints = [asked for asked in server.asked if asked["messageType"] == "Erro"]
    assert len(complaints) == ("are refused" in why)


async def test_an_empty_list_is_not_believed(database: str) -> None:
    """A directory server that suddenly lists nothing at all does not take all cards out of 3-D Secure."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.refresh()
            server.states = [Ranges()]
            with pytest.raises(RefreshFailed, match="lists no card ranges at all"):
                await one.directory.refresh_whole()
            assert await one.kept() == [LOW]


async def test_two_nodes_start_at_once(database: str) -> None:
    """Both ask, one of them keeps the answer, both know the ranges."""
    with ranges_server(LOW, HIGH) as server:
        gate = server.hold(2)
        async with node(database, server.url) as one, node(database, server.url) as other:
            starting = asyncio.gather(one.directory.start(), other.directory.start())
            await until(lambda: len(server.asked) == 2)
            gate.set()
            await starting
            for each in (one, other):
                assert list(each.directory.ranges) == await each.kept() == [LOW, HIGH]
                assert each.warnings == []
    assert len(server.asked) == 2


async def test_two_nodes_refresh_at_once(database: str) -> None:
    """The slower one is told, and its older answer does not overwrite the newer."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one, node(database, server.url) as other:
            await one.directory.start()
            await other.directory.start()
            gate = server.hold()
            slow = asyncio.create_task(one.directory.refresh())
            await until(lambda: len(server.asked) == 2)
            server.move_to(HIGH)
            assert (await other.directory.refresh()).serial_after == "1"
            gate.set()
            with pytest.raises(Overtaken):
                await slow
            assert await one.kept() == [HIGH]


async def test_what_another_node_refreshed_is_taken_over(database: str) -> None:
    """Within the time between two looks, also after the database was away for a moment."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one, node(database, server.url) as other:
            await one.directory.start()
            await other.directory.start()
            async with beside(one.directory.watch()):
                await other.pool.execute("alter table card_range_state rename to away")
                await until(lambda: len(one.warnings) > 0)
                await other.pool.execute("alter table away rename to card_range_state")
                server.move_to(HIGH)
                other.clock.move(1)
                await other.directory.refresh()
                await until(lambda: list(one.directory.ranges) == [HIGH])
            assert set(one.warnings) == {"UndefinedTableError"}


async def test_the_ranges_are_asked_for_daily(database: str) -> None:
    """A day after the last time, not sooner, as long as the loop runs."""
    with ranges_server(LOW) as server:
        async with node(database, server.url) as one:
            await one.directory.start()
            begun = one.clock.now()
            async with beside(one.directory.refresh_daily()):
                await until(lambda: len(server.asked) == 2)
                server.move_to(HIGH)
                await until(lambda: list(one.directory.ranges) == [HIGH])
            assert one.clock.now() - begun >= timedelta(days=2)
    assert serials(server)[:3] == [None, "0", "0"]


async def test_failures_are_repeated_ever_later(database: str) -> None:
    """After a minute, then after twice as long each time, at most an hour; then daily again."""
    with ranges_server() as server:
        url = server.url
    async with node(database, url) as one:
        at = one.log.warned_at
        async with beside(one.directory.refresh_daily()):
            await until(lambda: len(at) >= 9)
        gaps = [later - earlier for earlier, later in zip([0.0, *at], at, strict=False)]
        assert gaps[:9] == [60, 60, 120, 240, 480, 960, 1920, 3600, 3600]


async def test_rows_that_cannot_be_are_replaced(database: str) -> None:
    """Somebody changed them by hand: a start asks for all ranges, as if there were none."""
    with ranges_server(LOW, HIGH) as server:
        async with node(database, server.url) as one:
            await one.directory.start()
            await one.pool.execute("update card_range set last = '4000135555555555' where first = $1", LOW.first)
        async with node(database, server.url) as one:
            await one.directory.start()
            assert list(one.directory.ranges) == await one.kept() == [LOW, HIGH]
            assert all(why.startswith("card ranges overlap") for why in one.warnings)
    assert serials(server) == [None, None]


async def test_messages_go_through(database: str) -> None:
    """Requests of payers and complaints take the link as it is: without a vault nothing of a card is sent."""
    with ranges_server() as server:
        async with node(database, server.url) as one:
            await one.directory.tell({"messageType": "Erro"})
            card = CardUse(project="shop", card_token="card_1")
            with pytest.raises(NotSent):
                await one.directory.ask(Inquiry(message={}, slots={"acctNumber": Slot.PAN}, card=card))
    assert json.dumps(server.asked) == '[{"messageType": "Erro"}]'
