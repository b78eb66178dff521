"""Compares what a browser received from the widget's host with the inventory and the headers as they must be.

This is PCI DSS 11.6.1: scripts, styles and headers of the payment page, seen from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from tollhouse.api.payer.door import PREFIX as PAYER_PREFIX
from tollhouse.api.widget.assets import FRAME_SCRIPT, FRAME_STYLE, HOSTED_SCRIPT, LOADER, LOADER_STYLE, NAMES, Assets
from tollhouse.api.widget.door import FRAME_PREFIX, HOSTED_PREFIX, NEWEST
from tollhouse.api.widget.policy import frame_headers, hosted_headers, notice_headers
from tollhouse.api.widget.visit import Visit, origin_of
from tollhouse.cli.headers import Gap, compare_headers, payer_headers, sources_of
from tollhouse.cli.inventory import HOSTED_PAGE, PAYER_PAGE, RETURN_PAGE, Authorised, digest, inline_digests
from tollhouse.cli.markup import Markup, Tag, read_markup
from tollhouse.cli.recording import Received

POLICY = "Content-Security-Policy"
_VERSIONED = re.compile(r"/widget/(?P<version>[0-9a-f]{12})/(?P<name>[^/]+)")
_SECRET = re.compile(r"(/(?:pay|3ds)/[0-9A-Za-z_-]{6})[0-9A-Za-z_-]+")
_CUT = r"\1…"
_OPEN = ("*",)
_BODILESS = (204, 304)
_REDIRECTS = range(300, 400)
_NOWHERE = frozenset({"", "data", "blob", "about", "chrome-extension", "moz-extension", "safari-web-extension"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something a browser got that is not as it must be."""

    where: str
    url: str
    what: str
    expected: str
    found: str


@dataclass(slots=True)
class Findings:
    """What was compared, by its address, and what differs."""

    compared: list[str] = field(default_factory=list)
    frames: int = 0  # how often the page with the form was among it
    differences: list[Difference] = field(default_factory=list)


class Inspection:
    """Looks at answers. `addresses` are those of the widget's host; `framers` may show the form, if they are known."""

    def __init__(self, authorised: Authorised, addresses: Sequence[str], framers: Sequence[str]) -> None:
        self.found = Findings()
        self._authorised = authorised
        self._origins = tuple(dict.fromkeys(origin_of(address) for address in addresses))
        self._framers = tuple(framers)

    def look(self, received: Iterable[Received]) -> None:
        """At the answers of one recording, in order."""
        hosted_tabs: set[str] = set()
        documents: dict[str, str] = {}  # what each frame shows, where the recording names frames
        for one in received:
            shown = documents.get(one.frame)
            if one.is_page:
                documents[one.frame] = one.url
            elif one.frame and shown is not None:
                one = replace(one, asked_by=(*one.asked_by, shown))
            path = urlsplit(one.url).path
            if self._is_ours(one.url):
                self._look_at_own(one)
                if one.is_page and path.startswith(HOSTED_PREFIX):
                    hosted_tabs.add(one.tab)
            elif urlsplit(one.url).scheme not in _NOWHERE:
                self._look_at_foreign(one, is_hosted=one.tab in hosted_tabs)
            # After the hosted page a tab belongs to the issuer's pages, or to the shop's.
            if one.is_page and (path.startswith(PAYER_PREFIX) or not self._is_ours(one.url)):
                hosted_tabs.discard(one.tab)

    def require_seen(self, host: str) -> None:
        """A check that saw no form's page proves nothing: that is a difference too."""
        if not self.found.frames:
            what = "no page of the form" if self.found.compared else "nothing of this host"
            self.found.differences.append(
                Difference(where="everywhere", url=host, what=what, expected="at least one", found="none")
            )

    def _is_ours(self, url: str) -> bool:
        return origin_of(url) in self._origins

    def _tell(self, one: Received, what: str, expected: str, found: str) -> None:
        self.found.differences.append(
            Difference(
                where=one.where, url=_shown(one.url), what=what, expected=expected, found=_SECRET.sub(_CUT, found)
            )
        )

    def _look_at_foreign(self, one: Received, *, is_hosted: bool) -> None:
        """Of other hosts only what our own pages and scripts asked for is judged; the shop's page is the shop's."""
        askers = [urlsplit(asker).path for asker in one.asked_by if self._is_ours(asker)]
        opens_page = one.is_page and not any(path.startswith((FRAME_PREFIX, HOSTED_PREFIX)) for path in askers)
        if (askers and not opens_page) or (is_hosted and not one.is_page):
            self._tell(one, "foreign host", f"nothing from outside {self._origins[0]}", origin_of(one.url))

    def _look_at_own(self, one: Received) -> None:
        path = urlsplit(one.url).path
        versioned = _VERSIONED.fullmatch(path)
        if one.verb not in ("GET", "POST") or one.status <= 0 or one.status in _BODILESS:
            return
        if versioned:
            self._look_at_file(one, versioned["version"], versioned["name"])
        elif path in NEWEST:
            self._look_at_file(one, self._authorised.build.version, NEWEST[path])
        elif one.status in _REDIRECTS:
            return
        elif path.startswith(FRAME_PREFIX):
            self._look_at_frame(one)
        elif path.startswith(HOSTED_PREFIX):
            self._look_at_hosted(one)
        elif one.is_script or one.is_style:
            self._tell(one, "unknown script or style", "nothing", _told(one.body))
        elif one.is_page:
            self._look_at_other_page(one, is_payers=path.startswith(PAYER_PREFIX))

    def _look_at_file(self, one: Received, version: str, name: str) -> None:
        assets = self._authorised.assets(version)
        if assets is None:
            return self._tell(one, "unknown version", self._authorised.build.version, version)
        if name not in NAMES:
            return self._tell(one, "unknown script or style", "nothing", _told(one.body))
        expected = assets.newest(name)
        if one.status != 200:
            return self._tell(one, "no such file", expected.integrity, f"HTTP {one.status}")
        if one.body is None:
            return self._tell(one, "not in the recording", "an export with contents", "no content")
        self.found.compared.append(_shown(one.url))
        if digest("sha384", one.body) != expected.integrity:
            self._tell(one, "changed file", expected.integrity, digest("sha384", one.body))
        needed = {"Content-Type": expected.media_type.partition(";")[0], "X-Content-Type-Options": "nosniff"}
        found = {"Content-Type": one.media_type, "X-Content-Type-Options": one.header("X-Content-Type-Options")}
        for header, value in needed.items():
            if (found[header] or "").lower() != value:
                self._tell(one, f"header {header}", value, found[header] or "absent")
        return None

    def _look_at_frame(self, one: Received) -> None:
        if one.status not in (200, 404):
            return self._look_at_other_page(one)
        self.found.frames += 1
        assets = self._assets_of(one)
        if assets is None:
            return None
        known = self._framers or tuple(source for source in sources_of(one, "frame-ancestors") if source != "'self'")
        framers = _OPEN if one.status == 404 else known
        self._compare_headers(
            one, [frame_headers(visit, address, assets, framers) for visit, address in self._callers(one)]
        )
        self._compare_markup(one, assets, scripts=(FRAME_SCRIPT,), styles=(FRAME_STYLE,))
        return None

    def _look_at_hosted(self, one: Received) -> None:
        if one.status != 200:
            self._compare_headers(one, [notice_headers(is_framed=False)])
            return self._look_at_other_page(one)
        assets = self._assets_of(one)
        if assets is None:
            return None
        self._compare_headers(one, [hosted_headers(visit, address, assets) for visit, address in self._callers(one)])
        self._compare_markup(one, assets, scripts=(LOADER, HOSTED_SCRIPT), styles=(LOADER_STYLE,))
        return None

    def _look_at_other_page(self, one: Received, *, is_payers: bool = False) -> None:
        """A page that has none of the widget's files."""
        if is_payers:
            self._compare_headers(one, [payer_headers(one)])
        self._compare_markup(one, None, scripts=(), styles=(), is_payers=is_payers)

    def _assets_of(self, page: Received) -> Assets | None:
        """The build that a page belongs to, by the files that it allows. Tells of one that is not known."""
        named = _VERSIONED.search((page.header(POLICY) or "").replace(";", " "))
        version = named["version"] if named else self._authorised.build.version
        assets = self._authorised.assets(version)
        if assets is None:
            self._tell(page, "unknown version", self._authorised.build.version, version)
        return assets

    def _callers(self, one: Received) -> list[tuple[Visit, str]]:
        """Who may have called, as the policies of pages depend on it: by our public address, or by another name."""
        host = urlsplit(one.url).netloc
        return [(Visit(path="", verb="GET", headers={b"host": host.encode()}), origin) for origin in self._origins]

    def _compare_headers(self, one: Received, possible: Sequence[dict[str, str]]) -> None:
        gaps: list[list[Gap]] = [compare_headers(one, expected) for expected in possible]
        for gap in min(gaps, key=len):
            self._tell(one, gap.what, gap.expected, gap.found)
        self.found.compared.append(f"{_shown(one.url)} (headers)")

    def _compare_markup(
        self,
        one: Received,
        assets: Assets | None,
        *,
        scripts: tuple[str, ...],
        styles: tuple[str, ...],
        is_payers: bool = False,
    ) -> None:
        if one.body is None:
            if one.verb == "GET":
                self._tell(one, "not in the recording", "an export with contents", "no content")
            return
        markup = read_markup(one.body)
        inline = set(inline_digests(*((PAYER_PAGE, RETURN_PAGE) if is_payers else (HOSTED_PAGE,))))
        for kind, tags, names in (("script", markup.scripts, scripts), ("style", markup.styles, styles)):
            wanted = {} if assets is None else {assets.newest(name).path: assets.newest(name) for name in names}
            for tag in tags:
                if tag.address is None:
                    if (found := digest("sha256", tag.text.encode())) not in inline:
                        self._tell(one, f"unknown {kind} in the page", "nothing", found)
                    continue
                asset = wanted.pop(self._path_of(one, tag), None)
                if asset is None:
                    self._tell(one, f"unknown {kind} in the page", "nothing", tag.address)
                elif tag.integrity != asset.integrity:
                    self._tell(one, f"integrity of {asset.name}", asset.integrity, tag.integrity or "absent")
            for asset in wanted.values():
                self._tell(one, f"missing {kind}", asset.path, "absent")
        self._tell_others(one, markup)
        self.found.compared.append(_shown(one.url))

    def _tell_others(self, one: Received, markup: Markup) -> None:
        for other in markup.others:
            self._tell(one, "unknown markup", "nothing", other)

    def _path_of(self, page: Received, tag: Tag) -> str:
        """The path of a file of ours; of another's the whole address, which is nowhere expected."""
        url = urljoin(page.url, tag.address or "")
        return urlsplit(url).path if self._is_ours(url) and not urlsplit(url).query else url


def _shown(url: str) -> str:
    """An address without what opens a payment."""
    return _SECRET.sub(_CUT, url.partition("?")[0].partition("#")[0])


def _told(body: bytes | None) -> str:
    return "no content" if body is None else digest("sha384", body)
