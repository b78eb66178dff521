"""Whether a gateway is ready: who does not answer, for strangers, and why, for the log."""

from __future__ import annotations

import asyncio

import pytest

from tests.worlds import FakeLog
from tollhouse.boot.gateway import Readiness
from tollhouse.ports import StoreUnreachable
from tollhouse.vault.port import VaultAway

SECRET = "tls://10.0.0.7:8404"


class Part:
    """Something that a call needs."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.asked = 0

    async def ask(self) -> None:
        """Answers, or fails as it was told to."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.problem is not None:
            raise self.problem


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (VaultAway(f"no connection to {SECRET}"), f"no connection to {SECRET}"),
        (StoreUnreachable("the vault's database does not answer: X"), "the vault's database does not answer: X"),
        (TimeoutError("of no interest"), "TimeoutError"),
        (RuntimeError("of no interest"), "RuntimeError"),
    ],
)
async def test_who_is_away(problem: Exception, why: str) -> None:
    """The vault is not blamed on the database nor the other way round; the log has the reason once, strangers never."""
    parts = {"the database": Part(), "the vault": Part()}
    log = FakeLog()
    readiness = Readiness({name: part.ask for name, part in parts.items()}, log, fresh_seconds=0)
    assert await readiness.who_is_away() == ""
    for name, part in parts.items():
        part.problem = problem
        assert [await readiness.who_is_away() for _ in range(2)] == [name, name]
        part.problem = None
        assert await readiness.who_is_away() == ""
    assert [line[2] for line in log.lines] == [{"away": name, "why": why} for name in parts]


async def test_many_who_ask_share_one_look() -> None:
    """A stranger who asks all the time keeps no HSM busy; one who hangs up takes nothing from the others."""
    part, log = Part(), FakeLog()
    readiness = Readiness({"the vault": part.ask}, log, fresh_seconds=3600)
    gone = asyncio.create_task(readiness.who_is_away())
    others = [asyncio.create_task(readiness.who_is_away()) for _ in range(50)]
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(*others) == [""] * 50
    assert await readiness.who_is_away() == ""
    assert part.asked == 1
