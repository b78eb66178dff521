"""Draws a session's life as a sequence diagram, top to bottom in time: merchant, gateway and acquirer, and with 3-D
Secure the payer beside the merchant and the directory server behind the acquirer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

import click

from tollhouse.acquirers.iso8583.fields import (
    TAG_AUTHENTICATION_VALUE,
    TAG_DS_TRANSACTION_ID,
    TAG_ECI,
    TAG_EXEMPTION,
    TAG_ORIGINAL_RRN,
    TAG_THREEDS_VERSION,
    Garbled,
    unpack_tags,
)
from tollhouse.change import Alarm, Note
from tollhouse.cli.threeds import Exchanged, is_threeds, read_note, told_of
from tollhouse.ledger import Transfer
from tollhouse.life import Announced, Life
from tollhouse.money import CODE_BY_NUMBER, CURRENCIES, Money
from tollhouse.operation import Heard, Kind
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
DIRECTORY_WIDTH = 12
CVV_SLOT = "<cvv>"  # stands in a kept message where the vault put the CVV
EXEMPTIONS = {"05": "TRA", "10": "low value", "11": "corporate"}


class Side(IntEnum):
    """What a line is drawn as. In one instant the smaller number comes first."""

    FROM_MERCHANT = 0
    FROM_ACQUIRER = 1
    FROM_DIRECTORY = 2
    GATEWAY = 3
    ALARM = 4
    TO_DIRECTORY = 5
    TO_ACQUIRER = 6
    TO_MERCHANT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One thing that happened: a headline, and what else is to be said of it."""

    at: datetime
    side: Side
    text: str
    details: tuple[str, ...] = ()
    is_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How wide the columns are: left of the gateway, up to the acquirer, up to the directory server (0: it is not)."""

    merchant: int
    acquirer: int
    directory: int

    @property
    def right(self) -> str:
        """What is right of the gateway where nothing happens."""
        return self.ended(" " * self.acquirer)

    def ended(self, drawn: str) -> str:
        """The acquirer's column as drawn, and what is right of it."""
        return f"{drawn}│{' ' * self.directory}│" if self.directory else f"{drawn}│"

    def heads(self) -> str:
        """The line that says who stands where."""
        left = "merchant, payer" if self.directory else "merchant"
        line = f"{left}{' ' * (self.merchant - len(left) - 3)}gateway{' ' * (self.acquirer - 12)}acquirer"
        return f"{line}{' ' * (self.directory - 5)}directory" if self.directory else line


def _layout(life: Life, width: int) -> Layout:
    has_threeds = any(isinstance(kept.what, Note) and is_threeds(kept.what) for kept in life.notes)
    directory = DIRECTORY_WIDTH if has_threeds else 0
    room = max(width, WIDTH_MIN) - TIME_WIDTH
    merchant = max(34, int(room * MERCHANT_SHARE) - directory)
    return Layout(merchant=merchant, acquirer=room - merchant - directory - 6, directory=directory)


def draw(life: Life, width: int) -> Iterator[str]:
    """The lines of the drawing."""
    yield from _header(life)
    layout = _layout(life, width)
    yield f"{'ms':>{TIME_WIDTH - 2}}  {layout.heads()}"
    names = _names(life.session)
    last = life.session.created_at
    for mark in sorted(marks_of(life, names), key=lambda mark: (mark.at, mark.side)):
        if mark.at - last > timedelta(seconds=10):
            yield f"{' ' * TIME_WIDTH}│{' ' * layout.merchant}│{layout.right}".replace("│", "┆")
        last = mark.at
        yield _headline(mark, life.session.created_at, layout)
        for detail in mark.details:
            yield from _detail(detail, mark.side, layout)


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
    for authentication in session.authentications:
        yield f"{names[authentication.id]:<{room}}  {authentication.id}  {told_of(authentication)}"
    if session.due_at is not None:
        yield f"next thing due at {_at(session.due_at)}"
    yield ""


def marks_of(life: Life, names: dict[str, str]) -> Iterator[Mark]:
    """Everything that happened, unsorted."""
    unsent = _unsent(life)
    for past in life.history:
        for step in past.steps:
            text = f"{names.get(step.subject, 'session')}: {step.before or 'new'} → {step.after}"
            yield Mark(at=past.at, side=Side.GATEWAY, text=f"{text} ({step.heard})")
    for kept in (*life.notes, *life.alarms, *life.transfers):
        match kept.what:
            case Note() as note if is_threeds(note):
                yield _threeds_mark(read_note(kept.at, note))
            case Note() as note:
                yield _note_mark(kept.at, note, names, unsent)
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


def _threeds_mark(one: Exchanged) -> Mark:
    if one.is_by_browser:
        side = Side.TO_MERCHANT if one.is_out else Side.FROM_MERCHANT
        return Mark(
            at=one.at, side=side, text=one.name, details=(f"{one.words}, by the payer's browser",), is_bad=one.is_bad
        )
    side = Side.TO_DIRECTORY if one.is_out else Side.FROM_DIRECTORY
    return Mark(at=one.at, side=side, text=one.name, details=(one.words,) if one.words else (), is_bad=one.is_bad)


Unsent = set[tuple[object, datetime]]  # by operation and time


def _unsent(life: Life) -> Unsent:
    """Messages that were written down and never left: an operation's last one before it heard so."""
    unsent: Unsent = set()
    for past in life.history:
        for step in (one for one in past.steps if one.heard == Heard.NOT_SENT):
            written = [kept.at for kept in life.notes if _is_message_of(kept.what, step.subject) and kept.at <= past.at]
            unsent |= {(step.subject, at) for at in written[-1:]}
    return unsent


def _is_message_of(what: object, operation_id: str) -> bool:
    match what:
        case Note(kind="message_out", data=dict() as data):
            return data.get("operation") == operation_id
        case _:
            return False


def _note_mark(at: datetime, note: Note, names: dict[str, str], unsent: Unsent) -> Mark:
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
    if note.kind == "message_out" and (data.get("operation"), at) in unsent:
        text = f"{mti} {name} {_said_money(fields)}".rstrip()
        said = (*_said_references(fields), "nothing was written to the acquirer")
        return Mark(at=at, side=Side.GATEWAY, text=f"{text}: NOT SENT", details=tuple(filter(None, said)), is_bad=True)
    if note.kind == "message_out":
        said = (*_said_references(fields), _said_card(fields), _said_proof(fields))
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
    held += ["CVV"] if fields.get("48", "").endswith(CVV_SLOT) else []
    return f"{', '.join(held)} from the vault" if held else ""


def _said_proof(fields: dict[str, str]) -> str:
    """What 3-D Secure, or an exemption from it, puts into a charge."""
    tags = _tags(fields)
    said = [f"ECI {tags[TAG_ECI]}"] if TAG_ECI in tags else []
    said += ["authentication value"] if TAG_AUTHENTICATION_VALUE in tags else []
    said += ["DS transaction id"] if TAG_DS_TRANSACTION_ID in tags else []
    said += [f"3DS {tags[TAG_THREEDS_VERSION]}"] if TAG_THREEDS_VERSION in tags else []
    if code := tags.get(TAG_EXEMPTION):
        said.append(f"exemption: {EXEMPTIONS.get(code, code)}")
    return ", ".join(said)


def _tags(fields: dict[str, str]) -> dict[str, str]:
    try:
        return unpack_tags(fields.get("48", "").removesuffix(CVV_SLOT))
    except Garbled:
        return {}


def _said_references(fields: dict[str, str]) -> Iterator[str]:
    named = (("RRN", "37"), ("STAN", "11"))
    yield ", ".join(f"{name} {fields[field].strip()}" for name, field in named if field in fields)
    yield f"terminal {fields['41'].strip()}" if "41" in fields else ""
    if original := fields.get("90"):
        yield f"original: {original[:4]}, STAN {original[4:10]}"
    if rrn := _tags(fields).get(TAG_ORIGINAL_RRN):
        yield f"original: RRN {rrn}"


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
    for number, authentication in enumerate(session.authentications, start=1):
        names[authentication.id] = "3DS" if len(session.authentications) == 1 else f"3DS {number}"
    return names


def _headline(mark: Mark, begin: datetime, layout: Layout) -> str:
    time = click.style(f"{_elapsed(mark.at - begin):>{TIME_WIDTH - 2}}  ", dim=True)
    red = "red" if mark.is_bad else None
    left = " " * layout.merchant
    match mark.side:
        case Side.FROM_MERCHANT:
            arrow = _arrow(mark.text, layout.merchant, head="▶")
            return f"{time}│{click.style(arrow, fg=red)}│{layout.right}"
        case Side.TO_MERCHANT:
            arrow = _arrow(mark.text, layout.merchant, tail="◀")
            return f"{time}│{click.style(arrow, fg=red)}│{layout.right}"
        case Side.TO_ACQUIRER:
            arrow = _arrow(mark.text, layout.acquirer, head="▶")
            return f"{time}│{left}│{layout.ended(click.style(arrow, fg=red))}"
        case Side.FROM_ACQUIRER:
            arrow = _arrow(mark.text, layout.acquirer, tail="◀")
            return f"{time}│{left}│{layout.ended(click.style(arrow, fg=red))}"
        case Side.TO_DIRECTORY | Side.FROM_DIRECTORY:
            ends = {"head": "▶"} if mark.side is Side.TO_DIRECTORY else {"tail": "◀"}
            arrow = _arrow(mark.text, layout.acquirer + 1 + layout.directory, **ends)
            if arrow[layout.acquirer] == "─":
                arrow = f"{arrow[: layout.acquirer]}┼{arrow[layout.acquirer + 1 :]}"
            return f"{time}│{left}│{click.style(arrow, fg=red)}│"
        case Side.GATEWAY | Side.ALARM:
            room = layout.acquirer - 1
            first, *rest = textwrap.wrap(mark.text, room - 1, subsequent_indent="  ") or [""]
            line = f"{time}│{left}├ {layout.ended(click.style(f'{first:<{room}}', fg=red))}"
            return line + "".join(f"\n{' ' * TIME_WIDTH}│{left}│ {layout.ended(f'{one:<{room}}')}" for one in rest)


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


def _detail(text: str, side: Side, layout: Layout) -> Iterator[str]:
    on_left = side in (Side.FROM_MERCHANT, Side.TO_MERCHANT)
    room = (layout.merchant if on_left else layout.acquirer) - 5
    for part in textwrap.wrap(text, room) or [""]:
        shown = click.style(f"    {part:<{room + 1}}", dim=True)
        left, right = (shown, layout.right) if on_left else (" " * layout.merchant, layout.ended(shown))
        yield f"{' ' * TIME_WIDTH}│{left}│{right}"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"
