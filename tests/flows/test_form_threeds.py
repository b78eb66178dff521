"""The payer's authentication on the way of a form: the page waits for the end, which decides where to go."""

from __future__ import annotations

import pytest

from tests.builders import (
    BROWSER,
    alarms,
    asked,
    call,
    card,
    driven,
    link_of,
    prepared,
    recovered,
    view_of,
    with_settings,
)
from tests.forms import BACK, FAILURE, SUCCESS, acting
from tests.issuer import answering
from tests.worlds import ANSWER_LOST, PROJECT, TWO_STAGE, memory_world
from tollhouse.authentication import Enrolment
from tollhouse.flows.authenticate import Showing, ask
from tollhouse.flows.capture import capture
from tollhouse.flows.confirm import confirm
from tollhouse.flows.form import look
from tollhouse.operation import Kind
from tollhouse.payment import Phase
from tollhouse.progress import Stage


async def test_the_payer_is_sent_to_the_issuer() -> None:
    """The form names the link and the time left; the page knows whose form may stand around it."""
    world = memory_world()
    project = with_settings(PROJECT, widget_origins=("https://shop.example",))
    token, session = await acting(world, project=project)
    _, progress = await look(world, token)
    assert (progress.stage, progress.action_link) == (Stage.ACTION, link_of(session))
    assert progress.seconds_left == 3600
    assert (await view_of(world, session)).origins == ("https://shop.example",)
    world.clock.move(10.5)
    assert (await look(world, token))[1].seconds_left == 3589


async def test_pages_of_payments_without_a_form_are_framed_by_nobody() -> None:
    """Whatever the project's form may do."""
    world = memory_world()
    world.directory.enrolled[card().pan.reveal()] = Enrolment(version="2.2.0")
    session = await prepared(world)
    session = (await confirm(world, call(), session.id)).session
    assert (await view_of(world, session)).origins == ()


@pytest.mark.parametrize(("status", "led"), [("Y", SUCCESS), ("N", FAILURE)])
async def test_the_way_back_is_the_forms(status: str, led: str) -> None:
    """After the issuer's page the payer goes where the end belongs, and not to the session's own return address."""
    world = memory_world()
    _, session = await acting(world, success_return_url=SUCCESS, failure_return_url=FAILURE)
    world.directory.script.append(answering(status))
    await asked(world, session)
    view = await view_of(world, session)
    assert (view.showing, view.return_url) == (Showing.OVER, f"{led}?session_id={session.id}")


async def test_the_page_waits_for_the_end_that_decides_the_way() -> None:
    """The payer is authenticated and the bank has not spoken yet: nobody knows which address is right."""
    world = memory_world()
    _, session = await acting(world, success_return_url=SUCCESS)
    done = await ask(world, link_of(session), BROWSER, "U")
    assert done is not None
    assert (done.view.showing, done.view.return_url) == (Showing.FINISH, None)
    assert (await view_of(world, session)).showing is Showing.FINISH
    await driven(world, done.session)
    view = await view_of(world, session)
    assert (view.showing, view.return_url) == (Showing.OVER, f"{SUCCESS}?session_id={session.id}")


async def test_the_page_waits_while_nobody_knows() -> None:
    """Silence of the bank after the authentication: neither address, until it is clear."""
    world = memory_world()
    _, session = await acting(world, success_return_url=SUCCESS, failure_return_url=FAILURE)
    world.link.script += [ANSWER_LOST, ANSWER_LOST]
    await asked(world, session)
    assert (await view_of(world, session)).showing is Showing.FINISH
    for _ in range(3):
        world.clock.move(120)
        await recovered(world, world.session(session))
    assert (await view_of(world, session)).return_url == f"{FAILURE}?session_id={session.id}"


async def test_an_end_without_an_address_of_its_own() -> None:
    """Falls back to the session's return address, or to none."""
    world = memory_world()
    _, session = await acting(world, failure_return_url=FAILURE)
    await asked(world, session)
    assert (await view_of(world, session)).return_url == f"{BACK}?session_id={session.id}"
    world = memory_world()
    _, session = await acting(world, back=None, failure_return_url=FAILURE)
    await asked(world, session)
    view = await view_of(world, session)
    assert (view.showing, view.return_url) == (Showing.OVER, None)


async def test_a_form_without_addresses_does_not_wait() -> None:
    """The payer goes back at once, before the bank has spoken, as without a form."""
    world = memory_world()
    _, session = await acting(world)
    done = await ask(world, link_of(session), BROWSER, "U")
    assert done is not None
    view = done.view
    assert (view.showing, view.return_url) == (Showing.OVER, f"{BACK}?session_id={session.id}")
    await driven(world, done.session)


@pytest.mark.parametrize(("on_hold", "showing"), [(False, Showing.FINISH), (True, Showing.OVER)])
async def test_the_way_back_from_a_hold(on_hold: bool, showing: Showing) -> None:
    """Where a hold is a success the payer goes there at the hold, else the page waits for the capture."""
    world = memory_world()
    _, session = await acting(world, project=TWO_STAGE, success_return_url=SUCCESS, succeeds_on_hold=on_hold)
    await asked(world, session)
    assert world.session(session).payments[0].phase is Phase.HELD
    assert (await view_of(world, session)).showing is showing
    await driven(world, await capture(world, call(TWO_STAGE), session.id, None))
    assert (await view_of(world, session)).return_url == f"{SUCCESS}?session_id={session.id}"


async def test_a_payer_who_never_comes() -> None:
    """After an hour the form says so, and nothing was charged."""
    world = memory_world()
    token, session = await acting(world)
    world.clock.move(3600)
    session = await recovered(world, session)
    assert (await look(world, token))[1].code == "action_timeout"
    assert [operation.kind for operation in session.operations if operation.kind is Kind.SALE] == []
    assert alarms(world, session) == []
