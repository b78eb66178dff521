"""Prints a merchant's conversation as it happens."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import click

from tollhouse.authentication import ACTION_SECONDS_MAX
from tollhouse.cli.conversation import CallMade, DeclineHeard, Happened, MessagePassed, PayerDid, WebhookCame
from tollhouse.cli.spelling import own_program
from tollhouse.cli.threeds import arrow_line

_WAIT_SECONDS = 1.0
_ERASE = "\r\x1b[K"
_INDENT = " " * 12


class Teller:
    """Tells a conversation line by line on stdout, or nothing at all. On a terminal it shows that it waits."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._last = time.monotonic()
        self._is_waiting_shown = False
        self._waits_for = ""

    def begin(self, *, gateway: str, project: str, webhook_url: str, card: str, amount: str) -> None:
        """Who speaks with whom, about what."""
        self._say(f"gateway   {gateway}")
        self._say(f"merchant  project {project}, webhooks to {webhook_url}")
        self._say(f"payment   {amount} with card {card}\n")

    def tell(self, happened: Happened) -> None:
        """One call or webhook, one step of the payer, one message of 3-D Secure."""
        at = click.style(f"{happened.at_seconds:8.3f} s", dim=True)
        match happened:
            case CallMade():
                self._tell_call(at, happened)
            case WebhookCame():
                self._tell_webhook(at, happened)
            case PayerDid():
                self._say(f"{at}  {click.style('payer', fg='yellow')} → {happened.text}")
            case MessagePassed():
                self._say(f"{at}  {arrow_line(happened.message)}")
            case DeclineHeard():
                words = click.style(happened.decline.words, fg="yellow")
                self._say(f"{at}  {click.style('←', fg='magenta')} acquirer: {words}")

    def invite(self, link: str, is_opened: bool) -> None:
        """A person has to open the payer's page. Who is told nothing on stdout is told this on stderr."""
        how = "opens in your browser" if is_opened else "is to be opened in a browser"
        lives = f"it lives {ACTION_SECONDS_MAX // 60} minutes; Ctrl-C stops waiting"
        self._say(f"{_INDENT}  the payer's page {how} ({lives}):")
        self._say(f"{_INDENT}  {click.style(link, bold=True, underline=True)}")
        if self._is_silent:
            click.echo(f"the payer's page {how} ({lives}): {link}", err=True)
        self.wait_for("the payer")

    def wait_for(self, whom: str) -> None:
        """Who is waited for from now on; nobody in particular if empty."""
        self._waits_for = f" for {whom}" if whom else ""

    def _tell_call(self, at: str, made: CallMade) -> None:
        status = click.style(str(made.status), fg="green" if made.status == 200 else "red")
        arrow = click.style("→", fg="cyan")
        self._say(f"{at}  {arrow} {made.method} {made.path}  {status} in {made.duration_seconds * 1000:.0f} ms")
        error = made.answer.get("error")
        if isinstance(error, dict):
            self._say(f"{_INDENT}  {error.get('code')}: {error.get('description')}")
        self._say_state(made.answer.get("session"))

    def _tell_webhook(self, at: str, came: WebhookCame) -> None:
        self.wait_for("")
        arrow, repeated = click.style("←", fg="magenta"), " again" if came.is_repeated else ""
        name = click.style(came.type, bold=True)
        self._say(f"{at}  {arrow} webhook {name}{repeated}  #{came.sequence} {came.event_id}")
        marks = [f"{name} {_mark(fits)}" for name, fits in came.signatures.items()]
        self._say(f"{_INDENT}  {'  '.join(marks)}")
        self._say_state(came.session)

    def end(self, session: dict[str, Any], result: dict[str, Any]) -> None:
        """The result line, and where to look next."""
        reason = f"{result['reason']}: " if result["reason"] and not result["ok"] else ""
        outcome = click.style(result["outcome"], bold=True, fg="green" if result["ok"] else "red")
        self._say(f"\n{_mark(result['ok'])} {outcome}: {reason}{result['description']}")
        if "id" in session:
            self._say(f"  its life: {own_program()} session show {session['id']}")

    def warn(self, text: str) -> None:
        """Something that a reader must know of what was told. Who is told nothing on stdout finds it in the JSON."""
        self._say(f"\n{click.style('note:', fg='yellow', bold=True)} {text}")

    async def show_waiting(self) -> None:
        """On a terminal: how long it has been waiting, from the first second on. Until cancelled."""
        while sys.stderr.isatty():
            await asyncio.sleep(_WAIT_SECONDS)
            waited = time.monotonic() - self._last
            if waited >= _WAIT_SECONDS:
                line = f"{_ERASE}{_INDENT}  … waiting{self._waits_for} for {_duration(waited)}"
                click.echo(line, nl=False, err=True)
                self._is_waiting_shown = True

    def _say_state(self, session: object) -> None:
        if not isinstance(session, dict) or not session:
            return
        said = [f"session {session.get('status')}"]
        for payment in session.get("payment_list") or session.get("acquiring_payments") or []:
            said.append(f"payment {payment.get('status')}")
            said += [f"refund {refund.get('status')}" for refund in payment.get("refunds", [])]
        if "next_action" in session:
            said.append(f"next: {session['next_action']}")
        self._say(f"{_INDENT}  {' · '.join(said)}")

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        if self._is_waiting_shown:
            click.echo(_ERASE, nl=False, err=True)
            self._is_waiting_shown = False
        if not self._is_silent:
            click.echo(line)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def _mark(is_good: bool) -> str:
    return click.style("✓", fg="green") if is_good else click.style("✗", fg="red")
