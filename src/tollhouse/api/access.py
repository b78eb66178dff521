"""Who may call (wire-api 2, 3): the project by its name, the signature over the raw body, the rate limit.

Who guessed wrong too often for a project is refused before a signature is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tollhouse.api.guessing import GuessLimits, Secret, guess_of
from tollhouse.merchant import Project, is_project_name
from tollhouse.refusal import ProjectUnknown, SignatureWrong, TooManyRequests
from tollhouse.signing import verify

BURST_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessProject:
    """A project with its active public keys, ready to verify."""

    project: Project
    public_keys: Sequence[RSAPublicKey]


class Projects(Protocol):
    """Where projects are looked up: with a short cache, since every call does it."""

    async def find(self, name: str) -> AccessProject | None: ...


class RateLimits:
    """A bucket of tokens per project: filled at the project's rate, holding what two seconds fill."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, project: str, rate: int) -> bool:
        """Whether one more call fits now. A rate of zero is no limit."""
        if rate == 0:
            return True
        now = self._monotonic()
        burst = float(rate * BURST_SECONDS)
        tokens, filled_at = self._buckets.get(project, (burst, now))
        tokens = min(burst, tokens + (now - filled_at) * rate)
        fits = tokens >= 1
        self._buckets[project] = (tokens - 1 if fits else tokens, now)
        return fits


class Access:
    """The three questions that every call must pass, in this order."""

    def __init__(self, projects: Projects, monotonic: Callable[[], float], guesses: GuessLimits) -> None:
        self._projects = projects
        self._guesses = guesses
        self._limits = RateLimits(monotonic)

    async def admit(self, name: str | None, signature: str | None, body: bytes, *, source: str | None) -> Project:
        """The project that calls from this address.

        Raises `ProjectUnknown`, `SignatureWrong`, `GuessedTooOften`, `TooManyRequests`.
        """
        guess = guess_of(Secret.SIGNATURE, source)
        found = await self._projects.find(name) if name is not None and is_project_name(name) else None
        if found is None:
            self._guesses.wrong(guess)
            raise ProjectUnknown
        project = found.project
        guess = guess and replace(guess, project=project.name)
        self._guesses.require(guess)
        if not signature or not any(verify(key, body, signature) for key in found.public_keys):
            self._guesses.wrong_for(project.name)
            self._guesses.wrong(guess)
            raise SignatureWrong
        self._guesses.right(guess)
        if not self._limits.take(project.name, project.settings.rate_limit):
            raise TooManyRequests
        return project
