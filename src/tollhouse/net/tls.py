"""TLS for our servers and for what we call: version 1.2 or newer, forward secrecy, sealed and authenticated records.

With client certificates only version 1.3 is spoken and nothing is resumed, so each connection shows its certificate,
and one that was revoked a second ago gets nothing. A server's certificates are read anew by `Certificates.renew`;
connections that are open keep theirs.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

# All agree on keys by ECDHE and seal by AES-GCM or ChaCha20-Poly1305; those of version 1.3 are so by definition.
SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
ALPN = ("http/1.1",)
_PEM = "-----BEGIN "


class CertificateUnusable(Exception):
    """A file of TLS cannot be used; the text is one line that names it, without the setting it came from."""

    exit_code = 1


def server_context(
    certificate: str | Path, key: str | Path, *, client_ca: str | Path | None = None, crl: str | Path | None = None
) -> ssl.SSLContext:
    """What a server speaks. `certificate` holds the whole chain, its own first.

    With `client_ca` only those with a certificate of it are let in; `crl` holds the lists of revoked ones, from every
    authority of the chain. Raises `CertificateUnusable`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    # A ticket's key lives as long as the process: whoever gets it reads what was recorded before.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols(list(ALPN))
    _load_pair(context, certificate, key)
    try:
        mode = Path(key).stat().st_mode
    except OSError as problem:
        raise CertificateUnusable(f"{key}: cannot be read: {problem.strerror}") from None
    if mode & stat.S_IRWXO:
        raise CertificateUnusable(f"{key}: everybody may read or change this private key; run: chmod o= {key}")
    if client_ca is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(context, client_ca)
    if crl is not None:
        _load_authorities(context, crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def client_context(
    ca: str | Path | None, certificate: str | Path | None = None, key: str | Path | None = None
) -> ssl.SSLContext:
    """What a client speaks: it knows the server by `ca` (none: the system's) and its name.

    Raises `CertificateUnusable`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca)
    if certificate is not None:
        _load_pair(context, certificate, key or certificate)
    return context


class Certificates:
    """A server's context that can be given new certificates while it serves."""

    def __init__(self, build: Callable[[], ssl.SSLContext], files: Sequence[str | Path]) -> None:
        """`build` makes a context from these files. Raises `CertificateUnusable`."""
        self._build = build
        self._files = files
        self._seen = self._look()
        self._current = build()
        self.context = build()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def renew(self) -> None:
        """New connections get what the files hold now. Raises `CertificateUnusable`, and then all stays as it was."""
        seen = self._look()
        self._current = self._build()
        self._seen = seen

    def are_changed(self) -> bool:
        """Whether a file is another one than it was at the last reading, by name, size, time or place."""
        return self._look() != self._seen

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(Path(file)) for file in self._files]


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:  # being replaced, or gone: `renew` says so when it reads
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _load_pair(context: ssl.SSLContext, certificate: str | Path, key: str | Path) -> None:
    for file in (certificate, key):
        _require_pem(file)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        raise CertificateUnusable(
            f"{key}: is protected by a password; give a file without one, readable by us alone"
        ) from None
    except OSError as problem:
        if not isinstance(problem, ssl.SSLError):
            raise CertificateUnusable(f"{certificate}, {key}: cannot be read: {problem.strerror}") from None
        why = (
            "is not the key of that certificate"
            if problem.reason == "KEY_VALUES_MISMATCH"
            else f"cannot be used with the certificate: {_words(problem)}"
        )
        raise CertificateUnusable(f"{key}: {why} ({certificate})") from None


class _Encrypted(Exception):
    """The key wants a password."""


def _no_password() -> str:
    raise _Encrypted  # or the library would ask at the terminal


def _load_authorities(context: ssl.SSLContext, file: str | Path) -> None:
    _require_pem(file)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as problem:
        raise CertificateUnusable(f"{file}: holds nothing to check certificates by: {_words(problem)}") from None


def _require_pem(file: str | Path) -> None:
    try:
        text = Path(file).read_text(encoding="ascii", errors="replace")
    except OSError as problem:
        raise CertificateUnusable(f"{file}: cannot be read: {problem.strerror}") from None
    if _PEM not in text:
        raise CertificateUnusable(f"{file}: holds no PEM, the text form that begins with {_PEM.strip()}")


def _words(problem: ssl.SSLError) -> str:
    return (problem.reason or str(problem)).lower().replace("_", " ")
