"""The payer's pages as HTML. Every value that somebody else chose is escaped; what the script reads cannot run."""

from __future__ import annotations

from html import escape

from tollhouse.api.embedding import inert_json
from tollhouse.api.payer.policy import SCRIPT, SIGNAL_SCRIPT, STYLE, loopback_origins, may_open
from tollhouse.api.payer.state import seconds_left, state_of
from tollhouse.api.payer.texts import Texts
from tollhouse.flows.authenticate import Showing, View

WHOLE_PAGE = "05"
PLAIN_REFRESH_SECONDS = 3
_LOCK = (
    '<svg viewBox="0 0 16 16" aria-hidden="true"><path fill="currentColor" d="M8 1a3.5 3.5 0 0 0-3.5 3.5V7H4'
    "a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1V8a1 1 0 0 0-1-1h-.5V4.5A3.5 3.5 0 0 0 8 1Z"
    'm2 6H6V4.5a2 2 0 1 1 4 0V7Z"/></svg>'
)


def payer_page(texts: Texts, link: str, view: View) -> str:
    """The page while the authentication goes on."""
    waits = view.showing in (Showing.WAIT, Showing.DECOUPLED, Showing.FINISH)
    refresh = f'<noscript><meta http-equiv="refresh" content="{PLAIN_REFRESH_SECONDS}"></noscript>' if waits else ""
    status = escape(_plain_status(texts, view))
    main = (
        f"<h1>{escape(texts.title)}</h1>{_bill(texts, view)}"
        f'<div class="step"><span class="ring" aria-hidden="true"></span>'
        f'<p id="status" role="status" tabindex="-1" data-testid="payer-status">{status}</p></div>'
        f'<div id="challenge" hidden></div>'
        f'<div id="retry" class="retry" hidden><p>{escape(texts.retry_hint)}</p>'
        f'<button type="button" id="retry-button" data-testid="payer-again">{escape(texts.retry)}</button></div>'
        f"<noscript>{_plain(texts, link, view)}</noscript>"
        f'<p id="announcement" class="unseen" aria-live="polite"></p>'
    )
    data = {
        "link": link,
        "state": state_of(view),
        "texts": texts.for_script(),
        "origins": loopback_origins(view),
    }
    scripts = f'<script type="application/json" id="payer-data">{inert_json(data)}</script><script>{SCRIPT}</script>'
    foot = f"<footer><p>{escape(texts.promise)}</p></footer>{scripts}"
    return _document(texts, texts.title, main, head=refresh, foot=foot)


def end_page(texts: Texts) -> str:
    """Where payers end who have nowhere to go. It says nothing of the result."""
    return notice_page(texts, texts.end_title, texts.end, testid="payer-end")


def notice_page(texts: Texts, title: str, text: str, *, onward: str | None = None, testid: str = "payer-notice") -> str:
    """A few words, and perhaps a way to the payment's page."""
    way = f'<p><a class="button" href="{escape(onward)}">{escape(texts.retry)}</a></p>' if onward else ""
    main = f'<div data-testid="{testid}"><h1>{escape(title)}</h1><p>{escape(text)}</p>{way}</div>'
    return _document(texts, title, main)


def signal_page(texts: Texts, link: str, step: str) -> str:
    """What a page of the issuer comes back to: it tells the payer's page above, or leads there. No sight to see."""
    onward = escape(f"../{link}")
    return (
        f'<!doctype html>\n<html {_tongue(texts)}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<noscript><meta http-equiv="refresh" content="0; url={onward}"></noscript>'
        f"<title>{escape(texts.title)}</title><style>{STYLE}</style></head>"
        f'<body data-step="{escape(step)}"><main class="card"><h1>{escape(texts.title)}</h1>'
        f'<p>{escape(texts.signal)}</p><p><a id="onward" href="{onward}" target="_top" data-testid="payer-continue">'
        f"{escape(texts.go_on)}</a></p></main><script>{SIGNAL_SCRIPT}</script></body></html>\n"
    )


def _tongue(texts: Texts) -> str:
    """The attributes that say the language and, where lines do not run as they do by default, how they run."""
    direction = ' dir="rtl"' if texts.runs_left else ""
    return f'lang="{texts.language}"{direction}'


def _document(texts: Texts, title: str, main: str, *, head: str = "", foot: str = "") -> str:
    return (
        f'<!doctype html>\n<html {_tongue(texts)}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title>{head}<style>{STYLE}</style></head><body>"
        f"<header><p>{_LOCK}{escape(texts.banner)}</p></header>"
        f'<main id="main" class="card">{main}</main>{foot}</body></html>\n'
    )


def _bill(texts: Texts, view: View) -> str:
    rows = [
        (texts.to, "payer-merchant", "", view.merchant),
        (texts.amount, "payer-amount", "", texts.money(view.money)),
    ]
    left = seconds_left(view)
    if left is not None:
        rows.append((texts.time_left, "payer-timer", ' id="timer" role="timer"', f"{left // 60}:{left % 60:02d}"))
    cells = (
        f'<div><dt>{escape(name)}</dt><dd><span data-testid="{testid}"{more}>{escape(text)}</span></dd></div>'
        for name, testid, more, text in rows
    )
    return f"<dl>{''.join(cells)}</dl>"


def _plain_status(texts: Texts, view: View) -> str:
    """How it stands, for browsers without script; a script writes over it at once."""
    match view.showing:
        case Showing.BEGIN:
            return texts.begin_plain
        case Showing.WAIT:
            return texts.wait
        case Showing.CHALLENGE:
            return texts.challenge_plain if may_open(view.acs_url) else texts.blocked
        case Showing.DECOUPLED:
            return texts.decoupled
        case Showing.FINISH | Showing.OVER:
            return texts.over


def _plain(texts: Texts, link: str, view: View) -> str:
    """For browsers without script: the same steps, each with a button or with patience."""
    retry = _form(f"{link}/again", texts.retry, "payer-again") if view.can_retry else ""
    match view.showing:
        case Showing.BEGIN:
            return _form(f"{link}/browser", texts.go_on, "payer-continue")
        case Showing.CHALLENGE if may_open(view.acs_url):
            assert view.acs_url is not None, "it was just looked at"
            request = {"creq": view.challenge_requests[WHOLE_PAGE]}
            return _form(view.acs_url, texts.go_on, "payer-continue", request) + retry
        case Showing.CHALLENGE:
            return retry
        case Showing.WAIT | Showing.DECOUPLED | Showing.FINISH | Showing.OVER:
            return f'<p class="quiet">{escape(texts.wait_plain)}</p>{retry}'


def _form(action: str, text: str, testid: str, fields: dict[str, str] | None = None) -> str:
    hidden = (
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in (fields or {}).items()
    )
    look = ' class="first"' if testid == "payer-continue" else ""
    button = f'<button{look} data-testid="{testid}">{escape(text)}</button>'
    return f'<form method="post" action="{escape(action)}">{"".join(hidden)}{button}</form>'
