"""A merchant's project: its keys, rights and settings (wire-api 16)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from tollhouse.card import CardIdScope
from tollhouse.exemption import Exemption
from tollhouse.payment import HoldExpiry
from tollhouse.verdict import Policy

PROJECT_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
PUBLIC_KEYS_MAX = 5
WEBHOOK_URL_LENGTH_MAX = 2048
DISPLAY_NAME_LENGTH_MAX = 40  # what 3-D Secure has for a merchant's name
ORIGINS_MAX = 20
ANYBODY = "*"

_LOOPBACK = ("localhost", "127.0.0.1")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[0-9]{1,5})?")


class IdempotencyMode(StrEnum):
    """What a repeated call with a used key gets."""

    REJECT = "reject"
    REPLAY = "replay"


class CaptureMode(StrEnum):
    """Whether money is taken with the authorization or by a call of its own."""

    ONE_STAGE = "one_stage"
    TWO_STAGE = "two_stage"


class WebhookOrder(StrEnum):
    """How long an event that fails holds back the later ones of its session."""

    SESSION = "session"
    STRICT = "strict"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chooses for a project. Durations in seconds."""

    rate_limit: int = 1000  # requests a second; 0 is off
    idempotency: IdempotencyMode = IdempotencyMode.REJECT
    auto_confirm: bool = False
    show_fees: bool = False
    capture_mode: CaptureMode = CaptureMode.ONE_STAGE
    hold_period: int = 3 * 86400 + 23 * 3600
    hold_expiry: HoldExpiry = HoldExpiry.RELEASE
    threeds: Policy = Policy.AUTO
    threeds_exemptions: tuple[Exemption, ...] = ()
    partial_refunds: bool = True
    return_params: bool = True
    card_id: CardIdScope = CardIdScope.OFF
    webhook_version: int | None = None
    webhook_retry_window: int = 30 * 60
    webhook_order: WebhookOrder = WebhookOrder.SESSION
    widget_origins: tuple[str, ...] = ()
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key the project signs its requests with: PEM text, named by the first half of its SHA-256 fingerprint."""

    id: str
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One integration of a merchant."""

    name: str
    is_live: bool = False
    is_disabled: bool = False
    settings: Settings = field(default_factory=Settings)
    public_keys: tuple[PublicKey, ...] = ()
    webhook_url: str | None = None

    @property
    def display_name(self) -> str:
        """What payers are shown."""
        return self.settings.display_name or self.name

    @property
    def form_origins(self) -> tuple[str, ...]:
        """Who may frame the payment form; a test project that names nobody lets anybody, a live one nobody."""
        named = self.settings.widget_origins
        if self.is_live:
            return tuple(origin for origin in named if origin != ANYBODY)
        return named or (ANYBODY,)


class SettingInvalid(ValueError):
    """A setting or its value is not one of those of wire-api section 16."""


_LATER = {
    "sync_payments": "off",
    "redirect_passthrough": "off",
    "signature": "body",
}
_DURATIONS = {"hold_period": (3600, 30 * 86400), "webhook_retry_window": (60, 30 * 86400)}


def parse_setting(name: str, text: str) -> dict[str, object]:
    """One `KEY=VALUE` of the command line as a member of `Settings`; empty for a default of a later feature.

    Raises `SettingInvalid`, whose text names the setting, what was wrong and what is possible.
    """
    switches = {"on": True, "true": True, "off": False, "false": False}
    choices = {
        "idempotency": IdempotencyMode,
        "capture_mode": CaptureMode,
        "hold_expiry": HoldExpiry,
        "webhook_order": WebhookOrder,
        "threeds": Policy,
        "card_id": CardIdScope,
    }
    if name in _LATER:
        if text != _LATER[name]:
            raise SettingInvalid(f"{name}={text}: this version has only {name}={_LATER[name]}")
        return {}
    if name in ("auto_confirm", "show_fees", "partial_refunds", "return_params"):
        if text not in switches:
            raise SettingInvalid(f"{name}={text}: on or off expected")
        return {name: switches[text]}
    if name in choices:
        values = [member.value for member in choices[name]]
        if text not in values:
            raise SettingInvalid(f"{name}={text}: {' or '.join(values)} expected")
        return {name: choices[name](text)}
    if name == "widget_origins":
        return {name: _parse_origins(text)}
    if name == "display_name":
        if len(text) > DISPLAY_NAME_LENGTH_MAX or not text.isprintable():
            raise SettingInvalid(f"{name}: at most {DISPLAY_NAME_LENGTH_MAX} printable characters expected")
        return {name: text.strip()}
    if name == "threeds_exemptions":
        return {name: _parse_exemptions(text)}
    if name == "webhook_version":
        if text not in ("session", "v1", "v2"):
            raise SettingInvalid(f"{name}={text}: session, v1 or v2 expected")
        return {name: None if text == "session" else int(text[1:])}
    if name == "rate_limit":
        if not (re.fullmatch("[0-9]{1,7}", text) and int(text) <= 1_000_000):
            raise SettingInvalid(f"{name}={text}: requests a second expected, 0 for none")
        return {name: int(text)}
    if name in _DURATIONS:
        low, high = _DURATIONS[name]
        seconds = parse_duration(text)
        if seconds is None or not low <= seconds <= high:
            expected = f"a duration from {low} to {high} seconds expected, such as 30m or 3d23h"
            raise SettingInvalid(f"{name}={text}: {expected}")
        return {name: seconds}
    known = sorted({*Settings.__dataclass_fields__, *_LATER})
    raise SettingInvalid(f"{name}: no such setting; there are {', '.join(known)}")


def _parse_origins(text: str) -> tuple[str, ...]:
    if text in (ANYBODY, "none", ""):
        return (ANYBODY,) if text == ANYBODY else ()
    origins = tuple(origin.strip().lower().removesuffix("/") for origin in text.split(","))
    for origin in origins:
        match = _ORIGIN.fullmatch(origin)
        if match is None or (match["scheme"] == "http" and match["host"] not in _LOOPBACK):
            raise SettingInvalid(
                f"widget_origins={origin[:100]}: * or a list of origins such as https://shop.example expected;"
                " http only for localhost and 127.0.0.1"
            )
    if len(origins) > ORIGINS_MAX:
        raise SettingInvalid(f"widget_origins: at most {ORIGINS_MAX} origins expected")
    return tuple(dict.fromkeys(origins))


def _parse_exemptions(text: str) -> tuple[Exemption, ...]:
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    known = [exemption.value for exemption in Exemption]
    if any(name not in known for name in names) or len(set(names)) < len(names):
        raise SettingInvalid(f"threeds_exemptions={text}: none, or a list such as low_value,tra of {', '.join(known)}")
    return tuple(Exemption(name) for name in names)


_DURATION = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,7})s?)?")


def parse_duration(text: str) -> int | None:
    """Seconds of `90`, `90s`, `30m`, `3d23h`; None when it is none of these."""
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def is_project_name(text: str) -> bool:
    """Whether the text may name a project in paths and headers."""
    return PROJECT_NAME.fullmatch(text) is not None and text not in (".", "..")
