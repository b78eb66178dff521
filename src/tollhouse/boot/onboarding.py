"""A project from its beginning: checks what the operator gives, makes its webhook keys, writes both down."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tollhouse import signing
from tollhouse.boot.herald import SecretsDocument
from tollhouse.merchant import Project, PublicKey, SettingInvalid, Settings, is_project_name, parse_setting
from tollhouse.net.guard import UrlRefused, check_url
from tollhouse.store.projects import KnownProject, ProjectExists, insert_project
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.registry import steady
from tollhouse.vault.secrets import ProjectSecrets

KEY_BITS, KEY_EXPONENT = 2048, 65537
SECRET_BYTES = 32

# What wire-api 16 calls settings although it has a place of its own.
_ELSEWHERE = {
    "webhook_url": "give it with --webhook-url",
    "live": "--live at creation decides it, once",
    "public_keys": "`tollhouse key add` and `tollhouse key retire` change them",
    "webhook_secret": "it is generated at creation",
}


class OnboardingRefused(Exception):
    """What was given for a project cannot be used; the text is one line naming it and the cure."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarded:
    """A project that was just made, with the secret that is shown only now."""

    known: KnownProject
    webhook_secret: str = field(repr=False)


async def create_project(
    pool: asyncpg.Pool,
    keys: KeySet,
    *,
    name: str,
    public_key: str,
    webhook_url: str | None,
    settings: Settings,
    is_live: bool,
    now: datetime,
) -> Onboarded:
    """A project that may call the API from now on.

    Raises `OnboardingRefused`.
    """
    if not is_project_name(name):
        raise OnboardingRefused(f"project {name[:80]!a}: 1 to 64 of A-Z a-z 0-9 . _ - expected, such as shop-1")
    project = Project(
        name=name,
        is_live=is_live,
        settings=settings,
        public_keys=(read_public_key(public_key),),
        webhook_url=webhook_url and read_webhook_url(webhook_url, is_live=is_live),
    )
    rsa = generate_private_key(KEY_EXPONENT, KEY_BITS)
    ed25519 = Ed25519PrivateKey.generate()
    secret = signing.webhook_secret(os.urandom(SECRET_BYTES))
    try:
        async with steady(pool) as rows:
            await keys.refresh(rows)
            known = KnownProject(
                project=project,
                sealed_secrets=await ProjectSecrets(keys.ring).seal(name, _document(rsa, ed25519, secret)),
                webhook_public_pem=signing.public_key_pem(rsa.public_key()),
                webhook_public_ed25519=signing.webhook_public_key(ed25519.public_key()),
                created_at=now,
            )
            await insert_project(pool, known)
    except ProjectExists:
        raise OnboardingRefused(
            f"project {name} exists already; choose another name, or see it with `tollhouse project show {name}`"
        ) from None
    return Onboarded(known=known, webhook_secret=secret)


def read_settings(current: Settings, words: Sequence[str]) -> Settings:
    """The settings after `KEY=VALUE` words. Raises `OnboardingRefused` naming the one that is wrong."""
    changed: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise OnboardingRefused(f"{word[:80]!a}: KEY=VALUE expected, such as capture_mode=two_stage")
        if name in _ELSEWHERE:
            raise OnboardingRefused(f"{name}: {_ELSEWHERE[name]}")
        try:
            changed |= parse_setting(name, text)
        except SettingInvalid as problem:
            raise OnboardingRefused(str(problem)) from None
    return replace(current, **changed)  # type: ignore[arg-type]


def read_webhook_url(url: str, *, is_live: bool) -> str:
    """The address as it was given, if webhooks of such a project may go there. Raises `OnboardingRefused`."""
    try:
        check_url(url, live=is_live)
    except UrlRefused as problem:
        raise OnboardingRefused(f"webhook URL: {problem.reason}") from None
    return url


def read_public_key(text: str) -> PublicKey:
    """The merchant's key from PEM or a certificate, under the name it has with us. Raises `OnboardingRefused`."""
    try:
        key = signing.parse_public_key(text)
    except ValueError as problem:
        raise OnboardingRefused(f"public key: {problem}") from None
    return PublicKey(id=signing.public_key_id(key), pem=signing.public_key_pem(key))


def _document(rsa: RSAPrivateKey, ed25519: Ed25519PrivateKey, secret: str) -> bytes:
    document = SecretsDocument(
        rsa_pem=rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        ed25519_seed=base64.b64encode(ed25519.private_bytes_raw()).decode(),
        hmac_secrets=[secret],
    )
    return msgspec.json.encode(document)
