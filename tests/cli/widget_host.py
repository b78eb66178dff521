"""A made-up build of the widget, a host on loopback that serves it, and recordings of what a browser got there."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tollhouse.api.payer import policy as payer
from tollhouse.api.widget.assets import NAMES, Assets
from tollhouse.api.widget.door import FRAME_PREFIX, HOSTED_PREFIX, NEWEST
from tollhouse.api.widget.policy import (
    NEWEST_HEADERS,
    STYLE,
    VERSION_HEADERS,
    frame_headers,
    hosted_headers,
    notice_headers,
)
from tollhouse.api.widget.visit import Visit
from tollhouse.cli.__main__ import group
from tollhouse.cli.inventory import digest

TOKEN = "ab" * 32
SHOP = "https://shop.example"
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
PAYER_LINK = "k4Tq9vWn2bR7xYc0LmZe5A"


def make_build(folder: Path, text: str = "") -> Path:
    """A build with small files that hold this text."""
    folder.mkdir(parents=True)
    entries = []
    for name in sorted(NAMES):
        body = f"/* {name} {text} */".encode()
        (folder / name).write_bytes(body)
        entries.append(
            {
                "name": name,
                "integrity": digest("sha384", body),
                "sha256": digest("sha256", body),
                "bytes": len(body),
                "gzip": len(gzip.compress(body)),
                "page": "form's frame" if name.startswith("frame") else "merchant's page",
                "reason": f"Because of {name}.",
            }
        )
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    (folder / "inventory.json").write_text(json.dumps({"version": version, "files": entries}))
    return folder


def version_of(build: Path) -> str:
    """Of a build."""
    return str(json.loads((build / "inventory.json").read_text())["version"])


@dataclass(frozen=True)
class Answered:
    """What the host says at an address."""

    body: bytes
    headers: Mapping[str, str]
    status: int = 200

    def with_header(self, name: str, value: str | None) -> Answered:
        """The same with another header, or without it."""
        headers = {known: text for known, text in self.headers.items() if known != name}
        return replace(self, headers=headers if value is None else {**headers, name: value})


class Quiet:
    """A log nobody reads."""

    def info(self, event: str, **fields: Any) -> None:
        """Nothing."""

    error = warning = info


@dataclass
class WidgetHost:
    """What a widget's host answers, by path; tests change it. `url` is where it stands."""

    build: Path
    url: str = "https://pay.example.com"
    answers: dict[str, Answered] = field(default_factory=dict)
    asked: list[Mapping[str, str]] = field(default_factory=list)

    def fill(self) -> WidgetHost:
        """All as it must be."""
        assets = Assets.open(self.build, None, Quiet())
        visit = Visit(path="", verb="GET", headers={b"host": self.url.partition("://")[2].encode()})
        for path, name in NEWEST.items():
            self.answers[path] = self._file(assets, name, NEWEST_HEADERS)
        for name in NAMES:
            self.answers[assets.newest(name).path] = self._file(assets, name, VERSION_HEADERS)
        style, script = _tags(assets, "frame.css", "frame.js")
        form = f'<html><head><script type="application/json">{{}}</script>{style}{script}</head><body></body></html>'
        for id, origins, status in (("*", ("*",), 404), (TOKEN, (SHOP,), 200)):
            headers = frame_headers(visit, self.url, assets, origins)
            self.answers[FRAME_PREFIX + id] = _page(form, headers, status)
        notice = f"<html><head><style>{STYLE}</style></head><body>Not here</body></html>"
        self.answers[f"{HOSTED_PREFIX}*"] = _page(notice, notice_headers(is_framed=False), 404)
        tags = "".join(_tags(assets, "payment-form.css", "payment-form.js", "hosted.js"))
        hosted = f'<html><head><link rel="icon" href="data:,"><style>{STYLE}</style>{tags}</head><body></body></html>'
        self.answers[HOSTED_PREFIX + TOKEN] = _page(hosted, hosted_headers(visit, self.url, assets))
        self.answers[f"/3ds/{PAYER_LINK}"] = _page(
            f"<html><style>{payer.STYLE}</style><script type='application/json'>{{}}</script>"
            f"<script>{payer.SCRIPT}</script></html>",
            {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": "default-src 'none'; style-src "
                f"'{digest('sha256', payer.STYLE.encode())}'; img-src data:; base-uri 'none'; script-src "
                f"'{digest('sha256', payer.SCRIPT.encode())}'; connect-src 'self'; frame-src 'self' https:; "
                "form-action 'self' https:; frame-ancestors 'none'",
            },
        )
        return self

    def _file(self, assets: Assets, name: str, headers: Mapping[str, str]) -> Answered:
        asset = assets.newest(name)
        return Answered(asset.body, {**EVERYWHERE, **headers, "Content-Type": asset.media_type})

    def answer(self, path: str) -> Answered:
        """What is said there, or where any token is."""
        return self.answers.get(path) or self.answers[f"{path.rpartition('/')[0]}/*"]

    def path(self, name: str) -> str:
        """Where a file of this very build is."""
        return f"/widget/{version_of(self.build)}/{name}"

    def entry(self, path: str, **more: Any) -> dict[str, Any]:
        """One answer as a recording has it."""
        answered = self.answers[path]
        return entry(self.url + path, answered.body.decode(), answered.headers, answered.status, **more)

    def visit(self) -> list[dict[str, Any]]:
        """What a browser gets when a shop shows the form."""
        shop = entry(f"{SHOP}/checkout", "<script src='https://tags.example/t.js'></script>", kind="document")
        tags = entry("https://tags.example/t.js", "1", kind="script", asked_by=f"{SHOP}/checkout")
        frame = FRAME_PREFIX + TOKEN
        return [
            shop,
            tags,
            self.entry(self.path("payment-form.js"), kind="script", asked_by=f"{SHOP}/checkout"),
            self.entry(self.path("payment-form.css"), kind="stylesheet", asked_by=f"{SHOP}/checkout"),
            self.entry(frame, kind="document", asked_by=self.url + self.path("payment-form.js")),
            self.entry(self.path("frame.js"), kind="script", asked_by=self.url + frame),
            self.entry(self.path("frame.css"), kind="stylesheet", asked_by=self.url + frame),
            entry(f"{self.url}/widget/v1/form", '{"status":"ok"}', {"Content-Type": "application/json"}, verb="POST"),
        ]

    @contextmanager
    def listening(self) -> Iterator[WidgetHost]:
        """On a free port of loopback, in threads of its own."""
        host = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # an answer leaves as one

            def do_GET(self) -> None:
                host.asked.append(dict(self.headers.items()))
                answered = host.answer(self.path)
                self.send_response(answered.status)
                for name, value in answered.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answered.body)))
                self.end_headers()
                self.wfile.write(answered.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self.fill()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def entry(
    url: str,
    text: str,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
    *,
    kind: str = "",
    asked_by: str = "",
    tab: str = "page_1",
    verb: str = "GET",
) -> dict[str, Any]:
    """One entry of a HAR, as Chromium writes it."""
    named = [{"name": name.lower(), "value": value} for name, value in (headers or {}).items()]
    return {
        "pageref": tab,
        "_resourceType": kind,
        "_initiator": {"type": "parser", "url": asked_by} if asked_by else {"type": "other"},
        "request": {"method": verb, "url": url, "headers": []},
        "response": {"status": status, "headers": named, "content": {"size": len(text), "mimeType": "", "text": text}},
    }


def make_har(path: Path, entries: list[dict[str, Any]]) -> Path:
    """A recording in a file."""
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return path


def end(host: WidgetHost, *words: str) -> Result:
    """How a command about this host's build ended."""
    environment = {"TOLLHOUSE_HOME": str(host.build.parent), "TOLLHOUSE_PUBLIC_URL": host.url}
    return CliRunner().invoke(group, ["widget", *words, "--built", str(host.build)], env=environment)


def differences(host: WidgetHost, *words: str) -> list[dict[str, str]]:
    """What a check finds; its exit code says the same."""
    ended = end(host, "check", "--json", *words)
    assert ended.exit_code in (0, 1), f"{ended.output}{ended.exception!r}"
    found = json.loads(ended.stdout)
    assert found["is_clean"] is (ended.exit_code == 0) is (not found["differences"])
    assert found["version"] == version_of(host.build)
    result: list[dict[str, str]] = found["differences"]
    return result


def recorded(host: WidgetHost, entries: list[dict[str, Any]], *words: str) -> list[dict[str, str]]:
    """What a check of a recording finds."""
    return differences(host, "--har", str(make_har(host.build.parent / "visit.har", entries)), *words)


def _tags(assets: Assets, *names: str) -> list[str]:
    """The tags of a page that takes these files."""
    found = [assets.newest(name) for name in names]
    return [
        f'<link rel="stylesheet" href="{one.path}" integrity="{one.integrity}">'
        if one.name.endswith(".css")
        else f'<script src="{one.path}" integrity="{one.integrity}" defer></script>'
        for one in found
    ]


def _page(text: str, headers: Mapping[str, str], status: int = 200) -> Answered:
    every = {**EVERYWHERE, **headers}
    return Answered(text.encode(), {name: value for name, value in every.items() if value}, status)
