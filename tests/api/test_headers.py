"""The headers that protect browsers, on every route there is: answers, refusals, pages, files, forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.client import Answered, Shop
from tests.api.payer_site import Got, Scene, Site, request
from tests.api.widget_site import fake_assets, form_token, frame_path
from tollhouse.api.pages import PATHS
from tollhouse.api.policy import HSTS
from tollhouse.api.sessions import LATER_METHODS, METHODS
from tollhouse.api.widget.door import NEWEST

# Where the same file is given to everybody, and for long.
FILES = (*NEWEST, "/widget/0")
NEVER = ("server", "x-powered-by", "x-aspnet-version", "via")


def require_safe(path: str, answered: Answered | Got) -> None:
    """What every answer has, and what none has."""
    headers, where = answered.headers, f"{path}: {answered.status}"
    assert headers["x-content-type-options"] == "nosniff", where
    assert headers["referrer-policy"] == "no-referrer", where
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy, where
    assert "unsafe" not in policy, where
    assert "frame-ancestors" in policy, where
    assert headers.get("x-frame-options") == "DENY" or "frame-ancestors 'none'" not in policy, where
    assert headers["cross-origin-resource-policy"] in ("same-origin", "cross-origin"), where
    is_file = path.startswith(FILES) and answered.status in (200, 304)
    assert (
        headers["cache-control"].startswith("public, max-age=") if is_file else headers["cache-control"] == "no-store"
    )
    if answered.body:
        assert headers["content-type"], where
    assert not set(headers) & set(NEVER), where


@pytest.fixture
def shop(open_shop: Callable[..., Shop], tmp_path: Path) -> Shop:
    """A merchant of a gateway that is reached by https only, with files of a widget."""
    return open_shop(assets=fake_assets(tmp_path), headers=(HSTS,))


def paths_of(token: str) -> list[str]:
    """One path of each route, and some that there are not."""
    methods = [f"/api/v{version}/{method.name}" for version in (1, 2) for method in (*METHODS, *LATER_METHODS)]
    widget = [
        *NEWEST,
        frame_path(token),
        frame_path("0" * 64),
        f"/pay/{token}",
        "/pay/nobody",
        "/widget/0123456789ab/x",
    ]
    forms = ["/widget/v1/form", "/widget/v1/pay", "/widget/v1/status", "/widget/v1/nothing"]
    cards = ["/cds/v1/tokenize/card", "/cds/v1/tokenize/elements", "/cds/nothing"]
    payers = ["/3ds", "/3ds/", "/3ds/abcdefghijklmnopqrstuv", "/3ds/abcdefghijklmnopqrstuv/state", "/3ds/results"]
    keys = ["/.well-known/tollhouse/shop/webhook-key.pem", "/.well-known/tollhouse/nobody/webhook-key.pem"]
    return [*methods, *PATHS, "/", "/nothing", "/api/", *keys, *widget, *forms, *cards, *payers]


async def test_every_route(shop: Shop) -> None:
    """Whatever is asked for, by whatever verb, with a right signature and without: the answer is safe to open."""
    token = await form_token(shop)
    for path in paths_of(token):
        for verb in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "BREW"):
            given = {"accept": "text/html", "content-type": "application/json", "x-public-token": token}
            answered = await shop.request(path, given, b"{}", verb=verb)
            require_safe(path, answered)
            assert answered.headers["strict-transport-security"] == "max-age=31536000", path
        if path.startswith("/api/"):
            require_safe(path, await shop.call("", {}, path=path))


async def test_failures(shop: Shop) -> None:
    """An answer to our own failure is as safe as any other."""
    shop.away = "the database"
    answered = await shop.request("/readyz", verb="GET")
    assert answered.status == 503
    require_safe("/readyz", answered)


async def test_every_page_of_the_payer(scene: Scene, site: Site, base: str) -> None:
    """The page in each of its states, its calls, and where the issuer comes back to."""
    steps = ["", "/state", "/browser", "/method", "/challenge", "/again"]
    for change in (lambda: None, scene.begin, scene.challenge):
        change()
        for step in steps:
            for verb in ("GET", "POST"):
                for query in ("", "in=dialog"):
                    require_safe("/3ds", await request(site.app, f"{base}{step}", verb=verb, query=query))


async def test_pages_of_ours_stand_alone(shop: Shop) -> None:
    """Pages that no other page opens or frames keep themselves apart from it."""
    for path in ("/", "/docs", f"/pay/{await form_token(shop)}"):
        answered = await shop.request(path, {"accept": "text/html"}, verb="GET")
        assert answered.status == 200
        assert answered.headers["cross-origin-opener-policy"] == "same-origin"
