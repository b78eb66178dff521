"""The races of 3-D Secure: results and browsers in any order, two tabs, two nodes, crashes (money-safety 3)."""

from __future__ import annotations

import pytest

from tests.builders import (
    BROWSER,
    alarms,
    announced,
    asked,
    awaiting_payer,
    call,
    challenged,
    heard,
    link_of,
    recovered,
    view_of,
)
from tests.issuer import SILENT, Turn, answering, result
from tests.worlds import memory_world
from tollhouse.authentication import State
from tollhouse.flows.authenticate import TRY_AGAIN, Showing, ask, look, take_return, try_again
from tollhouse.flows.cancel import cancel
from tollhouse.flows.confirm import confirm
from tollhouse.flows.drive import drive
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.refusal import StateForbids
from tollhouse.session import PaymentSession, Status
from tollhouse.threeds.writing import pack

LEASE_SECONDS = 26
HOUR = 3600


def brought_back(session: PaymentSession, status: str = "Y") -> str:
    """What a browser brings back from the issuer."""
    attempt = session.authentications[-1]
    return pack(
        {
            "messageType": "CRes",
            "messageVersion": attempt.version,
            "threeDSServerTransID": attempt.id,
            "acsTransID": attempt.acs_transaction_id,
            "transStatus": status,
        }
    )


async def test_the_result_comes_before_the_browser() -> None:
    """Whoever comes back finds that all is over."""
    world = memory_world()
    session = await challenged(world)
    await heard(world, result(world.directory.asked[0], "Y"))
    assert world.session(session).status is Status.ACCEPTED
    version = world.session(session).version
    await take_return(world, link_of(session), brought_back(session))
    assert (await view_of(world, session)).showing is Showing.OVER
    assert world.session(session).version == version


@pytest.mark.parametrize("claimed", ["Y", "N"])
async def test_the_browser_comes_before_the_result(claimed: str) -> None:
    """What it says proves nothing, good or bad: the payer waits, and the result decides."""
    world = memory_world()
    session = await challenged(world)
    await take_return(world, link_of(session), brought_back(session, claimed))
    assert world.session(session) == session
    assert (await view_of(world, session)).showing is Showing.CHALLENGE
    await heard(world, result(world.directory.asked[0], "Y" if claimed == "N" else "N"))
    assert (world.session(session).status is Status.ACCEPTED) == (claimed == "N")


async def test_the_browser_never_comes() -> None:
    """The result alone is enough."""
    world = memory_world()
    session = await challenged(world)
    await heard(world, result(world.directory.asked[0], "Y"))
    assert announced(world, session)[-1] == "payment_finished"


async def test_reload_in_mid_challenge() -> None:
    """The page is the same as before, and nobody is asked again."""
    world = memory_world()
    session = await challenged(world)
    first = await view_of(world, session)
    again = await ask(world, link_of(session), BROWSER, "Y")
    assert again is not None
    assert again.view == first == await view_of(world, session)
    assert len(world.directory.asked) == 1


async def test_two_tabs_ask_at_once() -> None:
    """The second is shown that the answer is awaited; the directory server is asked once."""
    world = memory_world()
    session = await awaiting_payer(world)
    seen = []

    async def other_tab() -> None:
        second = await ask(world, link_of(session), BROWSER, "U")
        assert second is not None
        seen.append((second.view.showing, second.view.can_retry))

    world.directory.script.append(Turn(meanwhile=other_tab))
    await asked(world, session)
    assert seen == [(Showing.WAIT, False)]
    assert len(world.directory.asked) == 1
    assert world.session(session).status is Status.ACCEPTED
    assert world.link.types == ["0200"]


@pytest.mark.parametrize("status", ["Y", "N"])
async def test_a_result_is_replayed(status: str) -> None:
    """It is answered as the first time, changes nothing and alarms nobody."""
    world = memory_world()
    session = await challenged(world)
    body = result(world.directory.asked[0], status)
    first = await heard(world, body)
    after = world.session(session)
    assert await heard(world, body) == first
    assert (world.session(session), alarms(world, session)) == (after, [])
    assert len(world.link.sent) == (status == "Y")


async def test_a_contradicting_result() -> None:
    """It is answered and told to a person; what was decided stands."""
    world = memory_world()
    session = await challenged(world)
    await heard(world, result(world.directory.asked[0], "Y"))
    answer = await heard(world, result(world.directory.asked[0], "N"))
    assert answer["messageType"] == "RRes"
    assert world.session(session).status is Status.ACCEPTED
    assert alarms(world, session) == ["the issuer first said Y and then N; the first word stands"]


@pytest.mark.parametrize("status", ["Y", "N"])
@pytest.mark.parametrize("is_answered", [True, False])
async def test_the_result_overtakes_the_answer(status: str, is_answered: bool) -> None:
    """Nothing shows yet that it is the directory server's: it may be said again, and the answer or silence decides."""
    world = memory_world()
    session = await awaiting_payer(world)

    async def result_comes() -> None:
        found = await heard(world, result(world.directory.asked[0], status))
        assert (found["messageType"], found["errorCode"]) == ("Erro", TRY_AGAIN)
        assert world.session(session).authentications[0].state is State.ASKED

    world.directory.script.append(Turn(status="C", is_answered=is_answered, meanwhile=result_comes))
    view = await asked(world, session)
    if is_answered:
        assert view.showing is Showing.CHALLENGE
        await heard(world, result(world.directory.asked[0], status))
        assert (world.session(session).status is Status.ACCEPTED) == (status == "Y")
    else:
        assert world.session(session).status is Status.ACCEPTED
        assert "48" not in world.link.sent[0].fields


async def test_a_late_result() -> None:
    """After the 60 minutes it is answered like any other, and nothing comes of it."""
    world = memory_world()
    session = await challenged(world)
    world.clock.move(HOUR)
    after = await recovered(world, session)
    assert (after.status, after.reason) == (Status.CANCELLED, Reason.ACTION_TIMEOUT)
    answer = await heard(world, result(world.directory.asked[0], "Y"))
    assert answer["messageType"] == "RRes"
    assert world.session(session) == after
    assert (world.link.sent, alarms(world, session), world.vault.cvvs) == ([], [], set())


@pytest.mark.parametrize("cancelled", ["04", "05"])
async def test_a_challenge_nobody_came_to(cancelled: str) -> None:
    """The page begins anew; after the third attempt it is over."""
    world = memory_world()
    session = await awaiting_payer(world)
    for number in (1, 2, 3):
        world.directory.script.append(answering("C"))
        assert (await asked(world, session)).can_retry == (number < 3)
        await heard(world, result(world.directory.asked[-1], "N", cancelled=cancelled))
        assert (await view_of(world, session)).showing is (Showing.BEGIN if number < 3 else Showing.OVER)
    assert len(world.directory.asked) == 3
    assert world.session(session).reason is Reason.NOT_AUTHENTICATED


async def test_the_result_of_an_attempt_that_was_left() -> None:
    """It is answered and counts no more; a later attempt decides."""
    world = memory_world()
    session = await challenged(world)
    await try_again(world, link_of(session))
    await heard(world, result(world.directory.asked[0], "Y"))
    assert world.session(session).payments[0].phase is Phase.AWAIT_ACTION
    world.directory.script.append(answering("N"))
    await asked(world, session)
    assert world.session(session).reason is Reason.NOT_AUTHENTICATED
    assert world.link.sent == []


async def test_merchants_wait_for_the_payer() -> None:
    """Confirming again is what stands; cancelling is too late until the payer's time is over."""
    world = memory_world()
    session = await challenged(world)
    assert not (await confirm(world, call(), session.id)).is_written
    with pytest.raises(StateForbids, match="was confirmed"):
        await cancel(world, call(), session.id)
    world.clock.move(HOUR)
    await recovered(world, session)
    with pytest.raises(StateForbids, match="the payer did not act in time"):
        await confirm(world, call(), session.id)
    assert not (await cancel(world, call(), session.id)).is_written


async def test_a_slow_directory_server() -> None:
    """An answer after the limit is still taken while nobody has decided otherwise, and a warning is logged."""
    world = memory_world()
    session = await awaiting_payer(world)

    async def be_slow() -> None:
        world.clock.move(13)

    world.directory.script.append(Turn(meanwhile=be_slow))
    await asked(world, session)
    assert world.session(session).authentications[0].state is State.FINISHED
    assert [line[1] for line in world.log.lines if line[0] == "warning"] == ["the directory server is slow"]


async def test_silence_is_over_for_the_page_too() -> None:
    """Who asked into silence is shown the end, not a page that waits for ever."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(SILENT)
    done = await ask(world, link_of(session), BROWSER, "U")
    assert done is not None
    assert done.view.showing is Showing.OVER
    assert done.session.lease_owner == world.node
    await drive(world, done.session)
    assert (await look(world, link_of(session))) == done.view
    assert world.link.types == ["0200"]
