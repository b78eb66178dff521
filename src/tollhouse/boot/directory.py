"""The directory server as flows see it: its card ranges in memory, kept fresh through the database for all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from tollhouse.acquirers.message import NoAnswer, NotSent
from tollhouse.authentication import VERSIONS, Enrolment
from tollhouse.card import PAN
from tollhouse.card_range import Ranges, RangesRefused, enrolment_of
from tollhouse.draft import Ids
from tollhouse.net.directory import DirectoryLink
from tollhouse.ports import Clock, Log
from tollhouse.store.postgres import LOST
from tollhouse.store.queries import QUERIES
from tollhouse.store.ranges import RangesState, find_ranges_state, keep_ranges, load_ranges, replace_ranges
from tollhouse.threeds.message import MessageRefused, MessageType
from tollhouse.threeds.ranges import (
    SERIAL_UNKNOWN,
    VERSION_UNKNOWN,
    ErrorAnswered,
    RangesAnswer,
    ask_ranges,
    read_ranges,
    refuse_ranges,
)
from tollhouse.threeds.translate import Inquiry

FRESH_SECONDS = 24 * 60 * 60
LOOK_SECONDS = 30.0
START_SECONDS_MAX = 5.0
CONNECT_AGAIN_SECONDS = 0.2
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 60, 60 * 60
NAMING_SECONDS_MAX = 1.0  # a payer may be waiting meanwhile


class RefreshFailed(Exception):
    """The card ranges stay as they were; the text is one line that says why."""

    exit_code = 1


class _Head(msgspec.Struct, rename="camel"):
    """So much of an answer as tells an error message from others."""

    message_type: str
    error_code: str = ""
    error_component: str = ""


class NotReached(RefreshFailed):
    """The directory server could not be asked at all."""


class Overtaken(RefreshFailed):
    """Another node has refreshed the ranges in the meantime."""

    def __init__(self) -> None:
        super().__init__("somebody else refreshed the card ranges at the same time; look at theirs, or run this again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh did. `is_whole`: all ranges were asked for, not only what changed."""

    added: int
    changed: int
    removed: int
    total: int
    serial_before: str | None
    serial_after: str | None
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """The ranges with the state they belong to; no state when the directory server was never asked.

    Not sound: the rows cannot be, since somebody tampered with them; then there are no ranges and all are asked for.
    """

    state: RangesState | None
    ranges: Ranges
    is_sound: bool = True

    @property
    def serial(self) -> str | None:
        return self.state.serial if self.state is not None and self.is_sound else None


class KnownDirectory:
    """The port `Directory` for one directory server."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        link: DirectoryLink,
        *,
        clock: Clock,
        ids: Ids,
        log: Log,
        start_seconds_max: float = START_SECONDS_MAX,
    ) -> None:
        self._pool = pool
        self._link = link
        self._clock = clock
        self._ids = ids
        self._log = log
        self._start_seconds_max = start_seconds_max
        self._known = _Known(None, Ranges())
        self._one_at_a_time = asyncio.Lock()

    @property
    def ranges(self) -> Ranges:
        """As they are known now."""
        return self._known.ranges

    @property
    def is_fresh(self) -> bool:
        """Whether the ranges were asked for within a day."""
        known = self._known
        if known.state is None or not known.is_sound:
            return False
        return self._clock.now() < known.state.refreshed_at + timedelta(seconds=FRESH_SECONDS)

    @property
    def knows_ranges(self) -> bool:
        """Whether the directory server was ever asked for them."""
        return self._known.state is not None

    def find_enrolment(self, pan: PAN) -> Enrolment | None:
        """Whether and how a card takes part, from the ranges in memory."""
        found = self._known.ranges.find(pan)
        return None if found is None else enrolment_of(found)

    async def ask(self, inquiry: Inquiry) -> bytes:
        """The answer to an authentication request. Raises `NotSent`, `NoAnswer`. Silence and error messages are logged.

        Of an error message no word that others wrote freely goes into the log, only its code and who it is from.
        """
        try:
            body = await self._link.ask(inquiry)
        except (NotSent, NoAnswer) as silence:
            await self._warn_of("the directory server does not answer", inquiry.message, why=str(silence))
            raise
        if error := _error_in(body):
            code, component = error.error_code[:3], error.error_component[:1]
            await self._warn_of("the directory server answers with an error", inquiry.message, code=code, by=component)
        return body

    async def tell(self, message: Mapping[str, Any]) -> None:
        """An error message for the directory server, whose answer breaks the protocol; it changes nothing there."""
        code, detail = message.get("errorCode"), message.get("errorDetail")
        await self._warn_of("the directory server's answer is refused", message, code=code, detail=detail)
        await self._link.tell(message)

    async def start(self) -> None:
        """Load the ranges, and ask for them when there are none or they are old; at most some seconds, never raises."""
        not_reached: NotReached | None = None
        try:
            async with asyncio.timeout(self._start_seconds_max):
                await self._look()
                while not self.is_fresh:
                    try:
                        await self.refresh()
                    except Overtaken:
                        await self._look()
                    except NotReached as problem:  # a directory server that is started beside us listens in a moment
                        not_reached = problem
                        await asyncio.sleep(CONNECT_AGAIN_SECONDS)
        except Exception as problem:  # noqa: BLE001 - payments go on with the ranges that are known
            self._warn(not_reached or problem)

    async def watch(self) -> None:
        """Take over what other nodes have refreshed, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception as problem:  # noqa: BLE001 - or a moment's trouble would end it for good
                self._warn(problem)

    async def refresh_daily(self) -> None:
        """Ask the directory server once a day, after a failure again soon and then ever later, until cancelled."""
        gap_seconds = RETRY_SECONDS_MIN
        not_before = self._clock.now() + timedelta(seconds=0 if self.is_fresh else gap_seconds)
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if self.is_fresh or self._clock.now() < not_before:
                continue
            try:
                await self.refresh()
                gap_seconds = RETRY_SECONDS_MIN
            except Overtaken:
                continue  # `watch` takes over what the other node has kept
            except Exception as problem:  # noqa: BLE001 - without this loop ranges grow old for ever
                self._warn(problem)
                not_before = self._clock.now() + timedelta(seconds=gap_seconds)
                gap_seconds = min(2 * gap_seconds, RETRY_SECONDS_MAX)

    async def refresh(self) -> Refreshed:
        """Ask what changed since the kept state, keep it for all nodes. Raises `RefreshFailed`, or as the database."""
        return await self._refresh(whole=False)

    async def refresh_whole(self) -> Refreshed:
        """Ask for all ranges, keep them in place of those there are. Raises as `refresh`."""
        return await self._refresh(whole=True)

    async def _refresh(self, *, whole: bool) -> Refreshed:
        async with self._one_at_a_time:
            known = await self._load()
            refreshed = await self._refresh_from(known, None if whole else known.serial)
        self._log.info(
            "card ranges refreshed",
            added=refreshed.added,
            changed=refreshed.changed,
            removed=refreshed.removed,
            total=refreshed.total,
            serial=refreshed.serial_after,
        )
        return refreshed

    async def _refresh_from(self, known: _Known, serial: str | None) -> Refreshed:
        asked_at = self._clock.now()
        answer, ranges, is_whole = await self._hear(known.ranges, serial)
        serial_after = answer.serial or (None if is_whole else serial)
        state = RangesState(serial=serial_after, refreshed_at=asked_at)
        difference = known.ranges.difference(ranges)
        if is_whole:
            is_kept = await replace_ranges(self._pool, self._link.url, state, ranges, before=known.state)
        else:
            is_kept = await keep_ranges(self._pool, self._link.url, state, difference, before=known.state)
        if not is_kept:
            raise Overtaken
        self._known = _Known(state, ranges)
        return Refreshed(
            added=len(difference.added),
            changed=len(difference.changed),
            removed=len(difference.removed),
            total=len(ranges),
            serial_before=known.serial,
            serial_after=serial_after,
            is_whole=is_whole,
        )

    async def _hear(self, ranges: Ranges, serial: str | None) -> tuple[RangesAnswer, Ranges, bool]:
        """The answer, the ranges as they become, and whether all were asked for, as when the changes make no sense."""
        if serial is not None:
            try:
                answer = await self._ask(serial)
                return answer, await asyncio.to_thread(ranges.after, answer.said), False
            except ErrorAnswered as error:
                if error.code != SERIAL_UNKNOWN:
                    raise RefreshFailed(str(error)) from None
            except RangesRefused as problem:
                self._log.warning("all card ranges are asked for again", why=str(problem))
        try:
            answer = await self._ask(None)
            found = await asyncio.to_thread(Ranges.of, answer.said)
        except (ErrorAnswered, RangesRefused) as problem:
            raise RefreshFailed(str(problem)) from None
        if ranges and not found:
            raise RefreshFailed("the directory server lists no card ranges at all; those that are known stay")
        return answer, found, True

    async def _ask(self, serial: str | None) -> RangesAnswer:
        """In our newest version, and in the one before it to a directory server that does not speak it."""
        for version in reversed(VERSIONS[1:]):
            try:
                return await self._ask_in(version, serial)
            except ErrorAnswered as error:
                if error.code != VERSION_UNKNOWN:
                    raise
        return await self._ask_in(VERSIONS[0], serial)

    async def _ask_in(self, version: str, serial: str | None) -> RangesAnswer:
        id = self._ids.uuid()
        try:
            body = await self._link.ask_ranges(ask_ranges(version, id=id, serial=serial))
        except NotSent as problem:
            raise NotReached(str(problem)) from None
        except NoAnswer as problem:
            raise RefreshFailed(str(problem)) from None
        try:
            # Many ranges take their time: in a thread, so that calls are answered meanwhile.
            return await asyncio.to_thread(read_ranges, body, id=id)
        except MessageRefused as refused:
            await self._link.tell(refuse_ranges(refused, version))
            raise RefreshFailed(f"the directory server's card ranges are refused: {refused}") from None

    async def _look(self) -> None:
        """Take over the kept ranges if they are others than those in memory."""
        async with self._one_at_a_time:
            if await find_ranges_state(self._pool, self._link.url) != self._known.state:
                self._known = await self._load()

    async def _load(self) -> _Known:
        try:
            return _Known(*await load_ranges(self._pool, self._link.url))
        except RangesRefused as problem:
            self._log.warning("the kept card ranges are of no use", why=str(problem))
            return _Known(await find_ranges_state(self._pool, self._link.url), Ranges(), is_sound=False)

    async def _warn_of(self, event: str, message: Mapping[str, Any], **fields: object) -> None:
        """One line about an authentication, with its session where the database says it at once."""
        id = str(message.get("threeDSServerTransID", ""))
        row: asyncpg.Record | None = None
        try:
            async with asyncio.timeout(NAMING_SECONDS_MAX):
                row = await self._pool.fetchrow(QUERIES["find_authentication"], id)
        except LOST:
            fields["unnamed"] = "the database does not answer"
        named = {} if row is None else {"session": row["session_id"], "project": row["project"]}
        self._log.warning(event, **named, authentication=id, **fields)

    def _warn(self, problem: Exception) -> None:
        """What is not ours to know may say anything: only its kind is logged."""
        match problem:
            case RefreshFailed() | RangesRefused():
                why = str(problem)
            case TimeoutError():
                why = "no answer in time"
            case _ if isinstance(problem, LOST):
                why = "the database does not answer"
            case _:
                why = type(problem).__name__
        self._log.warning("card ranges are not refreshed", why=why, directory=self._link.url, known=len(self.ranges))


def _error_in(body: bytes) -> _Head | None:
    """The head of an error message; None for any other answer, also one that nobody can read."""
    try:
        head = msgspec.json.decode(body, type=_Head)
    except ValueError:
        return None
    return head if head.message_type == MessageType.ERRO else None
