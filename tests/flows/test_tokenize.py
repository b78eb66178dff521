"""Cards turned into tokens by browsers, and payments with such tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import AMOUNT, OFFER, call, card, confirmed, created, driven
from tests.forms import DAY_SECONDS, opened
from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld, memory_world
from tollhouse.authentication import Enrolment
from tollhouse.card import Expiry, TokenizedCard
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.form import find_token
from tollhouse.flows.issue_token import card_token_info, issue_token
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.merchant import Project
from tollhouse.payment import Details
from tollhouse.ports import KeyTaken, StoreUnreachable
from tollhouse.public_token import CARD_TOKEN_CVV_SECONDS_MAX, CardToken, FormOptions, PublicToken
from tollhouse.refusal import CardHasExpired, PublicTokenInvalid, RequestInvalid, StateForbids, TokenUnknown
from tollhouse.session import Offer, PaymentSession
from tollhouse.store.memory_tokens import MemoryTokens

YEAR_SECONDS = 365 * DAY_SECONDS


async def allowed(world: MemoryWorld, project: Project = PROJECT) -> PublicToken:
    """A public token that turns one card into a token."""
    text = await issue_token(world, project, session_id=None, options=FormOptions(), may_tokenize=True)
    return await find_token(world, text)


async def tokenized(world: MemoryWorld, project: Project = PROJECT, *, cvv: str | None = "417") -> TokenizedCard:
    """A card by its token."""
    made = await tokenize_card(world, project, await allowed(world, project), card(cvv=cvv))
    return TokenizedCard(token=made.token)


async def paid_with(world: MemoryWorld, given: TokenizedCard) -> PaymentSession:
    """A paid session."""
    session = (await init_payment(world, call(), OFFER, given)).session
    return await driven(world, await confirm(world, call(), session.id))


# --- a card becomes a token -------------------------------------------------------------------------------------------


async def test_a_card_becomes_a_token() -> None:
    """At least 128 random bits behind its prefix; the card is in the vault, with its security code."""
    world = memory_world()
    made = await tokenize_card(world, PROJECT, await allowed(world), card())
    assert made.token.startswith("tc_")
    assert len(made.token) == 25
    assert (made.project, made.card.bin, made.card.last4, made.card.brand) == ("shop", "424242", "4242", "visa")
    assert world.vault.cvvs == {made.sealed_cvv}
    assert await card_token_info(world, PROJECT, made.token) == made


async def test_one_card_for_a_public_token() -> None:
    """The second is refused, whoever sends it; the first is not changed by it, and nothing of the second is kept."""
    world = memory_world()
    allowance = await allowed(world)
    made = await tokenize_card(world, PROJECT, allowance, card())
    with pytest.raises(PublicTokenInvalid):  # as it was before the first: the exchange itself decides
        await tokenize_card(world, PROJECT, allowance, card(pan="5555555555554444"))
    used = await world.tokens.find_public(allowance.id)
    assert used is not None
    assert used.used_at == world.clock.now()
    with pytest.raises(PublicTokenInvalid):
        await tokenize_card(world, PROJECT, used, card())
    assert world.vault.cvvs == {made.sealed_cvv}


async def test_a_token_of_a_form_turns_no_card_into_a_token() -> None:
    """Unless the merchant asked for both at once; then each is possible once."""
    world = memory_world()
    with pytest.raises(PublicTokenInvalid):
        await tokenize_card(world, PROJECT, await opened(world), card())
    assert (world.vault.cards, world.vault.cvvs) == ({}, set())
    session = await created(world)
    text = await issue_token(world, PROJECT, session_id=session.id, options=FormOptions(), may_tokenize=True)
    assert await tokenize_card(world, PROJECT, await find_token(world, text), card())


async def test_a_bad_card_does_not_use_the_token_up() -> None:
    """An expired one is refused before anything is kept; the right one may follow."""
    world = memory_world()
    allowance = await allowed(world)
    with pytest.raises(CardHasExpired):
        await tokenize_card(world, PROJECT, allowance, replace(card(), expiry=Expiry(2026, 2)))
    assert (world.vault.cards, world.vault.cvvs) == ({}, set())
    assert await tokenize_card(world, PROJECT, allowance, card())


class LosingTokens(MemoryTokens):
    """Loses the connection around the exchange, before or after it is written."""

    def __init__(self, *, is_written: bool) -> None:
        super().__init__()
        self._is_written = is_written

    async def exchange(self, id: str, card: CardToken) -> bool:
        """Whoever asks learns nothing."""
        if self._is_written:
            await super().exchange(id, card)
        raise StoreUnreachable("the connection was lost")


@pytest.mark.parametrize("is_written", [False, True])
async def test_the_connection_is_lost_around_the_exchange(is_written: bool) -> None:
    """Nobody knows whether the token was used up: its security code goes, and what may be kept pays without one."""
    tokens = LosingTokens(is_written=is_written)
    world = memory_world(tokens=tokens)
    allowance = await allowed(world)
    with pytest.raises(StoreUnreachable):
        await tokenize_card(world, PROJECT, allowance, card())
    assert world.vault.cvvs == set()
    found = await world.tokens.find_public(allowance.id)
    assert found is not None
    assert (found.used_at is not None) is is_written


# --- paying with it ---------------------------------------------------------------------------------------------------


async def test_a_payment_with_a_token() -> None:
    """As with the card itself: the same vault token, the security code goes with the charge and is gone."""
    world = memory_world()
    given = await tokenized(world)
    session = await paid_with(world, given)
    assert session.payments[0].card == (await card_token_info(world, PROJECT, given.token)).card
    assert world.link.had_cvv == [True]
    assert world.vault.cvvs == set()
    assert len(world.vault.cards) == 1


async def test_a_token_pays_again_without_its_security_code() -> None:
    """Which belongs to whoever came first; the card may be charged for years."""
    world = memory_world()
    given = await tokenized(world)
    await paid_with(world, given)
    world.clock.move(YEAR_SECONDS)
    await paid_with(world, given)
    assert world.link.had_cvv == [True, False]


@pytest.mark.parametrize(("seconds", "had_cvv"), [(-1, True), (0, False), (DAY_SECONDS // 2, False)])
async def test_a_security_code_waits_less_than_an_hour(seconds: int, had_cvv: bool) -> None:
    """Afterwards the card is charged without it, and it is erased, whether or not the sweep came by."""
    world = memory_world()
    given = await tokenized(world)
    world.clock.move(CARD_TOKEN_CVV_SECONDS_MAX + seconds)
    await paid_with(world, given)
    assert world.link.had_cvv == [had_cvv]
    assert world.vault.cvvs == set()


async def test_a_card_without_a_security_code() -> None:
    """May become a token too."""
    world = memory_world()
    given = await tokenized(world, cvv=None)
    await paid_with(world, given)
    assert world.link.had_cvv == [False]


@pytest.mark.parametrize("strange", ["tc_404", "", "card_4242_1"])
async def test_unknown_tokens(strange: str) -> None:
    """Nothing is created for them; the vault's own names are none."""
    world = memory_world()
    await tokenized(world)
    with pytest.raises(TokenUnknown):
        await init_payment(world, call(), OFFER, TokenizedCard(token=strange))
    assert world.books.sessions == {}


async def test_a_token_belongs_to_its_project() -> None:
    """To another project it is unknown, in every call, and its security code stays for the owner."""
    world = memory_world()
    given = await tokenized(world)
    session = await created(world, project=TWO_STAGE)
    for attempt in (
        init_payment(world, call(TWO_STAGE), OFFER, given),
        start_payment(world, call(TWO_STAGE), session.id, Offer(), given),
        create_session(world, call(TWO_STAGE), OFFER, given),
        card_token_info(world, TWO_STAGE, given.token),
    ):
        with pytest.raises(TokenUnknown):
            await attempt
    await paid_with(world, given)
    assert world.link.had_cvv == [True]


async def test_an_unused_token_is_over_after_a_day() -> None:
    """For payments and for those who ask; used in its last second it goes on."""
    world = memory_world()
    unused, used = await tokenized(world), await tokenized(world)
    world.clock.move(DAY_SECONDS - 1)
    await paid_with(world, used)
    world.clock.move(1)
    with pytest.raises(TokenUnknown):
        await init_payment(world, call(), OFFER, unused)
    with pytest.raises(TokenUnknown):
        await card_token_info(world, PROJECT, unused.token)
    await paid_with(world, used)


async def test_a_card_that_expired_meanwhile() -> None:
    """Is refused before the token is touched."""
    world = memory_world()
    given = await tokenized(world)
    await paid_with(world, given)
    world.clock.move(6 * YEAR_SECONDS)
    with pytest.raises(CardHasExpired):
        await init_payment(world, call(), OFFER, given)


async def test_a_token_at_create() -> None:
    """Kept with the session like a card given there; the security code waits with it."""
    world = memory_world()
    given = await tokenized(world)
    session = (await create_session(world, call(), OFFER, given)).session
    assert session.offer.sealed_cvv in world.vault.cvvs
    started = await start_payment(world, call(), session.id, Offer(), None)
    await driven(world, await confirm(world, call(), started.session.id))
    assert world.link.had_cvv == [True]


async def test_a_start_that_is_refused_takes_no_security_code() -> None:
    """The session was started before: the token is not even looked at."""
    world = memory_world()
    given = await tokenized(world)
    session = await confirmed(world)
    with pytest.raises(StateForbids):
        await start_payment(world, call(), session.id, Offer(), given)
    await paid_with(world, given)
    assert world.link.had_cvv[-1:] == [True]


async def test_a_start_that_lacks_something_takes_no_security_code() -> None:
    """The merchant calls again with what was missing, and pays as if nothing had happened."""
    world = memory_world()
    given = await tokenized(world)
    session = (await create_session(world, call(), Offer(money=AMOUNT), None)).session
    with pytest.raises(RequestInvalid, match="customer"):
        await start_payment(world, call(), session.id, Offer(), given)
    whole = Offer(details=Details(customer={"reference": "u-1"}))
    started = await start_payment(world, call(), session.id, whole, given)
    await driven(world, await confirm(world, call(), started.session.id))
    assert world.link.had_cvv == [True]


async def test_a_used_key_erases_the_security_code() -> None:
    """The payment exists already: what was taken for another one is gone."""
    world = memory_world()
    given = await tokenized(world)
    first = await init_payment(world, call(key="k"), OFFER, given)
    again = await tokenized(world)
    with pytest.raises(KeyTaken):
        await init_payment(world, call(key="k"), OFFER, again)
    assert world.vault.cvvs == {first.session.payments[0].sealed_cvv}


async def test_the_ranges_of_the_time_of_tokenising_count() -> None:
    """A card that took part in 3-D Secure when it became a token is authenticated when it pays."""
    world = memory_world()
    world.directory.enrolled[card().pan.reveal()] = Enrolment(version="2.2.0")
    session = (await init_payment(world, call(), OFFER, await tokenized(world))).session
    settled = await confirm(world, call(), session.id)
    assert settled.session.payments[0].action_link is not None
