"""The doors' memory of wrong guesses: at signatures and projects, public tokens, payers' links, card tokens.

Who is over the limit hears no more than that. What is right is always looked up and taken, but for a signature: those
of one project from one place are not computed any more, unless that place was right about that project before. So
somebody who guesses shuts nobody out but callers of a project that he names, from his own place, for the first time.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Guess:
    """Somebody at a place shows what may be a secret. `project`: of one that there is, and counted by itself."""

    secret: Secret
    place: str
    project: str = ""

    @property
    def source(self) -> str:
        """What is counted as one."""
        return f"{self.place} {self.project}"


def guess_of(secret: Secret, source: str | None) -> Guess | None:
    """What somebody at this address shows; None where the address is not known, and so nothing is counted."""
    return None if source is None else Guess(secret, place_of(source))


class GuessLimits:
    """Counts wrong guesses of this process, and says once who is shut out."""

    def __init__(self, monotonic: Callable[[], float], *, log: Log, denied: Callable[[Act], None] | None) -> None:
        self._monotonic = monotonic
        self._log = log
        self._denied = denied
        self._guesses = {secret: Guesses(allowance) for secret, allowance in ALLOWANCES.items()}
        self._alarms = Guesses(ALARM, sources_max=PROJECTS_MAX)
        self._familiar = Familiar()

    def require(self, guess: Guess | None) -> None:
        """Refuse who guessed too often, unless that place was right about this before. Raises `GuessedTooOften`."""
        if guess is not None and (guess.place, guess.project) not in self._familiar:
            self._require_few(guess)

    def right(self, guess: Guess | None) -> None:
        """It was no guess: it is right."""
        if guess is not None:
            self._familiar.remember(guess.place, guess.project)

    def wrong(self, guess: Guess | None) -> None:
        """It was wrong. Raises `GuessedTooOften` when others of the same source were too many."""
        if guess is None:
            return
        self._require_few(guess)
        if self._guesses[guess.secret].count(guess.source, self._now()):
            self._tell(guess.secret, guess.place, f"refused for {LOCK_SECONDS:g} s")

    def _require_few(self, guess: Guess) -> None:
        wait_seconds = self._guesses[guess.secret].wait_seconds(guess.source, self._now())
        if wait_seconds > 0:
            raise GuessedTooOften(wait_seconds)

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
