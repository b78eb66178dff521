"""What a merchant meets when payers are authenticated: webhooks, calls meanwhile, the way back, time, exemptions."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant, euros, payment_of
from tests.acceptance.payer import (
    APPROVE,
    RIGHT_CODE,
    Payer,
    all_at_once,
    end_of,
    expire,
    link_of,
    messages_of,
    notes_of,
    played,
    proofs_of,
    send_payer,
)
from tests.acceptance.system import System
from tests.acceptance.test_main_job import CUSTOMER, shape, shown_payment, shown_session
from tollhouse.sandbox.cards import compose

PAID, REFUSED, LATE, TOO_OFTEN = "accepted", "3DS_error", "action_timeout", "activity_count_exceeded"
CHALLENGE = compose(authentication=7, method=1)
ENDLESS = compose(authentication=7, method=1, challenge=4)
FRICTIONLESS = compose(authentication=1, method=1)
SOFT_DECLINE, SOFT_DECLINE_FRICTIONLESS = compose(authentication=7, fault=8), compose(authentication=1, fault=8)
RETURN = {"payment_options": {"return_url": "https://shop.example/back"}}
DETAILS = {"customer": CUSTOMER, "metadata": {"order": 5512}, **RETURN}
LINK = re.compile(r"/3ds/[A-Za-z0-9_-]{22}")


@pytest.mark.parametrize("version", [1, 2])
def test_webhooks_and_answers(system: System, shop: Merchant, version: int) -> None:
    """The merchant is told where to send the payer, exactly as the wire API says, and only as long as it helps."""
    session_id = shop.prepare("4000002760003184", version=version, **DETAILS)
    card = {"type": "card", "card": {"brand": "visa", "last4": "3184", "bin": "400000"}}
    confirmed = shop.call("confirm", {"session_id": session_id}, version=version).session
    assert shape(confirmed) == shown_session(version, "in_progress", shown_payment("pending", payment_details=card))
    told = shop.receiver.wait_for(session_id, "action_required")[0]
    link = link_of(told.session)
    assert link.startswith(system.url)
    assert LINK.fullmatch(link.removeprefix(system.url))
    redirect = {"url": link, "base_url": link, "method": "GET", "qs": {}, "params": {}}
    interaction = {"type": "redirect", "redirect": redirect}
    payment = shown_payment("pending", payment_details=card, customer_interaction=interaction)
    waiting = shown_session(version, "in_progress", payment)
    assert shape(told.content) == {
        "type": "action_required",
        "event_id": "<evt>",
        "sequence": 2,
        "session": waiting,
    }
    payer = Payer(link)
    assert payer.begin()["showing"] == "challenge"
    assert shape(shop.status(session_id, version=version)) == waiting

    payer.go(RIGHT_CODE)
    finished = shop.receiver.wait_for(session_id, "payment_finished")[0].session
    assert shop.status(session_id, version=version) == finished
    (sale,) = books.of_session(system, session_id)
    references = {"rrn": sale["rrn"], "auth_code": sale["approval_code"]}
    members = {"amounts": {"gross": euros(2590)}, "transaction_info": references}
    paid = shown_payment("succeeded", payment_details=card, **members)
    assert shape(finished) == shown_session(version, PAID, paid)
    assert shop.receiver.delivered(session_id) == ["ready_to_confirm", "action_required", "payment_finished"]


def test_refused_payer(shop: Merchant) -> None:
    """The payment fails with the reason at the payment and at the session, and nothing is left to interact with."""
    session_id = played(shop, compose(authentication=3))
    session = shop.finished(session_id)
    error = {"code": REFUSED, "description": "The payer was not authenticated"}
    assert (session["status"], session["error"], payment_of(session)["error"]) == ("cancelled", error, error)
    assert "customer_interaction" not in payment_of(session)


def test_calls_while_the_payer_is_awaited(system: System, shop: Merchant) -> None:
    """The decision stands: confirm is answered with the session, all else is refused, and the payment goes on."""
    session_id, payer = send_payer(shop, CHALLENGE)
    for step in (lambda: None, payer.begin):
        step()
        before = shop.status(session_id)
        assert shop.confirm(session_id).session == before
        for method, members in (
            ("cancel", {}),
            ("capture", {}),
            ("refund", {}),
            ("start/payment", shop.body()),
        ):
            refused = shop.call(method, {**members, "session_id": session_id})
            assert refused.error == (409, "session_wrong_state"), method
        assert "confirmed" in shop.call("cancel", {"session_id": session_id}).description
        assert shop.status(session_id) == before
    payer.go(RIGHT_CODE)
    assert end_of(shop, session_id) == PAID


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://shop.example/back", "https://shop.example/back?session_id={id}"),
        ("https://shop.example/back?order=7#top", "https://shop.example/back?order=7&session_id={id}#top"),
        ("https://shop.example/back?session_id=mine", "https://shop.example/back?session_id=mine"),
        (None, None),
    ],
)
def test_way_back(shop: Merchant, url: str | None, wanted: str | None) -> None:
    """The payer is sent where the merchant wants, with the session's id; every later visit leads there too."""
    members = {} if url is None else {"payment_options": {"return_url": url}}
    session_id, payer = send_payer(shop, FRICTIONLESS, **members)
    payer.go()
    shop.finished(session_id)
    for _ in range(2):
        assert payer.leave() == (None if wanted is None else wanted.format(id=session_id))
    assert payer.state() == {"showing": "over"}


def test_way_back_without_parameters(system: System, new_merchant: NewMerchant) -> None:
    """A project that wants its address untouched gets it so."""
    shop = new_merchant(system, settings={"return_params": "off"})
    session_id, payer = send_payer(shop, FRICTIONLESS, **RETURN)
    payer.go()
    assert payer.leave() == "https://shop.example/back"
    assert end_of(shop, session_id) == PAID


def test_auto_confirmed_payment(system: System, new_merchant: NewMerchant) -> None:
    """The first word of a payment that nobody confirms is the link."""
    shop = new_merchant(system, settings={"auto_confirm": "on"})
    session_id = shop.init(CHALLENGE)
    Payer(link_of(shop.receiver.wait_for(session_id, "action_required")[0].session)).go(RIGHT_CODE)
    assert end_of(shop, session_id) == PAID
    assert shop.receiver.delivered(session_id) == ["action_required", "payment_finished"]


def test_two_stages(system: System, inn: Merchant) -> None:
    """The hold carries the proof; what is captured of it needs none."""
    session_id, payer = send_payer(inn, CHALLENGE)
    payer.go(RIGHT_CODE)
    held = inn.receiver.wait_for(session_id, "ready_to_capture")[0].session
    assert "customer_interaction" not in payment_of(held)
    assert inn.call("capture", {"session_id": session_id, "amount_details": euros(1000)}).status == 200
    assert end_of(inn, session_id) == PAID
    authorization, completion = books.of_session(system, session_id)
    (proof,) = proofs_of(system, session_id)
    assert (proof["eci"], proof["ds"]) == ("05", authorization["authentication_id"])
    assert (authorization["captured_minor"], completion["authentication_id"]) == (1000, None)
    told = ["ready_to_confirm", "action_required", "ready_to_capture", "payment_finished"]
    assert inn.receiver.delivered(session_id) == told


def test_soft_decline_of_an_exempt_payment(system: System, new_merchant: NewMerchant) -> None:
    """What the issuer does not let pass without the payer is authenticated and charged once more, without the CVV."""
    shop = new_merchant(system, settings={"threeds_exemptions": "low_value,tra"})
    for number in (SOFT_DECLINE, SOFT_DECLINE_FRICTIONLESS):
        session_id, payer = send_payer(shop, number)
        assert [one["response_code"] for one in books.of_session(system, session_id)] == ["1A"]
        assert payer.begin()["showing"] == "challenge"
        request = messages_of(system, session_id)[0]
        assert request["threeDSRequestorChallengeInd"] == ["04"]
        payer.go(RIGHT_CODE)
        assert end_of(shop, session_id) == PAID
        first, second = books.of_session(system, session_id)
        assert first["rrn"] != second["rrn"]
        assert (first["state"], second["state"]) == ("declined", "approved")
        claimed, proved = proofs_of(system, session_id)
        assert claimed == {"eci": "07", "exemption": "10"}
        assert (proved["eci"], proved["ds"], "exemption" in proved) == ("05", second["authentication_id"], False)
        sent = [note["fields"]["48"] for note in notes_of(system, session_id) if note.get("mti") == "0200"]
        assert ["<cvv>" in tags for tags in sent] == [True, False]
        assert shop.receiver.delivered(session_id) == ["ready_to_confirm", "action_required", "payment_finished"]


def test_second_action_of_one_payment(system: System, shop: Merchant) -> None:
    """After an issuer that could not say, a soft decline asks for the payer again: the same link, and no third time."""
    for digit in (4, 6):
        session_id, payer = send_payer(shop, compose(authentication=digit, fault=8))
        payer.begin()
        again = shop.receiver.wait_for(session_id, "action_required", count=2)[1]
        assert link_of(again.session) == payer.link
        assert payer.begin()["showing"] == "over"
        assert end_of(shop, session_id) == REFUSED
        assert [one["state"] for one in books.of_session(system, session_id)] == ["declined"]


def test_soft_decline_of_an_authenticated_payment(system: System, new_merchant: NewMerchant) -> None:
    """Cards that take no part cannot be stepped up: the decline is the end."""
    for settings in ({}, {"threeds": "always"}):
        shop = new_merchant(system, settings=settings)
        session_id = shop.start(compose(fault=8))
        assert end_of(shop, session_id) == TOO_OFTEN
        assert shop.receiver.delivered(session_id) == ["ready_to_confirm", "payment_finished"]


def test_exemptions(system: System, new_merchant: NewMerchant) -> None:
    """What a project has switched on is claimed up to its limits; beyond them the payer is asked."""
    shop = new_merchant(system, settings={"threeds_exemptions": "low_value,tra,corporate"})
    company = {"participant_details": {"sender": {"company_name": "Gasthof GmbH"}}}
    cases: list[tuple[int, dict[str, Any], str | None]] = [
        (2999, {}, "10"),
        (3000, {}, "05"),
        (25000, {}, "05"),
        (25001, {}, None),
        (25001, company, "11"),
    ]

    def claimed(case: tuple[int, dict[str, Any], str | None]) -> str | None:
        minor, members, wanted = case
        session_id = shop.start(compose(authentication=7, free="31"), minor, **members)
        if wanted is None:
            shop.receiver.wait_for(session_id, "action_required")
            return None
        assert end_of(shop, session_id) == PAID
        (proof,) = proofs_of(system, session_id)
        return proof.get("exemption")

    assert all_at_once(claimed, cases) == [wanted for _, _, wanted in cases]


def test_sixth_low_value_payment_in_a_row(system: System, new_merchant: NewMerchant) -> None:
    """Five payments of a card go through; the next asks for the payer, and then the counting starts again."""
    shop = new_merchant(system, settings={"threeds_exemptions": "low_value"})
    number = compose(authentication=7, free="32")
    for _ in range(5):
        shop.pay(number, 100)
    session_id, payer = send_payer(shop, number, 100)
    payer.go(RIGHT_CODE)
    assert end_of(shop, session_id) == PAID
    shop.pay(number, 100)


def test_payers_who_do_not_act_in_time(system: System, shop: Merchant) -> None:
    """When time is over the payment fails, whatever the payer was about to do: nothing was authorized, no CVV left."""

    def end(digits: tuple[int, int]) -> str:
        number = compose(authentication=digits[0], method=1, challenge=digits[1])
        session_id, payer = send_payer(shop, number, **RETURN)
        if digits != (1, 0):
            assert payer.begin()["showing"] == "challenge"
        expire(system, session_id)
        code = end_of(shop, session_id)
        assert payer.leave() == f"https://shop.example/back?session_id={session_id}"
        assert books.of_session(system, session_id) == []
        assert "customer_interaction" not in payment_of(shop.status(session_id))
        assert system.rows(f"select sealed_cvv from payment where session_id = '{session_id}'") == [(None,)]
        return code

    assert all_at_once(end, [(1, 0), (7, 0), (7, 4), (7, 5)]) == [LATE] * 4


def test_merchants_own_limit(system: System, shop: Merchant) -> None:
    """`expiration_at` ends the payer's time earlier than the hour."""
    soon = datetime.now(UTC) + timedelta(seconds=4)
    options = {"payment_options": {"expiration_at": f"{soon:%Y-%m-%d %H:%M:%S}"}}
    session_id, payer = send_payer(shop, CHALLENGE, **options)
    assert payer.state().get("seconds_left", 0) <= 4
    assert end_of(shop, session_id) == LATE
    assert payer.leave() is None


def test_answer_after_the_end(system: System, shop: Merchant) -> None:
    """A payer who answers when the hour is over changes nothing: the result is taken and kept, no money moves."""
    session_id, payer = send_payer(shop, CHALLENGE)
    payer.begin()
    shown = payer.challenge()
    expire(system, session_id)
    assert end_of(shop, session_id) == LATE
    after = payer.act(shown, RIGHT_CODE)
    payer.go_back(after)
    assert payer.state() == {"showing": "over"}
    assert end_of(shop, session_id) == LATE
    assert books.of_session(system, session_id) == []
    assert {"RReq", "RRes", "CRes"} <= {message["messageType"] for message in messages_of(system, session_id)}


def test_challenge_that_never_ends(system: System, shop: Merchant) -> None:
    """The payer may begin anew twice; then only time is left."""
    session_id, payer = send_payer(shop, ENDLESS)
    for is_possible in (True, True, False):
        state = payer.begin()
        assert (state["showing"], state["can_retry"]) == ("challenge", is_possible)
        assert "challenge-form" not in payer.challenge(state).text
        if is_possible:
            anew = payer.begin_anew()
            assert anew["showing"] == "begin"
            assert anew["authentication_id"] != state["authentication_id"]
    assert payer.begin_anew() == {**state, "seconds_left": payer.state()["seconds_left"]}
    expire(system, session_id)
    assert end_of(shop, session_id) == LATE


def test_second_attempt_replaces_the_first(system: System, shop: Merchant) -> None:
    """A payer who began anew and then passes the first challenge has passed nothing; the second counts."""
    session_id, payer = send_payer(shop, CHALLENGE)
    payer.begin()
    first = payer.challenge()
    payer.begin_anew()
    payer.begin()
    payer.go_back(payer.act(first, RIGHT_CODE))
    assert payer.state()["showing"] == "challenge"
    assert payer.act(payer.challenge(), RIGHT_CODE).way_back is not None
    assert end_of(shop, session_id) == PAID
    assert len(proofs_of(system, session_id)) == 1


def test_everything_twice(system: System, shop: Merchant) -> None:
    """Two windows, repeated posts, replayed returns and results: one request, one authorization, the same answers."""
    session_id, payer = send_payer(shop, compose(authentication=7, method=1, challenge=5))
    states = all_at_once(lambda _: payer.begin("U"), range(4))
    assert {state["showing"] for state in states} <= {"wait", "challenge"}
    windows = [payer.challenge() for _ in range(2)]
    ends = all_at_once(lambda window: payer.act(window, APPROVE), windows)
    for end in (*ends, *ends):
        payer.go_back(end)
    result = next(message for message in messages_of(system, session_id) if message["messageType"] == "RReq")
    answers = [results(payer, system, result) for _ in range(2)]
    assert [answer["messageType"] for answer in answers] == ["RRes"] * 2
    assert end_of(shop, session_id) == PAID
    kept = [message["messageType"] for message in messages_of(system, session_id)]
    assert (kept.count("AReq"), kept.count("ARes")) == (1, 1)
    assert len(books.of_session(system, session_id)) == 1
    assert shop.receiver.delivered(session_id).count("payment_finished") == 1


def test_forged_returns_and_results(system: System, shop: Merchant) -> None:
    """What the browser brings proves nothing; a result for what nobody knows is refused, one that contradicts too."""
    session_id, payer = send_payer(shop, CHALLENGE)
    payer.begin()
    shown = payer.challenge()
    failed = payer.act(shown, "3333")
    assert failed.way_back is not None
    other_id, other = send_payer(shop, CHALLENGE)
    other.begin()
    passed = other.act(other.challenge(), RIGHT_CODE)
    assert passed.way_back is not None
    payer.submit(f"{payer.link}/challenge", passed.way_back.fields)
    payer.submit(f"{payer.link}/challenge", {"cres": "rubbish"})
    assert (end_of(shop, session_id), end_of(shop, other_id)) == (REFUSED, PAID)
    result = next(message for message in messages_of(system, session_id) if message["messageType"] == "RReq")
    unknown = results(payer, system, {**result, "threeDSServerTransID": str(uuid4())})
    wrong = results(payer, system, {**result, "acsTransID": str(uuid4())})
    broken = results(payer, system, {**result, "transStatus": "X"})
    found = [(one["messageType"], one["errorCode"], one["errorDetail"]) for one in (unknown, wrong, broken)]
    assert found == [
        ("Erro", "301", "threeDSServerTransID"),
        ("Erro", "301", "acsTransID"),
        ("Erro", "203", "transStatus"),
    ]
    assert payer.send("GET", f"{system.url}/3ds/{'A' * 22}").status == 404
    assert shop.status(session_id)["status"] == "cancelled"


def test_books_are_sound_at_the_end(system: System) -> None:
    """Whatever the tests before have done here: nobody was charged twice, the books agree, `verify` finds nothing."""
    books.assert_sound(system)


def results(payer: Payer, system: System, message: dict[str, Any]) -> dict[str, Any]:
    """What our result address answers to a message."""
    shown = payer.send("POST", f"{system.url}/3ds/results", json.dumps(message).encode(), "application/json")
    assert shown.status == 200, shown
    answer: dict[str, Any] = json.loads(shown.body)
    return answer
