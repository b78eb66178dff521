"""An acquirer's books over HTTP, for tests: what `GET /books` shows is what it is given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Entry = dict[str, Any]


@contextmanager
def books_of(entries: list[Entry], *, status: int = 200) -> Iterator[str]:
    """The URL of books with these entries; `?rrn=` selects."""

    class Books(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """All entries, or those of one RRN."""
            wanted = parse_qs(urlsplit(self.path).query).get("rrn")
            found = [entry for entry in entries if wanted is None or entry["rrn"] in wanted]
            body = json.dumps({"operations": found, "totals": {}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Books)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/books"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
