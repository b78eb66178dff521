"""Certificates decide which nodes get anything from the vault's process, also while they are connected."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.contracts.vaults import NODE, SECONDS_MAX, Lines, Running, running, until
from tests.vault.samples import CARD
from tollhouse.audit import DONE, Act
from tollhouse.net.tls import client_context
from tollhouse.vault import certificates, frames
from tollhouse.vault.admission import Certificates, NotAdmitted
from tollhouse.vault.client import RemoteVault, Way
from tollhouse.vault.port import VaultAway
from tollhouse.vault.server import CONNECTIONS_MAX

HELLO = frames.Hello(frames.PROTOCOL, "stranger")


@pytest.fixture
async def far(pool: asyncpg.Pool, home: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """A vault behind mutual TLS."""
    async with running("tls", pool, home, tmp_path) as one:
        await one.serve()
        yield one


async def refusal_of(place: Running, tls: Callable[[], ssl.SSLContext], *, name: str = "localhost") -> str:
    """What a node with this TLS is told, and what the vault's log says."""
    assert place.place is not None
    log = Lines()
    vault = RemoteVault(Way(host=name, port=place.place.port, tls=tls), node="stranger", log=log, limit_seconds=0.2)
    vault.start()
    lines = await until(lambda: log.said("vault away"))
    with pytest.raises(VaultAway):
        await vault.keep("shop", CARD)
    await vault.close()
    return str(lines)


async def assert_denied(place: Running, words: str) -> None:
    """The audit log says that somebody was refused."""
    await until(lambda: place.log.said("vault.refused"))
    entries = [entry for entry in await place.entries("vault.connect") if entry["outcome"] == "refused"]
    assert entries
    assert all(entry["origin"].startswith("127.0.0.1") for entry in entries)
    assert any(words in entry["details"] for entry in entries), [entry["details"] for entry in entries]


async def test_a_revoked_node_is_cut_off(far: Running) -> None:
    """Its connection ends, it gets no other, and others go on."""
    certificates.make(far.certificates, "node-2", hosts=[])
    revoked, other = await far.node(), await far.node("node-2")
    files = [far.certificates / f"{NODE}.{suffix}" for suffix in ("pem", "key")]
    kept = [file.read_bytes() for file in files]
    certificates.revoke(far.certificates, NODE)
    for file, raw in zip(files, kept, strict=True):
        file.write_bytes(raw)
    await until(lambda: far.log.said("its certificate was revoked"))
    assert isinstance(revoked[0], RemoteVault)
    await until(lambda: far.log.said("it refuses this node"))
    fresh = RemoteVault(far.way_to(), node=NODE, log=Lines(), limit_seconds=0.3)
    fresh.start()
    with pytest.raises(VaultAway):
        await fresh.keep("shop", CARD)
    await fresh.close()
    await other[0].keep("shop", CARD)
    await assert_denied(far, "node node-1: its certificate was revoked")


async def test_a_node_without_a_certificate_gets_nothing(far: Running) -> None:
    """TLS itself refuses it."""
    assert "away" in await refusal_of(far, lambda: client_context(far.certificates / "ca.pem"))
    await assert_denied(far, "PEER_DID_NOT_RETURN_A_CERTIFICATE")


async def test_a_certificate_of_another_authority_gets_nothing(far: Running, tmp_path: Path) -> None:
    """However the node is called in it."""
    foreign = certificates.make(tmp_path / "foreign", NODE, hosts=[])
    assert "away" in await refusal_of(far, lambda: client_context(far.certificates / "ca.pem", *foreign))
    await assert_denied(far, "certificate is not accepted")


async def test_an_expired_certificate_gets_nothing(far: Running) -> None:
    """Not a second after its end."""
    old = certificates.make(far.certificates, "old", hosts=[], days=0)
    assert "away" in await refusal_of(far, lambda: client_context(far.certificates / "ca.pem", *old))
    await assert_denied(far, "expired")


async def test_the_vaults_own_certificate_is_no_nodes(far: Running) -> None:
    """A certificate is for one of the two ends."""
    made = far.certificates
    pair = (made / "vault.pem", made / "vault.key")
    assert "away" in await refusal_of(far, lambda: client_context(made / "ca.pem", *pair))
    await assert_denied(far, "certificate is not accepted")


async def test_nodes_know_their_vault(far: Running, tmp_path: Path) -> None:
    """A vault with another name, or with a certificate of another authority, is told no card."""
    made = far.certificates
    pair = (made / f"{NODE}.pem", made / f"{NODE}.key")
    certificates.make(tmp_path / "foreign", "x", hosts=[])
    told = await refusal_of(far, lambda: client_context(tmp_path / "foreign" / "ca.pem", *pair))
    assert "its certificate is not accepted" in told
    told = await refusal_of(far, lambda: client_context(made / "ca.pem", *pair), name="127.0.0.1")
    assert "its certificate is not accepted" in told


async def test_plain_tcp_gets_nothing(far: Running) -> None:
    """Who does not speak TLS is not heard."""
    assert far.place is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", far.place.port)
    greeting = frames.encode(HELLO)
    writer.write(len(greeting).to_bytes(4, "big") + greeting)
    async with asyncio.timeout(SECONDS_MAX):
        heard = await asyncio.gather(reader.read(), return_exceptions=True)
    assert b"welcome" not in (heard[0] if isinstance(heard[0], bytes) else b"")
    writer.close()
    await assert_denied(far, "no TLS connection")


async def test_many_who_say_nothing_keep_no_node_out(far: Running) -> None:
    """More connections than there are places, each silent: a node from another address gets in at once."""
    assert far.place is not None
    silent: list[asyncio.StreamWriter] = []
    try:
        for _ in range(CONNECTIONS_MAX + 50):
            _, one = await asyncio.open_connection("127.0.0.1", far.place.port, local_addr=("127.9.9.9", 0))
            silent.append(one)
        vault, _ = await far.node()
        await vault.keep("shop", CARD)
        await until(lambda: far.log.said("too many connections that do not say who they are"))
    finally:
        for one in silent:
            one.close()


async def test_a_list_that_has_ended_goes_on_counting(far: Running) -> None:
    """It is told of, at the start and while it runs, and neither a start nor a payment fails because of it."""
    made = far.certificates
    vault, _ = await far.node()
    write_list(made, ends_at=datetime.now(UTC) - timedelta(hours=1))
    await until(lambda: far.log.said("and goes on being used"))
    await vault.keep("shop", CARD)
    admission = Certificates(made / "ca.pem", made / "revoked.pem")
    assert "replace it by a newer one" in admission.look()
    write_list(made, ends_at=datetime.now(UTC) + timedelta(seconds=3))
    assert admission.look() == ""
    await until(admission.look)
    assert "and goes on being used" in admission.look()
    (made / "revoked.pem").write_text("nothing")
    with pytest.raises(NotAdmitted, match="cannot be read as a list"):
        Certificates(made / "ca.pem", made / "revoked.pem")


def write_list(made: Path, *, ends_at: datetime) -> None:
    """A list of nobody, by the authority of these certificates."""
    authority = x509.load_pem_x509_certificate((made / "ca.pem").read_bytes())
    key = load_pem_private_key((made / "ca.key").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    listed = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    listed = listed.last_update(datetime.now(UTC) - timedelta(days=9)).next_update(ends_at)
    (made / "revoked.pem").write_bytes(listed.sign(key, SHA256()).public_bytes(Encoding.PEM))


async def test_a_broken_list_changes_nothing(far: Running) -> None:
    """A list that cannot be read, or is another authority's, is told of; the one before goes on counting."""
    vault, _ = await far.node()
    (far.certificates / "revoked.pem").write_text("nothing")
    await until(lambda: far.log.said("cannot be read as a list"))
    await vault.keep("shop", CARD)
    foreign = far.folder / "foreign"
    certificates.make(foreign, "x", hosts=[])
    (far.certificates / "revoked.pem").write_bytes((foreign / "revoked.pem").read_bytes())
    await until(lambda: far.log.said("is not signed by"))
    await vault.keep("shop", CARD)


async def test_whom_a_node_names_is_its_word(pool: asyncpg.Pool, home: Path, tmp_path: Path) -> None:
    """However long an entry is, that a node told it stands in it; and no node writes what only the vault does."""
    async with running("unix", pool, home, tmp_path) as place:
        _, audit = await place.node()
        for what in ("project.key.add", " card.reveal", "card.reveal", "vault.connect\n"):
            await audit.write(Act(what=what, outcome=DONE, who="user alice", details="x" * 500))
        (told,) = await place.entries("project.key.add")
        written = await pool.fetch("SELECT what FROM vault.audit_entry WHERE who = 'user alice'")
    assert re.search(r"x \(told by user [^)]+\)$", told["details"])
    assert [row["what"] for row in written] == ["project.key.add"]
