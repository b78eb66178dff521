"""Who may call: project, signature over the raw body, rate limit; and how bodies are taken in."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.api.client import BODY_LIMIT, Shop
from tests.worlds import PROJECT
from tollhouse.api.access import RateLimits
from tollhouse.signing import sign_rsa


@pytest.mark.parametrize("name", [None, "", "nobody", "sh op", "../shop", "x" * 65, "é", "shop\x00"])
async def test_an_unknown_project_is_told_so(shop: Shop, name: str | None) -> None:
    """401 identification_error, whether the name is missing, malformed or nobody's."""
    body = b"{}"
    headers = {"x-partner-sign": sign_rsa(shop.key, body)} | ({} if name is None else {"x-partner-project": name})
    answered = await shop.request("/api/v1/session/create", headers, body)
    assert (answered.status, answered.code) == (401, "identification_error")
    assert answered.headers["www-authenticate"] == "Signature"


async def test_the_signature_covers_exactly_the_bytes(shop: Shop, stranger_key: RSAPrivateKey) -> None:
    """A bit, a newline, another form, another padding, another hash, another key: all 401."""
    body = b'{"metadata":"a"}'
    right = sign_rsa(shop.key, body)
    raw = base64.b64decode(right)
    pss = shop.key.sign(body, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    sha1 = shop.key.sign(body, padding.PKCS1v15(), hashes.SHA1())
    wrong = [
        (body, None),
        (body, ""),
        (body + b"\n", right),
        (b'{"metadata":"`"}', right),
        (b'{"metadata": "a"}', right),
        (body, raw.hex()),
        (body, right.replace("+", "-").replace("/", "_").rstrip("=")),
        (body, base64.b64encode(pss).decode()),
        (body, base64.b64encode(sha1).decode()),
        (body, sign_rsa(stranger_key, body)),
        (body, right + " " * 1400),
    ]
    for sent, signature in wrong:
        headers = {"x-partner-project": "shop"} | ({} if signature is None else {"x-partner-sign": signature})
        answered = await shop.request("/api/v2/session/create", headers, sent)
        assert (answered.status, answered.code) == (401, "authentication_error")
        assert answered.headers["www-authenticate"] == "Signature"
    assert not shop.world.books.sessions
    headers = {"x-partner-project": "shop", "x-partner-sign": f" {right[:80]} {right[80:]} "}
    assert (await shop.request("/api/v2/session/create", headers, body)).status == 200


async def test_one_of_several_keys_is_enough(shop: Shop, stranger_key: RSAPrivateKey) -> None:
    """So that a key can be changed without an hour of silence."""
    shop.admit(PROJECT, stranger_key, shop.key)
    assert (await shop.call("session/create", {})).status == 200
    shop.admit(PROJECT, stranger_key)
    assert (await shop.call("session/create", {})).code == "authentication_error"


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":"a\\/b"}',
        '{"metadata":"Привет, Zoë 你好 🎈"}'.encode(),
        b'{"metadata": {"a": 1,  "b" : [1, 2]}}',
        b'\n{"metadata":"\\u00e9"}\r\n',
        b'{"metadata":"\\ud83c\\udf88"}',
    ],
)
async def test_bodies_are_verified_as_they_were_written(shop: Shop, body: bytes) -> None:
    """Escaped slashes, raw Unicode, spaces: no body is serialised again before it is verified."""
    assert (await shop.call("session/create", raw=body)).status == 200


async def test_names_of_headers_have_no_case_and_unknown_ones_are_ignored(shop: Shop) -> None:
    """As clients send them; a server hands all names over in lower case."""
    answered = await shop.call("session/create", {}, headers={"X-SDK-VERSION": "1.2", "Accept": "text/html"})
    assert answered.status == 200


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/jsonx", 415),
        ("multipart/form-data", 415),
    ],
)
async def test_bodies_are_json(shop: Shop, content_type: str, status: int) -> None:
    """Parameters are allowed, and so is no content type at all."""
    answered = await shop.call("session/create", {}, headers={"Content-Type": content_type})
    assert answered.status == status


async def test_a_body_may_have_256_kib(shop: Shop) -> None:
    """Not a byte more, whether its length is announced or shows itself."""
    body = b"{}" + b" " * (BODY_LIMIT - 2)
    assert (await shop.call("session/create", raw=body)).status == 200
    for headers in ({}, {"content-length": str(BODY_LIMIT + 1)}):
        answered = await shop.call("session/create", raw=body + b" ", headers=headers)
        assert (answered.status, answered.code) == (413, "request_too_large")
    answered = await shop.call("session/create", raw=b"{}", headers={"content-length": "9" * 5_000})
    assert answered.status == 413


async def test_who_hangs_up_gets_no_answer(shop: Shop) -> None:
    """The connection is gone before the body was complete: nothing is done, nothing is sent, nothing is wrong."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v2/session/create", "headers": []}
    await shop.app(scope, receive, send)
    assert sent == []
    assert shop.world.log.lines == []


async def test_a_refused_call_is_one_line_of_the_log(shop: Shop) -> None:
    """Its code and the project it says it is of; a name that can be none is left out."""
    for headers in ({"X-PARTNER-SIGN": "x"}, {"X-PARTNER-PROJECT": "a b"}):
        assert (await shop.call("session/create", {}, headers=headers)).status == 401
    refused = [(fields["code"], fields.get("project")) for _, _, fields in shop.world.log.lines]
    assert refused == [("authentication_error", "shop"), ("identification_error", None)]


async def test_a_project_has_a_rate(shop: Shop) -> None:
    """Two seconds' worth at once, then the rate; others are not touched; 429 says when to come back."""
    shop.set(rate_limit=5)
    answers = [(await shop.call("session/create", {})).status for _ in range(12)]
    assert answers == [200] * 10 + [429] * 2
    refused = await shop.call("session/create", {})
    assert (refused.code, refused.headers["retry-after"]) == ("too_many_requests", "1")
    assert (await shop.call("session/create", {}, project="inn")).status == 200
    shop.world.clock.move(0.4)
    answers = [(await shop.call("session/create", {})).status for _ in range(3)]
    assert answers == [200, 200, 429]


async def test_calls_without_a_right_signature_do_not_use_up_the_rate(shop: Shop) -> None:
    """Nobody can silence a project by its name alone."""
    shop.set(rate_limit=1)
    for _ in range(10):
        assert (await shop.call("session/create", {}, headers={"X-PARTNER-SIGN": "x"})).status == 401
    assert (await shop.call("session/create", {})).status == 200


def test_a_rate_of_zero_is_no_limit() -> None:
    """And a bucket never holds more than two seconds' worth, however long it was left alone."""
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    assert all(limits.take("a", 0) for _ in range(10_000))
    assert [limits.take("b", 1) for _ in range(3)] == [True, True, False]
    now[0] = 1_000_000.0
    assert [limits.take("b", 1) for _ in range(3)] == [True, True, False]


async def test_a_call_is_noted_with_its_session(shop: Shop) -> None:
    """Carried out, refused and reading calls; with the name that its answer bears."""
    session_id = await shop.prepared()
    read = await shop.call("session/status", {"session_id": session_id})
    refused = await shop.call("session/refund", {"session_id": session_id})
    await shop.call("session/confirm", {"session_id": session_id})
    again = await shop.call("session/confirm", {"session_id": session_id})
    await shop.call("session/confirm", {"session_id": "ps_404"})
    await shop.call("session/refund", {"session_id": session_id, "amount_details": 5})
    notes = [note.data for _, note in shop.world.books.histories["shop", session_id].notes if note.kind == "request"]
    assert [(note["method"], note["status"]) for note in notes] == [
        ("session/init/payment", 200),
        ("session/status", 200),
        ("session/refund", 409),
        ("session/confirm", 200),
        ("session/confirm", 200),
    ]
    for note, answered in zip(notes[1:3] + notes[4:], (read, refused, again), strict=True):
        assert note["request_id"] == answered.headers["x-tollhouse-request-id"]
    assert ("shop", "ps_404") not in shop.world.books.histories
    assert json.dumps(notes)


async def test_what_follows_a_commit_is_started_once(shop: Shop) -> None:
    """Only by a call that wrote something and left work behind."""
    session_id = await shop.prepared()
    assert shop.work == []
    await shop.call("session/confirm", {"session_id": session_id})
    await shop.call("session/confirm", {"session_id": session_id})
    await shop.call("session/status", {"session_id": session_id})
    assert len(shop.work) == 1
    await shop.carry_on()
    assert shop.world.link.types == ["0200"]


async def test_a_project_that_confirms_by_itself_is_driven_at_once(shop: Shop) -> None:
    """The setting `auto_confirm`: no webhook before the end."""
    shop.set(auto_confirm=True)
    session_id = await shop.prepared()
    await shop.carry_on()
    shown = (await shop.call("session/status", {"session_id": session_id})).session
    assert shown["status"] == "accepted"
    deliveries = shop.world.books.deliveries["shop", session_id].values()
    assert [delivery.type for delivery in deliveries] == ["payment_finished"]


async def test_webhooks_have_the_version_of_the_first_call_or_of_the_setting(shop: Shop) -> None:
    """The session's own, unless the project pins one."""
    cases = ((None, 1, b"acquiring_payments"), (2, 1, b"payment_list"), (None, 2, b"payment_list"))
    for pinned, version, name in cases:
        shop.admit(replace(PROJECT, settings=replace(PROJECT.settings, webhook_version=pinned)))
        session_id = await shop.prepared(version=version)
        (delivery,) = shop.world.books.deliveries["shop", session_id].values()
        assert name in delivery.body


async def test_refused_access_is_for_the_audit_log(shop: Shop, stranger_key: RSAPrivateKey) -> None:
    """Who they said they are, what they wanted and why not; a call that is merely wrong is not there."""
    body = b"{}"
    await shop.request("/api/v1/session/create", {"x-partner-project": "nobody"}, body)
    signed = {"x-partner-project": "shop", "x-partner-sign": sign_rsa(stranger_key, body)}
    await shop.request("/api/v2/session/create", signed, body)
    await shop.request("/api/v2/session/none", {"x-partner-project": "shop"}, body)
    assert [(act.what, act.outcome, act.subject, act.who, act.details) for act in shop.denied] == [
        ("call", "refused", "/api/v1/session/create", "project nobody", "identification_error"),
        ("call", "refused", "/api/v2/session/create", "project shop", "authentication_error"),
    ]
