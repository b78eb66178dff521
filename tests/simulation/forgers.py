"""Planted bugs of the payment form and its tokens: each shows a payer what is not so, or opens what is not theirs."""

from __future__ import annotations

from tests.simulation.saboteur import Entry, Saboteur, Words, words
from tests.simulation.weather import Weather
from tollhouse import decision, progress
from tollhouse.flows import form, start_payment
from tollhouse.payment import Phase
from tollhouse.progress import Stage
from tollhouse.store.memory_tokens import MemoryTokens

LOST_ANSWERS = Weather(commit_lost=0.3, read_lost=0.1)
SILENT_BANK = Weather(answer_lost=0.7, request_lost=0.3)

FORGERS: tuple[Saboteur, ...] = (
    Saboteur(
        name="form pays a session that was started",
        promise="P1",
        lies=(
            Words(
                function=decision.require_startable,
                old="if session.status is not Status.CREATED:",
                new="if session.status is Status.CANCELLED:",
            ),
            Words(
                function=decision.start_payment,
                old="Draft(replace(session, offer=Offer()), now=now, ids=ids)",
                new="Draft(replace(session, offer=replace(offer, card=None, sealed_cvv=None)), now=now, ids=ids)",
            ),
        ),
    ),
    Saboteur(
        name="unknown shown to the payer as failed",
        promise="P6",
        lies=(
            Entry(table=progress.STAGES, key=Phase.UNKNOWN, value=Stage.FAILED),
            Words(
                function=progress.progress_of,
                old="    assert not has_failed or payment.reason is not None,",
                new="    assert has_failed or not has_failed,",
            ),
        ),
        weather=SILENT_BANK,
    ),
    words(
        "hold shown as a success where the merchant waits for the capture",
        "P2",
        progress.stage_of,
        "if succeeds_on_hold and",
        "if",
    ),
    Saboteur(
        name="payer shown a success before the bank has spoken",
        promise="P2",
        lies=(Entry(table=progress.STAGES, key=Phase.AUTHORIZING, value=Stage.SUCCEEDED),),
    ),
    words(
        "payer led to the wrong end",
        "P2",
        progress.end_url,
        "Stage.SUCCEEDED: note.success_return_url, Stage.FAILED: note.failure_return_url",
        "Stage.FAILED: note.success_return_url, Stage.SUCCEEDED: note.failure_return_url",
    ),
    words(
        "form shows the newest session of its project",
        "P12",
        form._session,
        "find_session(token.project, token.session_id)",
        "find_session(token.project, list(world.store.books.sessions)[-1][1])",
    ),
    words(
        "public token for ever",
        "P12",
        form.find_token,
        " or found.is_over(world.clock.now())",
        "",
    ),
    Saboteur(
        name="card token found by its text alone",
        promise="P12",
        lies=(
            Words(
                function=MemoryTokens.find_card,
                old="return self._cards.get((project, token))",
                new="return next((one for (_, text), one in self._cards.items() if text == token), None)",
            ),
        ),
    ),
    words(
        "two cards for one public token",
        "P5",
        MemoryTokens.exchange,
        "token is None or token.used_at is not None or",
        "token is None or",
        LOST_ANSWERS,
    ),
    words(
        "security code of a card token given to everybody",
        "P11",
        MemoryTokens.take_card,
        ", sealed_cvv=None)",
        ")",
    ),
    words(
        "security code kept after another window was first",
        "P11",
        start_payment.start_payment,
        "except (Refusal, KeyTaken):",
        "except KeyTaken:",
    ),
)
