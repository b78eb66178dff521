"""The OpenAPI 3.1 document, built from the shapes that are checked, the methods answered and the codes refused."""

from __future__ import annotations

from typing import Any

import msgspec

from tollhouse import refusal
from tollhouse.api.problems import STATUS
from tollhouse.api.sessions import METHODS, VERSIONS, Method
from tollhouse.api.wire import answers, examples, shapes, tokens
from tollhouse.event import EventType

Shape = type[msgspec.Struct]

REQUEST_SHAPES: dict[str, Shape] = {
    "session/create": shapes.CreateRequest,
    "session/init/payment": shapes.InitRequest,
    "session/start/payment": shapes.StartRequest,
    "session/confirm": shapes.ConfirmRequest,
    "session/cancel": shapes.SessionRequest,
    "session/capture": shapes.CaptureRequest,
    "session/refund": shapes.RefundRequest,
    "session/status": shapes.SessionRequest,
    "token": tokens.TokenRequest,
    "token/info": tokens.InfoRequest,
    "tokenize/elements": tokens.ElementsRequest,
}
assert set(REQUEST_SHAPES) == {method.name for method in METHODS}

ANSWER_SHAPES: dict[int, Shape] = {1: answers.AnswerV1, 2: answers.AnswerV2}
# Of methods whose answer is no session.
OWN_ANSWER_SHAPES: dict[str, Shape] = {
    "token": tokens.TokenAnswer,
    "token/info": tokens.InfoAnswer,
    "tokenize/elements": tokens.ElementsAnswer,
}
WEBHOOK_SHAPES: dict[int, Shape] = {1: answers.WebhookV1, 2: answers.WebhookV2}

SUMMARIES = {
    "session/create": "Open a session; whatever is left out may be given at the start",
    "session/init/payment": "Create a session and start its payment in one call",
    "session/start/payment": "Start the payment of a created session",
    "session/confirm": "Say yes to a prepared payment, after the webhook ready_to_confirm",
    "session/cancel": "Say no to a prepared payment, give back a hold, or drop a session that was not started",
    "session/capture": "Take the money of a hold, whole or in part",
    "session/refund": "Give captured money back, whole or in part; every call is a new refund",
    "session/status": "Read a session with everything in it",
    "token": "A public token: opens the payment form for one session, or turns a card into a token in a browser",
    "tokenize/elements": "Turn card numbers into tokens; such a token has no expiry and pays no session",
    "token/info": "What a token stands for, and whether it can still be used",
}
EVENT_SUMMARIES = {
    EventType.READY_TO_CONFIRM: "The payment is prepared: confirm or cancel it within 240 minutes",
    EventType.ACTION_REQUIRED: "The payer has to do something",
    EventType.READY_TO_CAPTURE: "The money is held: capture it or cancel",
    EventType.PAYMENT_FINISHED: "The payment succeeded or failed",
    EventType.PAYMENT_REFUNDED: "A refund was accepted or declined",
}

ABOUT = """\
Calls are `POST` with a JSON body. Every call is signed: `X-PARTNER-SIGN` is the Base64 of the RSA signature (PKCS #1 \
v1.5, SHA-256) of the raw body, made with the private key whose public half the project holds. A declined payment is \
not an error: the call answers 200 and the reason is in the payment. In requests `null` is as if it were absent, `[]` \
is an empty object, and members that are not known are ignored."""


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    every_shape = [
        *dict.fromkeys(REQUEST_SHAPES.values()),
        *ANSWER_SHAPES.values(),
        *OWN_ANSWER_SHAPES.values(),
        *WEBHOOK_SHAPES.values(),
        answers.Refused,
    ]
    _, components = msgspec.json.schema_components(every_shape, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.1",
        "info": {"title": "Tollhouse", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": {
            f"/api/v{api_version}/{method.name}": {"post": _call(method, api_version)}
            for api_version in VERSIONS
            for method in METHODS
        },
        "webhooks": {type.value: {"post": _webhook(type)} for type in EventType},
        "components": {
            "schemas": {name: _without_null(schema) for name, schema in components.items()},
            "parameters": PARAMETERS,
            "responses": _responses(),
        },
    }


def error_codes() -> list[tuple[str, int, str]]:
    """Code, status and meaning of every refusal."""
    return [(kind.code, status, _meaning(kind)) for kind, status in STATUS.items()]


PARAMETERS: dict[str, Any] = {
    "project": {
        "name": "X-PARTNER-PROJECT",
        "in": "header",
        "required": True,
        "description": "The project's name",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "signature": {
        "name": "X-PARTNER-SIGN",
        "in": "header",
        "required": True,
        "description": "Base64 of the RSA signature of the raw body",
        "schema": {"type": "string", "maxLength": 1400},
    },
    "key": {
        "name": "X-PARTNER-IDEMPOTENCY-KEY",
        "in": "header",
        "description": "Makes it safe to repeat the call: it is carried out once",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "submerchant": {
        "name": "X-PARTNER-SUBMERCHANT",
        "in": "header",
        "description": "A payer or sub-merchant of the project; kept, not shown again",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
}


def _call(method: Method, api_version: int) -> dict[str, Any]:
    names = ["project", "signature"]
    if method.is_writing:
        names.append("key")
    if issubclass(REQUEST_SHAPES[method.name], shapes.Offered):
        names.append("submerchant")
    statuses = sorted({str(status) for status in STATUS.values()})
    ok = _content(OWN_ANSWER_SHAPES.get(method.name, ANSWER_SHAPES[api_version]))
    ok["application/json"]["example"] = examples.answer(method.name, api_version)
    asked = _content(REQUEST_SHAPES[method.name])
    asked["application/json"]["example"] = examples.REQUESTS[method.name]
    return {
        "operationId": f"v{api_version}_{method.name.replace('/', '_')}",
        "summary": SUMMARIES[method.name],
        "tags": [f"v{api_version}"],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "requestBody": {"required": False, "content": asked},
        "responses": {
            "200": {"description": "Carried out", "content": ok},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in statuses},
        },
    }


def _webhook(type: EventType) -> dict[str, Any]:
    either = [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in WEBHOOK_SHAPES.values()]
    return {
        "summary": EVENT_SUMMARIES[type],
        "requestBody": {"content": {"application/json": {"schema": {"oneOf": either}}}},
        "responses": {"2XX": {"description": "Delivered; anything else is tried again"}},
    }


def _content(shape: Shape) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}}


def _responses() -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for code, status, meaning in error_codes():
        by_status.setdefault(str(status), []).append(f"`{code}`: {meaning}")
    return {
        status: {"description": "\n\n".join(lines), "content": _content(answers.Refused)}
        for status, lines in sorted(by_status.items())
    }


def _meaning(kind: type[refusal.Refusal]) -> str:
    return (kind.__doc__ or "").strip()


def _without_null(schema: Any) -> Any:
    """A member that may be absent is described by what it holds; that `null` counts as absent is said once, above."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_null(value) for name, value in schema.items() if (name, value) != ("default", None)}
    choices = [one for one in plain.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        del plain["anyOf"]
        return {**plain, **choices[0]}
    return plain
