"""TLS contexts on real sockets: versions, suites, client certificates, revoked ones, new certificates while serving."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority, Pair
from tollhouse.net.tls import Certificates, CertificateUnusable, client_context, server_context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority whose files lie in the test's folder."""
    return Authority(tmp_path)


@asynccontextmanager
async def echoing(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that sends lines back; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def say(port: int, context: ssl.SSLContext) -> ssl.SSLObject:
    """What was agreed on, once a line has come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"hello\n")
        if await reader.readline() != b"hello\n":
            raise ConnectionResetError("hung up")
        agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return agreed
    finally:
        writer.close()


def of(pair: Pair, **more: Path) -> ssl.SSLContext:
    """A server's context with this pair."""
    return server_context(pair.certificate, pair.key, **more)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_new_versions_are_spoken(authority: Authority, version: ssl.TLSVersion) -> None:
    """Versions 1.2 and 1.3 are spoken, with a suite that has forward secrecy and authenticated sealing."""
    client = client_context(authority.file)
    client.minimum_version = client.maximum_version = version
    async with echoing(of(authority.server())) as port:
        agreed = await say(port, client)
    name, _, bits = agreed.cipher() or ("", "", 0)
    assert agreed.version() == version.name.replace("_", ".")
    assert bits >= 128
    assert name.startswith(("TLS_", "ECDHE-"))
    assert "GCM" in name or "POLY1305" in name


def ready_for(authority: Authority, suites: str, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks these suites and this version only, however weak they are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.file)
    context.set_ciphers(suites + ":@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is asked for here
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
    return context


async def test_version_1_1_is_refused(authority: Authority) -> None:
    """A client that speaks 1.1 at most is not spoken to; the same client is when it speaks 1.2."""
    async with echoing(of(authority.server())) as port:
        await say(port, ready_for(authority, "ALL", ssl.TLSVersion.TLSv1_2))
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await say(port, ready_for(authority, "ALL", old))


@pytest.mark.parametrize("suites", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-CCM"])
async def test_weak_suites_are_refused(authority: Authority, suites: str) -> None:
    """A client that offers CBC, or short tags, finds no suite in common."""
    client = ready_for(authority, suites, ssl.TLSVersion.TLSv1_2)
    async with echoing(of(authority.server())) as port:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await say(port, client)


def test_only_ecdhe_with_aead_is_offered(authority: Authority) -> None:
    """The list of suites holds nothing but ECDHE with AES-GCM or ChaCha20, and those of version 1.3."""
    names = [suite["name"] for suite in of(authority.server()).get_ciphers()]
    assert names
    for name in names:
        assert name.startswith(("TLS_", "ECDHE-")), name
        assert "GCM" in name or "POLY1305" in name, name


async def test_nothing_is_resumed_by_tickets(authority: Authority) -> None:
    """No tickets are given out: their key would open what was recorded before."""
    client = client_context(authority.file)
    async with echoing(of(authority.server())) as port:
        agreed = await say(port, client)
    assert agreed.session is None or not agreed.session.has_ticket


async def test_strangers_are_not_let_in_where_clients_need_a_certificate(authority: Authority, tmp_path: Path) -> None:
    """With a client authority: its clients get answers, those of another one or with none get nothing."""
    server = of(authority.server(), client_ca=authority.file)
    mine, other = authority.client(), Authority(tmp_path, "another authority").client("stranger")
    async with echoing(server) as port:
        agreed = await say(port, client_context(authority.file, mine.certificate, mine.key))
        for context in (client_context(authority.file), client_context(authority.file, other.certificate, other.key)):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await say(port, context)
    assert agreed.version() == "TLSv1.3"


async def test_a_revoked_client_gets_nothing(authority: Authority) -> None:
    """A certificate on the list of revoked ones is refused, and others of the same authority are not."""
    kept, revoked = authority.client("kept"), authority.client("revoked")
    server = of(authority.server(), client_ca=authority.file, crl=authority.revoked(revoked))
    async with echoing(server) as port:
        await say(port, client_context(authority.file, kept.certificate, kept.key))
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await say(port, client_context(authority.file, revoked.certificate, revoked.key))


async def test_a_client_is_revoked_while_the_server_serves(authority: Authority) -> None:
    """A list that is read anew counts from the next connection on."""
    pair, client = authority.server(), authority.client()
    crl = authority.revoked()
    certificates = Certificates(lambda: of(pair, client_ca=authority.file, crl=crl), [crl])
    as_client = client_context(authority.file, client.certificate, client.key)
    async with echoing(certificates.context) as port:
        await say(port, as_client)
        authority.revoked(client)
        assert certificates.are_changed()
        certificates.renew()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await say(port, as_client)


async def test_a_client_knows_its_server(authority: Authority, tmp_path: Path) -> None:
    """A server of another authority, or with another name, is not spoken to."""
    other = Authority(tmp_path, "another authority")
    async with echoing(of(other.server("other"))) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await say(port, client_context(authority.file))
    wrong_name = authority.client("elsewhere.example")
    async with echoing(of(wrong_name)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await say(port, client_context(authority.file))


async def test_new_certificates_without_a_dropped_connection(authority: Authority) -> None:
    """After `renew` new connections get the new certificate, while one that is open goes on with the old one."""
    pair = authority.server()
    certificates = Certificates(lambda: of(pair), [pair.certificate, pair.key])
    client = client_context(authority.file)
    async with echoing(certificates.context) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        new = authority.server()
        assert certificates.are_changed()
        certificates.renew()
        assert not certificates.are_changed()
        served = (await say(port, client)).getpeercert() or {}
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        old = writer.get_extra_info("peercert")
        writer.close()
    assert int(str(served["serialNumber"]), 16) == new.serial
    assert int(old["serialNumber"], 16) == pair.serial


async def test_half_replaced_files_change_nothing(authority: Authority) -> None:
    """A certificate whose key has not come yet is refused, and the old pair goes on serving."""
    pair = authority.server()
    certificates = Certificates(lambda: of(pair), [pair.certificate, pair.key])
    key = pair.key.read_bytes()
    authority.server()
    pair.key.write_bytes(key)
    with pytest.raises(CertificateUnusable, match="is not the key of that certificate"):
        certificates.renew()
    assert certificates.are_changed()
    async with echoing(certificates.context) as port:
        served = (await say(port, client_context(authority.file))).getpeercert() or {}
    assert int(str(served["serialNumber"]), 16) == pair.serial


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    """Each unusable file is refused with one line that names it and what to do."""
    pair, other = authority.server(), authority.server("other")
    gone, text = tmp_path / "gone.pem", tmp_path / "text.pem"
    text.write_text("hello")
    for certificate, key, why in (
        (gone, pair.key, "gone.pem: cannot be read: No such file"),
        (text, pair.key, "text.pem: holds no PEM"),
        (pair.certificate, other.key, "other.key: is not the key of that certificate"),
    ):
        with pytest.raises(CertificateUnusable, match=why):
            server_context(certificate, key)
    pair.key.chmod(0o644)
    with pytest.raises(CertificateUnusable, match="everybody may read or change this private key; run: chmod o= "):
        of(pair)
    with pytest.raises(CertificateUnusable, match="text.pem: holds no PEM"):
        client_context(text)
