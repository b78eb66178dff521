"""How a payment stands for the payer who looks at the form, and where the payer goes at its end (wire-api 12, 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, quote

from tollhouse.outcome import DESCRIPTIONS
from tollhouse.payment import Payment, Phase
from tollhouse.public_token import FormOptions
from tollhouse.session import PaymentSession

FORM = "form"  # where the payment keeps what its form was told


class Stage(StrEnum):
    """What the form shows."""

    READY = "ready"
    CONFIRMING = "confirming"
    ACTION = "action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


STAGES: dict[Phase, Stage] = {
    Phase.ROUTING: Stage.PROCESSING,
    Phase.AWAIT_CONFIRM: Stage.CONFIRMING,
    Phase.CONFIRMED: Stage.PROCESSING,
    Phase.AWAIT_ACTION: Stage.ACTION,
    Phase.AUTHORIZING: Stage.PROCESSING,
    Phase.HELD: Stage.PROCESSING,  # or a success, where the merchant said so
    Phase.CAPTURING: Stage.PROCESSING,
    Phase.CANCELLING: Stage.PROCESSING,
    Phase.UNKNOWN: Stage.PROCESSING,  # never a failure while nobody knows
    Phase.SUCCEEDED: Stage.SUCCEEDED,
    Phase.FAILED: Stage.FAILED,
}
assert set(STAGES) == set(Phase)
FINAL = frozenset({Stage.SUCCEEDED, Stage.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a session stands for its payer. `action_link` names the payer's page of 3-D Secure."""

    stage: Stage
    session_id: str
    action_link: str | None = None
    seconds_left: int | None = None
    code: str | None = None
    description: str | None = None
    return_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormNote:
    """What is kept with a payment that was made by the form: its merchant's wishes when it began."""

    success_return_url: str | None = None
    failure_return_url: str | None = None
    succeeds_on_hold: bool = False
    origins: tuple[str, ...] = ()  # who may frame the payer's pages

    @property
    def has_return_url(self) -> bool:
        return self.success_return_url is not None or self.failure_return_url is not None


def note_of(options: FormOptions, origins: tuple[str, ...]) -> dict[str, Any]:
    """The note as a member of what is kept with the payment and never shown to its merchant."""
    note = {
        "success_return_url": options.success_return_url,
        "failure_return_url": options.failure_return_url,
        "succeeds_on_hold": options.succeeds_on_hold,
        "origins": list(origins),
    }
    return {FORM: note}


def form_note(payment: Payment) -> FormNote | None:
    """The note of a payment; None when it was not made by the form."""
    note: Mapping[str, Any] | None = (payment.details.unechoed or {}).get(FORM)
    if note is None:
        return None
    return FormNote(
        success_return_url=note.get("success_return_url"),
        failure_return_url=note.get("failure_return_url"),
        succeeds_on_hold=note.get("succeeds_on_hold", False),
        origins=tuple(note.get("origins", ())),
    )


def progress_of(
    session: PaymentSession, options: FormOptions, now: datetime, *, names_session: bool = True
) -> Progress:
    """How the session stands for a form with these options.

    `names_session`: whether the way back names a session without a payment; a payment knows that itself.
    """
    if not session.payments:
        if session.dropped is None:
            return Progress(stage=Stage.READY, session_id=session.id)
        url = options.failure_return_url
        return Progress(
            stage=Stage.FAILED,
            session_id=session.id,
            code=session.dropped,
            description=DESCRIPTIONS[session.dropped],
            return_url=with_session_id(url, session.id) if url and names_session else url,
        )
    payment = session.payments[-1]
    stage = stage_of(payment, succeeds_on_hold=options.succeeds_on_hold)
    is_action, has_failed = stage is Stage.ACTION, stage is Stage.FAILED
    assert not has_failed or payment.reason is not None, "a failed payment has a reason"
    left = None
    if is_action and payment.action_deadline_at is not None:
        left = max(0, int((payment.action_deadline_at - now).total_seconds()))
    note = FormNote(success_return_url=options.success_return_url, failure_return_url=options.failure_return_url)
    return Progress(
        stage=stage,
        session_id=session.id,
        action_link=payment.action_link if is_action else None,
        seconds_left=left,
        code=payment.reason if has_failed else None,
        description=DESCRIPTIONS[payment.reason] if has_failed and payment.reason else None,
        return_url=end_url(session, payment, note, stage),
    )


def stage_of(payment: Payment, *, succeeds_on_hold: bool) -> Stage:
    """The payment's stage. A captured hold was a success before, so a hold that is being captured is one too."""
    if succeeds_on_hold and payment.phase in (Phase.HELD, Phase.CAPTURING):
        return Stage.SUCCEEDED
    return STAGES[payment.phase]


def end_url(session: PaymentSession, payment: Payment, note: FormNote, stage: Stage) -> str | None:
    """Where a form leads its payer at the end; None before the end, or where the merchant named nothing."""
    urls = {Stage.SUCCEEDED: note.success_return_url, Stage.FAILED: note.failure_return_url}
    url = urls.get(stage)
    if url is None or not payment.names_session_on_return:
        return url
    return with_session_id(url, session.id)


def with_session_id(url: str, session_id: str) -> str:
    """The address with the session's id in its query, unless the merchant has one there."""
    address, hash_mark, fragment = url.partition("#")
    place, _, query = address.partition("?")
    if "session_id" in dict(parse_qsl(query, keep_blank_values=True)):
        return url
    query = "&".join(part for part in (query, f"session_id={quote(session_id, safe='')}") if part)
    return f"{place}?{query}{hash_mark}{fragment}"
