"""The reference as a page to read, rendered from the OpenAPI document: no script, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

STYLE = """\
:root{color-scheme:light dark;--line:#8886;--soft:#8882;--link:light-dark(#0550ae,#79c0ff)}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.9rem;margin:.5rem 0}h2{margin-top:3rem;border-bottom:1px solid var(--line)}h3{margin-top:2.2rem}
a{color:var(--link)}nav ul{columns:18rem;padding-left:1.2rem}
code,pre{font:.88em/1.5 ui-monospace,monospace}code{background:var(--soft);padding:.1em .3em;border-radius:.25em}
pre{background:var(--soft);padding:.8rem;border-radius:.4rem;white-space:pre-wrap}pre code{background:none;padding:0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .5rem}
tr{border-bottom:1px solid var(--line)}
@media(max-width:36rem){thead{display:none}tr{display:block;padding:.5rem 0}td{display:block;padding:.1rem 0}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_CODE = re.compile(r"`([^`]*)`")


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    info, components = document["info"], document["components"]
    title = f"{info['title']} {info['version']} · API reference"
    calls = [
        (path.removeprefix("/api/v2/"), item["post"])
        for path, item in document["paths"].items()
        if path.startswith("/api/v2/")
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_prose(info['description'])}</p>",
        "<p>The same as a document for programs: <a href='/openapi.json'>openapi.json</a>.</p>",
        _contents(calls),
        "<h2>Headers</h2>",
        _headers(components["parameters"]),
        "<h2>Methods</h2>",
        "<p>Every method exists as <code>/api/v1/…</code> and <code>/api/v2/…</code>; the versions differ in how an "
        "answer spells the list of payments: <code>acquiring_payments</code> or <code>payment_list</code>.</p>",
        *(_call(name, call) for name, call in calls),
        "<h2 id='webhooks'>Webhooks</h2>",
        _table(("Type", "When"), [(_mono(type), escape(hook["post"]["summary"])) for type, hook in _hooks(document)]),
        "<h2 id='errors'>Errors</h2>",
        _table(
            ("Status", "Code and meaning"),
            [(_mono(status), _prose(one["description"])) for status, one in components["responses"].items()],
        ),
        "<h2 id='objects'>Objects</h2>",
        *(_object(name, schema) for name, schema in sorted(components["schemas"].items())),
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )


def _hooks(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(document["webhooks"].items())


def _contents(calls: list[tuple[str, dict[str, Any]]]) -> str:
    links = [f"<li><a href='#{_anchor(name)}'>{escape(name)}</a></li>" for name, _ in calls]
    links += [f"<li><a href='#{name}'>{name}</a></li>" for name in ("webhooks", "errors", "objects")]
    return f"<nav aria-label='Contents'><ul>{''.join(links)}</ul></nav>"


def _headers(parameters: dict[str, Any]) -> str:
    rows = [
        (_mono(one["name"]), "required" if one.get("required") else "", escape(one["description"]))
        for one in parameters.values()
    ]
    return _table(("Header", "Need", "Content"), rows)


def _call(name: str, call: dict[str, Any]) -> str:
    asked = call["requestBody"]["content"]["application/json"]
    answered = call["responses"]["200"]["content"]["application/json"]
    return (
        f"<h3 id='{_anchor(name)}'>POST <code>{escape(name)}</code></h3><p>{escape(call['summary'])}.</p>"
        f"<p>Request: {_type(asked['schema'])}</p>{_example(asked['example'])}"
        f"<p>Answer: {_type(answered['schema'])}</p>{_example(answered['example'])}"
    )


def _object(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (
            _mono(member),
            _type(of) + (" · required" if member in required else ""),
            escape(", ".join(of["enum"]) if "enum" in of else of.get("description", "")),
        )
        for member, of in schema.get("properties", {}).items()
    ]
    about = _prose(schema.get("description", ""))
    return f"<h3 id='{_anchor(name)}'>{escape(name)}</h3><p>{about}</p>" + _table(("Member", "Type", "Expected"), rows)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{_anchor(name)}'>{escape(name)}</a>"
    if schema.get("type") == "array":
        return "array of " + _type(schema["items"])
    return escape(schema.get("type", "any JSON"))


def _example(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre><code>{escape(text)}</code></pre>"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""


def _mono(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text)).replace("\n\n", "<br>")


def _anchor(name: str) -> str:
    return escape(name.replace("/", "-"))
