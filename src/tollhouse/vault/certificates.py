"""Certificates of a small installation: an authority of its own, one certificate for the vault and for each node.

Everything lies in one folder: `ca.pem` and `ca.key`, NAME.pem and NAME.key, and `revoked.pem`, the list of those that
count no more. Who has `ca.key` can make a node; it belongs on neither a node nor the vault's machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY, REVOKED = "ca", "revoked"
AUTHORITY_DAYS, CERTIFICATE_DAYS, LIST_DAYS = 3650, 398, 3650
SLACK = timedelta(minutes=5)  # for clocks that are a little behind ours
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


class CertificateRefused(Exception):
    """A certificate cannot be made or revoked; the text is one line with the cure."""

    exit_code = 1


def make(folder: Path, name: str, *, hosts: Sequence[str], days: int = CERTIFICATE_DAYS) -> tuple[Path, Path]:
    """A certificate and its key: of the vault where there are hosts that it is reached by, else of a node.

    The authority is made with the first one. Raises `CertificateRefused`.
    """
    if not NAME.fullmatch(name) or name in (AUTHORITY, REVOKED):
        raise CertificateRefused(f"{name[:80]!a}: a name of letters, digits, dots and dashes expected, such as node-1")
    certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    if certificate_file.exists():
        raise CertificateRefused(f"{certificate_file}: exists already; revoke it first, or choose another name")
    authority, signer = _authority(folder)
    key = generate_private_key(SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(name, authority.subject, key, days=days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(hosts or [name])), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    _write_key(key_file, key)
    _write(certificate_file, builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    return certificate_file, key_file


def revoke(folder: Path, name: str) -> Path:
    """Put a certificate on the list of those that count no more, and the files of it aside. The list.

    Raises `CertificateRefused`.
    """
    certificate_file = folder / f"{name}.pem"
    if name in (AUTHORITY, REVOKED) or not certificate_file.exists():
        if any(folder.glob(f"{name}-*.{REVOKED}-pem")):
            raise CertificateRefused(f"{name}: is revoked already; {folder / REVOKED}.pem is the list to copy")
        raise CertificateRefused(f"{certificate_file}: there is no such certificate")
    authority, signer = _authority(folder)
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    listed = x509.load_pem_x509_crl((folder / f"{REVOKED}.pem").read_bytes())
    path = _write_list(folder, authority, signer, [*listed], certificate.serial_number)
    for suffix in ("pem", "key"):
        file = folder / f"{name}.{suffix}"
        if file.exists():
            file.rename(folder / f"{name}-{certificate.serial_number:x}.{REVOKED}-{suffix}")
    return path


def _authority(folder: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """The authority of a folder; a new one where there is none."""
    certificate_file, key_file = folder / f"{AUTHORITY}.pem", folder / f"{AUTHORITY}.key"
    try:
        if not certificate_file.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _new_authority(folder, certificate_file, key_file)
        signer = load_pem_private_key(key_file.read_bytes(), None)
        authority = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except OSError as problem:
        raise CertificateRefused(f"{problem.filename}: {problem.strerror}; name the folder of the authority") from None
    except (ValueError, TypeError):
        raise CertificateRefused(f"{folder}: {AUTHORITY}.pem or {AUTHORITY}.key is not what it was made as") from None
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise CertificateRefused(f"{key_file}: was not made by this command; revoke and sign with your own tools")
    return authority, signer


def _new_authority(
    folder: Path, certificate_file: Path, key_file: Path
) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    key = generate_private_key(SECP256R1())
    name = f"tollhouse vault {os.urandom(4).hex()}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, subject, key, days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_file, key)
    _write_list(folder, certificate, key, [])
    _write(certificate_file, certificate.public_bytes(Encoding.PEM))  # last: with it the folder counts as made
    return certificate, key


def _write_list(
    folder: Path,
    authority: x509.Certificate,
    signer: EllipticCurvePrivateKey,
    listed: Sequence[x509.RevokedCertificate],
    serial: int | None = None,
) -> Path:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now - SLACK).next_update(now + timedelta(days=LIST_DAYS))
    if serial is not None:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        listed = [*listed, one]
    for one in listed:
        builder = builder.add_revoked_certificate(one)
    path = folder / f"{REVOKED}.pem"
    _write(path, builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    return path


def _builder(name: str, issuer: x509.Name, key: EllipticCurvePrivateKey, *, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not all(NAME.fullmatch(part) for part in host.split(".")):
                raise CertificateRefused(f"{host[:80]!a}: the name or address of a machine expected") from None
            names.append(x509.DNSName(host))
    return names


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(path, raw, mode=0o600)


def _write(path: Path, raw: bytes, *, mode: int = 0o644) -> None:
    """All of it or nothing: who reads it meanwhile finds the file before."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as problem:
        raise CertificateRefused(f"{path}: {problem.strerror}; name a folder that can be written") from None
