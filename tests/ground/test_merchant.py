"""Projects: every setting of wire-api 16 read from the command line's text."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.card import CardIdScope
from tollhouse.exemption import Exemption
from tollhouse.merchant import (
    CaptureMode,
    IdempotencyMode,
    Project,
    SettingInvalid,
    Settings,
    WebhookOrder,
    is_project_name,
    parse_duration,
    parse_setting,
)
from tollhouse.payment import HoldExpiry
from tollhouse.routing import route
from tollhouse.verdict import Policy

NAMED_EXEMPTIONS = (Exemption.LOW_VALUE, Exemption.TRA, Exemption.CORPORATE, Exemption.MERCHANT_INITIATED)
NAMED_ORIGINS = ("https://shop.example:8443", "http://localhost:5173")
READ = [
    ("rate_limit", "0", 0),
    ("rate_limit", "1000000", 1_000_000),
    ("idempotency", "replay", IdempotencyMode.REPLAY),
    ("auto_confirm", "on", True),
    ("auto_confirm", "false", False),
    ("show_fees", "true", True),
    ("capture_mode", "two_stage", CaptureMode.TWO_STAGE),
    ("hold_period", "3d23h", 341_999 + 1),
    ("hold_period", "30d", 2_592_000),
    ("hold_expiry", "capture", HoldExpiry.CAPTURE),
    *(("threeds", policy.value, policy) for policy in Policy),
    ("threeds_exemptions", "none", ()),
    ("threeds_exemptions", "low_value", (Exemption.LOW_VALUE,)),
    ("threeds_exemptions", "corporate,tra", (Exemption.CORPORATE, Exemption.TRA)),
    ("threeds_exemptions", "low_value, tra", (Exemption.LOW_VALUE, Exemption.TRA)),
    ("threeds_exemptions", "low_value,tra,corporate,merchant_initiated", NAMED_EXEMPTIONS),
    ("partial_refunds", "off", False),
    ("return_params", "off", False),
    *(("card_id", scope.value, scope) for scope in CardIdScope),
    ("webhook_version", "session", None),
    ("webhook_version", "v2", 2),
    ("webhook_retry_window", "90s", 90),
    ("webhook_order", "strict", WebhookOrder.STRICT),
    ("widget_origins", "*", ("*",)),
    ("widget_origins", "none", ()),
    ("widget_origins", "", ()),
    ("widget_origins", "https://shop.example", ("https://shop.example",)),
    ("widget_origins", "https://Shop.example:8443/, http://localhost:5173", NAMED_ORIGINS),
    ("widget_origins", "http://127.0.0.1,http://127.0.0.1/", ("http://127.0.0.1",)),
    ("display_name", "Kai & Co", "Kai & Co"),
    ("display_name", " Kai ", "Kai"),
    ("display_name", "", ""),
    ("display_name", "Ж" * 40, "Ж" * 40),
]
LATER = {
    "sync_payments": "off",
    "redirect_passthrough": "off",
    "signature": "body",
}


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_setting_read(name: str, text: str, value: object) -> None:
    """Each setting reads its own words into a member of `Settings`."""
    assert parse_setting(name, text) == {name: value}
    assert getattr(replace(Settings(), **parse_setting(name, text)), name) == value


def test_every_setting_is_read() -> None:
    """The table above names every member of `Settings`, and defaults are those of the specification."""
    assert {name for name, _, _ in READ} == {field.name for field in fields(Settings)}
    assert (Settings().rate_limit, Settings().hold_period, Settings().webhook_retry_window) == (1000, 342_000, 1800)
    assert (Settings().partial_refunds, Settings().return_params, Settings().auto_confirm) == (True, True, False)
    assert (Settings().threeds, Settings().threeds_exemptions) == (Policy.AUTO, ())
    assert (Settings().widget_origins, Settings().display_name, Settings().card_id) == ((), "", CardIdScope.OFF)


@pytest.mark.parametrize(("name", "text"), LATER.items())
def test_setting_of_a_later_feature(name: str, text: str) -> None:
    """A setting of something not built yet takes its default and refuses anything else."""
    assert parse_setting(name, text) == {}
    with pytest.raises(SettingInvalid, match=f"this version has only {name}="):
        parse_setting(name, "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rate_limit", "-1"),
        ("rate_limit", "1000001"),
        ("rate_limit", "9" * 10_000),
        ("rate_limit", "٣"),
        ("idempotency", "Replay"),
        ("auto_confirm", "yes"),
        ("capture_mode", ""),
        ("hold_period", "59m"),
        ("hold_period", "31d"),
        ("hold_period", "1h1d"),
        ("hold_period", ""),
        ("card_id", "on"),
        ("card_id", ""),
        ("threeds", "sometimes"),
        ("threeds", ""),
        ("threeds_exemptions", ""),
        ("threeds_exemptions", "all"),
        ("threeds_exemptions", "low_value,low_value"),
        ("threeds_exemptions", "low_value,"),
        ("threeds_exemptions", "none,tra"),
        ("threeds_exemptions", "low_value; tra"),
        ("webhook_version", "v3"),
        ("webhook_retry_window", "59"),
        ("webhook_order", "none "),
        ("widget_origins", "shop.example"),
        ("widget_origins", "http://shop.example"),
        ("widget_origins", "http://localhost.example"),
        ("widget_origins", "https://shop.example/pay"),
        ("widget_origins", "https://shop.example;script-src *"),
        ("widget_origins", "https://kai:secret@shop.example"),
        ("widget_origins", "https://*.shop.example"),
        ("widget_origins", "https://shop.example,"),
        ("widget_origins", "https://shop.example,*"),
        ("widget_origins", "https://shop.\nexample"),
        ("widget_origins", "javascript:alert(1)"),
        ("widget_origins", ",".join(f"https://shop{number}.example" for number in range(21))),
        ("display_name", "a" * 41),
        ("display_name", "two\nlines"),
        ("display_name", "turned\u202earound"),
        ("no_such", "1"),
    ],
)
def test_setting_refused(name: str, text: str) -> None:
    """A wrong value is refused by a sentence that names the setting and what is possible."""
    with pytest.raises(SettingInvalid, match=f"^{name}") as refused:
        parse_setting(name, text)
    assert any(told in str(refused.value) for told in ("expected", "there are", "or a list such as"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("3d23h", 342_000),
        ("2d3h4m5s", 183_845),
        ("", None),
        ("m", None),
        ("5m3h", None),
        ("1.5h", None),
        ("-5m", None),
        (" 5m", None),
        ("5m\n", None),
    ],
)
def test_duration(text: str, seconds: int | None) -> None:
    """Durations are days, hours, minutes and seconds, in this order, at least one of them."""
    assert parse_duration(text) == seconds


@given(st.integers(0, 9_999), st.integers(0, 9_999), st.integers(0, 9_999), st.integers(0, 9_999_999))
def test_duration_adds_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    """The parts of a duration add up."""
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("shop", True),
        ("Shop_1.eu-west", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        (".", False),
        ("..", False),
        ("a/b", False),
        ("a b", False),
        ("shop\n", False),
        ("ä", False),
    ],
)
def test_project_name(text: str, is_name: bool) -> None:
    """A name fits into a path and a header: 1 to 64 of letters, digits, dot, underscore and dash."""
    assert is_project_name(text) is is_name


@pytest.mark.parametrize(("is_live", "acquirer"), [(False, "sandbox"), (True, None)])
def test_route(is_live: bool, acquirer: str | None) -> None:
    """Test projects pay at the sandbox; live ones never do."""
    assert route(Project(name="shop", is_live=is_live)) == acquirer


@pytest.mark.parametrize(
    ("is_live", "named", "origins"),
    [
        (False, (), ("*",)),
        (False, ("*",), ("*",)),
        (False, ("https://shop.example",), ("https://shop.example",)),
        (True, (), ()),
        (True, ("*",), ()),
        (True, ("https://shop.example",), ("https://shop.example",)),
    ],
)
def test_who_may_frame_the_form(is_live: bool, named: tuple[str, ...], origins: tuple[str, ...]) -> None:
    """A test project that names nobody lets anybody, a live one nobody, and never everybody."""
    project = Project(name="shop", is_live=is_live, settings=Settings(widget_origins=named))
    assert project.form_origins == origins


def test_display_name() -> None:
    """What payers are shown is the project's name, until it has another."""
    assert Project(name="shop").display_name == "shop"
    assert Project(name="shop", settings=Settings(display_name="Kai & Co")).display_name == "Kai & Co"
