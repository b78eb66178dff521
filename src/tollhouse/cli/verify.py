"""`tollhouse verify`: proves the promises about money from the rows of a live or restored database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import click

from tollhouse.boot.config import Config
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.listening import local_url
from tollhouse.cli.settings import with_config
from tollhouse.money import CURRENCIES
from tollhouse.proof import STATEMENTS, Promise

if TYPE_CHECKING:
    from tollhouse.cli.proving import Findings

BOOKS_SECONDS_MAX = 300.0
_COUNTED: dict[Promise, str] = {
    Promise.P1: "payments",
    Promise.P2: "approved operations",
    Promise.P3: "payments",
    Promise.P4: "decisions",
    Promise.P5: "idempotency keys",
    Promise.P8: "transfers",
    Promise.THREEDS: "charges",
}
_EPILOG = """\b
Examples:
  tollhouse verify
  tollhouse verify --project shop --json
  tollhouse verify --database-url postgresql://tollhouse@restored/tollhouse

\b
Exit code 0: every promise holds; 1: one does not, and each violation is named.
"""


@click.command(epilog=_EPILOG)
@click.option("--project", metavar="NAME", help="Only this project.")
@click.option("--acquirer-books", metavar="URL", help="Compare with these; default: the sandbox's, where it answers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_config("home", "database_url", "host", "sandbox_port")
def command(config: Config, *, project: str | None, acquirer_books: str | None, as_json: bool) -> None:
    """Prove from the rows, and from the acquirer's books, that no money was lost or made up."""
    default = f"{local_url(config.host, config.sandbox_port)}/books"
    found, books = on_database(config, lambda pool: _prove(pool, project, acquirer_books, default))
    if as_json:
        click.echo(json.dumps(_shown(found, books), indent=2))
    else:
        _print(found, books)
    sys.exit(1 if found.violations else 0)


async def _prove(
    pool: asyncpg.Pool, project: str | None, wanted: str | None, default: str
) -> tuple[Findings, dict[str, Any]]:
    from tollhouse.cli.proving import Books, BooksUnusable, Prover
    from tollhouse.net.merchant import calling
    from tollhouse.store.reads import projects_with_rows

    counts = await projects_with_rows(pool)
    if project is not None and project not in counts:
        raise Failure(f"there is no project {project[:80]!a}; `tollhouse project list` shows them all")
    projects = [project] if project is not None else list(counts)
    async with calling(BOOKS_SECONDS_MAX) as caller:
        books: Books | None = Books(caller, wanted or default)
        why = None
        if wanted is None:
            books, why = await _if_reachable(Books(caller, default))
        with _progress(sum(counts[name] for name in projects)) as advance:
            try:
                found = await Prover(pool, books, advance).prove(projects, covers_all=project is None)
            except BooksUnusable as problem:
                raise Failure(f"the acquirer's books: {problem}; correct --acquirer-books, or leave it out") from None
    compared = {"compared": found.compared, "still_open": found.still_open}
    return found, {"url": wanted or default, **({"not_read": why} if why else compared)}


async def _if_reachable(books: Any) -> tuple[Any, str | None]:
    """The sandbox's books, or None and why they cannot be read: they are compared only where they are at hand."""
    from tollhouse.cli.proving import BooksUnusable

    try:
        await books.look_up(["none"])
    except BooksUnusable as problem:
        return None, str(problem)
    return books, None


@contextmanager
def _progress(sessions: int) -> Iterator[Callable[[int], None]]:
    """On a terminal, a bar on stderr."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=sessions, label="sessions", file=sys.stderr) as bar:
        yield bar.update


def _print(found: Findings, books: dict[str, Any]) -> None:
    for promise, statement in STATEMENTS.items():
        violations = [one for one in found.violations if one.promise is promise]
        mark = click.style("✗", fg="red") if violations else click.style("✓", fg="green")
        count = f"{found.checked[promise]:,} {_COUNTED[promise]}"
        failed = click.style(f", {_violations(len(violations))}", fg="red") if violations else ""
        click.echo(f"{mark} {promise:<3} {statement}: {count}{failed}")
        for one in violations:
            click.echo(f"      {one.project}  {one.subject}  {one.what}")
    click.echo()
    if "not_read" in books:
        click.echo(f"Not compared with the acquirer's books: {books['not_read']}")
    else:
        click.echo(
            f"Compared with the acquirer's books at {books['url']}: {found.compared:,} operations,"
            f" {found.still_open:,} more are still open"
        )
    for (currency, account), minor in sorted(found.balances.items()):
        click.echo(f"Ledger: {account} {_sum(minor, currency)}")
    verdict = _violations(len(found.violations)) if found.violations else "every promise holds"
    click.echo(f"{found.sessions:,} sessions: {verdict}")


def _violations(count: int) -> str:
    return "1 violation" if count == 1 else f"{count:,} violations"


def _sum(minor: int, currency: str) -> str:
    """A sum of many amounts: larger than any one amount may be, and possibly below zero."""
    exponent = CURRENCIES[currency].exponent
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    major = f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
    return f"{'-' if minor < 0 else ''}{major} {currency.upper()}"


def _shown(found: Findings, books: dict[str, Any]) -> dict[str, Any]:
    return {
        "ok": not found.violations,
        "sessions": found.sessions,
        "promises": [
            {
                "promise": promise.value,
                "statement": statement,
                "checked": found.checked[promise],
                "counted": _COUNTED[promise],
                "violations": [
                    {"project": one.project, "subject": one.subject, "what": one.what}
                    for one in found.violations
                    if one.promise is promise
                ],
            }
            for promise, statement in STATEMENTS.items()
        ],
        "acquirer_books": books,
        "ledger": [
            {"currency": currency, "account": account, "minor": minor}
            for (currency, account), minor in sorted(found.balances.items())
        ],
    }
