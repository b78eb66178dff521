"""What the payer sees of the issuer: pages without outside resources, which work without script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from pathlib import Path

from starlette.responses import HTMLResponse

from tollhouse.sandbox.cards import Challenge
from tollhouse.sandbox.threeds.challenges import Act, Notice
from tollhouse.sandbox.threeds.dossiers import Bill, Dossier
from tollhouse.sandbox.threeds.words import Words

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
SCRIPT = 'document.getElementById("onward").submit()'
HEADERS = {
    # Not `no-store`: with it the back button leads from one answer to a form to an error page of the browser.
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# Where the browser goes on to is the shop's business, and it may be sent on from there: any address of the web.
_ONWARD = f"script-src {_hash(SCRIPT)}; form-action http: https:"
_HERE = "form-action 'self'"
_POLICY = f"default-src 'none'; style-src {_hash(STYLE)}; base-uri 'none'; frame-ancestors *; "


def show_challenge(words: Words, dossier: Dossier, notice: Notice, *, seconds_left: float) -> HTMLResponse:
    """The challenge as it stands: a code to enter, buttons that play the bank's app, or a bank that only thinks."""
    if dossier.behaviour.challenge is Challenge.ENDLESS:
        return _page(words, words.thinking_title, _bill(words, dossier) + f"<p>{words.thinking}</p>", _HERE)
    is_by_app = dossier.behaviour.challenge is Challenge.OUT_OF_BAND
    fields = _app(words) if is_by_app else _code(words, notice)
    time_left = escape(words.time_left(seconds_left))
    body = (
        f"{_bill(words, dossier)}"
        f'<form method="post" action="/acs/challenge/{escape(dossier.issuer_id)}" data-testid="challenge-form" '
        f'autocomplete="off" novalidate>{fields}'
        f'<p class="quiet" data-testid="challenge-timer">{time_left}</p>'
        f"{_button(words.cancel, Act.CANCEL, 'challenge-cancel', 'plain')}</form>"
    )
    return _page(words, words.title, body, _HERE)


def show_stay(words: Words) -> HTMLResponse:
    """The result is out, and this page leads nowhere."""
    return _page(words, words.stay_title, f'<p role="status">{words.stay}</p>', _HERE)


def show_return(words: Words, url: str, fields: Mapping[str, str]) -> HTMLResponse:
    """Back to the shop by a form that posts itself."""
    return _page(words, words.done_title, _onward(words.done, words, url, fields, "cres"), _ONWARD)


def show_method(words: Words, url: str, fields: Mapping[str, str]) -> HTMLResponse:
    """The method page: done at once, and says so."""
    return _page(words, words.method_title, _onward(words.method, words, url, fields, "method"), _ONWARD)


def show_silent_method(words: Words) -> HTMLResponse:
    """The method page of a bank that never says it is done."""
    return _page(words, words.method_title, f"<p>{words.thinking}</p>", _HERE)


def show_refused(words: Words, detail: str) -> HTMLResponse:
    """Nothing can be shown; `detail` is for developers."""
    body = f'<p role="alert">{escape(words.refused)}</p>{_detail(detail)}'
    return _page(words, words.refused_title, body, _HERE, status_code=400)


def show_forgotten(words: Words, detail: str) -> HTMLResponse:
    """The issuer was restarted and knows nothing of the challenge; the page around this one can begin another."""
    body = f'<p role="alert" data-testid="challenge-forgotten">{escape(words.forgotten)}</p>{_detail(detail)}'
    return _page(words, words.forgotten_title, body, _HERE, status_code=400)


def _detail(detail: str) -> str:
    return f'<p class="quiet" data-testid="challenge-refused">{escape(detail)}</p>'


def _page(words: Words, title: str, body: str, policy: str, *, status_code: int = 200) -> HTMLResponse:
    text = (
        f'<!doctype html>\n<html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · {escape(words.bank)}</title><style>{STYLE}</style></head>"
        f"<body><header><strong>{escape(words.bank)}</strong> <span>{escape(words.is_test)}</span></header>"
        f"<main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    return HTMLResponse(text, status_code, headers=HEADERS | {"Content-Security-Policy": _POLICY + policy})


def _bill(words: Words, dossier: Dossier) -> str:
    rows = [
        (words.merchant, "challenge-merchant", dossier.bill.merchant),
        (words.amount, "challenge-amount", amount_text(dossier.bill, words.decimal_point)),
        (words.card, "challenge-card", f"•••• {dossier.card[-4:]}"),
    ]
    cells = (f'<dt>{escape(name)}</dt><dd data-testid="{testid}">{escape(text)}</dd>' for name, testid, text in rows)
    return f"<dl>{''.join(cells)}</dl>"


def amount_text(bill: Bill, decimal_point: str) -> str:
    """The amount with its currency; a dash where there is none."""
    if bill.amount_minor is None:
        return "–"
    digits = str(bill.amount_minor).rjust(bill.exponent + 1, "0")
    major = digits[: -bill.exponent] + decimal_point + digits[-bill.exponent :] if bill.exponent else digits
    return f"{major} {bill.currency or ''}".rstrip()


def _code(words: Words, notice: Notice) -> str:
    is_wrong = notice in (Notice.CODE_EMPTY, Notice.CODE_WRONG)
    text = escape(words.notices[notice])
    return (
        f'<p id="ask">{escape(words.ask_code)}</p>'
        f'<p id="wrong" class="wrong" role="alert" aria-live="assertive" data-testid="challenge-error">'
        f"{text if is_wrong else ''}</p>"
        f'<p class="good" role="status" aria-live="polite" data-testid="challenge-notice">'
        f"{'' if is_wrong else text}</p>"
        f'<label for="code">{escape(words.code)}</label>'
        f'<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="10" '
        f'required aria-describedby="wrong ask" aria-invalid="{str(is_wrong).lower()}" data-testid="challenge-code">'
        f'<div class="pair">{_button(words.submit, Act.SUBMIT, "challenge-submit", "first")}'
        f"{_button(words.resend, Act.RESEND, 'challenge-resend', '')}</div>"
    )


def _app(words: Words) -> str:
    return (
        f'<p>{escape(words.ask_app)}</p><p class="quiet">{escape(words.app)}</p>'
        f'<div class="pair">{_button(words.approve, Act.APPROVE, "oob-approve", "first")}'
        f"{_button(words.decline, Act.DECLINE, 'oob-decline', '')}</div>"
    )


def _button(text: str, act: Act, testid: str, look: str) -> str:
    kind = f' class="{look}"' if look else ""
    return f'<button name="act" value="{act}"{kind} data-testid="{testid}">{escape(text)}</button>'


def _onward(text: str, words: Words, url: str, fields: Mapping[str, str], name: str) -> str:
    hidden = (f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">' for key, value in fields.items())
    return (
        f'<p role="status">{escape(text)}</p>'
        f'<form id="onward" method="post" action="{escape(url)}" data-testid="{name}-form">{"".join(hidden)}'
        f'<button class="first" data-testid="{name}-continue">{escape(words.go_on)}</button></form>'
        f"<script>{SCRIPT}</script>"
    )
