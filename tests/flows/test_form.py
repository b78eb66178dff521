"""The payment form: the one payment that its windows can start, and what they show of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.builders import (
    AMOUNT,
    announced,
    call,
    card,
    created,
    driven,
    recovered,
    with_settings,
)
from tests.forms import FAILURE, OTHER_PAN, issued, opened, pay, stage
from tests.worlds import ANSWER_LOST, PROJECT, TWO_STAGE, FakeVault, declined, memory_world, second_node
from tollhouse.card import CardDetails, KeptCard
from tollhouse.change import Change
from tollhouse.flows.cancel import cancel
from tollhouse.flows.capture import capture
from tollhouse.flows.confirm import confirm
from tollhouse.flows.form import look
from tollhouse.flows.start_payment import start_payment
from tollhouse.payment import Phase
from tollhouse.progress import Progress, Stage, form_note
from tollhouse.refusal import (
    StateForbids,
)
from tollhouse.session import DECISION_SECONDS_MAX, UNSTARTED_SECONDS_MAX, Offer
from tollhouse.store.memory import MemoryStore


async def test_a_payment_by_the_form() -> None:
    """Ready, confirming, processing, succeeded: one session, one payment, one event at each step."""
    world = memory_world()
    token = await opened(world)
    assert await look(world, token) == (AMOUNT, Progress(stage=Stage.READY, session_id=str(token.session_id)))
    session, progress = await pay(world, token)
    assert (session.id, progress.stage) == (token.session_id, Stage.CONFIRMING)
    assert announced(world, session) == ["ready_to_confirm"]
    settled = await confirm(world, call(), session.id)
    assert await stage(world, token) is Stage.PROCESSING
    await driven(world, settled)
    assert await stage(world, token) is Stage.SUCCEEDED
    assert world.link.had_cvv == [True]
    assert world.vault.cvvs == set()


async def test_a_payment_that_confirms_itself_is_driven_by_whoever_took_it() -> None:
    """With `auto_confirm` the submit leaves work behind, leased to this node."""
    world = memory_world()
    project = with_settings(PROJECT, auto_confirm=True)
    session, progress = await pay(world, await opened(world, project=project), project=project)
    assert (progress.stage, session.lease_owner) == (Stage.PROCESSING, world.node)
    assert (await driven(world, session)).payments[0].phase is Phase.SUCCEEDED


async def test_every_decline_has_its_words() -> None:
    """Code and description of the bank's no; another payment needs another session."""
    world = memory_world()
    token = await opened(world, failure_return_url=FAILURE)
    session, _ = await pay(world, token)
    world.link.script.append(declined("51"))
    await driven(world, await confirm(world, call(), session.id))
    _, progress = await look(world, token)
    assert (progress.stage, progress.code) == (Stage.FAILED, "insufficient_funds")
    assert progress.description
    assert progress.return_url == f"{FAILURE}?session_id={session.id}"
    with pytest.raises(StateForbids):
        await pay(world, token)


async def test_silence_of_the_bank_is_shown_as_work() -> None:
    """Until the reversal is acknowledged nobody is told that the payment failed."""
    world = memory_world()
    token = await opened(world)
    session, _ = await pay(world, token)
    world.link.script += [ANSWER_LOST, ANSWER_LOST]
    session = await driven(world, await confirm(world, call(), session.id))
    assert session.payments[0].phase is Phase.UNKNOWN
    assert await stage(world, token) is Stage.PROCESSING
    for _ in range(3):
        world.clock.move(120)
        await recovered(world, session)
    assert await stage(world, token) is Stage.FAILED


async def test_the_first_submit_wins() -> None:
    """The same token again and another token of the session: refused, and both see how the one payment stands."""
    world = memory_world()
    first = await opened(world)
    session = world.books.sessions["shop", str(first.session_id)]
    second = await issued(world, session)
    session, _ = await pay(world, second)
    for token in (first, second):
        with pytest.raises(StateForbids, match="can be started once"):
            await pay(world, token, card(pan=OTHER_PAN))
        _, progress = await look(world, token)
        assert (progress.session_id, progress.stage) == (session.id, Stage.CONFIRMING)
    assert len(world.session(session).payments) == 1
    assert len(world.vault.cards) == 1  # the refused card was not even kept
    assert len(world.vault.cvvs) == 1


async def test_each_token_has_its_own_options() -> None:
    """How the end is shown follows the window's token, not that of the one who paid."""
    world = memory_world()
    session = await created(world, project=TWO_STAGE)
    patient = await issued(world, session, project=TWO_STAGE)
    hasty = await issued(world, session, project=TWO_STAGE, succeeds_on_hold=True)
    await pay(world, patient, project=TWO_STAGE)
    await driven(world, await confirm(world, call(TWO_STAGE), session.id))
    assert (await stage(world, patient), await stage(world, hasty)) == (Stage.PROCESSING, Stage.SUCCEEDED)


async def test_the_merchant_may_start_first() -> None:
    """By open parameters, while the form is open: the form shows that payment, and its card is dropped."""
    world = memory_world()
    token = await opened(world)
    await start_payment(world, call(), str(token.session_id), Offer(), card(pan=OTHER_PAN))
    with pytest.raises(StateForbids):
        await pay(world, token)
    session = world.books.sessions["shop", str(token.session_id)]
    assert [payment.card.last4 for payment in session.payments] == ["4444"]
    assert form_note(session.payments[0]) is None
    assert await stage(world, token) is Stage.CONFIRMING


async def test_the_merchant_may_cancel_first() -> None:
    """The form says so, whether or not it was filled in meanwhile."""
    world = memory_world()
    token = await opened(world, failure_return_url=FAILURE)
    await cancel(world, call(), str(token.session_id))
    with pytest.raises(StateForbids):
        await pay(world, token)
    _, progress = await look(world, token)
    assert (progress.stage, progress.code) == (Stage.FAILED, "session_cancelled_by_partner")
    assert progress.return_url == f"{FAILURE}?session_id={token.session_id}"


class RacingVault(FakeVault):
    """While a card is being kept, something else happens, once."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """Keep it, and let the other thing happen."""
        kept = await super().keep(project, card)
        await self.let_happen()
        return kept

    async def let_happen(self) -> None:
        """What was set, once."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()


class RacingStore(MemoryStore):
    """Before a change is committed, something else happens, once."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def commit(self, change: Change) -> None:
        """Let the other thing happen, and commit."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        await super().commit(change)


async def test_two_windows_at_two_nodes_at_once() -> None:
    """The one that comes second is refused although it began first; its security code is erased."""
    vault = RacingVault()
    world = memory_world(vault=vault)
    token = await opened(world)
    vault.meanwhile = lambda: pay(second_node(world), token, card(pan=OTHER_PAN))
    with pytest.raises(StateForbids):
        await pay(world, token)
    session = world.books.sessions["shop", str(token.session_id)]
    assert [payment.card.last4 for payment in session.payments] == ["4444"]
    assert vault.cvvs == {session.payments[0].sealed_cvv}


async def test_two_windows_in_the_same_moment() -> None:
    """Both have read the session as created: the version decides, and the loser reads again and is refused."""
    world = memory_world()
    store = RacingStore(world.books, node="n1", clock=world.clock)
    world = replace(world, store=store)
    token = await opened(world)
    store.meanwhile = lambda: pay(second_node(world), token, card(pan=OTHER_PAN))
    with pytest.raises(StateForbids):
        await pay(world, token)
    session = world.books.sessions["shop", str(token.session_id)]
    assert [payment.card.last4 for payment in session.payments] == ["4444"]
    assert world.vault.cvvs == {session.payments[0].sealed_cvv}


async def test_the_deadline_of_the_decision_in_the_same_moment() -> None:
    """A merchant who never decides: the form says that the time is over, and no money moves."""
    world = memory_world()
    token = await opened(world)
    session, _ = await pay(world, token)
    world.clock.move(DECISION_SECONDS_MAX)
    await recovered(world, session)
    _, progress = await look(world, token)
    assert (progress.stage, progress.code) == (Stage.FAILED, "confirm_timeout")
    assert world.link.sent == []
    assert world.vault.cvvs == set()


async def test_a_session_that_nobody_paid_ends() -> None:
    """After 30 days; nobody who still had a token could look any more."""
    world = memory_world()
    token = await opened(world)
    world.clock.move(UNSTARTED_SECONDS_MAX)
    await recovered(world, world.books.sessions["shop", str(token.session_id)])
    assert (await look(world, token))[1].code == "session_cancelled"


@pytest.mark.parametrize(("on_hold", "shown"), [(False, Stage.PROCESSING), (True, Stage.SUCCEEDED)])
async def test_a_hold(on_hold: bool, shown: Stage) -> None:
    """Shown as work or as success, as the merchant wants; after the capture it is a success for both."""
    world = memory_world()
    token = await opened(world, project=TWO_STAGE, succeeds_on_hold=on_hold)
    session, _ = await pay(world, token, project=TWO_STAGE)
    await driven(world, await confirm(world, call(TWO_STAGE), session.id))
    assert await stage(world, token) is shown
    settled = await capture(world, call(TWO_STAGE), session.id, None)
    assert await stage(world, token) is shown
    await driven(world, settled)
    assert await stage(world, token) is Stage.SUCCEEDED


async def test_a_hold_that_is_given_back() -> None:
    """The merchant decided against it: what was a success ends as a failure, with the reason."""
    world = memory_world()
    token = await opened(world, project=TWO_STAGE, succeeds_on_hold=True)
    session, _ = await pay(world, token, project=TWO_STAGE)
    await driven(world, await confirm(world, call(TWO_STAGE), session.id))
    settled = await cancel(world, call(TWO_STAGE), session.id)
    assert await stage(world, token) is Stage.PROCESSING
    await driven(world, settled)
    assert (await look(world, token))[1].code == "session_cancelled_by_partner"
