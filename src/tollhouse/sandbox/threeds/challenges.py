"""The course of a challenge: who says what when, and how it ends.

    waiting ──CReq──▶ open ──the payer, or a time limit──▶ ended
    waiting ──no CReq in 30 s──▶ ended            decoupled ──3 s──▶ ended

The first end counts. Its result goes to the 3DS server before the browser goes back, except where the card asks for
another order. Repeated requests of the browser show what there is to see and change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from tollhouse.sandbox.cards import Challenge
from tollhouse.sandbox.threeds.dossiers import WRONG_CODES_MAX, Dossier, Dossiers, Stage
from tollhouse.sandbox.threeds.results import Results
from tollhouse.sandbox.threeds.timers import Timers

CODE_PASSES, CODE_FAILS = "1234", "3333"
TIMED_OUT = "14"  # transStatusReason
BY_PAYER, TOO_SLOW, NEVER_BEGUN = "01", "04", "05"  # challengeCancel
ANSWERS = ("Y", "N", "U", "A", "R")  # by HTTP, without a browser


class Act(StrEnum):
    """What the payer can do on the page: the buttons' values."""

    SUBMIT = "submit"
    RESEND = "resend"
    CANCEL = "cancel"
    APPROVE = "approve"
    DECLINE = "decline"


class Notice(StrEnum):
    """What the page tells the payer after that."""

    NONE = "none"
    CODE_EMPTY = "code_empty"
    CODE_WRONG = "code_wrong"
    CODE_SENT = "code_sent"


class Challenges:
    """All challenges under way."""

    def __init__(self, dossiers: Dossiers, results: Results, timers: Timers) -> None:
        self.dossiers = dossiers
        self._results = results
        self._timers = timers
        self._sending: set[asyncio.Task[None]] = set()

    def expect(self, dossier: Dossier) -> None:
        """An ARes has announced it: wait for the browser, or find out without one."""
        self.dossiers.keep(dossier)
        if dossier.is_decoupled:
            dossier.stage = Stage.DECOUPLED
            status = "N" if dossier.behaviour.challenge is Challenge.FAILS else "Y"
            self._after(dossier, self._timers.decoupled_seconds, lambda: self._end(dossier, status))
        else:
            self._give_time(dossier, self._timers.first_request_seconds, NEVER_BEGUN)

    async def receive(self, dossier: Dossier, session_data: str | None) -> None:
        """The browser brought a CReq, for the first time or again."""
        if session_data is not None:
            dossier.session_data = session_data
        if dossier.stage is Stage.WAITING:
            dossier.stage = Stage.OPEN
            self._begin(dossier)
        if dossier.stage is Stage.OPEN:
            self._give_time(dossier, self._timers.payer_seconds, TOO_SLOW)
        await self._let_result_go_first(dossier)

    async def act(self, dossier: Dossier, act: Act, code: str) -> Notice:
        """The payer did something on the page."""
        notice = Notice.NONE
        if dossier.stage is Stage.OPEN and dossier.behaviour.challenge is not Challenge.ENDLESS:
            self._give_time(dossier, self._timers.payer_seconds, TOO_SLOW)
            notice = self._hear(dossier, act, code.strip())
        await self._let_result_go_first(dossier)
        return notice

    async def answer(self, dossier: Dossier, status: str) -> None:
        """End it without a browser. It must not have ended."""
        assert status in ANSWERS
        self._end(dossier, status)
        assert dossier.sending is not None
        await asyncio.shield(dossier.sending)

    async def close(self) -> None:
        """No timer fires and no result is sent any more."""
        for dossier in self.dossiers.all():
            _forget_timer(dossier)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _begin(self, dossier: Dossier) -> None:
        match dossier.behaviour.challenge:
            case Challenge.PASSES:
                self._end(dossier, "Y")
            case Challenge.FAILS:
                self._end(dossier, "N")
            case Challenge.CANCELLED:
                self._end(dossier, "N", cancel=BY_PAYER)
            case _:
                return

    def _hear(self, dossier: Dossier, act: Act, code: str) -> Notice:
        is_by_app = dossier.behaviour.challenge is Challenge.OUT_OF_BAND
        match act:
            case Act.SUBMIT if not is_by_app:
                return self._hear_code(dossier, code)
            case Act.APPROVE | Act.DECLINE if is_by_app:
                dossier.interactions += 1
                self._end(dossier, "Y" if act is Act.APPROVE else "N", by_browser=True)
            case Act.CANCEL:
                self._end(dossier, "N", cancel=BY_PAYER, by_browser=True)
            case Act.RESEND if not is_by_app:
                return Notice.CODE_SENT
            case _:
                return Notice.NONE
        return Notice.NONE

    def _hear_code(self, dossier: Dossier, code: str) -> Notice:
        if not code:
            return Notice.CODE_EMPTY
        dossier.interactions += 1
        if code == CODE_PASSES:
            self._end(dossier, "Y", by_browser=True)
            return Notice.NONE
        dossier.wrong_codes += 1
        if code == CODE_FAILS or dossier.wrong_codes >= WRONG_CODES_MAX:
            self._end(dossier, "N", by_browser=True)
            return Notice.NONE
        return Notice.CODE_WRONG

    def _give_time(self, dossier: Dossier, seconds: float, cancel: str) -> None:
        """After so long without a word it has failed; a card whose challenge never ends waits for ever."""
        dossier.due_at = asyncio.get_running_loop().time() + seconds
        self._after(dossier, seconds, lambda: self._end(dossier, "N", reason=TIMED_OUT, cancel=cancel))

    def _after(self, dossier: Dossier, seconds: float, then: Callable[[], None]) -> None:
        _forget_timer(dossier)
        if dossier.behaviour.challenge is not Challenge.ENDLESS:
            dossier.timer = asyncio.get_running_loop().call_later(seconds, then)

    def _end(
        self,
        dossier: Dossier,
        status: str,
        *,
        reason: str | None = None,
        cancel: str | None = None,
        by_browser: bool = False,
    ) -> None:
        """It ends so, and the result sets out."""
        _forget_timer(dossier)
        dossier.finish(status, reason=reason, cancel=cancel)
        is_late = by_browser and dossier.behaviour.challenge is Challenge.BROWSER_FIRST
        after_seconds = self._timers.browser_first_seconds if is_late else 0
        task = asyncio.get_running_loop().create_task(self._results.send(dossier, after_seconds=after_seconds))
        dossier.sending = task
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _let_result_go_first(self, dossier: Dossier) -> None:
        """The browser goes back only when the 3DS server has the result."""
        if dossier.sending is not None and dossier.behaviour.challenge is not Challenge.BROWSER_FIRST:
            await asyncio.shield(dossier.sending)


def _forget_timer(dossier: Dossier) -> None:
    if dossier.timer is not None:
        dossier.timer.cancel()
        dossier.timer = None
