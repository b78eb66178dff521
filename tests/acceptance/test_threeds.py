"""3-D Secure from the first call to the last webhook: every behaviour of a card, and what the acquirer is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant
from tests.acceptance.payer import (
    APPROVE,
    CANCEL,
    DECLINE,
    FAILING_CODE,
    RIGHT_CODE,
    WRONG_CODE,
    Payer,
    all_at_once,
    end_of,
    messages_of,
    played,
    proofs_of,
    send_payer,
)
from tests.acceptance.system import System, until
from tollhouse.sandbox.cards import compose

PAID, REFUSED, DECLINED, TOO_OFTEN = "accepted", "3DS_error", "declined_by_issuer_bank", "activity_count_exceeded"
ALIASES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "4000002760003184": ((RIGHT_CODE,), PAID),
    "4000008260003178": ((RIGHT_CODE,), "insufficient_funds"),
    "4000008400001629": ((RIGHT_CODE,), DECLINED),
    "4000000000002701": ((), PAID),
    "4000000000002925": ((), REFUSED),
    "4000000000002719": ((), PAID),
    "4000000000002313": ((), PAID),
    "4000000000002503": ((), PAID),
    "4000000000002370": ((), REFUSED),
}
# Digit a, and how a payment ends by the project's setting. A challenge is passed.
FIRST_ANSWERS: Mapping[int, tuple[str, str]] = {
    1: (PAID, PAID),
    2: (PAID, PAID),
    3: (REFUSED, REFUSED),
    4: (PAID, REFUSED),
    5: (REFUSED, REFUSED),
    6: (PAID, REFUSED),
    7: (PAID, PAID),
    9: (PAID, PAID),
}
PROVEN = {1: "05", 2: "06", 7: "05", 9: "05"}
# Digit c, what the payer does, and how it ends.
CHALLENGES: tuple[tuple[int, tuple[str, ...], str], ...] = (
    (0, (RIGHT_CODE,), PAID),
    (0, (WRONG_CODE, "", RIGHT_CODE), PAID),
    (0, (WRONG_CODE, WRONG_CODE, WRONG_CODE), REFUSED),
    (0, (FAILING_CODE,), REFUSED),
    (0, (CANCEL,), REFUSED),
    (0, ("challenge-resend", RIGHT_CODE), PAID),
    (1, (), PAID),
    (2, (), REFUSED),
    (3, (), REFUSED),
    (5, (APPROVE,), PAID),
    (5, (DECLINE,), REFUSED),
    (5, (CANCEL,), REFUSED),
    (6, (RIGHT_CODE,), PAID),
    (6, (FAILING_CODE,), REFUSED),
    (7, (RIGHT_CODE,), PAID),
    (7, (FAILING_CODE,), REFUSED),
    (8, (RIGHT_CODE,), REFUSED),
    (9, (RIGHT_CODE,), PAID),
    (9, (FAILING_CODE,), REFUSED),
)
# By scheme: authenticated, attempted, neither.
INDICATORS = {
    "visa": ("05", "06", "07"),
    "mastercard": ("02", "01", "00"),
    "mastercard_2": ("02", "01", "00"),
    "jcb": ("05", "06", "07"),
    "discover": ("05", "06", "07"),
    "american_express": ("05", "06", "07"),
}
VERSION = {"discover": "2.2.0"}  # of the others 2.3.1
TOLD = {
    "frictionless": ["AReq", "ARes"],
    "challenge": ["AReq", "ARes", "RReq", "RRes", "CRes"],
    "returned early": ["AReq", "ARes", "CRes", "RReq", "RRes"],
    "lost": ["AReq", "ARes", "RReq", "RRes"],
    "twice": ["AReq", "ARes", "RReq", "RRes", "RReq", "RRes", "CRes"],
}


@pytest.fixture(scope="module")
def strict(system: System) -> Any:
    """A merchant who has every payer authenticated."""
    merchant = Merchant(system, settings={"threeds": "always"})
    yield merchant
    merchant.close()


def test_first_answers_by_setting(system: System, shop: Merchant, strict: Merchant) -> None:
    """Every first answer leads where the setting says, and the acquirer is told just what is proven."""

    def end(case: tuple[Merchant, int]) -> tuple[str, list[dict[str, str]]]:
        merchant, digit = case
        session_id = played(merchant, compose(authentication=digit, method=1), RIGHT_CODE)
        return end_of(merchant, session_id), proofs_of(system, session_id)

    cases = [(merchant, digit) for digit in FIRST_ANSWERS for merchant in (shop, strict)]
    found = dict(zip(cases, all_at_once(end, cases, places=len(cases)), strict=True))
    ends = {digit: (found[shop, digit][0], found[strict, digit][0]) for digit in FIRST_ANSWERS}
    assert ends == FIRST_ANSWERS
    for (_, digit), (ended, proofs) in found.items():
        wanted = [{"eci": PROVEN.get(digit, "07")}] if ended == PAID else []
        assert [{"eci": proof.get("eci")} for proof in proofs] == wanted, digit
        assert all(("value" in proof) == (digit in PROVEN) for proof in proofs)


def test_who_is_not_asked(system: System, shop: Merchant, strict: Merchant, new_merchant: NewMerchant) -> None:
    """Cards that take no part, and every card of a project that never asks, are charged at once without a claim."""
    trusting = new_merchant(system, settings={"threeds": "never"})
    cards = [(trusting, compose(authentication=digit)) for digit in range(10)]
    cards += [(trusting, "4000002760003184"), (shop, compose()), (strict, compose()), (strict, "4242424242424242")]

    def pay(card: tuple[Merchant, str]) -> tuple[list[str], list[dict[str, str]]]:
        merchant, number = card
        session_id = merchant.pay(number)
        return merchant.receiver.delivered(session_id), proofs_of(system, session_id)

    for told, proofs in all_at_once(pay, cards):
        assert told == ["ready_to_confirm", "payment_finished"]
        assert proofs == [{}]
    soft = trusting.start(compose(authentication=7, fault=8))
    assert end_of(trusting, soft) == TOO_OFTEN


def test_challenges(system: System, shop: Merchant) -> None:
    """Every behaviour of a challenge ends as the result message says, whatever the browser does or does not bring."""

    def end(case: tuple[int, tuple[str, ...], str]) -> str:
        digit, answers, _ = case
        return end_of(shop, played(shop, compose(authentication=7, method=1, challenge=digit), *answers))

    found = all_at_once(end, CHALLENGES)
    assert list(zip(CHALLENGES, found, strict=True)) == [(case, case[2]) for case in CHALLENGES]


def test_familiar_numbers(shop: Merchant) -> None:
    """Each alias that takes part does what the table of familiar numbers says."""

    def end(number: str) -> str:
        return end_of(shop, played(shop, number, *ALIASES[number][0]))

    found = dict(zip(ALIASES, all_at_once(end, ALIASES), strict=True))
    assert found == {number: wanted for number, (_, wanted) in ALIASES.items()}


@pytest.mark.parametrize("brand", INDICATORS)
def test_schemes_and_versions(system: System, shop: Merchant, brand: str) -> None:
    """The ECI is the scheme's, the version the highest that both sides speak; the acquirer verified the proof."""

    def pay(digit: int) -> str:
        return played(shop, compose(brand=brand, authentication=digit, method=1), RIGHT_CODE)

    version = VERSION.get(brand, "2.3.1")
    full, attempt, none = INDICATORS[brand]
    for session_id, eci in zip(all_at_once(pay, (1, 7, 2, 4)), (full, full, attempt, none), strict=True):
        assert end_of(shop, session_id) == PAID
        assert {message["messageVersion"] for message in messages_of(system, session_id)} == {version}
        (proof,) = proofs_of(system, session_id)
        (sale,) = books.of_session(system, session_id)
        assert (proof["eci"], sale["state"]) == (eci, "approved")
        assert sale["authentication_id"] == proof.get("ds")
        assert proof.get("version") == (None if eci == none else version)


@pytest.mark.parametrize("brand", ["visa", "discover"])
def test_method_page(system: System, shop: Merchant, brand: str) -> None:
    """What became of the issuer's hidden page stands in the request, in both versions; what cannot be is corrected."""

    def pay(case: tuple[int, str | None]) -> tuple[list[str], str, str]:
        digit, told = case
        session_id, payer = send_payer(shop, compose(brand=brand, authentication=1, method=digit))
        payer.begin(told)
        request = messages_of(system, session_id)[0]
        return payer.completions, request["threeDSCompInd"], end_of(shop, session_id)

    cases = [(0, None), (1, None), (2, None), (0, "N"), (1, "Y"), (2, "U")]
    wanted = [(["Y"], "Y", PAID), (["U"], "U", PAID), (["N"], "N", PAID)]
    wanted += [(["N"], "N", PAID), (["Y"], "U", PAID), (["U"], "N", PAID)]
    assert all_at_once(pay, cases) == wanted


def test_messages_are_kept_and_shown(system: System, shop: Merchant) -> None:
    """Of each kind of authentication every message is kept in its order, and both commands tell of it."""
    cards = {
        "frictionless": compose(authentication=1),
        "challenge": compose(authentication=7),
        "returned early": compose(authentication=7, challenge=6),
        "lost": compose(authentication=7, challenge=7),
        "twice": compose(authentication=7, challenge=9),
    }
    sessions = all_at_once(lambda name: played(shop, cards[name], RIGHT_CODE), cards)
    for name, session_id in zip(cards, sessions, strict=True):
        until(lambda name=name, id=session_id: len(messages_of(system, id)) >= len(TOLD[name]), "all messages are kept")
        kept = messages_of(system, session_id)
        assert [message["messageType"] for message in kept] == TOLD[name], name
        assert kept[0]["acctNumber"] == f"{cards[name][:6]}******{cards[name][-4:]}"
        assert kept[0]["cardExpiryDate"] == "<expiry>"
        told = system.json("session", "threeds", session_id)
        assert [one["message"] for one in told["messages"]] == kept
    printed = system.run("session", "show", sessions[-1]).stdout
    assert "ECI 05," in printed, "what the acquirer was told"
    assert [printed.count(f"{type} 2.3.1") for type in ("AReq", "ARes", "RReq", "CRes")] == [1, 1, 2, 1]


@pytest.mark.parametrize(("digit", "count", "words"), [(3, 2, "N not authenticated"), (9, 4, "D decoupled")])
def test_commands_tell_of_refusal_and_patience(
    system: System, strict: Merchant, digit: int, count: int, words: str
) -> None:
    """Where the issuer refuses, or asks the payer elsewhere, that is what both commands show."""
    session_id = played(strict, compose(authentication=digit))
    printed = system.run("session", "threeds", session_id).stdout
    assert words in printed
    assert len(re.findall(r"^[0-9-]{10} .* [→←] [A-Za-z]{4} 2\.3\.1", printed, re.MULTILINE)) == count
    assert words in system.run("session", "show", session_id).stdout


def test_silent_directory_server(system: System, shop: Merchant, strict: Merchant) -> None:
    """The payer is not kept longer than ten seconds; whether the payment goes on is the project's choice."""
    number = compose(authentication=8)
    cases = [(shop, number), (strict, number), (shop, "4000008400001280"), (strict, "4000008400001280")]
    sessions = all_at_once(lambda case: played(*case), cases)
    ends = [end_of(merchant, session_id) for (merchant, _), session_id in zip(cases, sessions, strict=True)]
    assert ends == [PAID, REFUSED, PAID, REFUSED]
    assert [proofs_of(system, session_id) for session_id in sessions] == [[{}], [], [{}], []]
    printed = system.run("session", "threeds", sessions[0]).stdout
    assert printed.count("→ AReq") == printed.count("← silence") == 1
    assert "silence" in system.run("session", "show", sessions[0]).stdout


def test_challenge_answered_without_a_browser(system: System, shop: Merchant) -> None:
    """The sandbox's HTTP answer ends a challenge that nobody opened, and the payer who comes then is led on."""

    def end(status: str) -> str:
        session_id, payer = send_payer(shop, compose(authentication=7, method=1))
        payer.begin()
        issuer_id = messages_of(system, session_id)[1]["acsTransID"]
        answer_challenge(system, issuer_id, status)
        assert payer.state()["showing"] == "over"
        return end_of(shop, session_id)

    statuses = ("Y", "N", "U", "A", "R")
    assert dict(zip(statuses, all_at_once(end, statuses), strict=True)) == {
        "Y": PAID,
        "N": REFUSED,
        "U": REFUSED,
        "A": PAID,
        "R": REFUSED,
    }


def test_books_are_sound_at_the_end(system: System) -> None:
    """Whatever the tests before have done here: nobody was charged twice, the books agree, `verify` finds nothing."""
    books.assert_sound(system)


def answer_challenge(system: System, issuer_id: str, status: str) -> None:
    """End a challenge as its issuer, without a browser."""
    base = system.books_url.removesuffix("/books")
    body = f'{{"transStatus":"{status}"}}'.encode()
    told = Payer("").send("POST", f"{base}/acs/challenges/{issuer_id}", body, "application/json")
    assert told.status == 200, told
