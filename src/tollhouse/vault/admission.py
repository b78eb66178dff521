"""Who may speak with the vault's process: users of this machine at a unix socket, nodes with a certificate at TLS.

Certificates are checked by TLS itself, with the certificate authority of this installation and no other. What TLS does
not look at is looked at here, for each connection as long as it lasts: whether its certificate was revoked or expired.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

_CREDENTIALS = struct.Struct("3i")  # process, user, group


class NotAdmitted(Exception):
    """This one gets nothing; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a connection belongs to, proven, and where it comes from."""

    name: str
    origin: str
    certificate: x509.Certificate | None = None


class Admission(Protocol):
    """Lets connections in, and says when one has to go."""

    def admit(self, transport: asyncio.Transport) -> Caller:
        """Who this is. Raises `NotAdmitted`."""
        ...

    def refuse(self, caller: Caller) -> str:
        """Why somebody who was let in has to go; empty when nothing speaks against them."""
        ...

    def look(self) -> str:
        """Take up what has changed on disk; what went wrong with that, or nothing."""
        ...


class Users:
    """Users of this machine. The kernel says who is at the other end."""

    def __init__(self, allowed: Collection[int]) -> None:
        self._allowed = frozenset(allowed)

    def admit(self, transport: asyncio.Transport) -> Caller:
        """The user, with the process that connected. Raises `NotAdmitted`."""
        peer: socket.socket = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(raw)
        if user not in self._allowed:
            raise NotAdmitted(f"user {user} may not speak with the vault")
        return Caller(name=f"user {_name_of(user)}", origin=f"{socket.gethostname()} process {process}")

    def refuse(self, caller: Caller) -> str:
        """Nothing: users stay who they are."""
        return ""

    def look(self) -> str:
        """Nothing changes."""
        return ""


class Certificates:
    """Nodes with a certificate that was neither revoked nor has expired."""

    def __init__(self, authority: Path, revoked: Path | None) -> None:
        """Raises `NotAdmitted` with one line when the files cannot be used."""
        self._authority = authority
        self._file = revoked
        self._seen: tuple[int, int] | None = None
        self._serials: frozenset[int] = frozenset()
        self._ends_at: datetime | None = None
        problem = self.look()
        if revoked is not None and self._seen is None:
            raise NotAdmitted(problem)

    def admit(self, transport: asyncio.Transport) -> Caller:
        """The name in the certificate. Raises `NotAdmitted`."""
        peer = transport.get_extra_info("peername")
        if peer is None:
            raise NotAdmitted("hung up")
        origin = str(peer[0])
        raw = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if raw is None:
            raise NotAdmitted("came without a certificate")
        try:
            certificate = x509.load_der_x509_certificate(raw)
            caller = Caller(name=f"node {name_of(certificate)}", origin=origin, certificate=certificate)
        except ValueError:
            raise NotAdmitted("its certificate cannot be read") from None
        if why := self.refuse(caller):
            raise NotAdmitted(f"{caller.name}: {why}")
        return caller

    def refuse(self, caller: Caller) -> str:
        """Whether the certificate was revoked or has expired by now."""
        assert caller.certificate is not None
        if caller.certificate.serial_number in self._serials:
            return "its certificate was revoked"
        if caller.certificate.not_valid_after_utc <= datetime.now(UTC):
            return "its certificate has expired"
        return ""

    def look(self) -> str:
        """Read the list of revoked certificates when it is another than before; what is wrong with it, or nothing.

        One that is broken changes nothing. One that has ended goes on being used: a forgotten list must not stop
        payments, and who can keep a newer one away has the vault's machine already.
        """
        if self._file is None:
            return ""
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp == self._seen:
                return self._ended()
            listed = x509.load_pem_x509_crl(self._file.read_bytes())
            signers = x509.load_pem_x509_certificates(self._authority.read_bytes())
        except (OSError, ValueError) as problem:
            return f"{self._file}: cannot be read as a list of revoked certificates: {type(problem).__name__}"
        if not any(_is_signed(listed, signer) for signer in signers):
            return f"{self._file}: is not signed by {self._authority}; make it with the key of that certificate"
        self._serials = frozenset(one.serial_number for one in listed)
        self._seen, self._ends_at = stamp, listed.next_update_utc
        return self._ended()

    def _ended(self) -> str:
        if self._ends_at is None or self._ends_at > datetime.now(UTC):
            return ""
        return f"{self._file}: ended on {self._ends_at:%Y-%m-%d}, and goes on being used; replace it by a newer one"


def name_of(certificate: x509.Certificate) -> str:
    """Whose certificate it is: its first DNS name, else its common name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        found = []
    common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return next(iter([*found, *common]), f"without a name, serial {certificate.serial_number:x}")


def users_of(text: str) -> frozenset[int]:
    """Ids of users by name or number, with commas between; none named: our own. Raises `ValueError`."""
    ids = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            ids.add(int(word) if word.isdecimal() else pwd.getpwnam(word).pw_uid)
        except KeyError:
            raise ValueError(f"there is no user {word[:40]!a} on this machine") from None
    return frozenset(ids) or frozenset({os.geteuid()})


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _is_signed(listed: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    try:
        return listed.is_signature_valid(signer.public_key())  # type: ignore[arg-type]  # others raise
    except (InvalidSignature, UnsupportedAlgorithm, TypeError):
        return False
