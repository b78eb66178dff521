"""The books over HTTP, for tests and people to compare with the gateway's."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tollhouse.sandbox.books import Books


def make_app(books: Books) -> Starlette:
    """`GET /books` with `rrn` and `limit` (the newest so many; totals are of the whole books), `GET /healthz`."""

    async def show_books(request: Request) -> Response:
        limit_text = request.query_params.get("limit")
        if limit_text is not None and not (limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 10):
            return _json({"error": "limit: a whole number from 0 expected"}, status_code=400)
        limit = None if limit_text is None else int(limit_text)
        operations = books.select(rrn=request.query_params.get("rrn"), limit=limit)
        return _json({"operations": operations, "totals": books.totals()})

    async def show_health(request: Request) -> Response:
        return _json({"status": "ok"})

    return Starlette(routes=[Route("/books", show_books), Route("/healthz", show_health)])


def _json(content: object, *, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status_code, media_type="application/json")
