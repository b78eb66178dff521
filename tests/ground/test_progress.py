"""What a form shows of a payment in each phase, and where it leads the payer at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.ground.story import CARD, NOON, OFFER, Story
from tollhouse.money import Money
from tollhouse.outcome import DESCRIPTIONS, Reason
from tollhouse.payment import Details, Payment, Phase
from tollhouse.progress import FINAL, FORM, Progress, Stage, form_note, note_of, progress_of, stage_of, with_session_id
from tollhouse.public_token import FormOptions
from tollhouse.session import PaymentSession

SUCCESS, FAILURE = "https://shop.example/ok", "https://shop.example/no?order=7#top"
OPTIONS = FormOptions(success_return_url=SUCCESS, failure_return_url=FAILURE)
# Each phase with what is shown, and with what is shown where a hold is a success.
SHOWN = {
    Phase.ROUTING: ("processing", "processing"),
    Phase.AWAIT_CONFIRM: ("confirming", "confirming"),
    Phase.CONFIRMED: ("processing", "processing"),
    Phase.AWAIT_ACTION: ("action", "action"),
    Phase.AUTHORIZING: ("processing", "processing"),
    Phase.HELD: ("processing", "succeeded"),
    Phase.CAPTURING: ("processing", "succeeded"),
    Phase.CANCELLING: ("processing", "processing"),
    Phase.UNKNOWN: ("processing", "processing"),
    Phase.SUCCEEDED: ("succeeded", "succeeded"),
    Phase.FAILED: ("failed", "failed"),
}


def payment(phase: Phase, **given: Any) -> Payment:
    """A payment in a phase."""
    return Payment(
        id="pm_1",
        phase=phase,
        money=Money(2590, "eur"),
        card=CARD,
        details=Details(customer={"reference": "u"}),
        acquirer="sandbox",
        created_at=NOON,
        reason=Reason.INSUFFICIENT_FUNDS if phase is Phase.FAILED else None,
        **given,
    )


def session(*payments: Payment, **given: Any) -> PaymentSession:
    """A session with its payments."""
    return PaymentSession(
        project="shop",
        id="ps_1",
        version=1,
        api_version=2,
        created_at=NOON,
        updated_at=NOON,
        payments=payments,
        **given,
    )


def shown(one: PaymentSession, options: FormOptions = OPTIONS) -> Progress:
    """What the form shows."""
    return progress_of(one, options, NOON)


@pytest.mark.parametrize("on_hold", [False, True])
@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_shown(phase: Phase, on_hold: bool) -> None:
    """By the table above; no phase is shown as an end that is none."""
    options = replace(OPTIONS, succeeds_on_hold=on_hold)
    progress = shown(session(payment(phase)), options)
    assert progress.stage == SHOWN[phase][on_hold]
    assert stage_of(payment(phase), succeeds_on_hold=on_hold) is progress.stage
    is_over = progress.stage in FINAL
    assert (progress.return_url is not None) is is_over
    assert (progress.code is not None) is (progress.stage is Stage.FAILED)
    assert (progress.description is not None) is (progress.stage is Stage.FAILED)


@pytest.mark.parametrize("on_hold", [False, True])
def test_what_nobody_knows_is_no_failure(on_hold: bool) -> None:
    """Failed is shown of a failed payment alone, and success of none that may yet be charged or given back."""
    for phase in Phase:
        stage = stage_of(payment(phase), succeeds_on_hold=on_hold)
        assert (stage is Stage.FAILED) is (phase is Phase.FAILED)
        holds = {Phase.HELD, Phase.CAPTURING} if on_hold else set()
        assert (stage is Stage.SUCCEEDED) is (phase in {Phase.SUCCEEDED} | holds)


def test_a_session_that_waits_is_ready() -> None:
    """Nothing was paid yet: the form may be filled in."""
    assert shown(session()) == Progress(stage=Stage.READY, session_id="ps_1")


@pytest.mark.parametrize("reason", [Reason.CANCELLED_BY_MERCHANT, Reason.CANCELLED])
def test_a_dropped_session_has_failed(reason: Reason) -> None:
    """The merchant cancelled it, or its time was over, before anybody paid."""
    progress = shown(session(dropped=reason))
    assert progress.stage is Stage.FAILED
    assert (progress.code, progress.description) == (reason, DESCRIPTIONS[reason])
    assert progress.return_url == "https://shop.example/no?order=7&session_id=ps_1#top"
    assert shown(session(dropped=reason), FormOptions()).return_url is None


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_described(reason: Reason) -> None:
    """The code is the wire's, the words are English."""
    failed = replace(payment(Phase.FAILED), reason=reason)
    progress = shown(session(failed))
    assert (progress.code, progress.description) == (reason, DESCRIPTIONS[reason])


@pytest.mark.parametrize(("seconds", "left"), [(3600, 3600), (0.9, 0), (1.9, 1), (0, 0), (-5, 0)])
def test_the_time_for_the_payer(seconds: float, left: int) -> None:
    """Whole seconds, never more than there are, and never fewer than none; with the way to the page."""
    deadline_at = NOON + timedelta(seconds=seconds)
    progress = shown(session(payment(Phase.AWAIT_ACTION, action_link="link", action_deadline_at=deadline_at)))
    assert (progress.seconds_left, progress.action_link) == (left, "link")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.AWAIT_ACTION])
def test_the_link_is_shown_while_the_payer_must_act(phase: Phase) -> None:
    """Not before, not afterwards, although the payment keeps it."""
    progress = shown(session(payment(phase, action_link="link", action_deadline_at=NOON)))
    assert (progress.action_link, progress.seconds_left) == (None, None)


@pytest.mark.parametrize(
    ("given", "led"),
    [
        ("https://shop.example", "https://shop.example?session_id=ps_1"),
        ("https://shop.example/ok?a=1", "https://shop.example/ok?a=1&session_id=ps_1"),
        ("https://shop.example/ok?", "https://shop.example/ok?session_id=ps_1"),
        ("https://shop.example/ok#end", "https://shop.example/ok?session_id=ps_1#end"),
        ("https://shop.example/#/ok?a=1", "https://shop.example/?session_id=ps_1#/ok?a=1"),
        ("https://shop.example/ok?session_id=mine", "https://shop.example/ok?session_id=mine"),
        ("https://shop.example/ok?session_id=", "https://shop.example/ok?session_id="),
        ("https://shop.example/ok?my_session_id=1", "https://shop.example/ok?my_session_id=1&session_id=ps_1"),
    ],
)
def test_the_session_is_named_on_the_way_back(given: str, led: str) -> None:
    """In the query, behind what is there, before the fragment, unless the merchant has it there already."""
    assert with_session_id(given, "ps_1") == led


def test_the_session_is_not_named_where_the_project_wants_nothing() -> None:
    """The setting `return_params` holds for the form's addresses too."""
    silent = payment(Phase.SUCCEEDED, names_session_on_return=False)
    assert shown(session(silent)).return_url == SUCCESS
    assert shown(session(payment(Phase.SUCCEEDED))).return_url == f"{SUCCESS}?session_id=ps_1"


def test_each_end_has_its_own_address() -> None:
    """Where the merchant named only one of them, the other end leads nowhere."""
    paid, failed = session(payment(Phase.SUCCEEDED)), session(payment(Phase.FAILED))
    only_success = FormOptions(success_return_url=SUCCESS)
    assert shown(paid, only_success).return_url == f"{SUCCESS}?session_id=ps_1"
    assert shown(failed, only_success).return_url is None
    assert shown(failed).return_url == "https://shop.example/no?order=7&session_id=ps_1#top"


def test_the_note_comes_back() -> None:
    """What a payment's form was told is kept with the payment; a payment without a form has no note."""
    options = replace(OPTIONS, succeeds_on_hold=True)
    kept = note_of(options, ("https://shop.example",))
    assert set(kept) == {FORM}
    made = replace(payment(Phase.ROUTING), details=Details(unechoed=kept))
    note = form_note(made)
    assert note is not None
    assert (note.success_return_url, note.failure_return_url) == (SUCCESS, FAILURE)
    assert (note.succeeds_on_hold, note.origins, note.has_return_url) == (True, ("https://shop.example",), True)
    assert form_note(payment(Phase.ROUTING)) is None
    assert form_note(replace(made, details=Details(unechoed={"participants": {}}))) is None


def test_a_form_without_addresses_waits_for_nothing() -> None:
    """Its payer goes where the merchant's own return address says."""
    note = form_note(replace(payment(Phase.ROUTING), details=Details(unechoed=note_of(FormOptions(), ()))))
    assert note is not None
    assert not note.has_return_url


def test_a_life_told() -> None:
    """Confirming, processing, succeeded: by the rules themselves, from the start to the refund."""
    story = Story()
    assert shown(story.session).stage is Stage.READY
    assert shown(story.start(OFFER).session).stage is Stage.CONFIRMING
    assert shown(story.confirm().session).stage is Stage.PROCESSING
    assert shown(story.answered("00").session).stage is Stage.SUCCEEDED
    assert shown(story.refund().session).stage is Stage.SUCCEEDED
    assert shown(story.answered("00").session).stage is Stage.SUCCEEDED


def test_silence_told() -> None:
    """No answer from the bank is shown as work, until the reversal has been acknowledged."""
    story = Story().start(OFFER).confirm().answered("")
    assert shown(story.session).stage is Stage.PROCESSING
    story.wait(61).answered("00")
    assert (shown(story.session).stage, shown(story.session).code) == (Stage.FAILED, Reason.ACQUIRER_TIMEOUT)
