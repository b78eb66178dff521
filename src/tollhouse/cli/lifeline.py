"""Draws a session's life as a sequence diagram: merchant, gateway and acquirer, one below the other in time."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

import click

from tollhouse.acquirers.iso8583.fields import TAG_ORIGINAL_RRN
from tollhouse.change import Alarm, Note
from tollhouse.ledger import Transfer
from tollhouse.life import Announced, Life
from tollhouse.money import CODE_BY_NUMBER, CURRENCIES, Money
from tollhouse.operation import Kind
from tollhouse.outcome import (
    DESCRIPTIONS,
    NOT_FOUND_CODE,
    PARTLY_APPROVED_CODE,
    UNCLEAR_CODES,
    Approved,
    Declined,
    outcome_of_code,
)
from tollhouse.session import PaymentSession
from tollhouse.webhook import Attempt, is_delivered

WIDTH_MIN = 90
TIME_WIDTH = 11
MERCHANT_SHARE = 0.42


class Side(IntEnum):
    """What a line is drawn as. In one instant the smaller number comes first."""

    FROM_MERCHANT = 0
    FROM_ACQUIRER = 1
    GATEWAY = 2
    ALARM = 3
    TO_ACQUIRER = 4
    TO_MERCHANT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One thing that happened: a headline, and what else is to be said of it."""

    at: datetime
    side: Side
    text: str
    details: tuple[str, ...] = ()
    is_bad: bool = False


def draw(life: Life, width: int) -> Iterator[str]:
    """The lines of the drawing."""
    yield from _header(life)
    merchant = max(34, int((max(width, WIDTH_MIN) - TIME_WIDTH) * MERCHANT_SHARE))
    acquirer = max(width, WIDTH_MIN) - TIME_WIDTH - merchant - 6
    blank = " " * TIME_WIDTH
    yield f"{'ms':>{TIME_WIDTH - 2}}  merchant{' ' * (merchant - 11)}gateway{' ' * (acquirer - 12)}acquirer"
    names = _names(life.session)
    last = life.session.created_at
    for mark in sorted(marks_of(life, names), key=lambda mark: (mark.at, mark.side)):
        if mark.at - last > timedelta(seconds=10):
            yield f"{blank}┆{' ' * merchant}┆{' ' * acquirer}┆"
        last = mark.at
        yield _headline(mark, life.session.created_at, merchant, acquirer)
        for detail in mark.details:
            yield from _detail(detail, mark.side, merchant, acquirer)


def _header(life: Life) -> Iterator[str]:
    session = life.session
    colour = {"accepted": "green", "cancelled": "yellow", "error": "red"}.get(session.status)
    status = click.style(session.status, bold=True, fg=colour)
    yield f"session  {session.id}  {status}{f' ({session.reason})' if session.reason else ''}"
    ended = f", ended {_at(session.finished_at)}" if session.finished_at else ""
    yield f"project  {session.project}, API v{session.api_version}, created {_at(session.created_at)}{ended}"
    names = _names(session)
    room = max((len(name) for name in names.values()), default=0)
    for payment in session.payments:
        card = payment.card
        said = [f"{payment.money}", f"{card.brand or 'card'} {card.bin}******{card.last4}", payment.phase.value]
        for name, minor in (("captured", payment.captured_minor), ("refunded", payment.refunded_minor)):
            said += [f"{name} {Money(minor, payment.money.currency)}"] if minor else []
        yield f"{names[payment.id]:<{room}}  {payment.id}  {', '.join(said)}"
    for operation in session.operations:
        money = Money(operation.amount_minor, session.payment(operation.payment_id).money.currency)
        stuck = ", needs a person" if operation.is_stuck else ""
        yield f"{names[operation.id]:<{room}}  {operation.id}  {money}, {operation.state}{stuck}"
    if session.due_at is not None:
        yield f"next thing due at {_at(session.due_at)}"
    yield ""


def marks_of(life: Life, names: dict[str, str]) -> Iterator[Mark]:
    """Everything that happened, unsorted."""
    for past in life.history:
        for step in past.steps:
            text = f"{names.get(step.subject, 'session')}: {step.before or 'new'} → {step.after}"
            yield Mark(at=past.at, side=Side.GATEWAY, text=f"{text} ({step.heard})")
    for kept in (*life.notes, *life.alarms, *life.transfers):
        match kept.what:
            case Note() as note:
                yield _note_mark(kept.at, note, names)
            case Alarm() as alarm:
                text = f"ALARM {names.get(alarm.subject, alarm.subject)}: {alarm.what}"
                yield Mark(at=kept.at, side=Side.ALARM, text=text, is_bad=True)
            case Transfer() as transfer:
                money = Money(transfer.amount_minor, transfer.currency)
                text = f"{transfer.phase} {money} {transfer.debit} → {transfer.credit}"
                yield Mark(at=kept.at, side=Side.GATEWAY, text=text)
    for event in life.events:
        yield Mark(at=event.created_at, side=Side.ALARM, text=_announcement(event))
        for attempt in event.attempts:
            yield _attempt_mark(event, attempt)


def _announcement(event: Announced) -> str:
    state = f", {event.state}" if event.state != "delivered" else ""
    return f"event {event.type} #{event.sequence} {event.id}{state}"


def _note_mark(at: datetime, note: Note, names: dict[str, str]) -> Mark:
    data: dict[str, Any] = note.data if isinstance(note.data, dict) else {}
    fields: dict[str, str] = data.get("fields") or {}
    name = names.get(str(data.get("operation")), "message")
    if note.kind == "request":
        status = data.get("status")
        is_bad = status != 200
        return Mark(
            at=at,
            side=Side.FROM_MERCHANT,
            text=str(data.get("method", "request")),
            details=(f"refused with {status}",) if is_bad else (),
            is_bad=is_bad,
        )
    mti = str(data.get("mti", "?"))
    if note.kind == "message_out":
        said = (*_said_references(fields), _said_card(fields))
        text = f"{mti} {name} {_said_money(fields)}".rstrip()
        return Mark(at=at, side=Side.TO_ACQUIRER, text=text, details=tuple(filter(None, said)))
    code = fields.get("39", "")
    approval = fields.get("38", "").strip()
    meaning = meaning_of(code, is_reversal=name.startswith(Kind.REVERSAL))
    details = (meaning + (f", approval code {approval}" if approval else ""),)
    is_approved = isinstance(outcome_of_code(code), Approved)
    return Mark(at=at, side=Side.FROM_ACQUIRER, text=f"{mti} {name} {code}", details=details, is_bad=not is_approved)


def meaning_of(code: str, *, is_reversal: bool) -> str:
    """What a response code says, in words."""
    if is_reversal and code == NOT_FOUND_CODE:
        return "the acquirer knows nothing to reverse"
    if code == PARTLY_APPROVED_CODE:
        return "approved for a part only"
    if code in UNCLEAR_CODES:
        return "no clear answer"
    match outcome_of_code(code):
        case Approved():
            return "done" if is_reversal else "approved"
        case Declined(reason=reason):
            return "not done" if is_reversal else DESCRIPTIONS[reason]
        case _:
            return "no response code"


def _said_money(fields: dict[str, str]) -> str:
    amount, currency = fields.get("4", ""), CODE_BY_NUMBER.get(fields.get("49", ""))
    if not amount.isdecimal() or currency not in CURRENCIES or int(amount) == 0:
        return ""
    return str(Money(int(amount), currency))


def _said_card(fields: dict[str, str]) -> str:
    held = [name for name, field in (("PAN", "2"), ("expiry", "14")) if field in fields]
    held += ["CVV"] if fields.get("48") == "<cvv>" else []
    return f"{', '.join(held)} from the vault" if held else ""


def _said_references(fields: dict[str, str]) -> Iterator[str]:
    named = (("RRN", "37"), ("STAN", "11"))
    yield ", ".join(f"{name} {fields[field].strip()}" for name, field in named if field in fields)
    yield f"terminal {fields['41'].strip()}" if "41" in fields else ""
    if original := fields.get("90"):
        yield f"original: {original[:4]}, STAN {original[4:10]}"
    tags = fields.get("48", "")
    if tags.startswith(TAG_ORIGINAL_RRN):
        yield f"original: RRN {tags[4:]}"


def _attempt_mark(event: Announced, attempt: Attempt) -> Mark:
    is_good = is_delivered(attempt.status)
    answered = f"{attempt.status}" if attempt.status is not None else attempt.error or "no answer"
    again = f", attempt {attempt.number}" if attempt.number > 1 else ""
    detail = f"{answered} in {attempt.duration_seconds * 1000:.0f} ms{again}"
    text = f"{event.type} #{event.sequence}"
    return Mark(at=attempt.at, side=Side.TO_MERCHANT, text=text, details=(detail,), is_bad=not is_good)


def _names(session: PaymentSession) -> dict[str, str]:
    """Short names: the kind, with a number where there are several of it."""
    names = {payment.id: "payment" for payment in session.payments}
    if len(names) > 1:
        names = {id: f"payment {number}" for number, id in enumerate(names, start=1)}
    for kind in Kind:
        same = [operation for operation in session.operations if operation.kind is kind]
        for number, operation in enumerate(same, start=1):
            names[operation.id] = kind.value if len(same) == 1 else f"{kind} {number}"
    return names


def _headline(mark: Mark, begin: datetime, merchant: int, acquirer: int) -> str:
    time = click.style(f"{_elapsed(mark.at - begin):>{TIME_WIDTH - 2}}  ", dim=True)
    red = "red" if mark.is_bad else None
    match mark.side:
        case Side.FROM_MERCHANT:
            return f"{time}│{click.style(_arrow(mark.text, merchant, head='▶'), fg=red)}│{' ' * acquirer}│"
        case Side.TO_MERCHANT:
            return f"{time}│{click.style(_arrow(mark.text, merchant, tail='◀'), fg=red)}│{' ' * acquirer}│"
        case Side.TO_ACQUIRER:
            return f"{time}│{' ' * merchant}│{click.style(_arrow(mark.text, acquirer, head='▶'), fg=red)}│"
        case Side.FROM_ACQUIRER:
            return f"{time}│{' ' * merchant}│{click.style(_arrow(mark.text, acquirer, tail='◀'), fg=red)}│"
        case Side.GATEWAY | Side.ALARM:
            first, *rest = textwrap.wrap(mark.text, acquirer - 2, subsequent_indent="  ") or [""]
            line = f"{time}│{' ' * merchant}├ {click.style(f'{first:<{acquirer - 1}}', fg=red)}│"
            more = [f"\n{' ' * TIME_WIDTH}│{' ' * merchant}│ {one:<{acquirer - 1}}│" for one in rest]
            return line + "".join(more)


def _elapsed(time: timedelta) -> str:
    """Milliseconds, and from 100 seconds on hours, minutes and seconds."""
    if time < timedelta(seconds=100):
        return f"{round(time / timedelta(milliseconds=1)):+,}"
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"+{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _arrow(text: str, width: int, *, head: str = "", tail: str = "") -> str:
    text = text if len(text) <= width - 8 else text[: width - 9] + "…"
    line = f"{tail or '─'}── {text} "
    return line + "─" * (width - len(line) - len(head)) + head


def _detail(text: str, side: Side, merchant: int, acquirer: int) -> Iterator[str]:
    on_left = side in (Side.FROM_MERCHANT, Side.TO_MERCHANT)
    room = (merchant if on_left else acquirer) - 5
    for part in textwrap.wrap(text, room) or [""]:
        shown = click.style(f"    {part:<{room + 1}}", dim=True)
        left, right = (shown, " " * acquirer) if on_left else (" " * merchant, shown)
        yield f"{' ' * TIME_WIDTH}│{left}│{right}│"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"
