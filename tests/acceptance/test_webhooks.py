"""Webhooks that are not taken at once: repeated as they were, in order, and sent again when asked for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.acceptance.conftest import NewMerchant
from tests.acceptance.merchant import Merchant, payment_of
from tests.acceptance.receiver import Reaction, Webhook
from tests.acceptance.system import System, until

FIRST_GAP_SECONDS = 5


def paid_blindly(merchant: Merchant) -> str:
    """A payment whose merchant hears nothing, and confirms after asking for its state."""
    session_id = merchant.init()
    until(lambda: merchant.status(session_id).get("next_action") == "confirm", "it waits to be confirmed")
    merchant.confirm(session_id)
    assert merchant.wait_until_final(session_id)["status"] == "accepted"
    return session_id


@pytest.mark.parametrize("reaction", [Reaction.FAIL, Reaction.REDIRECT, Reaction.DROP, Reaction.HANG])
def test_webhook_that_fails_comes_again_and_holds_back_later_ones(
    system: System, new_merchant: NewMerchant, reaction: Reaction
) -> None:
    """Same id, same bytes, same X-PARTNER-SIGN, a new timestamp; the session's later event waits for it."""
    shop = new_merchant(system)
    shop.receiver.react = lambda webhook: Reaction.OK if shop.receiver.webhooks else reaction
    session_id = paid_blindly(shop)
    finished = shop.receiver.wait_for(session_id, "payment_finished")[0]
    first, again, *rest = shop.receiver.of(session_id)
    assert rest == [finished]
    assert [first.type, again.type] == ["ready_to_confirm"] * 2
    assert [first.content["sequence"], finished.content["sequence"]] == [1, 2]
    assert first.body == again.body
    for header in ("webhook-id", "x-partner-sign"):
        assert first.headers[header] == again.headers[header]
    waited = int(again.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"])
    assert waited >= FIRST_GAP_SECONDS
    event_id = first.headers["webhook-id"]
    (shown,) = [event for event in system.json("event", "list", "--session", session_id) if event["id"] == event_id]
    assert (shown["state"], len(shown["attempts"])) == ("delivered", 2)
    failed, taken = shown["attempts"]
    assert failed["status"] == (int(reaction) if reaction in (Reaction.FAIL, Reaction.REDIRECT) else None)
    assert failed["error"] or reaction is Reaction.FAIL
    assert taken["status"] == 200


def test_failing_sessions_hold_back_nobody_else(system: System, new_merchant: NewMerchant) -> None:
    """While one session's webhooks fail, another one's of the same merchant arrive at once."""
    shop = new_merchant(system)
    failing: set[str] = set()
    shop.receiver.react = lambda webhook: Reaction.FAIL if webhook.session["id"] in failing else Reaction.OK
    held_up = str(shop.call("create", []).session["id"])
    failing.add(held_up)
    shop.call("start/payment", {**shop.body(), "session_id": held_up})
    shop.receiver.wait_for(held_up, "ready_to_confirm")
    shop.pay()
    assert shop.receiver.delivered(held_up) == []
    failing.clear()
    shop.receiver.wait_for(held_up, "ready_to_confirm", count=2)


def test_without_order_a_later_event_does_not_wait(system: System, new_merchant: NewMerchant) -> None:
    """With `webhook_order=none` the end is told although the question before it was never taken."""
    shop = new_merchant(system, settings={"webhook_order": "none"})
    shop.receiver.react = lambda webhook: Reaction.FAIL if webhook.type == "ready_to_confirm" else Reaction.OK
    session_id = paid_blindly(shop)
    shop.receiver.wait_for(session_id, "payment_finished")
    assert shop.receiver.delivered(session_id) == ["payment_finished"]


def test_event_is_sent_again_by_hand(system: System, shop: Merchant) -> None:
    """`event resend` repeats a delivered event: same id and bytes, a timestamp of its own."""
    session_id = shop.pay()
    first = shop.receiver.wait_for(session_id, "payment_finished")[0]
    # Unix seconds are compared: the second sending must be in another one.
    until(lambda: int(time.time()) > int(first.headers["webhook-timestamp"]), "the next second")
    event_id = first.headers["webhook-id"]
    system.run("event", "resend", event_id)
    again = shop.receiver.wait_for(session_id, "payment_finished", count=2)[1]
    assert again.body == first.body
    assert again.headers["webhook-id"] == event_id
    assert int(again.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert again.headers["webhook-signature"] != first.headers["webhook-signature"]
    shown = until(lambda: _delivered_twice(system, event_id), "both attempts are kept")
    assert shown["body"] == first.content


def _delivered_twice(system: System, event_id: str) -> dict[str, object] | None:
    shown: dict[str, object] = system.json("event", "show", event_id)
    attempts = shown["attempts"]
    assert isinstance(attempts, list)
    return shown if len(attempts) == 2 else None


def test_project_without_an_address_is_told_nothing_and_can_ask(system: System, new_merchant: NewMerchant) -> None:
    """Without a webhook address nothing is sent; `session/status` tells everything."""
    shop = new_merchant(system, webhooks=False)
    session_id = paid_blindly(shop)
    assert payment_of(shop.status(session_id))["status"] == "succeeded"
    states = {event["state"] for event in system.json("event", "list", "--session", session_id)}
    assert states == {"silent"}
    assert shop.receiver.webhooks == []


def test_live_projects_never_post_to_this_machine(system: System, new_merchant: NewMerchant) -> None:
    """A live project's address must be public; one that came to be otherwise is refused in the moment of sending."""
    inside = Merchant(system, is_live=True, webhooks=False)
    refused = system.run("project", "set", inside.project, "--webhook-url", inside.receiver.url, code=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "webhook URL" in refused.stderr
    address = inside.receiver.url.replace("http://127.0.0.1", "https://localhost")
    for url in (inside.receiver.url, address):
        system.rows(f"update project set webhook_url = '{url}' where name = '{inside.project}' returning name")
        session_id = inside.init()
        session = inside.wait_until_final(session_id)
        assert (session["status"], session["error"]["code"]) == ("cancelled", "routing_internal_error")
        attempts = until(partial(_attempts, system, session_id), "the delivery was tried")
        assert [attempt["status"] for attempt in attempts] == [None]
        assert "not allowed" in str(attempts[0]["error"])
    assert inside.receiver.webhooks == []
    inside.close()


def _attempts(system: System, session_id: str) -> list[dict[str, object]]:
    (event,) = system.json("event", "list", "--session", session_id)
    found: list[dict[str, object]] = event["attempts"]
    return found


def test_bodies_follow_the_pinned_version(system: System, new_merchant: NewMerchant) -> None:
    """`webhook_version` overrules the version of the call that created the session."""
    shop = new_merchant(system, settings={"webhook_version": "v1"})
    session_id = shop.prepare(version=2)
    assert "acquiring_payments" in shop.receiver.of(session_id)[0].session


def test_order_holds_for_many_sessions_at_once(system: System, new_merchant: NewMerchant) -> None:
    """With a receiver that fails every event once, each session's events still arrive in the order of their making."""
    shop = new_merchant(system)
    seen: set[str] = set()

    def fail_once(webhook: Webhook) -> Reaction:
        is_new = webhook.headers["webhook-id"] not in seen
        seen.add(webhook.headers["webhook-id"])
        return Reaction.FAIL if is_new else Reaction.OK

    shop.receiver.react = fail_once
    with ThreadPoolExecutor(8) as threads:
        sessions = list(threads.map(lambda _: paid_blindly(shop), range(12)))
    for session_id in sessions:
        shop.receiver.wait_for(session_id, "payment_finished", count=2, seconds=60)
        assert shop.receiver.delivered(session_id) == ["ready_to_confirm", "payment_finished"]
