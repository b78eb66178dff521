"""Which acquirer takes a payment, and what it demands of one."""

from __future__ import annotations

from collections.abc import Collection

from tollhouse.card import CardDetails, GivenCard, TokenizedCard
from tollhouse.merchant import Project
from tollhouse.refusal import RequestInvalid

SANDBOX = "sandbox"

_CVV_PATH = "payment_details.card.bank_card.security_code"


def route(project: Project) -> str | None:
    """The acquirer's name; None when no acquirer may take it. Test projects go to the sandbox, live ones never do."""
    return None if project.is_live else SANDBOX


def require_cvv(project: Project, card: GivenCard | None, demanding: Collection[str], *, has_cvv: bool) -> None:
    """Refuse a card without its security code where the project's route is one of those that demand it.

    Raises `RequestInvalid` naming where the code belongs, or the token that came without one.
    """
    if card is None or has_cvv or route(project) not in demanding:
        return
    match card:
        case CardDetails():
            raise RequestInvalid(_CVV_PATH, "required: the acquirer takes no payment by card without it")
        case TokenizedCard(path=path):
            raise RequestInvalid(path, "this card has no security code any more, and the acquirer demands it")
