"""Crash reports: an exception in the middle of keeping and of filling in, shown with all local variables by whoever."""

from __future__ import annotations

import io
import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import asyncpg
import pytest
import structlog
from rich.console import Console
from rich.traceback import Traceback

from tests.vault.samples import request
from tollhouse.acquirers.message import NotSent
from tollhouse.card import CVV, CardDetails, Expiry, parse_pan
from tollhouse.leak import Wanted, search
from tollhouse.store.postgres import open_pool
from tollhouse.vault.embedded import EmbeddedVault

PAN, CODE = "5204730000002514", "7391826450917362"
CARD = CardDetails(pan=parse_pan(PAN), expiry=Expiry(2031, 12), cvv=CVV(CODE), holder="J DOE")
WANTED = Wanted(numbers=(PAN, CODE))


def by_rich(problem: BaseException) -> str:
    """As rich prints it."""
    out = io.StringIO()
    shown = Traceback.from_exception(type(problem), problem, problem.__traceback__, show_locals=True)
    Console(file=out, width=200).print(shown)
    return out.getvalue()


def by_structlog(problem: BaseException) -> str:
    """As structlog puts it into JSON."""
    told = structlog.tracebacks.ExceptionDictTransformer(show_locals=True, locals_max_string=1000)
    return json.dumps(told((type(problem), problem, problem.__traceback__)))


def by_traceback(problem: BaseException) -> str:
    """As Python itself shows it."""
    return "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())


def by_pytest(problem: BaseException) -> str:
    """As a failing test shows it."""
    return str(pytest.ExceptionInfo.from_exception(problem).getrepr(showlocals=True, style="long"))


FORMATTERS: Mapping[str, Callable[[BaseException], str]] = MappingProxyType(
    {
        "rich": by_rich,
        "structlog": by_structlog,
        "traceback": by_traceback,
        "pytest": by_pytest,
    }
)


async def fail(database: str, home: Path) -> list[BaseException]:
    """What is raised where the row cannot be written, cannot be read, and was changed."""
    pool = await open_pool(database)
    vault = await EmbeddedVault.open(pool, home, "n1")
    kept, sealed = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV(CODE))
    asked = request("shop", kept.token, sealed)
    await pool.execute("UPDATE vault.card SET expiry_sealed = decode(repeat('00', 32), 'hex')")
    with pytest.raises(NotSent) as changed:
        await vault.fill(asked)
    await pool.execute("ALTER TABLE vault.card RENAME TO away")
    with pytest.raises(NotSent) as unreadable:
        await vault.fill(asked)
    with pytest.raises(asyncpg.PostgresError) as unwritable:
        await vault.keep("shop", CARD)
    await vault.close()
    await pool.close()
    return [changed.value, unreadable.value, unwritable.value]


@pytest.mark.parametrize("name", FORMATTERS)
async def test_no_formatter_shows_a_card(name: str, database: str, home: Path) -> None:
    """Whoever writes the report: no PAN and no security code in it, in any encoding."""
    for problem in await fail(database, home):
        shown = FORMATTERS[name](problem)
        assert len(shown) > 200
        assert search(shown.encode(), WANTED) == []


@pytest.mark.parametrize("name", FORMATTERS)
def test_the_formatters_would_show_one(name: str) -> None:
    """A number that is a text in a local variable is shown by each of them, and found."""
    assert search(FORMATTERS[name](_raised(PAN)).encode(), WANTED)


def _raised(number: str) -> BaseException:
    try:
        assert not number, "a bug"
    except AssertionError as problem:
        return problem
    raise AssertionError
