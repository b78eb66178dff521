"""3-D Secure on two nodes: rivals between reading and writing, crashes, leases, commits that are unclear."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.builders import (
    BROWSER,
    announced,
    asked,
    awaiting_payer,
    challenged,
    heard,
    link_of,
    recovered,
    view_of,
)
from tests.issuer import Turn, answering, result
from tests.worlds import MemoryWorld, memory_world, second_node
from tollhouse.acquirers.iso8583.fields import unpack_tags
from tollhouse.authentication import State
from tollhouse.change import Change
from tollhouse.flows.authenticate import Showing, ask, hear_results
from tollhouse.outcome import Reason
from tollhouse.ports import CommitUnclear
from tollhouse.session import Status
from tollhouse.store.memory import MemoryStore

LEASE_SECONDS = 26
HOUR = 3600


class Rivalled(MemoryStore):
    """Books into which a rival writes just before the next commit."""

    rival: Callable[[], Awaitable[object]] | None = None

    async def commit(self, change: Change) -> None:
        """After the rival."""
        rival, self.rival = self.rival, None
        if rival is not None:
            await rival()
        await super().commit(change)


def rivalled_world() -> tuple[MemoryWorld, Rivalled, MemoryWorld]:
    """Two nodes on the same books; a rival can come between the first one's reading and writing."""
    other = memory_world(node="n2")
    store = Rivalled(other.books, node="n1", clock=other.clock)
    shared = {name: getattr(other, name) for name in ("books", "clock", "vault", "link", "ids", "naming", "directory")}
    return memory_world(**shared, store=store), store, other


async def test_two_nodes_ask_at_once() -> None:
    """Whoever commits first asks; the other sends nothing and shows how it stands."""
    world, store, other = rivalled_world()
    session = await awaiting_payer(world)
    other.directory.script.append(answering("C"))
    store.rival = lambda: asked(other, session)
    assert (await asked(world, session)).showing is Showing.CHALLENGE
    assert len(world.directory.asked) == 1


async def test_the_payer_asks_when_the_time_is_over() -> None:
    """The sweep was first: nobody is asked, and the page says that it is over."""
    world, store, other = rivalled_world()
    session = await awaiting_payer(world)

    async def sweep() -> None:
        world.clock.move(HOUR)
        await recovered(other, session)

    store.rival = sweep
    assert (await asked(world, session)).showing is Showing.OVER
    assert world.directory.asked == []
    assert world.session(session).reason is Reason.ACTION_TIMEOUT


async def test_the_payer_asks_before_anybody_has_swept() -> None:
    """The merchant's `expiration_at` has passed and no worker runs: nobody is asked, nothing is charged."""
    world = memory_world()
    session = await awaiting_payer(world, options={"expiration_at": "2026-03-02 09:20:00"})
    world.clock.move(HOUR)
    assert (await asked(world, session)).showing is Showing.BEGIN
    assert (world.directory.asked, world.link.sent) == ([], [])
    after = await recovered(world, session)
    assert (after.reason, announced(world, after)[-1]) == (Reason.ACTION_TIMEOUT, "payment_finished")


async def test_two_nodes_hear_the_same_result() -> None:
    """Both answer it; it is heard once and charged once."""
    world, store, other = rivalled_world()
    session = await challenged(world)
    body = result(world.directory.asked[0], "Y")
    store.rival = lambda: heard(other, body)
    answer = await heard(world, body)
    assert answer["messageType"] == "RRes"
    assert world.session(session).status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_the_deadline_and_the_result_race() -> None:
    """Whichever commits first stands: here the sweep, between the result's reading and writing."""
    world, store, other = rivalled_world()
    session = await challenged(world)

    async def sweep() -> None:
        world.clock.move(HOUR)
        await recovered(other, session)

    store.rival = sweep
    await heard(world, result(world.directory.asked[0], "Y"))
    assert world.session(session).reason is Reason.ACTION_TIMEOUT
    assert world.link.sent == []


async def test_a_crash_between_asking_and_the_answer() -> None:
    """Another node concludes the silence when the lease is over, and the payment goes on by the policy."""
    world = memory_world()
    session = await awaiting_payer(world)

    class Crash(Exception):
        """The process is gone."""

    async def crash() -> None:
        raise Crash

    world.directory.script.append(Turn(meanwhile=crash))
    with pytest.raises(Crash):
        await ask(world, link_of(session), BROWSER, "U")
    other = second_node(world)
    assert (await view_of(other, session)).showing is Showing.WAIT
    world.clock.move(LEASE_SECONDS - 2)
    assert (await recovered(other, session)).authentications[0].state is State.ASKED
    world.clock.move(2)
    after = await recovered(other, session)
    assert after.authentications[0].state is State.LAPSED
    assert after.status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_nobody_concludes_silence_while_somebody_waits() -> None:
    """As long as the asking node's lease lives, its answer counts."""
    world = memory_world()
    session = await awaiting_payer(world)
    other = second_node(world)

    async def sweep() -> None:
        world.clock.move(13)
        assert (await recovered(other, session)).authentications[0].state is State.ASKED

    world.directory.script.append(Turn(status="Y", meanwhile=sweep))
    await asked(world, session)
    assert world.session(session).authentications[0].state is State.FINISHED
    assert world.session(session).status is Status.ACCEPTED


async def test_the_answer_comes_after_the_session_was_taken_over() -> None:
    """The other node has concluded the silence and charged: the answer changes nothing and nothing is charged again."""
    world = memory_world()
    session = await awaiting_payer(world)
    other = second_node(world)

    async def take_over() -> None:
        world.clock.move(LEASE_SECONDS)
        await recovered(other, session)

    world.directory.script.append(Turn(status="N", meanwhile=take_over))
    assert (await asked(world, session)).showing is Showing.OVER
    assert world.session(session).status is Status.ACCEPTED
    assert world.link.types == ["0200"]


async def test_a_crash_after_the_result_was_kept() -> None:
    """The charge is planned with the same commit: whoever takes over sends it, with its proof."""
    world = memory_world()
    session = await challenged(world)
    await hear_results(world, result(world.directory.asked[0], "Y"))
    assert world.link.sent == []
    world.clock.move(LEASE_SECONDS)
    after = await recovered(second_node(world), session)
    assert after.status is Status.ACCEPTED
    assert unpack_tags(world.link.sent[0].fields["48"])["42"] == "05"


async def test_the_payer_comes_while_nobody_serves() -> None:
    """A link is good on any node."""
    world = memory_world()
    session = await awaiting_payer(world)
    view = await asked(second_node(world), session)
    assert view.showing is Showing.OVER
    assert world.session(session).status is Status.ACCEPTED


class Unclear(MemoryStore):
    """Books whose connection is lost after the next commit was carried out."""

    is_lost = False

    async def commit(self, change: Change) -> None:
        """Carried out, and not told."""
        await super().commit(change)
        if self.is_lost:
            self.is_lost = False
            raise CommitUnclear("the connection was lost")


async def test_an_unclear_commit_of_asking() -> None:
    """It is looked up: our own success is no rival's, so the request leaves, once."""
    plain = memory_world()
    store = Unclear(plain.books, node="n1", clock=plain.clock)
    world = memory_world(books=plain.books, clock=plain.clock, vault=plain.vault, link=plain.link, store=store)
    session = await awaiting_payer(world)
    store.is_lost = True
    await asked(world, session)
    assert len(world.directory.asked) == 1
    assert world.session(session).status is Status.ACCEPTED
