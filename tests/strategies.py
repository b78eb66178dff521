"""Hypothesis strategies: money, cards, messages, and what merchants and acquirers may say in any order."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from tollhouse.acquirers.iso8583.fields import SPEC
from tollhouse.authentication import FINAL, Authentication, Enrolment, Result, TransStatus, Wish
from tollhouse.authentication import State as AuthenticationState
from tollhouse.card import PAN, CardId, CardIdScope, Expiry, luhn_digit
from tollhouse.exemption import Exemption
from tollhouse.money import AMOUNT_MINOR_MAX, CURRENCIES, Money
from tollhouse.operation import Kind, Operation, References, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Details, HoldExpiry, PayingCard, Payment, Phase
from tollhouse.session import Offer, PaymentSession
from tollhouse.verdict import Policy

DIGITS = string.digits
ALPHANUMERICS = string.ascii_uppercase + string.digits


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


currencies = st.sampled_from(sorted(CURRENCIES))
moneys = st.builds(Money, st.integers(1, AMOUNT_MINOR_MAX), currencies)
digit_runs = st.text(DIGITS, min_size=1, max_size=24)
pans = st.text(DIGITS, min_size=11, max_size=18).map(lambda digits: PAN(digits + luhn_digit(digits)))

tags = st.dictionaries(
    st.text(ALPHANUMERICS, min_size=2, max_size=2), st.text(string.printable, max_size=40), max_size=6
)

MTIS = ("0100", "0110", "0200", "0210", "0220", "0221", "0230", "0400", "0410", "0420", "0421", "0430", "0800", "0810")
_FIELDS: dict[str, st.SearchStrategy[str]] = {
    "2": pans.map(lambda pan: pan.reveal()),
    "3": st.sampled_from(("000000", "200000")),
    "4": st.integers(1, AMOUNT_MINOR_MAX).map(lambda minor: f"{minor:012d}"),
    "7": _digits(10),
    "11": _digits(6),
    "12": _digits(6),
    "13": _digits(4),
    "14": _digits(4),
    "22": _digits(3),
    "25": _digits(2),
    "37": st.text(ALPHANUMERICS, min_size=12, max_size=12),
    "38": st.text(ALPHANUMERICS, min_size=6, max_size=6),
    "39": st.text(ALPHANUMERICS, min_size=2, max_size=2),
    "41": st.text(ALPHANUMERICS, min_size=8, max_size=8),
    "42": st.text(ALPHANUMERICS + " ", min_size=15, max_size=15),
    "48": tags.map(lambda found: "".join(f"{tag}{len(value):02d}{value}" for tag, value in found.items())),
    "49": st.sampled_from([currency.number for currency in CURRENCIES.values()]),
    "70": _digits(3),
    "90": _digits(42),
}
assert _FIELDS.keys() <= SPEC.keys()

messages = st.tuples(st.sampled_from(MTIS), st.fixed_dictionaries({}, optional=_FIELDS))

# What a session may be told, by anybody, in any order. Each word is a method of `tests.ground.story.Story`.
MERCHANT_WORDS = ("confirm", "cancel", "capture", "refund")
WORLD_WORDS = ("send", "lose", "not_send", "answer", "repeat_answer", "wait", "sweep")
PAYER_WORDS = ("ask", "reply", "result", "broken_off", "retry")  # 3-D Secure: the payer, the directory, the issuer
ANSWER_CODES = ("00", "00", "00", "05", "10", "25", "51", "65", "1A", "68", "94", "96", "zz")


def _words(names: tuple[str, ...], codes: tuple[str, ...]) -> st.SearchStrategy[tuple[str, str, int, int]]:
    return st.tuples(
        st.sampled_from(names),
        st.sampled_from(codes),
        st.integers(1, 2_590),  # an amount, or a choice among operations
        st.sampled_from((1, 16, 61, 300, 3_600, 15_000, 90_000, 400_000)),  # seconds that pass
    )


walks = st.lists(_words((*MERCHANT_WORDS, *WORLD_WORDS, *WORLD_WORDS), ANSWER_CODES), max_size=40)
guarded_walks = st.lists(
    _words(
        ("ask", "reply", "result", *PAYER_WORDS, *PAYER_WORDS, "send", "send", *WORLD_WORDS),
        ("65", "1A", "65", *ANSWER_CODES),
    ),
    min_size=5,
    max_size=40,
)

# --- sessions: everything that books may hold, whether or not a rule would ever write it ------------------------------

instants = st.datetimes(datetime(2001, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.none() | st.dictionaries(texts, documents, max_size=3)
names = st.text(ALPHANUMERICS, min_size=1, max_size=12)
sealed_cvvs = st.builds("{}.{}.{}".format, names, names, names)
expiries = st.builds(Expiry, st.integers(2000, 2099), st.integers(1, 12))
enrolments = st.builds(Enrolment, version=names, method_url=st.none() | texts)
paying_cards = st.builds(
    PayingCard,
    token=names,
    bin=_digits(6),
    last4=_digits(4),
    brand=st.none() | names,
    expiry=expiries,
    fingerprint=st.just("") | names,
    enrolment=st.none() | enrolments,
    card_id=st.none() | st.builds(CardId, scope=st.sampled_from(CardIdScope), text=names),
)
details = st.builds(
    Details, customer=objects, participants=objects, options=objects, metadata=documents, unechoed=objects
)
offers = st.builds(
    Offer,
    money=st.none() | moneys,
    card=st.none() | paying_cards,
    sealed_cvv=st.none() | sealed_cvvs,
    card_given_at=st.none() | instants,
    details=details,
)
references = st.builds(
    References,
    rrn=st.text(ALPHANUMERICS, min_size=12, max_size=12),
    stan=_digits(6),
    terminal=st.text(ALPHANUMERICS, min_size=8, max_size=8),
    transmitted_at=instants,
)
reasons = st.sampled_from(Reason)
exemptions = st.none() | st.sampled_from(Exemption)
results = st.builds(
    Result,
    status=st.sampled_from(TransStatus),
    **{name: st.none() | texts for name in ("status_reason", "eci", "value", "cancelled")},
)
MAY_HAVE_CVV = (Phase.ROUTING, Phase.AWAIT_CONFIRM, Phase.CONFIRMED, Phase.AWAIT_ACTION)


@st.composite
def payment_standings(draw: st.DrawFn, money: Money) -> dict[str, Any]:
    """What of a payment may change, within what the books allow."""
    phase = draw(st.sampled_from(Phase))
    held_minor = draw(st.sampled_from((0, money.minor)))
    captured_minor = draw(st.integers(0, held_minor))
    return {
        "phase": phase,
        "sealed_cvv": draw(st.none() | sealed_cvvs) if phase in MAY_HAVE_CVV else None,
        "decision": draw(st.none() | st.sampled_from(Decision)),
        "held_minor": held_minor,
        "captured_minor": captured_minor,
        "refunded_minor": draw(st.integers(0, captured_minor)),
        "rrn": draw(st.none() | names),
        "approval_code": draw(st.none() | names),
        "reason": draw(reasons if phase is Phase.FAILED else st.none() | reasons),
        "action_link": draw(names if phase is Phase.AWAIT_ACTION else st.none() | names),
        **{
            name: draw(st.none() | instants)
            for name in ("decision_deadline_at", "action_deadline_at", "hold_deadline_at", "finished_at")
        },
    }


@st.composite
def operation_standings(draw: st.DrawFn, is_live: bool) -> dict[str, Any]:
    """What of an operation may change, within what the books allow."""
    ended = (State.DECLINED, State.REVERSED)
    state = draw(st.sampled_from(State if is_live else ended))
    may_lack = state in (State.PLANNED, State.DECLINED)
    return {
        "state": state,
        "references": draw(st.none() | references if may_lack else references),
        "attempts": draw(st.integers(0, 2**31 - 1)),
        "is_stuck": draw(st.booleans()),
        "response_code": draw(st.none() | names),
        "approval_code": draw(st.none() | names),
        "reason": draw(st.none() | reasons),
        "authentication_id": draw(st.none() | names),
        "exemption": draw(exemptions),
        **{
            name: draw(st.none() | instants)
            for name in ("submitted_at", "next_attempt_at", "unclear_since", "finished_at")
        },
    }


@st.composite
def authentication_standings(draw: st.DrawFn, may_be_open: bool) -> dict[str, Any]:
    """What of an authentication may change, within what the books allow."""
    state = draw(st.sampled_from(AuthenticationState if may_be_open else sorted(FINAL)))
    return {
        "state": state,
        "result": draw(results if state is AuthenticationState.FINISHED else st.none() | results),
        **{name: draw(st.none() | names) for name in ("ds_transaction_id", "acs_transaction_id", "acs_url")},
        **{name: draw(st.none() | instants) for name in ("asked_at", "finished_at")},
    }


@st.composite
def authentications(draw: st.DrawFn, payments: list[Payment]) -> tuple[Authentication, ...]:
    """Some authentications of these payments, of which the last may be open."""
    opened = sorted(draw(st.lists(instants, max_size=4 if payments else 0)))
    return tuple(
        Authentication(
            id=f"au_{number}",
            payment_id=draw(st.sampled_from(payments)).id,
            version=draw(names),
            wish=draw(st.sampled_from(Wish)),
            opened_at=opened_at,
            **draw(authentication_standings(number == len(opened) - 1)),
        )
        for number, opened_at in enumerate(opened)
    )


@st.composite
def sessions(draw: st.DrawFn) -> PaymentSession:
    """A session with up to two payments and some operations of each, in the order in which books give them back."""
    payments = [
        Payment(
            id=f"pm_{number}",
            money=(money := draw(moneys)),
            card=draw(paying_cards),
            details=draw(details),
            acquirer=draw(st.none() | names),
            created_at=created_at,
            is_two_stage=draw(st.booleans()),
            shows_fees=draw(st.booleans()),
            hold_seconds=draw(st.integers(0, 2**31 - 1)),
            hold_expiry=draw(st.sampled_from(HoldExpiry)),
            threeds=draw(st.sampled_from(Policy)),
            exemption=draw(exemptions),
            names_session_on_return=draw(st.booleans()),
            **draw(payment_standings(money)),
        )
        for number, created_at in enumerate(sorted(draw(st.lists(instants, max_size=2))))
    ]
    operations: list[Operation] = []
    for planned_at in sorted(draw(st.lists(instants, max_size=5 if payments else 0))):
        number = len(operations)
        kind = draw(st.sampled_from(Kind) if operations else st.sampled_from((Kind.SALE, Kind.AUTHORIZATION)))
        is_live = number == 0 or kind in (Kind.REFUND, Kind.REVERSAL)
        operations.append(
            Operation(
                id=f"op_{number}",
                kind=kind,
                payment_id=draw(st.sampled_from(payments)).id,
                amount_minor=draw(st.integers(1, AMOUNT_MINOR_MAX)),
                planned_at=planned_at,
                target_id=draw(st.sampled_from(operations)).id if operations else None,
                metadata=draw(documents),
                **draw(operation_standings(is_live)),
            )
        )
    return PaymentSession(
        project="shop",
        id="ps_1",
        version=1,
        api_version=draw(st.sampled_from((1, 2))),
        webhook_version=draw(st.sampled_from((None, 1, 2))),
        created_at=draw(instants),
        updated_at=draw(instants),
        offer=draw(st.just(Offer()) | offers),
        payments=tuple(payments),
        operations=tuple(operations),
        authentications=draw(authentications(payments)),
        events_count=draw(st.integers(0, 2**31 - 1)),
        dropped=draw(st.none() | reasons),
        finished_at=draw(st.none() | instants),
        lease_owner=draw(st.none() | names),
    )


@st.composite
def moved(draw: st.DrawFn, session: PaymentSession) -> PaymentSession:
    """The session one version later, with everything moved that may move."""
    payments = tuple(replace(one, **draw(payment_standings(one.money))) for one in session.payments)
    live = session.operations[:1]
    operations = tuple(
        replace(one, **draw(operation_standings(one in live or one.kind in (Kind.REFUND, Kind.REVERSAL))))
        for one in session.operations
    )
    return replace(
        session,
        version=session.version + 1,
        updated_at=draw(instants),
        offer=draw(st.just(Offer()) | offers),
        payments=payments,
        operations=operations,
        authentications=tuple(
            replace(one, **draw(authentication_standings(one is session.authentications[-1])))
            for one in session.authentications
        ),
        events_count=draw(st.integers(0, 2**31 - 1)),
        dropped=draw(st.none() | reasons),
        finished_at=draw(st.none() | instants),
        lease_owner=draw(st.none() | names),
    )
