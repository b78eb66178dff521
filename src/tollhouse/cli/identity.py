"""The merchant that `tollhouse pay` plays: a real key pair and project, kept in the home so that it can come back."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hmac
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tollhouse import signing
from tollhouse.boot.config import Config
from tollhouse.boot.keyholders import AskRoot
from tollhouse.boot.onboarding import KEY_BITS, KEY_EXPONENT, create_project, read_settings
from tollhouse.cli.acting import recorded
from tollhouse.cli.failure import Failure
from tollhouse.cli.parts import keys_on
from tollhouse.merchant import Project, Settings, is_project_name
from tollhouse.net.merchant import Arrived
from tollhouse.store.projects import KnownProject, find_project, update_project
from tollhouse.vault.keyset import KeySet
from tollhouse.webhook import hmac_signature, signed_content

FOLDER = "merchant"
DEFAULT_NAME = "demo-shop"
PLAYERS_MAX = 50
TIMESTAMP_SECONDS_MAX = 300


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What is kept of a merchant, in a file that only its owner reads."""

    project: str
    private_key: str
    provider_public_key: str
    webhook_secret: str
    webhook_public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """One merchant of one project, as it signs its calls and checks its webhooks."""

    project: Project
    private_key: RSAPrivateKey = field(repr=False)
    provider_public_key: str
    webhook_secret: str = field(repr=False)
    webhook_public_key: str
    settings_before: Settings | None = None  # where this run changed them: the gateway sees that within a second

    def sign(self, body: bytes) -> str:
        """The value of X-PARTNER-SIGN."""
        return signing.sign_rsa(self.private_key, body)

    def check(self, arrived: Arrived) -> dict[str, bool]:
        """For each of the three signatures whether it fits."""
        headers = arrived.headers
        key = signing.parse_public_key(self.provider_public_key)
        stamp = headers.get("webhook-timestamp", "")
        is_fresh = stamp.isdecimal() and abs(time.time() - int(stamp)) <= TIMESTAMP_SECONDS_MAX
        content = signed_content(headers.get("webhook-id", ""), int(stamp) if is_fresh else 0, arrived.body)
        signatures = headers.get("webhook-signature", "").split()
        secret = hmac_signature(self.webhook_secret, content)
        return {
            "X-PARTNER-SIGN": signing.verify(key, arrived.body, headers.get("x-partner-sign", "")),
            "v1": is_fresh and any(hmac.compare_digest(one, secret) for one in signatures),
            "v1a": is_fresh and any(_is_ed25519(self.webhook_public_key, one, content) for one in signatures),
        }


def _is_ed25519(public_key: str, signature: str, content: bytes) -> bool:
    scheme, _, encoded = signature.partition(",")
    if scheme != "v1a":
        return False
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    try:
        key.verify(base64.b64decode(encoded, validate=True), content)
    except (InvalidSignature, binascii.Error):
        return False
    return True


@contextmanager
def claimed_name(home: Path, wanted: str | None, default: str) -> Iterator[str]:
    """A project's name that no other run of `pay` plays meanwhile: the wanted one, or the first free default."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if wanted is not None and not is_project_name(wanted):
        raise Failure(f"--project {wanted[:80]!a}: 1 to 64 of A-Z a-z 0-9 . _ - expected, such as shop-1")
    names = [wanted] if wanted else [default, *(f"{default}-{number}" for number in range(2, PLAYERS_MAX))]
    for name in names:
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield name
        finally:
            os.close(lock)
        return
    raise Failure(f"another `tollhouse pay` plays {names[-1]} at this moment; wait for it or choose another --project")


async def come_back(
    pool: asyncpg.Pool,
    config: Config,
    name: str,
    *,
    webhook_url: str,
    settings: Sequence[str],
    ask_root: AskRoot | None = None,
) -> Merchant:
    """The merchant of this name, made where there is none yet, with its webhooks going to this address.

    `ask_root`: how custodians open the keys to make one, where they have them; without it they do so at the terminal.
    """
    home = config.home
    kept = _load(home / FOLDER / f"{name}.json")
    known = await find_project(pool, name)
    if known is None:
        async with (
            keys_on(config, pool, ask_root) as keys,
            recorded(pool, "project.create", name, key=keys.audit_key),
        ):
            return await _begin(pool, keys, config.home, name, kept, webhook_url=webhook_url, settings=settings)
    if kept is None or kept.webhook_public_key != known.webhook_public_ed25519:
        raise Failure(
            f"project {name} exists, but {home / FOLDER} has no key of it: `pay` plays only merchants it made itself;"
            " choose another name with --project"
        )
    wanted = read_settings(known.project.settings, settings)
    project = replace(known.project, webhook_url=webhook_url, settings=wanted)
    async with recorded(pool, "project.set", name):
        await update_project(pool, project)
    before = known.project.settings if wanted != known.project.settings else None
    return replace(_merchant(kept, replace(known, project=project)), settings_before=before)


async def leave(pool: asyncpg.Pool, merchant: Merchant) -> None:
    """Nobody listens any more: later events of the project stay silent, its settings are what they were."""
    known = await find_project(pool, merchant.project.name)
    if known is not None:
        settings = merchant.settings_before or known.project.settings
        async with recorded(pool, "project.set", known.project.name):
            await update_project(pool, replace(known.project, webhook_url=None, settings=settings))


async def _begin(
    pool: asyncpg.Pool,
    keys: KeySet,
    home: Path,
    name: str,
    kept: _File | None,
    *,
    webhook_url: str,
    settings: Sequence[str],
) -> Merchant:
    private_key = _private_key(kept.private_key) if kept else generate_private_key(KEY_EXPONENT, KEY_BITS)
    made = await create_project(
        pool,
        keys,
        name=name,
        public_key=signing.public_key_pem(private_key.public_key()),
        webhook_url=webhook_url,
        settings=read_settings(Settings(), settings),
        is_live=False,
        now=datetime.now(UTC),
    )
    file = _File(
        project=name,
        private_key=private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        provider_public_key=made.known.webhook_public_pem,
        webhook_secret=made.webhook_secret,
        webhook_public_key=made.known.webhook_public_ed25519,
    )
    _save(home / FOLDER / f"{name}.json", file)
    return _merchant(file, made.known)


def _merchant(file: _File, known: KnownProject) -> Merchant:
    return Merchant(
        project=known.project,
        private_key=_private_key(file.private_key),
        provider_public_key=file.provider_public_key,
        webhook_secret=file.webhook_secret,
        webhook_public_key=file.webhook_public_key,
    )


def _private_key(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def _load(path: Path) -> _File | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as problem:
        raise Failure(f"{path}: cannot be read ({problem}); move it away to begin with a new merchant") from None


def _save(path: Path, file: _File) -> None:
    draft = path.with_name(f".{path.name}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
    draft.replace(path)


def headers_of(merchant: Merchant, body: bytes, more: Mapping[str, str]) -> dict[str, str]:
    """The headers of a signed call."""
    signed = {"X-PARTNER-PROJECT": merchant.project.name, "X-PARTNER-SIGN": merchant.sign(body)}
    return {"Content-Type": "application/json", **signed, **more}
