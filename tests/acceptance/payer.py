"""The payer as servers see one: over HTTP from page to page, as a browser with or without a person before it would."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from tests.acceptance.merchant import Merchant, payment_of
from tests.acceptance.system import System, until
from tollhouse.acquirers.iso8583.fields import unpack_tags
from tollhouse.cli.payer import Form, read_page

RIGHT_CODE, FAILING_CODE, WRONG_CODE = "1234", "3333", "9999"
CANCEL, APPROVE, DECLINE = "challenge-cancel", "oob-approve", "oob-decline"
ANSWERING = ("begin", "wait")
REQUEST_SECONDS_MAX = 40.0  # the directory server may be silent for ten, and the machine slow
PATIENCE_SECONDS = 60.0
WINDOW_SIZE = "05"
FORM_TYPE, JSON_TYPE = "application/x-www-form-urlencoded", "application/json"
BROWSER = {"language": "en-GB", "color_depth": 24, "screen_height": 844, "screen_width": 390, "timezone_minutes": -60}
TAGS = {"42": "eci", "43": "value", "44": "ds", "45": "version", "46": "exemption"}

A, B = TypeVar("A"), TypeVar("B")


@dataclass(frozen=True)
class Sight:
    """What a browser is shown."""

    status: int
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def location(self) -> str | None:
        """Where it is sent on to."""
        return self.headers.get("location")

    @property
    def text(self) -> str:
        """The page."""
        return self.body.decode()

    def form(self, testid: str) -> Form | None:
        """One of its forms."""
        return read_page(self.url, self.body).form(testid)

    @property
    def way_back(self) -> Form | None:
        """The form that leads from the issuer to us, if the challenge has come to its end."""
        return self.form("cres-form")


@dataclass
class Payer:
    """Whoever was given the link. `did` collects what the hidden method page was good for."""

    link: str
    language: str = "en"
    completions: list[str] = field(default_factory=list)
    _answered: set[str] = field(default_factory=set)

    def send(
        self, verb: str, url: str, body: bytes | None = None, type: str = "", headers: Mapping[str, str] | None = None
    ) -> Sight:
        """One request; redirects are not followed."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        told = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": self.language, "User-Agent": "Mozilla/5.0"}
        told |= ({"Content-Type": type} if type else {}) | dict(headers or {})
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=REQUEST_SECONDS_MAX)
        with closing(connection):
            connection.request(verb, path, body, told)
            answer = connection.getresponse()
            return Sight(answer.status, url, {n.lower(): v for n, v in answer.getheaders()}, answer.read())

    def submit(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Sight:
        """Post a form."""
        return self.send("POST", url, urlencode(fields).encode(), FORM_TYPE, headers)

    def open(self) -> Sight:
        """Open the link."""
        return self.send("GET", self.link)

    def state(self) -> dict[str, Any]:
        """How the page's script finds it."""
        return self._state(self.send("GET", f"{self.link}/state"))

    def begin(self, completion: str | None = None) -> dict[str, Any]:
        """The issuer's hidden page, then what the browser says of itself. By default it says how that went."""
        if completion is None:
            completion = self.call_method(self.state())
        self.completions.append(completion)
        body = json.dumps({**BROWSER, "completion": completion}).encode()
        return self._state(self.send("POST", f"{self.link}/browser", body, JSON_TYPE))

    def call_method(self, state: Mapping[str, Any]) -> str:
        """Y: the issuer's hidden page came back; N: it never did; U: there is none."""
        method = state["method"]
        if method is None:
            return "U"
        form = self.submit(method["url"], {"threeDSMethodData": method["data"]}).form("method-form")
        if form is None:
            return "N"
        told = self.submit(form.action, form.fields)
        assert told.status == 200, told
        return "Y"

    def challenge(self, state: Mapping[str, Any] | None = None) -> Sight:
        """The issuer's page."""
        challenge = (state or self.state())["challenge"]
        shown = self.submit(challenge["url"], {"creq": challenge["requests"][WINDOW_SIZE]})
        assert shown.status == 200, shown
        return shown

    def act(self, shown: Sight, answer: str) -> Sight:
        """Press one of the buttons of the challenge, or enter a code."""
        form = shown.form("challenge-form")
        assert form is not None, shown.text
        name, value = form.buttons[answer if answer in form.buttons else "challenge-submit"]
        code = {} if answer in form.buttons else {"code": answer}
        return self.submit(form.action, {**form.fields, **code, name: value})

    def go_back(self, shown: Sight) -> Sight:
        """From the issuer's last page to ours, in a frame of it."""
        assert shown.way_back is not None, shown.text
        return self.submit(shown.way_back.action, shown.way_back.fields, {"Sec-Fetch-Dest": "iframe"})

    def begin_anew(self) -> dict[str, Any]:
        """Another attempt, where it is offered."""
        return self._state(self.send("POST", f"{self.link}/again", b"{}", JSON_TYPE))

    def go(self, *answers: str) -> None:
        """The whole way until nothing is left to do, answering the issuer if it asks."""

        def is_over() -> bool:
            state = self.state()
            if state["showing"] == "begin":
                state = self.begin()
            if state["showing"] == "challenge" and state["authentication_id"] not in self._answered:
                self._answered.add(state["authentication_id"])
                self._answer(self.challenge(state), answers)
                state = self.state()
            return bool(state["showing"] == "over")

        until(is_over, f"{self.link} is over", seconds=PATIENCE_SECONDS)

    def leave(self) -> str | None:
        """Where the page sends a payer who is finished; None: nowhere."""
        shown = self.open()
        if shown.status == 200:
            assert 'data-testid="payer-end"' in shown.text, shown.text
            return None
        assert shown.status == 303, shown
        return shown.location

    def _answer(self, shown: Sight, answers: Iterable[str]) -> None:
        for answer in answers:
            if shown.way_back is None:
                shown = self.act(shown, answer)
        if shown.way_back is not None:
            self.go_back(shown)

    def _state(self, shown: Sight) -> dict[str, Any]:
        assert shown.status == 200, shown
        state: dict[str, Any] = json.loads(shown.body)
        return state


def link_of(session: Mapping[str, Any]) -> str:
    """The link that a merchant sends the payer to."""
    redirect = payment_of(dict(session))["customer_interaction"]["redirect"]
    return str(redirect["url"])


def send_payer(merchant: Merchant, number: str, minor: int = 2590, **members: Any) -> tuple[str, Payer]:
    """A confirmed payment whose payer has to act, and the payer."""
    session_id = merchant.start(number, minor, **members)
    told = merchant.receiver.wait_for(session_id, "action_required")[-1]
    return session_id, Payer(link_of(told.session))


def end_of(merchant: Merchant, session_id: str, *, seconds: float = PATIENCE_SECONDS) -> str:
    """How it ended, in the merchant's words: `accepted`, or why it failed."""
    session = merchant.finished(session_id, seconds=seconds)
    return str(session.get("error", {}).get("code") or session["status"])


def played(merchant: Merchant, number: str, *answers: str, **members: Any) -> str:
    """A payment from the first call to its end, the payer answering so. Returns the session's id."""
    session_id, payer = send_payer(merchant, number, **members)
    payer.go(*answers)
    merchant.finished(session_id)
    return session_id


def all_at_once(work: Callable[[A], B], items: Iterable[A], *, places: int = 12) -> list[B]:
    """The results of doing this with each, many at a time."""
    with ThreadPoolExecutor(places) as threads:
        return list(threads.map(work, items))


def notes_of(system: System, session_id: str) -> list[dict[str, Any]]:
    """What was kept of a session's conversations, oldest first."""
    rows = system.rows(f"select data from note where session_id = '{session_id}' order by at, id")
    return [json.loads(data) for (data,) in rows]


def messages_of(system: System, session_id: str) -> list[dict[str, Any]]:
    """The messages of 3-D Secure, oldest first."""
    return [note["message"] for note in notes_of(system, session_id) if "messageType" in note.get("message", {})]


def proofs_of(system: System, session_id: str) -> list[dict[str, str]]:
    """What each authorization of a session told the acquirer about its payer."""
    found = []
    for note in notes_of(system, session_id):
        if note.get("mti") in ("0100", "0200") and note["fields"]["3"] == "000000":
            tags = unpack_tags(note["fields"].get("48", "").partition("<")[0])
            found.append({TAGS[tag]: value for tag, value in tags.items() if tag in TAGS})
    return found


def expire(system: System, session_id: str) -> None:
    """The payer's time is over, as if an hour had gone by."""
    past = "now() - interval '1 second'"
    wanted = f"where session_id = '{session_id}' and phase = 'await_action'"
    assert system.rows(f"update payment set action_deadline_at = {past} {wanted} returning id")
    assert system.rows(f"update session set due_at = {past} where id = '{session_id}' returning id")
