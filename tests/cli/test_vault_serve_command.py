"""`tollhouse vault serve` and `vault certificate`: what they print, and what they refuse in one line."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.cli.commands import Console


def certificate_in(path: str) -> x509.Certificate:
    """The certificate of a file."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """What it may be used for."""
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_make_and_revoke(console: Console, tmp_path: Path) -> None:
    """The vault's certificate is for a server, a node's for a client; a revoked one stands on the list."""
    folder = str(tmp_path / "made")
    vault = console.json("vault", "certificate", "make", "vault", "--host", "localhost", "--to", folder)
    node = console.json("vault", "certificate", "make", "node-1", "--to", folder)
    assert purposes(certificate_in(vault["certificate"])) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert purposes(certificate_in(node["certificate"])) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for file in (vault["key"], node["key"], f"{folder}/ca.key"):
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    serial = certificate_in(node["certificate"]).serial_number
    listed = console.json("vault", "certificate", "revoke", "node-1", "--to", folder)["revoked"]
    assert [one.serial_number for one in x509.load_pem_x509_crl(Path(listed).read_bytes())] == [serial]
    console.run("vault", "certificate", "make", "node-1", "--to", folder)
    console.run("vault", "certificate", "revoke", "node-1", "--to", folder)
    assert len(list(x509.load_pem_x509_crl(Path(listed).read_bytes()))) == 2


def test_make_prints_the_settings(console: Console, tmp_path: Path) -> None:
    """The lines may be copied into the environment of the process that they are for."""
    lines = console.run("vault", "certificate", "make", "node-1", "--to", str(tmp_path)).splitlines()
    assert f"TOLLHOUSE_VAULT_CERTIFICATE_FILE={tmp_path}/node-1.pem" in lines
    assert f"TOLLHOUSE_VAULT_KEY_FILE={tmp_path}/node-1.key" in lines
    assert f"TOLLHOUSE_VAULT_CA_FILE={tmp_path}/ca.pem" in lines
    revoked = f"TOLLHOUSE_VAULT_REVOKED_FILE={tmp_path}/revoked.pem"  # for who admits nodes
    assert revoked not in lines
    assert revoked in console.run("vault", "certificate", "make", "v", "--host", "v.example", "--to", str(tmp_path))


def test_what_cannot_be_made(console: Console, tmp_path: Path) -> None:
    """One line names the file or the name, and what to do."""
    folder = str(tmp_path)
    console.run("vault", "certificate", "make", "node-1", "--to", folder)
    assert "exists already" in console.failure("vault", "certificate", "make", "node-1", "--to", folder)
    assert "expected, such as node-1" in console.failure("vault", "certificate", "make", "a/b", "--to", folder)
    assert "expected, such as node-1" in console.failure("vault", "certificate", "make", "ca", "--to", folder)
    words = ("vault", "certificate", "make", "v", "--host", "not a host", "--to", folder)
    assert "the name or address of a machine expected" in console.failure(*words)
    told = console.run("vault", "certificate", "revoke", "node-1", "--to", folder)
    assert f"its own files are put aside in {folder}, as node-1-*.revoked-pem and -key" in told
    assert "node-1: is revoked already" in console.failure("vault", "certificate", "revoke", "node-1", "--to", folder)
    assert "no such certificate" in console.failure("vault", "certificate", "revoke", "node-2", "--to", folder)
    (tmp_path / "ca.key").unlink()
    assert "name the folder of the authority" in console.failure("vault", "certificate", "make", "n", "--to", folder)


def test_serve_without_a_place(console: Console) -> None:
    """It says which setting is missing."""
    assert "TOLLHOUSE_VAULT_LISTEN: is missing" in console.failure("vault", "serve")
