"""Signs and posts webhooks with each project's own keys, which are unsealed once and kept in memory."""

from __future__ import annotations

import asyncio
import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tollhouse.masking import mask_cards
from tollhouse.net.http import WebhookSender
from tollhouse.ports import ClaimedDelivery, Posted
from tollhouse.signing import ed25519_signature, sign_rsa
from tollhouse.store.projects import find_project
from tollhouse.vault.port import NodeVault
from tollhouse.webhook import ANSWER_SECONDS_MAX, JITTER_PERCENT_MAX, hmac_signature, signed_content


class SecretsDocument(msgspec.Struct, frozen=True):
    """What a project keeps secret, as it is sealed."""

    rsa_pem: str
    ed25519_seed: str
    hmac_secrets: list[str]


@dataclass(frozen=True, slots=True)
class _Keys:
    rsa: RSAPrivateKey = field(repr=False)
    ed25519: Ed25519PrivateKey = field(repr=False)
    hmac_secrets: tuple[str, ...] = field(repr=False)


class WebhookHerald:
    """Implements the port `Herald`."""

    def __init__(self, pool: asyncpg.Pool, vault: NodeVault, sender: WebhookSender) -> None:
        self._pool = pool
        self._vault = vault
        self._sender = sender
        self._keys: dict[str, _Keys] = {}
        # An RSA signature costs more CPU than anything else a payment needs: it must not stop the event loop.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="webhook-signature")

    async def sign(self, project: str, body: bytes) -> str:
        """The value of X-PARTNER-SIGN for this body."""
        keys = await self._keys_of(project)
        return await asyncio.get_running_loop().run_in_executor(self._threads, sign_rsa, keys.rsa, body)

    async def post(self, claimed: ClaimedDelivery, signature: str, at: datetime) -> Posted:
        """One sending, with the headers of wire-api section 11."""
        delivery = claimed.delivery
        keys = await self._keys_of(delivery.project)
        timestamp = int(at.timestamp())
        content = signed_content(delivery.event_id, timestamp, delivery.body)
        signatures = [ed25519_signature(keys.ed25519, content)]
        signatures += [hmac_signature(secret, content) for secret in keys.hmac_secrets]
        headers = {
            "Content-Type": "application/json",
            "X-PARTNER-SIGN": signature,
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }
        sent = await self._sender.post(
            claimed.url, delivery.body, headers, live=claimed.is_live, timeout_seconds=ANSWER_SECONDS_MAX
        )
        return Posted(
            status=sent.status,
            error=sent.error,
            excerpt=mask_cards(sent.excerpt).replace("\0", ""),
            duration_seconds=sent.duration_seconds,
        )

    def jitter_percent(self) -> int:
        """How much later than nominal the next attempt starts."""
        return secrets.randbelow(JITTER_PERCENT_MAX + 1)

    def close(self) -> None:
        """Let the signing thread go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keys_of(self, project: str) -> _Keys:
        known = self._keys.get(project)
        if known is None:
            row = await find_project(self._pool, project)
            assert row is not None, "an event of a project that does not exist"
            plain = await self._vault.open_secrets(project, row.sealed_secrets)
            document = msgspec.json.decode(plain, type=SecretsDocument)
            rsa = load_pem_private_key(document.rsa_pem.encode(), None)
            assert isinstance(rsa, RSAPrivateKey)
            seed = base64.b64decode(document.ed25519_seed)
            known = _Keys(rsa, Ed25519PrivateKey.from_private_bytes(seed), tuple(document.hmac_secrets))
            self._keys[project] = known
        return known
