"""Groups: what waits goes together, each caller gets its own answer."""

from __future__ import annotations

import asyncio

import pytest

from tollhouse.grouping import Closed, Grouped


class Doubler:
    """Doubles numbers; a group goes out when `gate` is open. Refuses groups with a negative number."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        await self.gate.wait()
        if min(items) < 0:
            raise ValueError("negative")
        return [item * 2 for item in items]


async def test_what_waits_goes_together() -> None:
    """While one group is on its way the others gather, and each gets its own answer."""
    double = Doubler()
    double.gate.clear()
    grouped = Grouped(double, group_size_max=100)
    first = asyncio.create_task(grouped.ask(0))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(grouped.ask(number)) for number in range(1, 50)]
    await asyncio.sleep(0.01)
    double.gate.set()
    assert [await task for task in (first, *rest)] == [number * 2 for number in range(50)]
    assert double.groups == [[0], list(range(1, 50))]


async def test_a_group_is_bounded() -> None:
    """No group is larger than its limit."""
    double = Doubler()
    grouped = Grouped(double, group_size_max=10)
    await asyncio.gather(*(grouped.ask(number) for number in range(25)))
    assert [len(group) for group in double.groups] == [10, 10, 5]


async def test_a_failed_group_fails_alone() -> None:
    """Everyone in the group gets the exception; the next group is well."""
    grouped = Grouped(Doubler(), group_size_max=2)
    answers = await asyncio.gather(*(grouped.ask(number) for number in (1, -1, 3, 4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int, int]


async def test_a_caller_who_leaves_disturbs_nobody() -> None:
    """A cancelled caller's item still runs, and the others get their answers."""
    double = Doubler()
    double.gate.clear()
    grouped = Grouped(double, group_size_max=10)
    leaving, staying = asyncio.create_task(grouped.ask(1)), asyncio.create_task(grouped.ask(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    double.gate.set()
    assert await staying == 4
    assert double.groups == [[1, 2]]


async def test_closing_finishes_what_was_taken() -> None:
    """Close waits for what is under way and refuses what comes later."""
    grouped = Grouped(Doubler(), group_size_max=10)
    taken = asyncio.create_task(grouped.ask(1))
    await asyncio.sleep(0)
    await grouped.close()
    assert taken.done()
    assert await taken == 2
    with pytest.raises(Closed):
        await grouped.ask(2)
