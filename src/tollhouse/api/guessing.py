"""The doors' memory of wrong guesses: at signatures and projects, public tokens, payers' links, card tokens.

Whoever is over the limit is refused before anything is looked up or computed. But who was right before, from the same
place and about the same thing, is always listened to: somebody who guesses from the same network shuts nobody out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tollhouse.audit import REFUSED, Act
from tollhouse.guessing import LOCK_SECONDS, Allowance, Familiar, Guesses
from tollhouse.ports import Log
from tollhouse.refusal import GuessedTooOften
from tollhouse.source import place_of


class Secret(StrEnum):
    """What can be guessed."""

    SIGNATURE = "signature"
    PUBLIC_TOKEN = "public token"
    LINK = "payer link"
    CARD_TOKEN = "card token"


# A program that was set up wrongly makes some mistakes, a payer with an old page a few; behind one address may be many.
ALLOWANCES = {
    Secret.SIGNATURE: Allowance(burst=20, per_minute=10),
    Secret.PUBLIC_TOKEN: Allowance(burst=40, per_minute=20),
    Secret.LINK: Allowance(burst=40, per_minute=20),
    Secret.CARD_TOKEN: Allowance(burst=100, per_minute=100),
}
# So many wrong signatures for one project, from wherever, are told to the operator. Nobody is refused for them.
ALARM = Allowance(burst=200, per_minute=100)
PROJECTS_MAX = 2000
ABOUT_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Guess:
    """Somebody at a place shows what may be a secret. `about` tells secrets apart without being one."""

    secret: Secret
    place: str
    about: str


def guess_of(secret: Secret, source: str | None, shown: str) -> Guess | None:
    """What is shown by somebody at this address; None where the address is not known, and so nothing is counted."""
    if source is None:
        return None
    about = hashlib.sha256(f"{secret}:{shown}".encode(errors="replace")).hexdigest()[:ABOUT_CHARACTERS]
    return Guess(secret, place_of(source), about)


class GuessLimits:
    """Counts wrong guesses of this process, and says once who is shut out."""

    def __init__(self, monotonic: Callable[[], float], *, log: Log, denied: Callable[[Act], None] | None) -> None:
        self._monotonic = monotonic
        self._log = log
        self._denied = denied
        self._guesses = {secret: Guesses(allowance) for secret, allowance in ALLOWANCES.items()}
        self._alarms = Guesses(ALARM, sources_max=PROJECTS_MAX)
        self._familiar = {secret: Familiar() for secret in Secret}

    def require(self, guess: Guess | None) -> None:
        """Refuse who guessed too often, unless they were right about this before. Raises `GuessedTooOften`."""
        if guess is not None and (guess.place, guess.about) not in self._familiar[guess.secret]:
            self.require_few(guess)

    def require_few(self, guess: Guess | None) -> None:
        """Refuse who guessed too often. Raises `GuessedTooOften`."""
        wait_seconds = 0.0 if guess is None else self._guesses[guess.secret].wait_seconds(guess.place, self._now())
        if wait_seconds > 0:
            raise GuessedTooOften(wait_seconds)

    def right(self, guess: Guess | None) -> None:
        """It was no guess: it is right."""
        if guess is not None:
            self._familiar[guess.secret].remember(guess.place, guess.about)

    def wrong(self, guess: Guess | None) -> None:
        """It was wrong. Raises `GuessedTooOften` when meanwhile others of the same place were too many."""
        self.require_few(guess)
        if guess is not None and self._guesses[guess.secret].count(guess.place, self._now()):
            self._tell(guess.secret, guess.place, f"refused for {LOCK_SECONDS:g} s")

    def wrong_for(self, project: str) -> None:
        """A wrong signature for a project that there is."""
        if self._alarms.count(project, self._now()):
            self._tell(Secret.SIGNATURE, f"project {project}", "from many places; nobody is refused for it")

    def _now(self) -> float:
        return self._monotonic()

    def _tell(self, secret: Secret, whose: str, what_follows: str) -> None:
        self._log.warning("too many wrong guesses", at=secret.value, source=whose, then=what_follows)
        if self._denied is not None:
            details = f"too many wrong guesses; {what_follows}"
            self._denied(Act(what="guess.limit", outcome=REFUSED, subject=secret.value, origin=whose, details=details))
