"""Whatever a browser sends to the form's calls and the tokeniser: never a 500, an envelope always, no card in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.api.client import PAN, Answered, Shop
from tests.api.test_any_input import CALMLY, KEY, VALUES
from tests.api.widget_site import TYPED, form_call, form_token, tokenize_token

STEPS = st.sampled_from(["form", "pay", "status", "tokenize"])


def answer_to(step: str, raw: bytes, **headers: str) -> Answered:
    """The answer to one call in a fresh world, with a token that is good for it."""

    async def run() -> Answered:
        shop = Shop(KEY)
        if step == "tokenize":
            given = {"x-public-token": await tokenize_token(shop), **headers}
            answered = await shop.request("/cds/v1/tokenize/card", given, raw)
        else:
            answered = await form_call(shop, step, await form_token(shop), raw=raw, **headers)
        await shop.carry_on()
        assert PAN not in repr(shop.world.log.lines)
        return answered

    return asyncio.run(run())


def require_sound(answered: Answered) -> None:
    """The envelope of an answer, whatever it says."""
    shown = answered.json
    assert answered.status == 200 or 400 <= answered.status < 500, answered.body
    assert shown["status"] == ("ok" if answered.status == 200 else "error")
    if answered.status >= 400:
        assert set(shown) == {"status", "error"}
        assert all(isinstance(text, str) and text for text in shown["error"].values())
    assert PAN[:12] not in answered.body.decode()


@CALMLY
@given(step=STEPS, value=VALUES)
def test_any_json(step: str, value: Any) -> None:
    """Random values with names of ours in them."""
    require_sound(answer_to(step, json.dumps(value).encode()))


@CALMLY
@given(step=STEPS, raw=st.binary(max_size=300))
def test_any_bytes(step: str, raw: bytes) -> None:
    """Bytes of no form at all."""
    require_sound(answer_to(step, raw))


@CALMLY
@given(step=st.sampled_from(["pay", "tokenize"]), data=st.data(), value=VALUES)
def test_a_card_with_one_member_spoiled(step: str, data: st.DataObject, value: Any) -> None:
    """A good call, with any value at any place of it."""
    members: dict[str, Any] = json.loads(json.dumps({**TYPED, "recurrent": False}))
    place = members if data.draw(st.booleans()) else members["card"]
    place[data.draw(st.sampled_from(sorted(place)))] = value
    require_sound(answer_to(step, json.dumps(members).encode()))


@CALMLY
@given(
    step=STEPS,
    name=st.sampled_from(["origin", "host", "sec_fetch_site", "content_type", "content_length", "accept"]),
    value=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
)
def test_any_header(step: str, name: str, value: str) -> None:
    """A good call, with one header of any content."""
    spoken = name if step != "tokenize" else name.replace("_", "-")
    require_sound(answer_to(step, json.dumps(TYPED).encode(), **{spoken: value}))
