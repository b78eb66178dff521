"""The pages of the widget's host: the form's frame, and the page of our own around it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.client import Shop
from tests.api.widget_site import (
    NOBODY,
    PUBLIC_URL,
    TYPED,
    admit,
    fake_assets,
    form_call,
    form_token,
    frame_data,
    frame_path,
    policy_of,
    read,
    tokenize_token,
    write_build,
)
from tests.worlds import FakeLog
from tollhouse.api.payer.pace import REQUESTS_PER_MINUTE_MAX
from tollhouse.api.payer.texts import BY_LANGUAGE
from tollhouse.api.widget.assets import Assets
from tollhouse.api.widget.texts import texts_of
from tollhouse.public_token import LANGUAGES, PUBLIC_TOKEN_SECONDS_MAX, token_id

HOSTILE = "\"><script>alert(1)</script> ' &"


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """A build of the widget."""
    return fake_assets(tmp_path)


@pytest.fixture
def shop(open_shop: Callable[..., Shop], assets: Assets) -> Shop:
    """A merchant whose gateway has it."""
    return open_shop(assets=assets)


# --- the frame --------------------------------------------------------------------------------------------------------


async def test_the_frame_of_a_form(shop: Shop, assets: Assets) -> None:
    """An empty page with its texts, whom it may talk to, and two files that nobody can exchange."""
    token = await form_token(shop, locale="de")
    got = await read(shop, frame_path(token), accept_language="fr")
    page = got.body.decode()
    assert got.status == 200
    assert '<html lang="de" dir="ltr">' in page
    assert '<body><main id="form"></main></body>' in page
    assert frame_data(page) == {
        "language": "de",
        "direction": "ltr",
        "texts": dict(texts_of("de")),
        "origins": ["*"],
        "isKnown": True,
    }
    script, style = assets.newest("frame.js"), assets.newest("frame.css")
    assert f'<script src="{script.path}" integrity="{script.integrity}" defer></script>' in page
    assert f'<link rel="stylesheet" href="{style.path}" integrity="{style.integrity}">' in page
    assert page.count("<script") == page.count("</script") == 2
    assert token not in page


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_frame_speaks_every_language(shop: Shop, language: str) -> None:
    """That of the token, in its direction."""
    page = (await read(shop, frame_path(await form_token(shop, locale=language)))).body.decode()
    direction = "rtl" if language in ("ar", "he") else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in page
    assert frame_data(page)["direction"] == direction
    assert frame_data(page)["texts"]["pay"] == texts_of(language)["pay"]


async def test_the_policy_of_the_frame(shop: Shop, assets: Assets) -> None:
    """Two files by address and digest, calls to ourselves, no markup from text, and the project's pages around it."""
    admit(shop, widget_origins=("https://shop.example", "https://www.shop.example"))
    got = await read(shop, frame_path(await form_token(shop)))
    script, style = assets.newest("frame.js"), assets.newest("frame.css")
    assert policy_of(got.headers) == {
        "default-src": "'none'",
        "script-src": f"{PUBLIC_URL}{script.path} '{script.digest}'",
        "style-src": f"{PUBLIC_URL}{style.path} '{style.digest}'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self' https://shop.example https://www.shop.example",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    # The page of our own frames the form too.
    assert frame_data(got.body.decode())["origins"] == ["https://shop.example", "https://www.shop.example", PUBLIC_URL]


async def test_a_test_project_may_be_framed_by_anybody(shop: Shop) -> None:
    """Until it names its origins."""
    got = await read(shop, frame_path(await form_token(shop)))
    assert policy_of(got.headers)["frame-ancestors"] == "'self' *"


async def test_the_headers_of_the_frame(shop: Shop) -> None:
    """Kept by nobody, silent towards others, without any of the browser's powers, and no older word against framing."""
    headers = (await read(shop, frame_path(await form_token(shop)))).headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert all(part.endswith("=()") for part in headers["permissions-policy"].split(", "))
    assert {"x-frame-options", "set-cookie", "access-control-allow-origin"}.isdisjoint(headers)


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("localhost:8400", "localhost:8400{path} "),
        ("pay.test", ""),
        ("", ""),
        ("evil.example; script-src *", ""),
        ("evil.example 'unsafe-inline'", ""),
        ("*", ""),
        ("a,b", ""),
    ],
)
async def test_a_host_by_another_name(shop: Shop, assets: Assets, host: str, more: str) -> None:
    """The files may come from where the page came from, if that can be the name of a host, and from nowhere else."""
    path = assets.newest("frame.js").path
    got = await read(shop, frame_path(await form_token(shop)), host=host)
    expected = f"{PUBLIC_URL}{path} {more.format(path=path)}'{assets.newest('frame.js').digest}'"
    assert policy_of(got.headers)["script-src"] == expected


async def test_a_frame_of_nobody(shop: Shop) -> None:
    """404 with the same page, in the browser's language, which says that it knows no form."""
    for id in (NOBODY, "", "x" * 64, NOBODY + "/", "../" + NOBODY, "é" * 64):
        got = await read(shop, f"/widget/v1/frame/{id}", accept_language="xx,ar;q=0.9,en;q=0.8")
        assert got.status == 404
        data = frame_data(got.body.decode())
        assert (data["isKnown"], data["language"], data["direction"], data["origins"]) == (False, "ar", "rtl", ["*"])
        assert policy_of(got.headers)["frame-ancestors"] == "'self' *"
        assert "x-frame-options" not in got.headers


async def test_tokens_that_open_no_form(shop: Shop) -> None:
    """Of one that is over, of a tokeniser, of a project that is gone."""
    token = await form_token(shop)
    assert (await read(shop, frame_path(token))).status == 200
    access = shop.projects.known.pop("shop")
    assert (await read(shop, frame_path(token))).status == 404
    assert (await read(shop, f"/pay/{token}")).status == 404
    shop.projects.known["shop"] = access
    shop.world.clock.move(PUBLIC_TOKEN_SECONDS_MAX)
    assert (await read(shop, frame_path(token))).status == 404
    assert (await read(shop, frame_path(await tokenize_token(shop)))).status == 404


@pytest.mark.parametrize("named", [(), ("*",)])
async def test_a_live_project_that_names_no_origins(shop: Shop, named: tuple[str, ...]) -> None:
    """No page may frame its form but ours: the hosted page works, every other is shut out by the browser."""
    token = await form_token(shop)
    admit(shop, is_live=True, widget_origins=named)
    frame = await read(shop, frame_path(token))
    assert frame.status == 200
    assert policy_of(frame.headers)["frame-ancestors"] == "'self'"
    assert frame_data(frame.body.decode())["origins"] == [PUBLIC_URL]
    assert (await read(shop, f"/pay/{token}")).status == 200


async def test_the_token_itself_is_not_the_frames_address(shop: Shop) -> None:
    """Whoever sees the address of the frame has no token, and the token names no frame."""
    token = await form_token(shop)
    assert (await read(shop, f"/widget/v1/frame/{token}")).status == 404
    assert (await read(shop, f"/pay/{token_id(token)}")).status == 404


# --- the page of our own ----------------------------------------------------------------------------------------------


async def test_the_hosted_page(shop: Shop, assets: Assets) -> None:
    """In the token's language, the form by the same loader as everywhere, which alone says who is paid how much."""
    admit(shop, display_name="Ärmel & Söhne")
    token = await form_token(shop, locale="de")
    got = await read(shop, f"/pay/{token}", accept_language="fr")
    page, texts = got.body.decode(), texts_of("de")
    assert got.status == 200
    assert '<html lang="de" dir="ltr">' in page
    assert f"<h1>{texts['title']}</h1>" in page
    assert "Ärmel" not in page
    assert "49,90" not in page
    assert '<div id="smgl-payment-form"></div>' in page
    assert re.search(r'<div id="hosted-problem" role="alert" data-testid="hosted-problem" hidden>.+</div>', page)
    for name in ("payment-form.js", "hosted.js"):
        asset = assets.newest(name)
        assert f'<script src="{asset.path}" integrity="{asset.integrity}" defer></script>' in page
    assert page.index("payment-form.js") < page.index("hosted.js")
    assert token not in page


async def test_the_hosted_page_of_a_language_that_runs_to_the_left(shop: Shop) -> None:
    """It is mirrored."""
    page = (await read(shop, f"/pay/{await form_token(shop, locale='ar')}")).body.decode()
    assert '<html lang="ar" dir="rtl">' in page


async def test_the_policy_of_the_hosted_page(shop: Shop, assets: Assets) -> None:
    """Framed by nobody, alone in its window, found by no search; it frames our form and nothing else."""
    got = await read(shop, f"/pay/{await form_token(shop)}")
    policy = policy_of(got.headers)
    loader, hosted, style = (assets.newest(name) for name in ("payment-form.js", "hosted.js", "payment-form.css"))
    inline = re.search(r" ('sha256-[\w+/]{43}=')$", policy["style-src"])
    assert inline is not None
    assert policy == {
        "default-src": "'none'",
        "script-src": (f"{PUBLIC_URL}{loader.path} '{loader.digest}' {PUBLIC_URL}{hosted.path} '{hosted.digest}'"),
        "style-src": f"{PUBLIC_URL}{style.path} '{style.digest}' {inline[1]}",
        "frame-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert got.headers["x-frame-options"] == "DENY"
    assert got.headers["cross-origin-opener-policy"] == "same-origin"
    assert got.headers["cross-origin-resource-policy"] == "same-origin"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-robots-tag"] == "noindex, nofollow"


async def test_a_link_to_no_form(shop: Shop) -> None:
    """404 in words, in the browser's language, the same for every kind of it."""
    over, tokenizing = await form_token(shop), await tokenize_token(shop)
    shop.world.clock.move(PUBLIC_TOKEN_SECONDS_MAX)
    fresh_tokenizing = await tokenize_token(shop)
    pages = set()
    for text in (NOBODY, "", "x", over, tokenizing, fresh_tokenizing, NOBODY.upper(), f"{NOBODY}/", "é"):
        got = await read(shop, f"/pay/{text}", accept_language="pl")
        assert got.status == 404
        assert got.headers["content-type"] == "text/html; charset=utf-8"
        pages.add(got.body.decode())
    (page,) = pages
    assert '<html lang="pl" dir="ltr">' in page
    assert texts_of("pl")["expired"] in page
    assert texts_of("pl")["expiredText"] in page
    assert "<script" not in page


async def test_a_disabled_project_shows_no_page(shop: Shop) -> None:
    """403 in words: the shop takes no payments now, which is no fault of ours."""
    token = await form_token(shop, locale="de")
    admit(shop, is_disabled=True)
    got = await read(shop, f"/pay/{token}", accept_language="de")
    assert got.status == 403
    assert f"<h1>{texts_of('de')['closed']}</h1>" in got.body.decode()


async def test_a_disabled_project_hides_no_payment(shop: Shop) -> None:
    """Whose payment has begun still sees how it stands: 403 would tell them to pay elsewhere."""
    token = await form_token(shop)
    assert (await form_call(shop, "pay", token, TYPED)).status == 200
    admit(shop, is_disabled=True)
    got = await read(shop, f"/pay/{token}")
    assert got.status == 200
    assert 'data-testid="hosted-page"' in got.body.decode()


async def test_hostile_names_stay_names(shop: Shop) -> None:
    """What a merchant is called cannot leave its place."""
    admit(shop, display_name=HOSTILE)
    token = await form_token(shop)
    for path in (f"/pay/{token}", frame_path(token)):
        assert "<script>alert" not in (await read(shop, path)).body.decode()
    assert (await form_call(shop, "form", token)).json["form"]["merchant"] == HOSTILE


async def test_nothing_comes_from_elsewhere(shop: Shop) -> None:
    """No address of another host in any page."""
    token = await form_token(shop)
    for path in (frame_path(token), f"/pay/{token}", f"/pay/{NOBODY}"):
        page = (await read(shop, path)).body.decode()
        assert re.findall(r"(?:src|href)=\"(?!/widget/|data:,)[^\"]*", page) == []
        assert "http" not in re.sub(r'<script type="application/json".*?</script>', "", page)


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_pages_are_read_and_nothing_else(shop: Shop, verb: str) -> None:
    """405, in words, and the answer names what is allowed."""
    token = await form_token(shop)
    for path in (frame_path(token), f"/pay/{token}"):
        got = await read(shop, path, verb=verb)
        assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")
        assert BY_LANGUAGE["en"].refused_title in got.body.decode()
        assert (await read(shop, path, verb="HEAD")).body == b""


async def test_a_form_that_is_opened_in_a_loop(shop: Shop) -> None:
    """It is refused until the minute is over; other forms are not."""
    token, other = await form_token(shop), await form_token(shop)
    for _ in range(REQUESTS_PER_MINUTE_MAX):
        assert (await read(shop, frame_path(token))).status == 200
    got = await read(shop, f"/pay/{token}")
    assert (got.status, got.headers["retry-after"]) == (429, "1")
    assert BY_LANGUAGE["en"].busy_title in got.body.decode()
    framed = await read(shop, frame_path(token))
    assert framed.status == 429
    assert policy_of(framed.headers)["frame-ancestors"] == "*"
    assert "x-frame-options" not in framed.headers
    assert (await read(shop, frame_path(other))).status == 200
    shop.world.clock.move(60)
    assert (await read(shop, frame_path(token))).status == 200


async def test_a_new_build_shows_in_the_pages(open_shop: Callable[..., Shop], tmp_path: Path) -> None:
    """Pages name the files of the build that the gateway was started with."""
    first, second = write_build(tmp_path / "a", says="a"), write_build(tmp_path / "b", says="b")
    for folder, version in (("a", first), ("b", second)):
        shop = open_shop(assets=Assets.open(tmp_path / folder, tmp_path / "archive", FakeLog()))
        page = (await read(shop, frame_path(await form_token(shop)))).body.decode()
        assert set(re.findall(r"/widget/([0-9a-f]{12})/", page)) == {version}


async def test_tokens_are_not_logged(shop: Shop) -> None:
    """Whoever reads our logs can open no form."""
    token = await form_token(shop)
    admit(shop, is_disabled=True)
    await read(shop, f"/pay/{token}")
    await read(shop, f"/pay/{token}", verb="POST")
    assert len(shop.world.log.lines) == 2
    assert token not in repr(shop.world.log.lines)
    assert token_id(token) not in repr(shop.world.log.lines)


async def test_who_opens_the_gateway_in_a_browser(shop: Shop) -> None:
    """A word and the way to the reference; a program gets the envelope, as for any path that is not there."""
    got = await read(shop, "/", accept="text/html,application/xhtml+xml;q=0.9")
    assert got.status == 200
    assert b"This is a Tollhouse payment gateway" in got.body
    assert b'href="/docs"' in got.body
    assert policy_of(got.headers)["default-src"] == "'none'"
    assert (await read(shop, "/", verb="POST", accept="text/html")).status == 405
    for path, accept in (("/", "*/*"), ("/", "application/json"), ("/nowhere", "text/html")):
        missing = await read(shop, path, accept=accept)
        assert (missing.status, missing.code) == (404, "method_not_found")


@pytest.mark.parametrize("path", ["/3ds", "/3ds/", "/3ds/nobody", "/3ds/nobody/state"])
async def test_a_payers_link_that_is_cut_off(shop: Shop, path: str) -> None:
    """A page in words, never an envelope."""
    got = await read(shop, path, accept="text/html")
    assert (got.status, got.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert BY_LANGUAGE["en"].missing_title in got.body.decode()
