"""Every example of the specification: requests are understood, and what we render equals it byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Shop
from tollhouse.api.openapi import OWN_ANSWER_SHAPES, document
from tollhouse.api.sessions import LATER_METHODS, METHODS
from tollhouse.api.wire import JsonWire, answers, examples, tokens
from tollhouse.card import CardId, CardIdScope, Expiry
from tollhouse.event import Event, EventType
from tollhouse.money import Money
from tollhouse.operation import Kind, Operation, State
from tollhouse.outcome import Reason
from tollhouse.payment import Details, PayingCard, Payment, Phase
from tollhouse.public_token import CardToken
from tollhouse.session import PaymentSession

EXAMPLES = json.loads((Path(__file__).parent / "wire_examples.json").read_text())
CALLS: Mapping[str, Any] = EXAMPLES["calls"]
WEBHOOKS: Mapping[str, Any] = EXAMPLES["webhooks"]
LATER = {method.name for method in LATER_METHODS}

CARD = PayingCard(token="card_1", bin="400012", last4="0008", brand="visa", expiry=Expiry(2031, 8))
EUROS = Money(4990, "eur")
WITH_EMAIL = {"reference": "u-3108", "contacts": [{"email": "kai@example.org"}]}
PLAIN = {"reference": "u-3108", "contacts": []}


def at(text: str) -> datetime:
    """An instant of 2 March 2026 (or of the day given) from its time."""
    day, _, time = text.rpartition(" ")
    return datetime.fromisoformat(f"2026-03-{day or '02'}T{time}").replace(tzinfo=UTC)


def payment(phase: Phase, customer: Mapping[str, Any] = PLAIN, **more: Any) -> Payment:
    """Payment pm_880114 in a phase."""
    details = Details(customer=customer, metadata=more.pop("metadata", "order-5512"), options=more.pop("options", None))
    return Payment(
        id="pm_880114",
        phase=phase,
        money=EUROS,
        card=CARD,
        details=details,
        acquirer="sandbox",
        created_at=at("09:15:01.204511"),
        **more,
    )


def session(updated: str, *payments: Payment, **more: Any) -> PaymentSession:
    """Session ps_410027 with its payments."""
    return PaymentSession(
        project="shop",
        id="ps_410027",
        version=1,
        api_version=1,
        created_at=at("09:15:00"),
        updated_at=at(updated),
        payments=payments,
        **more,
    )


def refund(**more: Any) -> Operation:
    """Refund rf_5521 of 15.00."""
    planned = {"id": "rf_5521", "kind": Kind.REFUND, "payment_id": "pm_880114", "amount_minor": 1500}
    return Operation(**{**planned, "planned_at": at("03 08:00:00"), "metadata": "item returned", **more})


PAID = payment(
    Phase.SUCCEEDED, held_minor=4990, captured_minor=4990, refunded_minor=1500, finished_at=at("09:16:40.000120")
)
OF_ISSUER = {"reason": Reason.INSUFFICIENT_FUNDS, "finished_at": at("09:16:40.000120"), "metadata": None}
SHOP_URL = {"return_url": "https://shop.example/back"}
DROPPED = PaymentSession(
    project="shop",
    id="ps_410028",
    version=2,
    api_version=1,
    created_at=at("09:20:00"),
    updated_at=at("09:21:00"),
    finished_at=at("09:21:00"),
    dropped=Reason.CANCELLED_BY_MERCHANT,
)

ANSWERS = {
    "session/create": (1, session("09:15:00")),
    "session/start/payment": (1, session("09:15:01.204511", payment(Phase.ROUTING, WITH_EMAIL, options=SHOP_URL))),
    "session/confirm": (1, session("09:15:03.500000", payment(Phase.CONFIRMED))),
    "session/cancel": (1, DROPPED),
    "session/capture": (1, session("12:00:00", payment(Phase.CAPTURING, held_minor=4990))),
    "session/refund": (1, session("03 08:00:00", PAID, operations=(refund(),))),
    "session/status": (
        2,
        session("09:16:40.000120", payment(Phase.FAILED, **OF_ISSUER), finished_at=at("09:16:40.000120")),
    ),
}


@pytest.mark.parametrize("method", ANSWERS)
def test_answers_equal_the_examples(method: str) -> None:
    """The example is what is sent, down to the order of the members."""
    api_version, shown = ANSWERS[method]
    assert JsonWire().answer_body(shown, api_version) == compact(CALLS[method]["answer"])


KNOWN = {"rrn": "606100004411", "approval_code": "7K20QX"}
LINKED = {"action_link": "k4Tq9vWn2bR7xYc0LmZe5A"}
EVENTS = {
    "ready_to_confirm": (1, session("09:15:02.100000", payment(Phase.AWAIT_CONFIRM, WITH_EMAIL))),
    "action_required": (1, session("09:15:05.700000", payment(Phase.AWAIT_ACTION, **LINKED))),
    "ready_to_capture": (2, session("09:16:20", payment(Phase.HELD, held_minor=4990, **KNOWN))),
    "payment_finished": (
        1,
        session(
            "09:16:40.000120",
            replace(PAID, **KNOWN, refunded_minor=0, details=Details(customer=WITH_EMAIL, metadata="order-5512")),
            finished_at=at("09:16:40.000120"),
        ),
    ),
    "payment_refunded": (
        1,
        session(
            "03 08:00:09",
            PAID,
            operations=(refund(state=State.APPROVED, finished_at=at("03 08:00:09"), metadata=None),),
            finished_at=at("03 08:00:09"),
        ),
    ),
}


@pytest.mark.parametrize("type", EVENTS)
def test_webhooks_equal_the_examples(type: str) -> None:
    """Recurring tokens of the example belong to a later product; everything else is what is sent."""
    api_version, shown = EVENTS[type]
    wanted = json.loads(json.dumps(WEBHOOKS[type]))
    for one in wanted["session"].get("acquiring_payments", []):
        one.pop("recurrent", None)
    event = Event(
        id=wanted["event_id"],
        type=EventType(type),
        sequence=wanted["sequence"],
        session=shown,
        created_at=shown.updated_at,
    )
    assert JsonWire("https://pay.example.com").webhook_body(event, api_version) == compact(wanted)


def test_a_payment_that_awaits_its_payer_equals_the_example() -> None:
    """Of the method that is not there yet, the payment is what `session/status` shows (wire-api 9.4)."""
    wanted = CALLS["session/init/payment/sync"]["answer"]["session"]["payment_list"][0]
    awaiting = payment(Phase.AWAIT_ACTION, options=SHOP_URL, metadata=None, **LINKED)
    shown = session("11:00:01.800000", replace(awaiting, id="pm_880131", created_at=at("11:00:00")))
    answer = json.loads(JsonWire("https://pay.example.com").answer_body(shown, 2))
    assert compact(answer["session"]["payment_list"][0]) == compact(wanted)


def test_every_webhook_has_its_example() -> None:
    """None of the five types is left out above."""
    assert set(EVENTS) == set(WEBHOOKS)


def test_there_are_the_five_types_of_webhooks_and_no_other() -> None:
    """Clients of the family throw on any other."""
    assert {type.value for type in EventType} == set(WEBHOOKS)


NUMBER_TOKEN = CardToken(
    token="tc_9fQ2mZ", project="shop", card=replace(CARD, expiry=None), created_at=datetime(2026, 3, 2, tzinfo=UTC)
)


def test_tokenize_elements_equals_the_example() -> None:
    """Whether a card is debit or credit we do not know: there the network's name stands."""
    wanted = json.loads(json.dumps(CALLS["tokenize/elements"]["answer"]))
    wanted["data"]["number"]["info"]["card_type"] = "visa"
    assert tokens.elements_body({"number": NUMBER_TOKEN}) == compact(wanted)


def test_token_info_equals_the_example() -> None:
    """Of a card's country we know nothing, so it is left out."""
    wanted = json.loads(json.dumps(CALLS["token/info"]["answer"]))
    del wanted["info"]["country_iso3"]
    assert tokens.card_info_body(NUMBER_TOKEN, is_hash=False) == compact(wanted)


async def test_the_example_of_tokenize_elements_is_carried_out(shop: Shop) -> None:
    """In both versions; the token of its answer is known to the example of token/info."""
    for version in (1, 2):
        answered = await shop.call("tokenize/elements", CALLS["tokenize/elements"]["request"], version=version)
        asked = json.loads(json.dumps(CALLS["token/info"]["request"]))
        asked["card"]["tokenized_card"]["token"] = answered.json["data"]["number"]["token"]
        told = (await shop.call("token/info", asked, version=version)).json["info"]
        assert told.keys() == CALLS["token/info"]["answer"]["info"].keys() - {"country_iso3"}


@pytest.mark.parametrize("api_version", [1, 2])
def test_a_card_id_stands_at_the_end_of_its_card(api_version: int) -> None:
    """In answers and webhooks alike; without one the member is absent."""
    card_id = CardId(scope=CardIdScope.PROJECT, text="5e" * 32)
    shown = session("09:15:02.100000", replace(payment(Phase.AWAIT_CONFIRM), card=replace(CARD, card_id=card_id)))
    event = Event(id="ev_1", type=EventType.READY_TO_CONFIRM, sequence=1, session=shown, created_at=shown.updated_at)
    wanted = f'"card":{{"brand":"visa","last4":"0008","bin":"400012","card_id":"{card_id.text}"}}'.encode()
    for body in (JsonWire().answer_body(shown, api_version), JsonWire().webhook_body(event, api_version)):
        assert wanted in body
        assert _unfit(json.loads(body)["session"], {"$ref": f"#/components/schemas/SessionV{api_version}"}) == []


@pytest.mark.parametrize("method", sorted(LATER & set(CALLS)))
async def test_examples_of_later_products_are_refused_as_for_a_project_without_them(shop: Shop, method: str) -> None:
    """403 authorization_error, in both versions."""
    for version in (1, 2):
        answered = await shop.call(method, CALLS[method]["request"], version=version)
        assert (answered.status, answered.code) == (403, "authorization_error"), answered.body


async def test_the_recurring_example_is_refused_as_for_a_project_without_them(shop: Shop) -> None:
    """A payment method of a later product on a method that exists."""
    answered = await shop.call("session/init/payment", CALLS["session/init/payment"]["request"])
    assert (answered.status, answered.code) == (403, "authorization_error")
    assert answered.description.startswith("payment_details.type:")


@pytest.mark.parametrize("version", [1, 2])
async def test_the_examples_of_requests_are_carried_out(shop: Shop, version: int) -> None:
    """Create, start, confirm, refund, status: with the examples' own bodies, but for the session's id."""
    created = await shop.call("session/create", CALLS["session/create"]["request"], version=version)
    session_id = created.session["id"]
    for method in ("session/start/payment", "session/confirm", "session/refund", "session/status"):
        body = {**CALLS[method]["request"], "session_id": session_id}
        answered = await shop.call(method, body, version=version)
        assert answered.status == 200, (method, answered.body)
        await shop.carry_on()
    payments = answered.session["acquiring_payments" if version == 1 else "payment_list"]
    assert payments[0]["metadata"] == "order-5512"
    assert payments[0]["refunds"][0]["metadata"] == "item returned"


async def test_the_example_of_a_partial_capture_is_carried_out(shop: Shop) -> None:
    """Of 49.90 held, 40.00 are taken."""
    session_id = await shop.paid(project="inn")
    body = {**CALLS["session/capture"]["request"], "session_id": session_id}
    answered = await shop.call("session/capture", body, project="inn")
    assert answered.session["payment_list"][0]["status"] == "in_progress"
    await shop.carry_on()
    after = await shop.call("session/status", {"session_id": session_id}, project="inn")
    assert after.session["payment_list"][0]["amounts"] == {"gross": {"amount": 4000, "currency": "eur"}}
    assert after.session["payment_list"][0]["amount_details"]["amount"] == 4990


@pytest.mark.parametrize("method", [method.name for method in METHODS])
async def test_examples_of_the_reference_are_true(shop: Shop, method: str) -> None:
    """The reference's requests are accepted and its answers have exactly the documented members."""
    request = dict(examples.REQUESTS[method])
    project = "inn" if method == "session/capture" else "shop"
    if "session_id" in request:
        request["session_id"] = await _session_for(shop, method, project)
    if method == "token":
        request = _widget_of(await _session_for(shop, method, project))
    if method == "token/info":
        session_id = await _session_for(shop, method, project)
        token = (await shop.call("token", _widget_of(session_id))).json["public_token"]
        request["public_token"] = {"token": token}
    answered = await shop.call(method, request, project=project)
    assert answered.status == 200, answered.body
    shape = OWN_ANSWER_SHAPES.get(method, answers.AnswerV2).__name__
    assert _unfit(examples.answer(method, 2), {"$ref": f"#/components/schemas/{shape}"}) == []
    assert _unfit(answered.json, {"$ref": f"#/components/schemas/{shape}"}) == []


def _widget_of(session_id: str) -> dict[str, Any]:
    return {"acquiring_widget": {**examples.REQUESTS["token"]["acquiring_widget"], "session_id": session_id}}


async def _session_for(shop: Shop, method: str, project: str) -> str:
    if method in ("session/start/payment", "token", "token/info"):
        return str((await shop.call("session/create", examples.REQUESTS["session/create"])).session["id"])
    if method in ("session/confirm", "session/cancel"):
        return await shop.prepared()
    return await shop.paid(project=project)


SCHEMAS = document("0.1.0")["components"]["schemas"]


def _unfit(value: Any, schema: Mapping[str, Any], path: str = "") -> list[str]:
    """Where a value differs from a schema; no member may be missing from the schema."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{path}: {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: none of {schema['enum']}"]
    if isinstance(value, dict) and "properties" in schema:
        found = [f"{path}.{name} missing" for name in schema.get("required", []) if name not in value]
        found += [f"{path}.{name} undocumented" for name in value if name not in schema["properties"]]
        inner = [
            (value[name], known, f"{path}.{name}") for name, known in schema["properties"].items() if name in value
        ]
        return found + [flaw for one, known, place in inner for flaw in _unfit(one, known, place)]
    if isinstance(value, list):
        return [flaw for one in value for flaw in _unfit(one, schema["items"], f"{path}[]")]
    return []


def compact(value: object) -> bytes:
    """JSON without white space, as it is sent."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
