"""What acceptance tests share: a running system each worker keeps for tests that do it no harm, and merchants on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browsers import NO_THIRD_PARTY_COOKIES, Windows
from tests.acceptance.forms import DESKTOP, Form, FormShop, Opened
from tests.acceptance.merchant import Merchant
from tests.acceptance.system import System
from tests.chromium import chromium

LOG_CHARACTERS_SHOWN = 6000
# Longer than the sandbox's slow answer (2 s), short enough to wait for what is never answered.
SHARED_LIMITS = {"answer_limit_seconds": 4, "in_flight_limit_seconds": 6}
# Shorter than the sandbox's slow answer. What a dead process held is taken over when its lease ends, 10 s after that.
SHORT_LIMITS = {"answer_limit_seconds": 1.8, "in_flight_limit_seconds": 3}

NewSystem = Callable[..., System]
NewMerchant = Callable[..., Merchant]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
    """A failure shows what the system said."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, System):
                report.sections.append((f"log of {name}", value.log()[-LOG_CHARACTERS_SHOWN:]))
    return report


@contextmanager
def running_system(folder: Path, **settings: object) -> Iterator[System]:
    """A system that runs until the block ends."""
    running = System(folder, **settings)
    try:
        yield running.start()
    finally:
        running.destroy()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system for tests that neither kill nor fill it."""
    with running_system(tmp_path_factory.mktemp("system"), **SHARED_LIMITS) as running:
        yield running


@pytest.fixture
def new_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSystem]:
    """Makes systems of the test's own, not started yet: `new_system(port=…)`."""
    made: list[System] = []

    def make(**settings: object) -> System:
        made.append(System(tmp_path_factory.mktemp("own"), **{**SHORT_LIMITS, **settings}))
        return made[-1]

    yield make
    for one in made:
        one.destroy()


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system of the test's own."""
    with running_system(tmp_path_factory.mktemp("own"), **SHORT_LIMITS) as running:
        yield running


@pytest.fixture
def new_merchant() -> Iterator[NewMerchant]:
    """Makes merchants: `new_merchant(system, settings={"capture_mode": "two_stage"})`."""
    made: list[Merchant] = []

    def make(system: System, **choices: Any) -> Merchant:
        made.append(Merchant(system, **choices))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def shop(system: System) -> Iterator[Merchant]:
    """A merchant of the shared system with default settings, for tests that look at their own sessions only."""
    merchant = Merchant(system)
    yield merchant
    merchant.close()


@pytest.fixture(scope="session")
def inn(system: System) -> Iterator[Merchant]:
    """A merchant of the shared system who captures by a call of its own."""
    merchant = Merchant(system, settings={"capture_mode": "two_stage"})
    yield merchant
    merchant.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that keeps no cookies of frames from other sites."""
    with chromium(NO_THIRD_PARTY_COOKIES) as opened:
        yield opened


@pytest.fixture(scope="module")
def form_shop(system: System) -> Iterator[FormShop]:
    """The site of a merchant with the payment form, on another origin than the gateway."""
    shop = FormShop(system)
    yield shop
    shop.close()


@pytest.fixture
def windows(browser: Browser, system: System, form_shop: FormShop) -> Iterator[Windows]:
    """The payer's windows. What one of them complains of fails the test."""
    windows = Windows(browser, system, form_shop)
    yield windows
    windows.close()


@pytest.fixture
def opened(shop: Merchant, form_shop: FormShop, windows: Windows) -> Opened:
    """Opens a form: `opened(widget={"locale": "de"}, isCvcMasked=True)`; the session's id and the form."""

    def open_form(
        merchant: Merchant = shop,
        *,
        widget: dict[str, Any] | None = None,
        window: dict[str, Any] | None = None,
        is_ready: bool = True,
        **options: Any,
    ) -> tuple[str, Form]:
        session_id, token = merchant.open_form(**(widget or {}))
        form = Form(windows.open(**{"viewport": DESKTOP, **(window or {})}))
        form.page.goto(form_shop.set_up(token, **options))
        if is_ready:
            form.expect_stage("ready")
        return session_id, form

    return open_form
