"""`tollhouse widget`: what a shop pastes, what payers get, and whether browsers get just that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.programs import free_ports
from tests.cli.widget_host import Answered, WidgetHost, differences, end, make_build, version_of
from tollhouse.api.widget.door import FRAME_PREFIX, HOSTED_PREFIX
from tollhouse.cli.failure import Failure
from tollhouse.cli.inventory import digest

POLICY = "Content-Security-Policy"
Change = Callable[[WidgetHost], Any]


@pytest.fixture
def host(tmp_path: Path) -> WidgetHost:
    """A host where all is as it must be."""
    return WidgetHost(make_build(tmp_path / "built")).fill()


def test_info_has_the_lines_to_paste(host: WidgetHost) -> None:
    """The lines name the file of this very build with its hash; the plain ones name the newest."""
    shown = json.loads(end(host, "info", "--json").stdout)
    script = (host.build / "payment-form.js").read_bytes()
    place = f"https://pay.example.com{host.path('payment-form.js')}"
    assert shown["pinned"]["script"] == (
        f'<script src="{place}" integrity="{digest("sha384", script)}" crossorigin="anonymous"></script>'
    )
    assert shown["newest"]["style"] == '<link rel="stylesheet" href="https://pay.example.com/payment-form.css">'
    assert shown["policy"] == [f"{name} https://pay.example.com;" for name in ("script-src", "style-src", "frame-src")]
    assert shown["connects_to"] == []
    told = end(host, "info").stdout
    for line in (*shown["pinned"].values(), *shown["newest"].values(), *shown["policy"]):
        assert line in told
    assert f"{len(script):,}" in told


def test_scripts_are_all_there(host: WidgetHost) -> None:
    """The inventory has every file of the build and what stands in our pages, each with page, reason and hash."""
    found = json.loads(end(host, "scripts", "--json").stdout)["scripts"]
    names = {one["name"] for one in found}
    assert names == {
        *(path.name for path in host.build.iterdir() if path.name != "inventory.json"),
        *("payer/page.js", "payer/signal.js", "payer/page.css", "widget/page.css"),
    }
    assert all(one["page"] and one["reason"].endswith(".") and one["bytes"] for one in found)
    told, table = end(host, "scripts").stdout, end(host, "scripts", "--markdown").stdout
    for one in found:
        assert one["integrity"] in told
        assert f"| `{one['name']}`" in table
    assert end(host, "scripts", "--markdown", "--json").exit_code == 2


def test_clean_host(host: WidgetHost) -> None:
    """What the host serves is what the build says: exit code 0, and the answers that were compared are named."""
    with host.listening():
        assert differences(host) == []
        told = end(host, "check")
    assert told.exit_code == 0
    assert "all as it must be" in told.stdout
    assert {asked["Sec-Fetch-Dest"] for asked in host.asked} == {"script", "style", "iframe", "document"}
    assert all("Mozilla" in asked["User-Agent"] for asked in host.asked)


def _change_script(host: WidgetHost) -> None:
    path = host.path("frame.js")
    host.answers[path] = Answered(b"steal()", host.answers[path].headers)


def _change_newest(host: WidgetHost) -> None:
    host.answers["/payment-form.js"] = Answered(b"steal()", host.answers["/payment-form.js"].headers)


def _redirect_script(host: WidgetHost) -> None:
    path = host.path("frame.js")
    host.answers[path] = Answered(b"", {"Location": "https://evil.example/"}, 302)


def _add_script(host: WidgetHost) -> None:
    _in_page(host, f"{FRAME_PREFIX}*", b"</head>", b"<script src='https://evil.example/x.js'></script></head>")


def _add_inline(host: WidgetHost) -> None:
    _in_page(host, f"{FRAME_PREFIX}*", b"</head>", b"<script>steal()</script></head>")


def _add_handler(host: WidgetHost) -> None:
    _in_page(host, f"{FRAME_PREFIX}*", b"<body>", b"<body onload='steal()'>")


def _drop_integrity(host: WidgetHost) -> None:
    body = (host.build / "frame.js").read_bytes()
    _in_page(host, f"{FRAME_PREFIX}*", digest("sha384", body).encode(), b"sha384-wrong")


def _drop_script(host: WidgetHost) -> None:
    _in_page(host, f"{FRAME_PREFIX}*", b"<script src=", b"<img alt=")


def _add_to_notice(host: WidgetHost) -> None:
    _in_page(host, f"{HOSTED_PREFIX}*", b"</body>", b"<iframe src='https://evil.example'></iframe></body>")


def _in_page(host: WidgetHost, path: str, before: bytes, after: bytes) -> None:
    page = host.answers[path]
    assert before in page.body
    host.answers[path] = Answered(page.body.replace(before, after), page.headers, page.status)


def _set(path: str, name: str, edit: Callable[[str], str | None]) -> Change:
    def change(host: WidgetHost) -> None:
        host.answers[path] = host.answers[path].with_header(name, edit(host.answers[path].headers.get(name, "")))

    return change


FRAME = f"{FRAME_PREFIX}*"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_change_script, "changed file"),
        (_change_newest, "changed file"),
        (_redirect_script, "no such file"),
        (_add_script, "unknown script in the page"),
        (_add_inline, "unknown script in the page"),
        (_add_handler, "unknown markup"),
        (_drop_integrity, "integrity of frame.js"),
        (_drop_script, "missing script"),
        (_add_to_notice, "unknown markup"),
        (_set(FRAME, POLICY, lambda text: text.replace("base-uri 'none'; ", "")), f"{POLICY}: base-uri missing"),
        (_set(FRAME, POLICY, lambda text: f"{text}; worker-src *"), f"{POLICY}: worker-src added"),
        (
            _set(FRAME, POLICY, lambda text: text.replace("connect-src 'self'", "connect-src 'self' https:")),
            f"{POLICY}: connect-src changed",
        ),
        (_set(FRAME, POLICY, lambda _: None), f"header {POLICY}"),
        (_set(FRAME, "Permissions-Policy", lambda text: f"{text}, payment=*"), "Permissions-Policy: payment changed"),
        (_set(FRAME, "Referrer-Policy", lambda _: "unsafe-url"), "header Referrer-Policy"),
        (_set(FRAME, "X-Content-Type-Options", lambda _: None), "header X-Content-Type-Options"),
        (_set(FRAME, "X-Frame-Options", lambda _: "DENY"), "header X-Frame-Options"),
        (_set(f"{HOSTED_PREFIX}*", "Cache-Control", lambda _: "public"), "header Cache-Control"),
        (_set("/payment-form.js", "X-Content-Type-Options", lambda _: None), "header X-Content-Type-Options"),
        (_set("/payment-form.css", "Content-Type", lambda _: "text/javascript"), "header Content-Type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_differences_of_a_host(host: WidgetHost, change: Change, what: str) -> None:
    """Whatever is not as it must be is named, alone, with what was expected and what was found: exit code 1."""
    with host.listening():
        change(host)
        (found,) = differences(host)
        told = end(host, "check")
    assert found["what"] == what
    assert found["expected"]
    assert found["found"]
    assert found["where"] == "fetched"
    assert told.exit_code == 1
    assert f"✗ {what}" in told.stdout
    assert "1 difference" in told.stdout


def test_hashes_are_told(host: WidgetHost) -> None:
    """A changed file is named with the hash that was expected and the one that was found."""
    with host.listening():
        _change_script(host)
        (found,) = differences(host)
    assert found["url"] == host.url + host.path("frame.js")
    assert found["expected"] == digest("sha384", (host.build / "frame.js").read_bytes())
    assert found["found"] == digest("sha384", b"steal()")


def test_another_build(host: WidgetHost, tmp_path: Path) -> None:
    """A host with another build than ours differs in every file."""
    other = WidgetHost(make_build(tmp_path / "other", "another"))
    with host.listening():
        host.answers[f"/widget/{version_of(other.build)}/*"] = Answered(b"", {}, 404)
        found = differences(other, "--url", host.url)
    assert {one["what"] for one in found} >= {"no such file", "changed file", "unknown version"}


def test_nobody_there(host: WidgetHost) -> None:
    """A host that does not answer is one line that says what to do."""
    (port,) = free_ports(1)
    ended = end(host, "check", "--url", f"http://127.0.0.1:{port}")
    assert isinstance(ended.exception, Failure)
    assert str(ended.exception).startswith(f"http://127.0.0.1:{port}: connection refused")


def test_damaged_or_missing_build(host: WidgetHost) -> None:
    """Without a whole inventory there is nothing to compare with: one line says so."""
    (host.build / "frame.js").write_text("changed")
    assert "frame.js is not what inventory.json says" in str(end(host, "check").exception)
    (host.build / "inventory.json").write_text("{}")
    assert "has not the form of an inventory" in str(end(host, "info").exception)
    (host.build / "inventory.json").unlink()
    for name in ("info", "scripts", "check"):
        ended = end(host, name)
        assert isinstance(ended.exception, Failure)
        assert "holds no inventory.json" in str(ended.exception)


@pytest.mark.parametrize("url", ["pay.example.com", "ftp://pay.example.com", "https://"])
def test_wrong_address(host: WidgetHost, url: str) -> None:
    """An address that is none is wrong use."""
    assert end(host, "check", "--url", url).exit_code == 2
