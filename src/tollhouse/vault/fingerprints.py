"""Fingerprints of cards: they tell whether two cards of a project are the same one, without telling which."""

from __future__ import annotations

from collections.abc import Mapping

from tollhouse.vault.box import bind, keyed_digest, text_of


class Fingerprints:
    """HMAC-SHA256 of the PAN under the current version of the fingerprint key. Its `repr` shows no key."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        self.change(keys, current)

    def change(self, keys: Mapping[int, bytes], current: int) -> None:
        """These versions from now on."""
        self._keys = dict(keys)
        self.current = current

    @property
    def versions(self) -> frozenset[int]:
        """The versions that are in use."""
        return frozenset(self._keys)

    def of(self, project: str, digits: str) -> str:
        """Version of the fingerprint key and digest, as text."""
        return self._under(self.current, project, digits)

    def all_of(self, project: str, digits: str) -> list[str]:
        """What this card may be known by: its fingerprint under each version in use, the current one first."""
        others = sorted(self.versions - {self.current}, reverse=True)
        return [self._under(version, project, digits) for version in (self.current, *others)]

    def _under(self, version: int, project: str, digits: str) -> str:
        digest = keyed_digest(self._keys[version], bind("tollhouse fingerprint", project, digits))
        return f"{version}.{text_of(digest)}"


def version_of(fingerprint: str) -> int:
    """Under which version of the key it was made."""
    return int(fingerprint.partition(".")[0])
