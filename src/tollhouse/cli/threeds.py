"""What 3-D Secure said about a session's payments: every kept message, who said it to whom, and what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from tollhouse.authentication import Authentication, Cancelled, TransStatus
from tollhouse.change import Note
from tollhouse.life import Life

SERVER, DIRECTORY, BROWSER = "3DS server", "directory server", "issuer, by the payer's browser"
BY_BROWSER = frozenset({"CReq", "CRes"})
NAME_WIDTH_MAX = 40
WIDTH_MIN = 60
STATUS_WORDS: Mapping[str, str] = {
    TransStatus.AUTHENTICATED: "authenticated",
    TransStatus.ATTEMPTED: "attempted",
    TransStatus.NOT_AUTHENTICATED: "not authenticated",
    TransStatus.UNAVAILABLE: "unavailable",
    TransStatus.REJECTED: "rejected",
    TransStatus.INFORMED: "informed",
    TransStatus.CHALLENGE: "challenge",
    TransStatus.DECOUPLED: "decoupled",
}
CANCEL_WORDS: Mapping[str, str] = {
    Cancelled.BY_PAYER: "cancelled by the payer",
    Cancelled.DECOUPLED_TIMEOUT: "decoupled, out of time",
    Cancelled.ISSUER_TIMEOUT: "the payer was too slow",
    Cancelled.NEVER_BEGUN: "never begun",
}
GOOD = frozenset({TransStatus.AUTHENTICATED, TransStatus.ATTEMPTED, TransStatus.CHALLENGE, TransStatus.DECOUPLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One message as it was kept, or the silence (`silence` says why) where an answer was awaited."""

    at: datetime
    payment_id: str
    is_out: bool
    members: Mapping[str, Any]
    silence: str | None = None

    @property
    def type(self) -> str:
        return str(self.members.get("messageType", "message"))

    @property
    def version(self) -> str:
        return str(self.members.get("messageVersion", ""))

    @property
    def name(self) -> str:
        """Type and version; of a silence that it was one."""
        return "silence" if self.silence is not None else _plain(f"{self.type} {self.version}"[:NAME_WIDTH_MAX])

    @property
    def is_by_browser(self) -> bool:
        """Whether the payer's browser carried it."""
        about = self.members.get("errorMessageType") if self.type == "Erro" else self.type
        return about in BY_BROWSER

    @property
    def parties(self) -> tuple[str, str]:
        """Who said it to whom."""
        other = BROWSER if self.is_by_browser else DIRECTORY
        return (SERVER, other) if self.is_out else (other, SERVER)

    @property
    def words(self) -> str:
        """What matters in it, in few words."""
        return _plain(self.silence if self.silence is not None else ", ".join(_words(self.members)))

    @property
    def is_bad(self) -> bool:
        """Whether it brings bad news."""
        status = self.members.get("transStatus")
        return self.silence is not None or self.type == "Erro" or (status is not None and status not in GOOD)


def exchanged(life: Life) -> list[Exchanged]:
    """Everything that 3-D Secure said in a session's life, oldest first."""
    found = (
        read_note(kept.at, kept.what) for kept in life.notes if isinstance(kept.what, Note) and is_threeds(kept.what)
    )
    return list(found)


def is_threeds(note: Note) -> bool:
    """Whether a note tells of 3-D Secure."""
    return note.kind == "threeds" and isinstance(note.data, dict)


def read_note(at: datetime, note: Note) -> Exchanged:
    """A note as a message."""
    data: dict[str, Any] = note.data
    message = data.get("message")
    silence = data.get("silence")
    return Exchanged(
        at=at,
        payment_id=str(data.get("payment", "")),
        is_out=data.get("direction") == "out",
        members=message if isinstance(message, dict) else {},
        silence=None if silence is None else str(silence),
    )


def shown_message(one: Exchanged) -> dict[str, Any]:
    """A message for programs."""
    sender, receiver = one.parties
    head: dict[str, Any] = {
        "at": one.at.isoformat().replace("+00:00", "Z"),
        "payment_id": one.payment_id,
        "direction": "out" if one.is_out else "in",
        "from": sender,
        "to": receiver,
    }
    if one.silence is not None:
        return {**head, "silence": one.silence}
    return {**head, "type": one.type, "version": one.version, "message": dict(one.members)}


def shown_messages(life: Life) -> dict[str, Any]:
    """All messages of a session for programs."""
    messages = [shown_message(one) for one in exchanged(life)]
    return {"session_id": life.session.id, "project": life.session.project, "messages": messages}


def told_of(authentication: Authentication) -> str:
    """How an authentication stands, in few words."""
    result = authentication.result
    members = {} if result is None else {"transStatus": result.status, "eci": result.eci}
    return ", ".join([authentication.version, authentication.state.value, *_words(members)])


def print_messages(life: Life, width: int) -> Iterator[str]:
    """Every message with all its members, for people."""
    session = life.session
    found = exchanged(life)
    yield f"session  {session.id}  {click.style(session.status, bold=True)}, project {session.project}"
    for payment in session.payments:
        yield f"payment  {payment.id}  {payment.money}, {payment.card.bin}******{payment.card.last4}, {payment.phase}"
        for authentication in session.authentications_of(payment.id):
            yield f"  authentication {authentication.id}  {told_of(authentication)}"
    if not found:
        yield "3-D Secure said nothing about this session"
    for one in found:
        yield ""
        yield headline(one)
        sender, receiver = one.parties
        about = f", payment {one.payment_id}" if len(session.payments) > 1 else ""
        yield f"    {click.style(f'{sender} → {receiver}{about}', dim=True)}"
        yield from _member_lines(one.members, max(width, WIDTH_MIN))


def headline(one: Exchanged) -> str:
    """Time, direction, type, version, and what matters."""
    at = click.style(f"{one.at:%Y-%m-%d %H:%M:%S}.{one.at.microsecond // 1000:03d}", dim=True)
    return f"{at}  {arrow_line(one)}"


def arrow_line(one: Exchanged) -> str:
    """Direction, type, version, and what matters."""
    arrow = click.style("→", fg="cyan") if one.is_out else click.style("←", fg="magenta")
    words = f"  {click.style(one.words, fg='red' if one.is_bad else None)}" if one.words else ""
    return f"{arrow} {click.style(one.name, bold=True)}{words}"


def _words(members: Mapping[str, Any]) -> Iterator[str]:
    if code := members.get("errorCode"):
        detail = members.get("errorDetail")
        about = f" (about {members['errorMessageType']})" if members.get("errorMessageType") else ""
        yield f"{code} {members.get('errorDescription', '')}{f': {detail}' if detail else ''}{about}"
    if status := members.get("transStatus"):
        yield f"{status} {STATUS_WORDS.get(str(status), '')}".rstrip()
    if eci := members.get("eci"):
        yield f"ECI {eci}"
    if cancelled := members.get("challengeCancel"):
        yield CANCEL_WORDS.get(str(cancelled), f"cancelled ({cancelled})")
    if members.get("resultsStatus") == "01":
        yield "received"


def _plain(text: str) -> str:
    """Others wrote it: on a terminal nothing of it may be more than text."""
    return "".join(one if one.isprintable() else " " for one in text).strip()


def _member_lines(members: Mapping[str, Any], width: int) -> Iterator[str]:
    flat = list(_flat(members))
    room = min(max((len(name) for name, _ in flat), default=0), NAME_WIDTH_MAX)
    for name, text in flat:
        first, *rest = textwrap.wrap(_plain(text), width - room - 6, break_on_hyphens=False) or [""]
        yield f"    {_plain(name):<{room}}  {first}".rstrip()
        yield from (f"    {'':<{room}}  {more}" for more in rest)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Members by their dotted names."""
    match value:
        case Mapping():
            for key, member in value.items():
                yield from _flat(member, f"{name}.{key}" if name else str(key))
        case list() if any(isinstance(item, dict | list) for item in value):
            for number, item in enumerate(value, start=1):
                yield from _flat(item, f"{name}.{number}")
        case list():
            yield name, ", ".join(str(item) for item in value)
        case bool():
            yield name, str(value).lower()
        case _:
            yield name, str(value)
