"""Prints a merchant's conversation as it happens."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import click

from tollhouse.cli.conversation import CallMade, WebhookCame

_WAIT_SECONDS = 1.0
_ERASE = "\r\x1b[K"
_INDENT = " " * 12


class Teller:
    """Tells a conversation line by line on stdout, or nothing at all. On a terminal it shows that it waits."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._last = time.monotonic()
        self._is_waiting_shown = False

    def begin(self, *, gateway: str, project: str, webhook_url: str, card: str, amount: str) -> None:
        """Who speaks with whom, about what."""
        self._say(f"gateway   {gateway}")
        self._say(f"merchant  project {project}, webhooks to {webhook_url}")
        self._say(f"payment   {amount} with card {card}\n")

    def tell(self, happened: CallMade | WebhookCame) -> None:
        """One call or webhook."""
        at = click.style(f"{happened.at_seconds:8.3f} s", dim=True)
        if isinstance(happened, CallMade):
            status = click.style(str(happened.status), fg="green" if happened.status == 200 else "red")
            arrow = click.style("→", fg="cyan")
            took = f"in {happened.duration_seconds * 1000:.0f} ms"
            self._say(f"{at}  {arrow} {happened.method} {happened.path}  {status} {took}")
            error = happened.answer.get("error")
            if isinstance(error, dict):
                self._say(f"{_INDENT}  {error.get('code')}: {error.get('description')}")
            self._say_state(happened.answer.get("session"))
        else:
            arrow, repeated = click.style("←", fg="magenta"), " again" if happened.is_repeated else ""
            name = click.style(happened.type, bold=True)
            self._say(f"{at}  {arrow} webhook {name}{repeated}  #{happened.sequence} {happened.event_id}")
            marks = [f"{name} {_mark(fits)}" for name, fits in happened.signatures.items()]
            self._say(f"{_INDENT}  {'  '.join(marks)}")
            self._say_state(happened.session)

    def end(self, session: dict[str, Any], result: dict[str, Any]) -> None:
        """The result line, and where to look next."""
        reason = f"{result['reason']}: " if result["reason"] and not result["ok"] else ""
        outcome = click.style(result["outcome"], bold=True, fg="green" if result["ok"] else "red")
        self._say(f"\n{_mark(result['ok'])} {outcome}: {reason}{result['description']}")
        if "id" in session:
            self._say(f"  its life: tollhouse session show {session['id']}")

    async def show_waiting(self) -> None:
        """On a terminal: how long it has been waiting, from the first second on. Until cancelled."""
        while sys.stderr.isatty():
            await asyncio.sleep(_WAIT_SECONDS)
            waited = time.monotonic() - self._last
            if waited >= _WAIT_SECONDS:
                click.echo(f"{_ERASE}{_INDENT}  … waiting for {waited:.0f} s", nl=False, err=True)
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


def _mark(is_good: bool) -> str:
    return click.style("✓", fg="green") if is_good else click.style("✗", fg="red")
