"""What can be read without a signature: health, the reference, webhook keys, a word for who opens us in a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tollhouse.api.openapi import document
from tollhouse.api.problems import Reply
from tollhouse.api.reference import CONTENT_POLICY, page
from tollhouse.merchant import is_project_name
from tollhouse.refusal import MethodNotAllowed, MethodUnknown, Unavailable

KEY_PREFIX, KEY_SUFFIX = "/.well-known/tollhouse/", "/webhook-key.pem"
PATHS = ("/healthz", "/readyz", "/openapi.json", "/docs")

_JSON, _HTML = "application/json", "text/html; charset=utf-8"
_OK = b'{"status":"ok"}'
_WELCOME = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex"><link rel="icon" href="data:,">
<title>Tollhouse</title></head><body><main><h1>This is a Tollhouse payment gateway</h1>
<p>There is nothing to pay on this page. Whoever builds a shop finds the <a href="/docs">reference of the API</a>.</p>
</main></body></html>
"""
_ALONE = {"Cross-Origin-Opener-Policy": "same-origin"}
_WELCOME_POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Pages:
    """The pages for merchants' developers and operators' probes."""

    def __init__(
        self,
        *,
        who_is_away: Callable[[], Awaitable[str]],
        webhook_key: Callable[[str], Awaitable[str | None]],
        version: str,
    ) -> None:
        described = document(version)
        self._who_is_away = who_is_away
        self._webhook_key = webhook_key
        self._document = msgspec.json.encode(described)
        self._page = page(described).encode()

    async def answer(self, path: str, verb: str, accept: str = "") -> Reply:
        """The page at this path. Raises `MethodUnknown`, `MethodNotAllowed`, `Unavailable`."""
        project = self._project_of_key(path)
        is_welcome = path == "/" and "text/html" in accept
        if project is None and not is_welcome and path not in PATHS:
            raise MethodUnknown
        if verb not in ("GET", "HEAD"):
            raise MethodNotAllowed("pages are read by GET")
        if project is not None:
            pem = await self._webhook_key(project)
            if pem is None:
                raise MethodUnknown("there is no such project")
            return _page(pem.encode(), "application/x-pem-file")
        match path:
            case "/":
                return _page(_WELCOME, _HTML, _ALONE | {"Content-Security-Policy": _WELCOME_POLICY})
            case "/docs":
                return _page(self._page, _HTML, _ALONE | {"Content-Security-Policy": CONTENT_POLICY})
            case "/openapi.json":
                return _page(self._document, _JSON)
            case "/readyz":
                await self._require_ready()
                return _page(_OK, _JSON)
            case _:
                return _page(_OK, _JSON)

    async def _require_ready(self) -> None:
        if away := await self._who_is_away():
            raise Unavailable(f"not ready: {away} does not answer")

    @staticmethod
    def _project_of_key(path: str) -> str | None:
        if not (path.startswith(KEY_PREFIX) and path.endswith(KEY_SUFFIX)):
            return None
        name = path[len(KEY_PREFIX) : -len(KEY_SUFFIX)]
        return name if is_project_name(name) else None


def _page(body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=200, body=body, headers={"Content-Type": media_type, **(headers or {})})
