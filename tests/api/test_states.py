"""Calls by state (wire-api 8.5): every cell of the table, by HTTP, against a session brought there by the flows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.api.client import CARD, EUROS, PAN, PAYMENT, Shop
from tests.builders import asked
from tests.issuer import answering
from tests.worlds import ANSWER_LOST, NOT_WRITTEN, declined, memory_world
from tollhouse.authentication import Enrolment
from tollhouse.event import EventType
from tollhouse.flows.recover import recover
from tollhouse.hearing import submit
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.session import Status

DAY = 24 * 3600
ALWAYS = {"id", "status", "created_at", "customer", "payment_details", "amount_details", "amounts", "refunds"}
METHODS = ("session/start/payment", "session/confirm", "session/cancel", "session/capture", "session/refund")
Place = Callable[[Shop], Awaitable[tuple[str, str]]]


async def created(shop: Shop) -> tuple[str, str]:
    """A session that waits to be started."""
    body = {name: PAYMENT[name] for name in ("amount_details", "customer")}
    return "shop", (await shop.call("session/create", body)).session["id"]


async def routing(shop: Shop) -> tuple[str, str]:
    """A payment that has no route yet; with one acquirer nobody ever finds it so."""
    session_id = await shop.prepared()
    session = shop.stored(session_id)
    payment = replace(session.payments[0], phase=Phase.ROUTING)
    shop.world.books.sessions["shop", session_id] = session.with_payment(payment)
    return "shop", session_id


async def awaits_confirmation(shop: Shop) -> tuple[str, str]:
    """Prepared."""
    return "shop", await shop.prepared()


async def confirmed(shop: Shop) -> tuple[str, str]:
    """Confirmed, nothing sent."""
    session_id = await shop.prepared()
    await shop.call("session/confirm", {"session_id": session_id})
    shop.leave()
    return "shop", session_id


async def authorizing(shop: Shop) -> tuple[str, str]:
    """Sent, not answered."""
    _, session_id = await confirmed(shop)
    session, world = shop.stored(session_id), shop.world
    now = world.clock.now()
    change = submit(
        session, session.operations[0].id, world.naming.new(now), now=now, ids=world.ids, limits=world.limits
    )
    await world.store.commit(change)
    return "shop", session_id


async def unknown(shop: Shop) -> tuple[str, str]:
    """No answer, and the reversal cannot be sent."""
    shop.world.link.script += [ANSWER_LOST, NOT_WRITTEN]
    session_id = await shop.paid()
    assert shop.stored(session_id).payments[0].phase is Phase.UNKNOWN
    return "shop", session_id


async def held(shop: Shop) -> tuple[str, str]:
    """Money is held."""
    session_id = await shop.paid(project="inn")
    assert shop.stored(session_id, "inn").payments[0].phase is Phase.HELD
    return "inn", session_id


async def capturing(shop: Shop) -> tuple[str, str]:
    """The capture is decided and on its way."""
    _, session_id = await held(shop)
    await shop.call("session/capture", {"session_id": session_id}, project="inn")
    shop.leave()
    return "inn", session_id


async def cancelling(shop: Shop) -> tuple[str, str]:
    """The release of a hold is on its way."""
    _, session_id = await held(shop)
    await shop.call("session/cancel", {"session_id": session_id}, project="inn")
    shop.leave()
    return "inn", session_id


async def cancelled(shop: Shop) -> tuple[str, str]:
    """Cancelled by the merchant before it was confirmed."""
    session_id = await shop.prepared()
    await shop.call("session/cancel", {"session_id": session_id})
    return "shop", session_id


async def dropped(shop: Shop) -> tuple[str, str]:
    """Cancelled before it was started."""
    _, session_id = await created(shop)
    await shop.call("session/cancel", {"session_id": session_id})
    return "shop", session_id


async def timed_out(shop: Shop) -> tuple[str, str]:
    """Nobody confirmed in time."""
    session_id = await shop.prepared()
    shop.world.clock.move(240 * 60)
    await recover(shop.world, "shop", session_id)
    return "shop", session_id


async def refused(shop: Shop) -> tuple[str, str]:
    """Declined after it was confirmed."""
    shop.world.link.script.append(declined("51"))
    return "shop", await shop.paid()


async def refused_unasked(shop: Shop) -> tuple[str, str]:
    """Declined in a project that confirms by itself."""
    shop.set(auto_confirm=True)
    shop.world.link.script.append(declined("05"))
    session_id = await shop.prepared()
    await shop.carry_on()
    return "shop", session_id


async def accepted(shop: Shop) -> tuple[str, str]:
    """Paid."""
    return "shop", await shop.paid()


async def refunding(shop: Shop) -> tuple[str, str]:
    """Paid, with a refund open."""
    session_id = await shop.paid()
    part = {"session_id": session_id, "amount_details": {"amount": 10, "currency": "eur"}}
    await shop.call("session/refund", part)
    shop.leave()
    return "shop", session_id


async def needs_a_person(shop: Shop) -> tuple[str, str]:
    """Unclear for a day."""
    _, session_id = await unknown(shop)
    shop.world.clock.move(DAY + 60)
    shop.world.link.script.append(NOT_WRITTEN)
    await recover(shop.world, "shop", session_id)
    assert shop.stored(session_id).status is Status.ERROR
    return "shop", session_id


async def awaits_the_payer(shop: Shop) -> tuple[str, str]:
    """Confirmed, and the payer has the link."""
    shop.world.directory.enrolled[PAN] = Enrolment(version="2.2.0")
    _, session_id = await confirmed(shop)
    assert shop.stored(session_id).payments[0].phase is Phase.AWAIT_ACTION
    return "shop", session_id


async def challenged(shop: Shop) -> tuple[str, str]:
    """The payer is in the middle of a challenge."""
    _, session_id = await awaits_the_payer(shop)
    shop.world.directory.script.append(answering("C"))
    await authenticate(shop, session_id)
    return "shop", session_id


async def stepped_up(shop: Shop) -> tuple[str, str]:
    """Declined softly, and the payer is asked after all."""
    shop.world.link.script.append(declined("1A"))
    _, session_id = await awaits_the_payer(shop)
    await authenticate(shop, session_id)
    assert shop.stored(session_id).payments[0].phase is Phase.AWAIT_ACTION
    return "shop", session_id


async def payer_was_late(shop: Shop) -> tuple[str, str]:
    """The payer did not act in time."""
    _, session_id = await awaits_the_payer(shop)
    shop.world.clock.move(60 * 60)
    await recover(shop.world, "shop", session_id)
    assert shop.stored(session_id).reason is Reason.ACTION_TIMEOUT
    return "shop", session_id


async def not_authenticated(shop: Shop) -> tuple[str, str]:
    """The issuer does not vouch for the payer."""
    _, session_id = await awaits_the_payer(shop)
    shop.world.directory.script.append(answering("N"))
    await authenticate(shop, session_id)
    assert shop.stored(session_id).reason is Reason.NOT_AUTHENTICATED
    return "shop", session_id


async def authenticate(shop: Shop, session_id: str) -> None:
    """The payer's browser comes to the link, and what follows is driven."""
    await asked(shop.world, shop.stored(session_id))


# start, confirm, cancel, capture, refund: "ok" is carried out, "=" stands already, "no" is 409.
TABLE: dict[Place, str] = {
    created: "ok no ok no no",
    routing: "no no no no no",
    awaits_confirmation: "no ok ok no no",
    confirmed: "no = no no no",
    authorizing: "no = no no no",
    unknown: "no = no no no",
    awaits_the_payer: "no = no no no",
    challenged: "no = no no no",
    stepped_up: "no = no no no",
    payer_was_late: "no no = no no",
    not_authenticated: "no = no no no",
    held: "no = ok ok no",
    capturing: "no = no = no",
    cancelling: "no no = no no",
    cancelled: "no no = no no",
    dropped: "no no = no no",
    timed_out: "no no = no no",
    refused: "no = no no no",
    refused_unasked: "no = no no no",
    accepted: "no = no = ok",
    refunding: "no = no = ok",
    needs_a_person: "no = no no no",
}
AWAITING = (awaits_the_payer, challenged, stepped_up)
CELLS = [
    pytest.param(place, method, wanted, id=f"{place.__name__}-{method.removeprefix('session/')}")
    for place, row in TABLE.items()
    for method, wanted in zip(METHODS, row.split(), strict=True)
]


@pytest.mark.parametrize(("place", "method", "wanted"), CELLS)
async def test_each_call_in_each_state(shop: Shop, place: Place, method: str, wanted: str) -> None:
    """What is decided already answers the same without a change, the contrary is 409 and names what stands."""
    project, session_id = await place(shop)
    shop.leave()
    before = shop.stored(session_id, project)
    body = {"session_id": session_id}
    if method == "session/start/payment":
        body["payment_details"] = CARD  # type: ignore[assignment]
    answered = await shop.call(method, body, project=project)
    after = shop.stored(session_id, project)
    if wanted == "no":
        assert (answered.status, answered.code) == (409, "session_wrong_state")
        assert answered.description.startswith("session_id: ")
        assert after == before
    else:
        assert answered.status == 200, answered.body
        assert answered.session["id"] == session_id
        assert (after == before) is (wanted == "=")


@pytest.mark.parametrize("place", [capturing, accepted])
async def test_another_capture_contradicts_the_first(shop: Shop, place: Place) -> None:
    """The same amount stands already; another one is 409."""
    project, session_id = await place(shop)
    same = {"session_id": session_id, "amount_details": EUROS}
    other = {"session_id": session_id, "amount_details": {**EUROS, "amount": 4989}}
    assert (await shop.call("session/capture", same, project=project)).status == 200
    assert (await shop.call("session/capture", other, project=project)).code == "session_wrong_state"


@pytest.mark.parametrize("place", list(TABLE))
async def test_a_status_can_always_be_read(shop: Shop, place: Place) -> None:
    """In every state, in both versions, with one spelling of the list and never a null."""
    project, session_id = await place(shop)
    for version, list_name in ((1, "acquiring_payments"), (2, "payment_list")):
        answered = await shop.call("session/status", {"session_id": session_id}, version=version, project=project)
        assert answered.status == 200
        shown = answered.session
        assert set(shown) & {"acquiring_payments", "payment_list"} <= {list_name}
        assert b"null" not in answered.body
        assert ("finished_at" in shown) is (shown["status"] in ("accepted", "cancelled"))
        assert ("error" in shown) is (shown["status"] in ("cancelled", "error"))
        for payment in shown.get(list_name, []):
            assert set(payment) >= ALWAYS
            assert ("finished_at" in payment) is (payment["status"] in ("succeeded", "failed"))
            assert ("error" in payment) is (payment["status"] == "failed")
            assert ("customer_interaction" in payment) is (place in AWAITING)
            assert isinstance(payment["customer"]["contacts"], list)
            assert all({"amounts", "amount_details"} <= set(refund) for refund in payment["refunds"])


@pytest.mark.parametrize("place", list(TABLE))
async def test_every_webhook_is_one_that_clients_can_read(shop: Shop, place: Place) -> None:
    """One of the five types, numbered from one, with the full session and never a null."""
    project, session_id = await place(shop)
    shop.leave()
    deliveries = list(shop.world.books.deliveries.get((project, session_id), {}).values())
    for number, delivery in enumerate(deliveries, start=1):
        shown = json.loads(delivery.body)
        assert list(shown) == ["type", "event_id", "sequence", "session"]
        assert shown["type"] in {type.value for type in EventType}
        assert (shown["event_id"], shown["sequence"]) == (delivery.event_id, number)
        assert shown["session"]["id"] == session_id
        assert set(shown["session"]["payment_list"][0]) >= ALWAYS
        assert b"null" not in delivery.body


async def test_the_answer_to_confirm_is_the_moment_before_the_payer_is_asked(open_shop: Callable[..., Shop]) -> None:
    """Pending without anything to do; the link comes with the webhook and stands in the status (wire-api 9.5)."""
    shop = open_shop(world=memory_world())
    shop.world.directory.enrolled[PAN] = Enrolment(version="2.2.0")
    session_id = await shop.prepared()
    confirmed_at_once = await shop.call("session/confirm", {"session_id": session_id})
    (payment,) = confirmed_at_once.session["payment_list"]
    assert (payment["status"], "customer_interaction" in payment) == ("pending", False)
    shown = (await shop.call("session/status", {"session_id": session_id})).session
    assert (shown["status"], "next_action" in shown) == ("in_progress", False)
    (payment,) = shown["payment_list"]
    assert payment["status"] == "pending"
    link = shop.stored(session_id).payments[0].action_link
    url = f"https://pay.test/3ds/{link}"
    redirect = {"url": url, "base_url": url, "method": "GET", "qs": {}, "params": {}}
    assert payment["customer_interaction"] == {"type": "redirect", "redirect": redirect}
    told = [json.loads(one.body) for one in shop.world.books.deliveries["shop", session_id].values()]
    assert [one["type"] for one in told] == ["ready_to_confirm", "action_required"]
    assert told[1]["session"]["payment_list"] == shown["payment_list"]


@pytest.mark.parametrize(("place", "code"), [(payer_was_late, "action_timeout"), (not_authenticated, "3DS_error")])
async def test_why_the_payer_was_not_charged(shop: Shop, place: Place, code: str) -> None:
    """Session and payment name it, and nothing leads to the payer's page any more."""
    _, session_id = await place(shop)
    shown = (await shop.call("session/status", {"session_id": session_id})).session
    (payment,) = shown["payment_list"]
    assert (shown["status"], shown["error"]["code"]) == ("cancelled", code)
    assert (payment["status"], payment["error"]["code"]) == ("failed", code)


async def test_an_unsettled_session_does_not_say_that_it_was_undone(shop: Shop) -> None:
    """Nobody knows yet, and the description says so."""
    _, session_id = await needs_a_person(shop)
    shown = (await shop.call("session/status", {"session_id": session_id})).session
    assert shown["error"]["code"] == "provider_timeout"
    assert "undone" not in shown["error"]["description"]
    assert shown["payment_list"][0]["status"] == "in_progress"
