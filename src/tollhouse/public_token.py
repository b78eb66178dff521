"""The public token opens the payment form for one session, or turns a card into a token (wire-api 9.13).

The token itself is known to the merchant and the payer's browser only. We keep and address its hash.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tollhouse.payment import PayingCard

PUBLIC_TOKEN_SECONDS_MAX = 24 * 3600
PUBLIC_TOKEN_BYTES = 32
CARD_TOKEN_SECONDS_MAX = 24 * 3600  # until its first use
# An unused security code lives an hour; the sweep that erases it comes by every ten minutes.
CARD_TOKEN_CVV_SECONDS_MAX = 50 * 60

LANGUAGES = ("en", "ru", "de", "fr", "es", "it", "pt", "nl", "pl", "uk", "tr", "kk", "ar", "he", "zh", "ja")

_TOKEN = re.compile(r"[0-9a-f]{64}")


class RedirectTarget(StrEnum):
    """Where the form opens the payer's authentication."""

    TOP = "_top"
    SELF = "_self"
    PARENT = "_parent"
    BLANK = "_blank"
    MODAL = "modal"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormOptions:
    """How the merchant wants the form."""

    language: str = "en"
    shows_recurrent: bool = False
    success_return_url: str | None = None
    failure_return_url: str | None = None
    succeeds_on_hold: bool = False
    redirect_target: RedirectTarget = RedirectTarget.TOP


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicToken:
    """A token as we know it: by its hash. `used_at`: a card was turned into a token with it."""

    id: str
    project: str
    created_at: datetime
    session_id: str | None = None  # the session it may pay
    may_tokenize: bool = False
    options: FormOptions = field(default_factory=FormOptions)
    used_at: datetime | None = None

    @property
    def ends_at(self) -> datetime:
        return self.created_at + timedelta(seconds=PUBLIC_TOKEN_SECONDS_MAX)

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over; a used one still shows how its session stands until then."""
        return now >= self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class CardToken:
    """Stands for a card that a browser gave us, for one project (wire-api 9.18)."""

    token: str
    project: str
    card: PayingCard
    created_at: datetime
    sealed_cvv: str | None = field(default=None, repr=False)
    used_at: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Within 24 hours, and for ever once it was used in time."""
        return self.used_at is not None or now < self.created_at + timedelta(seconds=CARD_TOKEN_SECONDS_MAX)

    def has_cvv(self, now: datetime) -> bool:
        """Whether its security code may still be used."""
        return self.sealed_cvv is not None and now < self.created_at + timedelta(seconds=CARD_TOKEN_CVV_SECONDS_MAX)


def token_id(token: str) -> str:
    """The hash by which a public token is kept: nobody gets from it to the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(text: str) -> bool:
    """Whether the text has a public token's form: 64 lower-case hexadecimal digits (its hash has the same)."""
    return _TOKEN.fullmatch(text) is not None
