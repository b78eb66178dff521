"""What a node's log says of a directory server that is silent, answers with an error, or breaks the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tests.lives import acting, keep
from tests.ranges_server import ranges_server
from tests.worlds import CountedIds, FakeClock, FakeLog
from tollhouse.acquirers.message import CardUse, NotSent, Slot
from tollhouse.boot.directory import KnownDirectory
from tollhouse.net.directory import DirectoryLink
from tollhouse.store.postgres import open_pool
from tollhouse.threeds.translate import Inquiry

CARD = "4000120000000008"
SILENT, ERROR = "the directory server does not answer", "the directory server answers with an error"
FREE_TEXT = f"no such card: {CARD}"


@dataclass
class Node:
    """A node's directory, and what it logs."""

    directory: KnownDirectory
    pool: asyncpg.Pool
    log: FakeLog


@asynccontextmanager
async def node(database: str, url: str, *, has_vault: bool = True) -> AsyncIterator[Node]:
    """A node on this database, asking there."""
    pool, link, log = (
        await open_pool(database),
        DirectoryLink(url, egress=FakeEgress() if has_vault else None),
        FakeLog(),
    )
    await link.start()
    try:
        yield Node(KnownDirectory(pool, link, clock=FakeClock(), ids=CountedIds(), log=log), pool, log)
    finally:
        await link.close()
        await pool.close()


def inquiry(id: str) -> Inquiry:
    """A request for an authentication, of which nothing else matters here."""
    card = CardUse(project="shop", card_token="card_1")
    return Inquiry(message={"threeDSServerTransID": id}, slots={"acctNumber": Slot.PAN}, card=card)


class FakeEgress:
    """Every card is the same."""

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]:
        """Its PAN."""
        return dict.fromkeys(slots, CARD)


@pytest.mark.parametrize(
    ("said", "event", "fields"),
    [
        (None, SILENT, {"why": "there is no vault here that could fill in the card"}),
        (
            {"messageType": "Erro", "errorCode": "101", "errorComponent": "D", "errorDetail": FREE_TEXT},
            ERROR,
            {"code": "101", "by": "D"},
        ),
        ({"messageType": "Erro"}, ERROR, {"code": "", "by": ""}),
        ({"messageType": "ARes"}, None, {}),
        (b"not JSON", None, {}),
    ],
)
async def test_silence_and_errors_are_logged(database: str, said: Any, event: str | None, fields: Any) -> None:
    """One line with the session's id and nothing that could hold a card; of what is well, or unreadable, none here."""
    story = acting()
    await keep(database, story)
    (authentication,) = story.session.authentications
    with ranges_server() as server:
        async with node(database, server.url, has_vault=said is not None) as one:
            server.script.append(said)
            with suppress(NotSent):
                await one.directory.ask(inquiry(authentication.id))
            lines = [line for line in one.log.lines if line[0] == "warning"]
    named = {"session": story.session.id, "project": story.session.project, "authentication": authentication.id}
    assert lines == ([] if event is None else [("warning", event, named | fields)])
    assert CARD not in repr(lines)


async def test_a_refused_answer_is_logged(database: str) -> None:
    """What we complain about is one line too; a session that is not known is left out."""
    with ranges_server() as server:
        async with node(database, server.url) as one:
            complaint = {"messageType": "Erro", "errorCode": "203", "errorDetail": "eci", "threeDSServerTransID": "a1"}
            await one.directory.tell(complaint)
    refused = {"authentication": "a1", "code": "203", "detail": "eci"}
    assert one.log.lines == [("warning", "the directory server's answer is refused", refused)]
    assert server.asked == [complaint]


async def test_a_silence_without_a_database(database: str) -> None:
    """The line comes also when nobody can say whose authentication it was."""
    with ranges_server() as server:
        async with node(database, server.url, has_vault=False) as one:
            await one.pool.close()
            with pytest.raises(NotSent):
                await one.directory.ask(inquiry("a1"))
    ((_, event, fields),) = one.log.lines
    assert (event, fields["authentication"], fields["unnamed"]) == (SILENT, "a1", "the database does not answer")
