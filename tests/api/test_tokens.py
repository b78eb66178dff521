"""`token` and `token/info` on the wire (wire-api 9.13, 9.14)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.api.client import CARD, EUROS, PAN, PAYMENT, Answered, Shop
from tests.builders import card
from tests.worlds import PROJECT, memory_world
from tollhouse.api.wire import JsonWire
from tollhouse.api.wire.tokens import language_of
from tollhouse.flows.form import find_token, look, pay
from tollhouse.flows.tokenize_card import tokenize_card
from tollhouse.merchant import Settings
from tollhouse.ports import StoreUnreachable
from tollhouse.progress import Stage
from tollhouse.public_token import LANGUAGES, CardToken, FormOptions, PublicToken, RedirectTarget, token_id
from tollhouse.store.memory_tokens import MemoryTokens

INVALID = "invalid_request"
DAY_SECONDS = 24 * 3600
TOKEN = re.compile("[0-9a-f]{64}")


async def new_session(shop: Shop, members: Any = None, *, project: str = "shop", version: int = 2) -> str:
    """The id of a session that waits, with an amount."""
    given = {"amount_details": EUROS} if members is None else members
    return str((await shop.call("session/create", given, project=project, version=version)).session["id"])


async def ask_token(shop: Shop, session_id: str, *, version: int = 2, **widget: Any) -> Answered:
    """Ask for a form's token."""
    body = {"acquiring_widget": {"session_id": session_id, **widget}}
    return await shop.call("token", body, version=version)


async def kept(shop: Shop, answered: Answered) -> PublicToken:
    """What is kept of a token that was answered."""
    assert answered.status == 200, answered.body
    return await find_token(shop.world, answered.json["public_token"])


# --- token ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
async def test_a_token_for_a_form(shop: Shop, version: int) -> None:
    """64 hexadecimal digits and nothing else, in both versions; it opens the form of that session."""
    session_id = await new_session(shop, version=version)
    answered = await ask_token(shop, session_id, version=version)
    assert (answered.status, set(answered.json)) == (200, {"status", "public_token"})
    assert TOKEN.fullmatch(answered.json["public_token"])
    token = await kept(shop, answered)
    assert (token.session_id, token.project, token.may_tokenize) == (session_id, "shop", False)
    assert token.options == FormOptions()
    assert (await look(shop.world, token))[1].stage is Stage.READY


async def test_every_option(shop: Shop) -> None:
    """Of the form, as the merchant gave them."""
    answered = await ask_token(
        shop,
        await new_session(shop),
        locale="de-AT",
        show_recurrent_checkbox=True,
        success_return_url="https://shop.example/ok?a=1#top",
        failure_return_url="http://127.0.0.1:8401/no",
        success_on_hold=True,
        redirect_target="modal",
    )
    assert (await kept(shop, answered)).options == FormOptions(
        language="de",
        shows_recurrent=True,
        success_return_url="https://shop.example/ok?a=1#top",
        failure_return_url="http://127.0.0.1:8401/no",
        succeeds_on_hold=True,
        redirect_target=RedirectTarget.MODAL,
    )


@pytest.mark.parametrize(
    ("given", "is_shown"),
    [(True, True), (False, False), ("true", True), ("false", False), (None, False)],
)
async def test_the_checkbox_is_a_bool_or_its_word(shop: Shop, given: Any, is_shown: bool) -> None:
    """Public clients send strings."""
    answered = await ask_token(shop, await new_session(shop), show_recurrent_checkbox=given)
    assert (await kept(shop, answered)).options.shows_recurrent is is_shown


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        *((language, language) for language in LANGUAGES),
        ("EN", "en"),
        ("ru_RU", "ru"),
        ("pt-BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("iw", "he"),
        ("tlh", "en"),
        ("", "en"),
        ("-", "en"),
        ("../../etc", "en"),
        (None, "en"),
    ],
)
async def test_languages(shop: Shop, locale: str | None, language: str) -> None:
    """With or without a region; whoever wants one that we do not speak gets English."""
    assert language_of(locale) == language
    answered = await ask_token(shop, await new_session(shop), locale=locale)
    assert (await kept(shop, answered)).options.language == language


async def test_null_and_unknown_members_are_nothing(shop: Shop) -> None:
    """Empty addresses are none, strange members are not looked at."""
    answered = await ask_token(
        shop, await new_session(shop), success_return_url="", failure_return_url=None, redirect_target=None, theme="x"
    )
    assert (await kept(shop, answered)).options == FormOptions()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "acquiring_widget"),
        ([], "acquiring_widget"),
        ({"acquiring_widget": None}, "acquiring_widget"),
        ({"acquiring_widget": "ps_1"}, "acquiring_widget"),
        ({"acquiring_widget": {}}, "acquiring_widget.session_id"),
        ({"acquiring_widget": []}, "acquiring_widget.session_id"),
        ({"acquiring_widget": {"session_id": 7}}, "acquiring_widget.session_id"),
        ({"tokenize_widget": {}}, "tokenize_widget.access"),
        ({"tokenize_widget": {"access": False}}, "tokenize_widget.access"),
        ({"tokenize_widget": {"access": "true"}}, "tokenize_widget.access"),
        ({"tokenize_widget": {"access": True, "locale": 1}}, "tokenize_widget.locale"),
    ],
)
async def test_what_is_missing_or_wrong_is_named(shop: Shop, body: Any, path: str) -> None:
    """400 with the member's path."""
    answered = await shop.call("token", body)
    assert (answered.status, answered.code) == (400, INVALID)
    assert answered.description.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("locale", "e" * 65),
        ("locale", "e\x00n"),
        ("show_recurrent_checkbox", "True"),
        ("show_recurrent_checkbox", "yes"),
        ("show_recurrent_checkbox", ""),
        ("show_recurrent_checkbox", 1),
        ("show_recurrent_checkbox", []),
        ("success_return_url", "/ok"),
        ("success_return_url", "javascript:alert(1)"),
        ("success_return_url", "data:text/html,x"),
        ("success_return_url", "https://shop.example/\nX: y"),
        ("success_return_url", "https://shop.example/" + "a" * 2048),
        ("success_return_url", f"https://shop.example/{PAN}"),
        ("failure_return_url", "ftp://shop.example/no"),
        ("failure_return_url", 7),
        ("failure_return_url", f"https://shop.example/?pan={PAN}"),
        ("success_on_hold", "true"),
        ("success_on_hold", 1),
        ("redirect_target", "_new"),
        ("redirect_target", "MODAL"),
        ("redirect_target", "x" * 17),
    ],
)
async def test_wrong_options_are_refused(shop: Shop, member: str, value: Any) -> None:
    """400 with the path, never with what was given."""
    answered = await ask_token(shop, await new_session(shop), **{member: value})
    assert (answered.status, answered.code) == (400, INVALID), answered.body
    assert answered.description.startswith(f"acquiring_widget.{member}: ")
    assert PAN not in answered.description
    assert "expected" in answered.description


@pytest.mark.parametrize("member", ["fps_no_account_widget", "self_employed_widget"])
async def test_widgets_of_other_products(shop: Shop, member: str) -> None:
    """403 by name, also beside one that is possible; null is absent."""
    session_id = await new_session(shop)
    for besides in ({}, {"acquiring_widget": {"session_id": session_id}}):
        answered = await shop.call("token", {**besides, member: {"phone": "+4912345"}})
        assert (answered.status, answered.code) == (403, "authorization_error")
        assert answered.description.startswith(f"{member}: ")
    assert (await shop.call("token", {"acquiring_widget": {"session_id": session_id}, member: None})).status == 200


async def test_a_session_without_an_amount(shop: Shop) -> None:
    """400: the form could not say what is paid."""
    session_id = await new_session(shop, {})
    answered = await ask_token(shop, session_id)
    assert (answered.status, answered.code) == (400, INVALID)
    assert "amount_details" in answered.description


async def test_a_session_that_was_started(shop: Shop) -> None:
    """409, as for one that was cancelled."""
    cancelled = await new_session(shop)
    await shop.call("session/cancel", {"session_id": cancelled})
    for session_id in (await shop.prepared(), cancelled):
        answered = await ask_token(shop, session_id)
        assert (answered.status, answered.code) == (409, "session_wrong_state")


@pytest.mark.parametrize("strange", ["ps_404", "", "x" * 64, "ps_1\n", "ps 1"])
async def test_a_session_that_is_not_there(shop: Shop, strange: str) -> None:
    """404 for any that is not this project's."""
    answered = await ask_token(shop, strange)
    assert (answered.status, answered.code) == (404, "session_not_found")
    session_id = await new_session(shop, project="inn")
    assert (await ask_token(shop, session_id)).code == "session_not_found"


async def test_a_live_project_without_origins(open_shop: Callable[..., Shop]) -> None:
    """Its form opens on the hosted page; one that names origins shows it in their pages too."""
    shop = open_shop()
    shop.admit(replace(PROJECT, is_live=True))
    assert (await ask_token(shop, await new_session(shop))).status == 200
    shop.admit(replace(PROJECT, is_live=True, settings=Settings(widget_origins=("https://shop.example",))))
    assert (await ask_token(shop, await new_session(shop))).status == 200


async def test_a_token_for_a_card(shop: Shop) -> None:
    """Alone, or together with a form."""
    alone = await kept(shop, await shop.call("token", {"tokenize_widget": {"access": True, "locale": "ru"}}))
    assert (alone.session_id, alone.may_tokenize, alone.options.language) == (None, True, "ru")
    body = {"tokenize_widget": {"access": True}, "acquiring_widget": {"session_id": await new_session(shop)}}
    both = await kept(shop, await shop.call("token", body))
    assert (both.session_id is not None, both.may_tokenize) == (True, True)


async def test_every_call_gives_another_token(shop: Shop) -> None:
    """Older ones stay; a key for repetition means nothing here."""
    session_id = await new_session(shop)
    body = {"acquiring_widget": {"session_id": session_id}}
    answers = [await shop.call("token", body, key="k") for _ in range(3)]
    assert len({answered.json["public_token"] for answered in answers}) == 3
    for answered in answers:
        assert (await kept(shop, answered)).session_id == session_id


async def test_nothing_of_a_session_changes_by_a_token(shop: Shop) -> None:
    """No version, no note, no event: a token is not part of it."""
    session_id = await new_session(shop)
    before = shop.stored(session_id)
    await ask_token(shop, session_id)
    assert shop.stored(session_id) == before


async def test_no_token_is_logged(shop: Shop) -> None:
    """Whoever reads our logs can pay nothing."""
    answered = await ask_token(shop, await new_session(shop))
    await shop.call("token/info", {"type": "public_token", "public_token": {"token": answered.json["public_token"]}})
    assert answered.json["public_token"] not in repr(shop.world.log.lines)


# --- token/info -------------------------------------------------------------------------------------------------------


async def info(shop: Shop, type: str, members: Any) -> Answered:
    """Ask about a token."""
    return await shop.call("token/info", {"type": type, type: members})


async def test_what_is_told_of_a_public_token(shop: Shop) -> None:
    """Itself and its times, with an offset and without a fraction."""
    shop.world.clock.move(0.204511)
    token = (await ask_token(shop, await new_session(shop))).json["public_token"]
    answered = await info(shop, "public_token", {"token": token})
    assert answered.json == {
        "status": "ok",
        "info": {
            "type": "public_token",
            "token": token,
            "created_at": "2026-03-02T09:15:00+00:00",
            "finished_at": "2026-03-03T09:15:00+00:00",
            "is_active": True,
        },
    }


async def test_when_a_public_token_is_not_active(shop: Shop) -> None:
    """Its session was paid, its card was tokenised, or its day is over."""
    paid, used, old = [(await ask_token(shop, await new_session(shop))).json["public_token"] for _ in range(3)]
    await pay(shop.world, PROJECT, await find_token(shop.world, paid), card(), recurrent=False, request_id="rq")
    used = (await shop.call("token", {"tokenize_widget": {"access": True}})).json["public_token"]
    assert (await info(shop, "public_token", {"token": used})).json["info"]["is_active"] is True
    await tokenize_card(shop.world, PROJECT, await find_token(shop.world, used), card())
    active = [
        (await info(shop, "public_token", {"token": token})).json["info"]["is_active"] for token in (paid, used, old)
    ]
    assert active == [False, False, True]
    shop.world.clock.move(DAY_SECONDS)
    assert (await info(shop, "public_token", {"token": old})).json["info"]["is_active"] is False


async def test_tokens_that_are_not_there(shop: Shop) -> None:
    """404: unknown, malformed, another project's, or a hash instead of the token."""
    foreign = (await shop.call("token", {"tokenize_widget": {"access": True}}, project="inn")).json["public_token"]
    own = (await shop.call("token", {"tokenize_widget": {"access": True}})).json["public_token"]
    for token in ("x", "0" * 64, foreign, token_id(own), own + "0", "A" * 64):
        answered = await info(shop, "public_token", {"token": token})
        assert (answered.status, answered.code) == (404, "token_not_found")
    for token in ("tc_404", own):
        answered = await info(shop, "card", {"type": "tokenized_card", "tokenized_card": {"token": token}})
        assert (answered.status, answered.code) == (404, "token_not_found")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "type"),
        ({"type": ""}, "type"),
        ({"type": "wallet"}, "type"),
        ({"type": 1}, "type"),
        ({"type": "public_token"}, "public_token"),
        ({"type": "public_token", "public_token": {}}, "public_token.token"),
        ({"type": "public_token", "public_token": {"token": ""}}, "public_token.token"),
        ({"type": "public_token", "public_token": {"token": "a" * 256}}, "public_token.token"),
        ({"type": "public_token", "public_token": {"token": "a\x00"}}, "public_token.token"),
        ({"type": "card"}, "card"),
        ({"type": "card", "card": {}}, "card.type"),
        ({"type": "card", "card": {"type": "tokenized_card"}}, "card.tokenized_card"),
        ({"type": "card", "card": {"type": "encrypted_card", "tokenized_card": {"token": "x"}}}, "card.encrypted_card"),
        ({"type": "card", "card": {"type": "tokenized_card", "tokenized_card": {}}}, "card.tokenized_card.token"),
        ({"type": "card", "card": CARD["card"]}, "card.type"),
    ],
)
async def test_questions_that_are_none(shop: Shop, body: Any, path: str) -> None:
    """400 with the path; open card details are no token."""
    answered = await shop.call("token/info", body)
    assert (answered.status, answered.code) == (400, INVALID), answered.body
    assert answered.description.startswith(f"{path}: ")
    assert PAN not in answered.description


@pytest.mark.parametrize("type", ["recurrent_token", "subscription_token"])
async def test_tokens_of_later_products(shop: Shop, type: str) -> None:
    """403."""
    answered = await info(shop, type, {"token": "0" * 64})
    assert (answered.status, answered.code) == (403, "authorization_error")


async def test_a_disabled_project_gets_no_token(shop: Shop) -> None:
    """403, and it is told nothing of those it has."""
    session_id = await new_session(shop)
    token = (await ask_token(shop, session_id)).json["public_token"]
    shop.admit(replace(PROJECT, is_disabled=True))
    for answered in (await ask_token(shop, session_id), await info(shop, "public_token", {"token": token})):
        assert (answered.status, answered.code) == (403, "authorization_error")


async def test_without_the_database(open_shop: Callable[..., Shop]) -> None:
    """503 and when to come back; nothing was given out."""
    shop = open_shop(world=memory_world(wire=JsonWire(), tokens=LostTokens()))
    answers = [
        await ask_token(shop, await new_session(shop)),
        await info(shop, "public_token", {"token": "0" * 64}),
        await shop.call("session/init/payment", {**PAYMENT, "payment_details": TOKENIZED}),
    ]
    for answered in answers:
        assert (answered.status, answered.code) == (503, "service_unavailable")
        assert answered.headers["retry-after"] == "1"


TOKENIZED = {"type": "card", "card": {"type": "tokenized_card", "tokenized_card": {"token": "tc_1"}}}


class LostTokens(MemoryTokens):
    """Cannot be reached."""

    async def keep_public(self, token: PublicToken) -> None:
        """Fail."""
        raise StoreUnreachable("gone")

    async def find_public(self, id: str) -> PublicToken | None:
        """Fail."""
        raise StoreUnreachable("gone")

    async def find_card(self, project: str, token: str) -> CardToken | None:
        """Fail."""
        raise StoreUnreachable("gone")
