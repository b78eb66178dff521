"""Exemptions end to end: who claims them, what the acquirer is told, and the counters of low value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import OFFER, asked, call, card, driven, link_of, with_settings
from tests.issuer import answering
from tests.worlds import PROJECT, TWO_STAGE, FakeVault, MemoryWorld, declined, memory_world
from tollhouse.acquirers.iso8583.fields import unpack_tags
from tollhouse.authentication import Enrolment
from tollhouse.card import CardDetails, Expiry, KeptCard
from tollhouse.exemption import Exemption, LowValueUse
from tollhouse.flows.authenticate import look
from tollhouse.flows.cancel import cancel
from tollhouse.flows.confirm import confirm
from tollhouse.flows.create_session import create_session
from tollhouse.flows.exempt import exempt
from tollhouse.flows.start_payment import init_payment, start_payment
from tollhouse.merchant import Project
from tollhouse.money import Money
from tollhouse.payment import Details, PayingCard, Phase
from tollhouse.session import Offer, PaymentSession
from tollhouse.verdict import Policy

PAN, OTHER_PAN = "4242424242424242", "4000120000000008"
SMALL = Money(2_000, "eur")
LOW_VALUE = with_settings(PROJECT, threeds_exemptions=(Exemption.LOW_VALUE,))
ALL = with_settings(PROJECT, threeds_exemptions=tuple(Exemption))


PAYING = PayingCard(
    token="t",
    bin="424242",
    last4="4242",
    brand="visa",
    expiry=Expiry(2031, 8),
    enrolment=Enrolment(version="2.2.0"),
)


class KnowingVault(FakeVault):
    """Finds a card again: the same number has the same fingerprint, as in the real vault."""

    async def keep(self, project: str, card: CardDetails) -> KeptCard:
        """A token of its own, and a fingerprint that is the number's."""
        return replace(await super().keep(project, card), fingerprint=f"f-{card.pan.last4}")


def guarded_world() -> MemoryWorld:
    """A world whose cards take part in 3-D Secure."""
    world = memory_world(vault=KnowingVault())
    for number in (PAN, OTHER_PAN):
        world.directory.enrolled[number] = Enrolment(version="2.2.0")
    return world


async def confirmed(
    world: MemoryWorld, project: Project = LOW_VALUE, money: Money = SMALL, *, pan: str = PAN, sender: str | None = None
) -> PaymentSession:
    """A payment that was confirmed and driven as far as it goes by itself."""
    participants = {"sender": {"company_name": sender}} if sender else None
    offer = Offer(money=money, details=Details(customer={"reference": "u"}, participants=participants))
    session = (await init_payment(world, call(project), offer, card(pan=pan))).session
    return await driven(world, await confirm(world, call(project), session.id))


def is_exempt(session: PaymentSession) -> bool:
    """Whether the payment went out without asking the payer."""
    return session.payments[0].phase is Phase.SUCCEEDED and session.authentications == ()


@pytest.mark.parametrize(
    ("project", "money", "sender", "code"),
    [
        (LOW_VALUE, SMALL, None, "10"),
        (ALL, SMALL, None, "10"),
        (ALL, Money(25_000, "eur"), None, "05"),
        (ALL, Money(25_001, "eur"), "Sample Ltd", "11"),
        (ALL, Money(100, "usd"), "Sample Ltd", "11"),
    ],
)
async def test_an_exemption_is_claimed(project: Project, money: Money, sender: str | None, code: str) -> None:
    """Nobody is asked; the acquirer is told which exemption it is, and that nobody was authenticated."""
    world = guarded_world()
    assert is_exempt(await confirmed(world, project, money, sender=sender))
    assert unpack_tags(world.link.sent[0].fields["48"]) == {"42": "07", "46": code}
    assert world.directory.asked == []


@pytest.mark.parametrize(
    ("project", "money", "sender"),
    [
        (PROJECT, SMALL, "Sample Ltd"),
        (LOW_VALUE, Money(3_000, "eur"), "Sample Ltd"),
        (LOW_VALUE, Money(100, "usd"), None),
        (ALL, Money(25_001, "eur"), None),
        (with_settings(ALL, threeds=Policy.ALWAYS), SMALL, "Sample Ltd"),
    ],
)
async def test_none_is_claimed(project: Project, money: Money, sender: str | None) -> None:
    """By default, above the limits, in another currency, and under `always`, the payer is asked."""
    after = await confirmed(guarded_world(), project, money, sender=sender)
    assert after.payments[0].phase is Phase.AWAIT_ACTION
    assert after.payments[0].exemption is None


async def test_five_in_a_row() -> None:
    """The sixth small payment asks the payer; once authenticated, the card starts anew."""
    world = guarded_world()
    for _ in range(5):
        assert is_exempt(await confirmed(world, money=Money(100, "eur")))
        world.clock.move(60)
    sixth = await confirmed(world, money=Money(100, "eur"))
    assert sixth.payments[0].phase is Phase.AWAIT_ACTION
    await asked(world, sixth)
    assert world.session(sixth).payments[0].phase is Phase.SUCCEEDED
    world.clock.move(60)
    assert is_exempt(await confirmed(world, money=Money(100, "eur")))


async def test_a_hundred_euro_together() -> None:
    """What was paid unauthenticated counts in sum, with what is paid now."""
    world = guarded_world()
    for minor in (2_900, 2_900, 2_900):
        assert is_exempt(await confirmed(world, money=Money(minor, "eur")))
    assert not is_exempt(await confirmed(world, money=Money(1_301, "eur")))
    assert is_exempt(await confirmed(world, money=Money(1_300, "eur")))


async def test_who_is_counted() -> None:
    """Another card, another merchant and a payment that failed do not count."""
    world = guarded_world()
    inn = with_settings(TWO_STAGE, threeds_exemptions=(Exemption.LOW_VALUE,))
    for _ in range(4):
        assert is_exempt(await confirmed(world, money=Money(100, "eur")))
    world.link.script += [declined("51")]
    await confirmed(world, money=Money(100, "eur"))
    assert await world.store.low_value_use("shop", "f-4242") == LowValueUse(count=4, sum_minor=400)
    assert await world.store.low_value_use("shop", "f-0008") == LowValueUse()
    assert await world.store.low_value_use("inn", "f-4242") == LowValueUse()
    assert is_exempt(await confirmed(world, money=Money(100, "eur")))
    assert is_exempt(await confirmed(world, money=Money(100, "eur"), pan=OTHER_PAN))
    held = await confirmed(world, inn, Money(100, "eur"))
    assert held.payments[0].phase is Phase.HELD
    assert not is_exempt(await confirmed(world, money=Money(100, "eur")))


@pytest.mark.parametrize("status", ["A", "U", "N"])
async def test_only_an_authenticated_payer_starts_anew(status: str) -> None:
    """An attempt, or an issuer that could not say, leaves the counters as they are."""
    world = guarded_world()
    for _ in range(5):
        await confirmed(world, money=Money(100, "eur"))
    sixth = await confirmed(world, money=Money(100, "eur"))
    world.directory.script.append(answering(status))
    await asked(world, sixth)
    world.clock.move(60)
    assert not is_exempt(await confirmed(world, money=Money(100, "eur")))


async def test_a_payment_that_waits_counts() -> None:
    """Prepared ones count before they are confirmed, and no more once they are cancelled."""
    world = guarded_world()
    offer = replace(OFFER, money=Money(100, "eur"))
    waiting = [(await init_payment(world, call(LOW_VALUE), offer, card())).session for _ in range(5)]
    assert not is_exempt(await confirmed(world, money=Money(100, "eur")))
    await cancel(world, call(LOW_VALUE), waiting[0].id)
    assert is_exempt(await confirmed(world, money=Money(100, "eur")))


async def test_a_soft_decline_of_an_exempt_payment() -> None:
    """The issuer has the last word: the payer is asked, and the second charge claims nothing."""
    world = guarded_world()
    world.link.script.append(declined("1A"))
    after = await confirmed(world)
    assert after.payments[0].phase is Phase.AWAIT_ACTION
    assert await look(world, link_of(after)) is not None
    await asked(world, after)
    tags = unpack_tags(world.link.sent[1].fields["48"])
    assert (tags["42"], "46" in tags) == ("05", False)
    assert world.directory.asked[0]["threeDSRequestorChallengeInd"] == "04"


async def test_a_card_given_at_create() -> None:
    """The exemption is decided at the start, with what was given at create."""
    world = guarded_world()
    offer = replace(OFFER, money=SMALL)
    session = (await create_session(world, call(LOW_VALUE), offer, card())).session
    started = await start_payment(world, call(LOW_VALUE), session.id, Offer(), None)
    assert started.session.payments[0].exemption is Exemption.LOW_VALUE


@pytest.mark.parametrize(
    "without",
    [{"card": None}, {"money": None}, {"card": replace(PAYING, enrolment=None)}],
    ids=["no card", "no amount", "takes no part"],
)
async def test_nothing_to_be_exempt_from(without: dict[str, Any]) -> None:
    """Without a card, an amount or a range that takes part there is nothing to claim."""
    world = guarded_world()
    whole = Offer(money=SMALL, card=PAYING)
    assert await exempt(world, ALL, whole) is Exemption.LOW_VALUE
    lacking = replace(whole, **without)
    assert await exempt(world, ALL, lacking) is None
    assert await exempt(world, replace(ALL, is_live=True), whole) is None
