"""The sandbox over HTTP: its books, for tests and people to compare with the gateway's, and 3-D Secure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollhouse.sandbox.books import Books
from tollhouse.sandbox.threeds.routes import HANG_UP


class HangingUp(HttpToolsProtocol):
    """HTTP that lets a route cut its connection: `HANG_UP` in the request's state does it."""

    def on_message_begin(self) -> None:
        """Give the request a way to end without an answer."""
        super().on_message_begin()
        cast(dict[str, Callable[[], None]], self.scope["state"])[HANG_UP] = self.transport.abort


def make_app(books: Books, routes: Sequence[Route] = ()) -> Starlette:
    """`GET /books` with `rrn` and `limit` (the newest; totals are of the whole books), `GET /healthz`, and `routes`."""

    async def show_books(request: Request) -> Response:
        limit_text = request.query_params.get("limit")
        if limit_text is not None and not (limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 10):
            return _json({"error": "limit: a whole number from 0 expected"}, status_code=400)
        limit = None if limit_text is None else int(limit_text)
        operations = books.select(rrn=request.query_params.get("rrn"), limit=limit)
        return _json({"operations": operations, "totals": books.totals()})

    async def show_health(request: Request) -> Response:
        return _json({"status": "ok"})

    return Starlette(routes=[Route("/books", show_books), Route("/healthz", show_health), *routes])


def _json(content: object, *, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status_code, media_type="application/json")
