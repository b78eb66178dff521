"""Canaries: cards go through everything a system does, and afterwards they are nowhere in the clear (P11)."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from tests.acceptance.canaries import CVV, STEMS, Canaries, files_of, rows_of
from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.merchant import Answer, Merchant, by_card, payment_of
from tests.acceptance.payer import Payer, link_of
from tests.acceptance.system import System, until
from tollhouse.sandbox.cards import compose

FILES_MIN = 50


class Recorder:
    """Keeps every answer a merchant gets, with its headers."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant, self.answers = merchant, [""]
        self._send = merchant.send
        merchant.__dict__["send"] = self.send

    def send(self, *arguments: Any, **more: Any) -> Answer:
        """As the merchant sends, and remember the answer."""
        answer = self._send(*arguments, **more)
        self.answers.append(f"{answer.headers} {answer.raw.decode()}")
        return answer


def cards() -> dict[str, str]:
    """A card of its own for each flow."""
    faults = {f"fault {fault}": compose(fault=fault, free="11") for fault in range(8)}
    others = {
        "declined": compose(answer="51", free="12"),
        "half": compose(answer="10", free="12"),
        "late": compose(fault=1, later=7, free="13"),
        "refunded": compose(brand="mastercard", free="14"),
        "captured": compose(brand="american_express", free="5"),
        "released": compose(brand="mastercard", free="16"),
        "waiting": compose(free="17"),
        "created": compose(free="18"),
        "cancelled": compose(free="19"),
        "dropped": compose(free="20"),
        "refused": compose(free="21"),
        "stray": compose(free="22"),
    }
    # Frictionless, challenges that pass and fail, a silent directory server, and a payer who closes the tab.
    authenticated = {
        "3DS at once": compose(authentication=1, free="23"),
        "3DS passed": compose(authentication=7, method=1, free="24"),
        "3DS failed": compose(authentication=7, challenge=2, free="25"),
        "3DS silent": compose(authentication=8, free="26"),
        "3DS tab closed": compose(authentication=7, free="27"),
    }
    return faults | others | authenticated


def details(number: str, **members: str) -> dict[str, Any]:
    """Open card details with the canary of a security code."""
    return by_card(number, **{"security_code": CVV, "cardholder_name": "CANARY BIRD", **members})


def pay(merchant: Merchant, number: str, *, decision: str | None = "confirm") -> str:
    """A payment with this card, decided."""
    session_id = merchant.prepare(number, payment_details=details(number))
    if decision is not None:
        assert merchant.call(decision, {"session_id": session_id}).status == 200
    return session_id


def run_everything(shop: Merchant, inn: Merchant, number: dict[str, str]) -> None:
    """Every flow of a card: paid, declined, lost, late, refunded, captured, released, cancelled, never decided."""
    begun = [pay(shop, number[name]) for name in number if name.startswith("fault")]
    begun += [pay(shop, number[name]) for name in ("declined", "half", "late")]
    begun.append(pay(shop, number["cancelled"], decision="cancel"))
    pay(shop, number["waiting"], decision=None)
    assert shop.call("create", shop.body(payment_details=details(number["created"]))).status == 200
    dropped = shop.call("create", shop.body(payment_details=details(number["dropped"]))).session["id"]
    assert shop.call("cancel", {"session_id": dropped}).session["status"] == "cancelled"
    refunded = pay(shop, number["refunded"])
    assert shop.finished(refunded)["status"] == "accepted"
    assert shop.refund(refunded, 500).status == 200
    for name, method in (("captured", "capture"), ("released", "cancel")):
        held = pay(inn, number[name])
        inn.receiver.wait_for(held, "ready_to_capture")
        assert inn.call(method, {"session_id": held}).status == 200
        inn.finished(held)
    for session_id in begun:
        assert payment_of(shop.wait_until_final(session_id))["status"] in ("succeeded", "failed")


def authenticate(shop: Merchant, number: dict[str, str]) -> list[str]:
    """Payers who must act, to the end of what they do; everything that they were shown."""
    shown: list[str] = []
    for name in number:
        if not name.startswith("3DS"):
            continue
        session_id = pay(shop, number[name])
        link = link_of(shop.receiver.wait_for(session_id, "action_required")[-1].session)
        payer = Payer(link)
        shown.append(payer.open().text)
        if name == "3DS tab closed":
            shown.append(payer.challenge(payer.begin()).text)
            continue
        payer.go("1234")
        shown += [payer.open().text, str(payer.state())]
        assert payment_of(shop.wait_until_final(session_id))["status"] in ("succeeded", "failed")
    return shown


def misplace(shop: Merchant, number: str) -> None:
    """The whole number where it does not belong, in every place we could think of: refused or forgotten."""
    session = {"session_id": "ps_1"}
    grouped = " ".join(number[at : at + 4] for at in range(0, 16, 4))
    bodies: list[dict[str, Any]] = [
        shop.body(metadata=number),
        shop.body(metadata={"note": f"paid by {grouped}"}),
        shop.body(metadata={number: 1}),
        shop.body(metadata=[int(number)]),
        shop.body(payment_metadata={"card": number}),
        shop.body(customer={"reference": number}),
        shop.body(customer={"reference": "u-1", "contacts": [{"email": f"{number}@example.org"}]}),
        shop.body(customer={"reference": "u-1", "contacts": [{"phone": number}]}),
        shop.body(participant_details={"sender": {"account": number}}),
        shop.body(payment_options={"return_url": f"https://shop.example/?card={number}"}),
        shop.body(custom_routing={"tags": [{"root_tag": "card", "values": [number]}]}),
        shop.body(amount_details={"amount": number, "currency": "eur"}),
        shop.body(amount_details={"amount": int(number), "currency": "eur"}),
        shop.body(amount_details={"amount": 1, "currency": number}),
        shop.body(payment_details=details(number, security_code=number)),
        shop.body(payment_details=details(number, cardholder_name=number, expiration_month="13")),
        shop.body(payment_details=details(number, expiration_year=number)),
        shop.body(payment_details=details(f"{number}\n")),
        shop.body(payment_details=details(grouped)),
        shop.body(payment_details={"type": number, number: {}}),
        shop.body(payment_details=details(number, expiration_year="20")),
    ]
    for body in bodies:
        assert shop.call("init/payment", body).status in (400, 403), body
    whole = str(shop.body(payment_details=details(number))).replace("'", '"').encode()
    twice = whole.replace(b'"number"', b'"number": "1", "number"')
    for raw in (whole[:-2], whole + b"}", twice, b"\xff" + whole):
        assert shop.call("init/payment", raw).status == 400
    assert shop.call("init/payment", whole, headers={"X-PARTNER-SIGN": "wrong"}).status == 401
    assert shop.call("init/payment", whole, headers={"X-PARTNER-PROJECT": number}).status == 401
    assert shop.call("init/payment", whole, headers={"Content-Type": number}).status == 415
    assert shop.call("init/payment", whole, headers={"X-PARTNER-SUBMERCHANT": number}).status == 400
    assert shop.call("init/payment", whole, key=number).status == 400
    assert shop.call(number, session).status == 404
    assert shop.call("status", {"session_id": number}).status == 404
    assert shop.call("refund", {**session, "payment_id": number, "metadata": number}).status == 400
    assert shop.send(f"/{number}?card={number}", verb="GET").status == 404
    unknown = shop.call("init/payment", {**shop.body(), number: number, "memo": details(number)})
    assert unknown.status == 200, "members nobody knows are not looked at, and not kept"


@pytest.fixture
def flown(new_system: NewSystem, new_merchant: NewMerchant) -> tuple[System, Canaries, list[str]]:
    """A talkative system through which every card has gone, and all its answers."""
    system = new_system(log_level="debug").start()
    shop, inn = new_merchant(system), new_merchant(system, settings={"capture_mode": "two_stage"})
    replaying = new_merchant(system, settings={"idempotency": "replay"})
    recorders = [Recorder(merchant) for merchant in (shop, inn, replaying)]
    number = cards()
    run_everything(shop, inn, number)
    shown = authenticate(shop, number)
    misplace(shop, number["stray"])
    refused = replaying.body(payment_details=details(number["refused"]))
    for _ in range(2):
        assert replaying.call("init/payment", refused, key="again").status == 200
    until(lambda: not system.rows("select 1 from event where state = 'waiting'"), "every webhook is out")
    answers = [answer for recorder in recorders for answer in recorder.answers]
    webhooks = [f"{one.headers} {one.body.decode()}" for r in recorders for one in r.merchant.receiver.webhooks]
    for place in ("openapi.json", "docs"):
        with urllib.request.urlopen(f"{system.url}/{place}", timeout=30) as answer:
            answers.append(answer.read().decode())
    with urllib.request.urlopen(system.books_url, timeout=30) as answer:
        answers.append(answer.read().decode())
    sessions = [one["id"] for one in system.json("session", "list", "--limit", "3")]
    answers += [system.run("session", "show", session_id).stdout for session_id in sessions]
    asked = [row[0] for row in system.rows("select distinct session_id from authentication")]
    assert len(asked) == sum(name.startswith("3DS") for name in number)
    for session_id in asked:
        answers += [
            system.run("session", "threeds", session_id).stdout,
            system.run("session", "show", session_id).stdout,
        ]
    answers += [system.run("event", "list", "--json").stdout, system.run("verify", "--json").stdout]
    return system, Canaries(list(number.values())), [*answers, *webhooks, *shown]


def test_no_card_is_anywhere_in_the_clear(flown: tuple[System, Canaries, list[str]]) -> None:
    """Answers, webhooks, logs, every row, and every byte of every file: no number and no security code."""
    system, canaries, said = flown
    assert [found for text in said for found in canaries.in_text(text)] == []
    assert len(said) > 60

    rows = rows_of(system)
    assert "400012" in rows["public.payment"], "what may be shown is there, so the search can find something"
    assert rows["vault.card"].count("\n") >= 15
    assert {table: found for table, text in rows.items() if (found := canaries.in_text(text))} == {}

    assert system.stop() == 0
    files = files_of(system)
    assert len(files) > FILES_MIN
    assert {"up.log", "postgres.log", "books.jsonl"} <= {path.name for path in files}
    for folder in ("pg_wal", "base", "sandbox"):
        assert any(b"400012" in path.read_bytes() for path in files if folder in path.parts), "the search reads it"
    assert {str(path): found for path in files if (found := canaries.in_bytes(path.read_bytes()))} == {}
    assert canaries.in_text(system.log()) == []


@pytest.mark.parametrize("stem", STEMS)
def test_the_search_would_find_a_card(stem: str) -> None:
    """Planted in each of its forms, a number is found; so is a security code, but not every four digits."""
    number = f"{stem}0000000"[:15]
    canaries = Canaries([number])
    grouped = " ".join(number[at : at + 4] for at in range(0, 15, 4))
    for planted in (number, grouped, grouped.replace(" ", "-"), number.encode().hex(), f"x{number}x"):
        assert canaries.in_text(f"before {planted} after")
        assert canaries.in_bytes(planted.encode("utf-8"))
    assert canaries.in_bytes(number.encode("utf-16-le"))
    assert canaries.in_bytes(bytes.fromhex(number + "f"))
    assert canaries.in_text(f'"security_code": "{CVV}"')
    assert canaries.in_text(f"code {CVV}.")
    assert canaries.in_text("12.0739 70739 ps_0739 a0739b") == []
