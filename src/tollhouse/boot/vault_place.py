"""Where the vault runs and listens, as settings spell it: `unix:///path`, `unix:` for the home, `tls://host:port`."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tollhouse.boot import readers
from tollhouse.vault.keys import KeysRefused

UNIX, TLS = "unix", "tls"
URL, LISTEN = "TOLLHOUSE_VAULT_URL", "TOLLHOUSE_VAULT_LISTEN"
SOCKET = "vault.sock"
BACKLOG = 128
PATH_BYTES_MAX = 100  # what fits into the address of a socket, with a little to spare
EXPECTED = "expected unix: (a socket in the home), unix:///run/tollhouse/vault.sock or tls://vault.example.com:8404"
# What a way over the network cannot do without, as settings.
TLS_NEEDS = ("vault_certificate_file", "vault_key_file", "vault_ca_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A socket on this machine, or a port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{UNIX}://{self.path}" if self.path is not None else f"{TLS}://{host}:{self.port}"


def read_place(text: str) -> str:
    """The text, if `place_of` understands it. Raises `ValueError` with what was expected."""
    place_of(text, Path("/"))
    return text


def place_of(text: str, home: Path) -> Place:
    """What the text means. Raises `ValueError` with what was expected."""
    scheme, colon, rest = text.partition(":")
    if scheme == UNIX and colon:
        path = home / SOCKET if rest in ("", "//") else Path(rest.removeprefix("//"))
        if not path.is_absolute() or "\0" in rest:
            raise ValueError(EXPECTED)
        if len(bytes(path)) > PATH_BYTES_MAX:
            raise ValueError(f"a shorter path than {path} expected, because it names a socket")
        return Place(path=path)
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    is_whole = parts.scheme == TLS and parts.hostname and port and not (parts.path or parts.query or parts.username)
    if not is_whole:
        raise ValueError(EXPECTED)
    return Place(host=readers.host(parts.hostname or ""), port=port or 0)


def listening_place(url: str, listen: str, home: Path) -> Place:
    """Where the vault's process listens, of its two settings. Raises `KeysRefused` naming the one that is wrong."""
    name, text = (LISTEN, listen) if listen or not url.startswith(f"{UNIX}:") else (URL, url)
    if not text:
        raise KeysRefused(f"{name}: is missing; set it to unix: or to tls://0.0.0.0:8404, say")
    return named_place(name, text, home)


def named_place(name: str, text: str, home: Path) -> Place:
    """What a setting means. Raises `KeysRefused` naming it."""
    try:
        return place_of(text, home)
    except ValueError as problem:
        raise KeysRefused(f"{name}={text}: {problem}") from None


@contextmanager
def listening(place: Place, *, is_shared: bool) -> Iterator[socket.socket]:
    """A socket that listens there. `is_shared`: also users that are not ours may connect, to be looked at then.

    Raises `KeysRefused` when somebody else listens there, or nobody can.
    """
    try:
        listener = _bound(place.path, is_shared=is_shared) if place.path is not None else _port(place)
    except OSError as problem:
        raise KeysRefused(f"the vault cannot listen at {place}: {problem.strerror}; choose another place") from None
    with listener:
        own = None if place.path is None else place.path.stat().st_ino
        try:
            yield listener
        finally:
            if place.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    if place.path.stat().st_ino == own:  # else another vault listens there by now
                        place.path.unlink()


def _port(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    return socket.create_server((place.host, place.port), family=family, backlog=BACKLOG)


def _bound(path: Path, *, is_shared: bool) -> socket.socket:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)  # of a vault that was killed
        else:
            raise KeysRefused(f"a vault listens at {path} already; stop it, or choose another place")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    if is_shared:
        path.chmod(0o666)
    return listener
