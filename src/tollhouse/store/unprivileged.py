"""Postgres refuses to run as root: which user runs it then, and what that user can reach."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Owner:
    """The user a server runs as. It gets no supplementary groups."""

    uid: int
    gid: int
    name: str


class NoSuchOwner(Exception):
    """No user of this machine fits; the text is one line for people."""


def is_root() -> bool:
    """Whether this process may become another user."""
    return os.geteuid() == 0


def owner_with(uid: int) -> Owner:
    """The user with this id."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise NoSuchOwner(
            f"user {uid} has no name on this machine, which Postgres needs; add one, or run as another user"
        ) from None
    return Owner(entry.pw_uid, entry.pw_gid, entry.pw_name)


def default_owner() -> Owner:
    """This user, or in place of root `postgres` where there is one, else `nobody`."""
    if not is_root():
        return owner_with(os.geteuid())
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    for name in _CANDIDATES:
        if known.get(name):
            return owner_with(known[name])
    raise NoSuchOwner("Postgres does not run as root and there is neither a user `postgres` nor `nobody`; add one")


def may_enter(folder: Path, owner: Owner) -> bool:
    """Whether every folder down to this one lets the user through, by their mode bits."""
    real = folder.resolve()
    return all(_bits(step, owner) & 1 for step in (real, *real.parents))


def may_read(file: Path, owner: Owner) -> bool:
    """Whether the user can reach and read this file."""
    real = file.resolve()
    return may_enter(real.parent, owner) and bool(_bits(real, owner) & 4)


def _bits(path: Path, owner: Owner) -> int:
    """The three permission bits (read 4, write 2, execute 1) that count for this user."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == owner.uid:
        return mode >> 6
    return mode >> 3 if found.st_gid == owner.gid else mode
