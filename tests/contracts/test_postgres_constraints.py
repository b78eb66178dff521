"""The constraints of the books in Postgres: each refuses what it is named after, whoever writes."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from tests.contracts.shelf import INN, SHOP, known
from tests.lives import acting, authenticated, captured, keep, paid, refunded, reversed_late, told, waiting
from tests.servers import drop_database, execute, fetch, run_apart, with_database
from tollhouse.store.postgres import open_pool
from tollhouse.store.projects import insert_project


def copied(table: str, changes: str = "{}", where: str = "true") -> str:
    """A statement that writes some row of the table once more, with these columns changed."""
    copy = f"jsonb_populate_record(r, '{changes}')"
    return f"insert into {table} select (c).* from (select {copy} c from {table} r where {where} limit 1) found"


def changed(table: str, what: str, where: str = "true") -> str:
    """A statement that changes rows of the table."""
    return f"update {table} set {what} where {where}"


ATTEMPT = "('shop', (select id from event limit 1), 1, now(), 200, null, '', 1)"
KEY = "('shop', 'key', 'pem', now(), null)"
TOKEN = f"('shop', '{'0' * 64}', null, true, '{{}}', now(), null)"
CARD_TOKEN = "('shop', 'tc_1', '{}', null, now(), null)"
RANGE = "('visa', '4000120000000000', '4000129999999999', '{2.2.0}', null, '{}')"
STATE = "('visa', null, now())"
RUN = "('2026-03-02T12:00:00Z', null, '{}')"
OPEN = "state = 'challenged'"
SALE = "kind = 'sale' and state = 'approved'"

# Each constraint with a statement that only it refuses.
REFUSED = {
    # A payment: what is held was asked for, what is captured was held, what is refunded was captured (P3).
    "held_as_asked": changed("payment", "held_minor = amount_minor - 1", "captured_minor = 0"),
    "captured_within_held": changed("payment", "captured_minor = held_minor + 1", "held_minor > 0"),
    "refunded_within_captured": changed("payment", "refunded_minor = captured_minor + 1"),
    "failed_has_reason": changed("payment", "reason = null", "phase = 'failed'"),
    "cvv_gone_at_the_end": changed("payment", "sealed_cvv = 'cvv.1.x'", "phase = 'succeeded'"),
    "payment_amount_minor_check": changed("payment", "amount_minor = 0, held_minor = 0, captured_minor = 0"),
    "payment_currency_check": changed("payment", "currency = 'EUR'"),
    "payment_decision_check": changed("payment", "decision = 'perhaps'"),
    "payment_pkey": copied("payment"),
    "payment_project_session_id_fkey": copied("payment", '{"id": "pm_x", "session_id": "ps_x"}'),
    # An operation: one charge and one capture at a time (P1), named before it is sent.
    "one_live_charge": copied("operation", '{"id": "op_x", "rrn": "x", "kind": "authorization"}', SALE),
    "one_live_capture": copied("operation", '{"id": "op_x", "rrn": "x", "state": "planned"}', "kind = 'capture'"),
    "rrn_names_one_operation": copied("operation", '{"id": "op_x", "kind": "refund"}', SALE),
    "submitted_has_references": copied(
        "operation", '{"id": "op_x", "rrn": null, "kind": "refund", "state": "submitted"}', SALE
    ),
    "operation_amount_minor_check": changed("operation", "amount_minor = 1000000000000"),
    "operation_kind_check": changed("operation", "kind = 'payout'"),
    "operation_state_check": changed("operation", "state = 'lost'"),
    "operation_pkey": copied("operation"),
    "operation_project_payment_id_fkey": copied(
        "operation", '{"id": "op_x", "rrn": "x", "kind": "refund", "payment_id": "pm_x"}'
    ),
    # 3-D Secure: one attempt at a time, a payer has a link of their own, each proof is used up once.
    "action_has_a_link": changed("payment", "phase = 'await_action'", "action_link is null"),
    "payment_threeds_check": changed("payment", "threeds = 'sometimes'"),
    "payment_by_link": changed("payment", "action_link = 'the same'"),
    "authentication_pkey": copied("authentication", where=OPEN),
    "authentication_by_id": copied("authentication", '{"project": "inn", "state": "lapsed", "payment_id": "pm_x"}'),
    "authentication_project_payment_id_fkey": copied("authentication", '{"id": "au_x", "payment_id": "pm_x"}'),
    "authentication_state_check": changed("authentication", "state = 'lost'"),
    "finished_has_a_result": changed("authentication", "state = 'finished', result = null", OPEN),
    "one_open_authentication": copied("authentication", '{"id": "au_x"}', OPEN),
    "authentication_used_once": copied(
        "operation", '{"id": "op_x", "rrn": "x", "kind": "refund"}', "authentication_id is not null"
    ),
    # The ledger: what is pending is resolved once, by an operation, between two accounts (P8).
    "pending_resolved_once": copied("transfer", '{"id": "x"}', "resolves_id is not null"),
    "transfer_amount_minor_check": changed("transfer", "amount_minor = 0"),
    "transfer_phase_check": changed("transfer", "phase = 'promised'"),
    "two_accounts": changed("transfer", "debit = credit"),
    "transfer_pkey": copied("transfer"),
    "transfer_project_operation_id_fkey": changed("transfer", "operation_id = 'op_x'"),
    # Sessions, changes and keys: each once (P5).
    "session_pkey": copied("session"),
    "session_status_check": changed("session", "status = 'done'"),
    "history_pkey": copied("history"),
    "idempotency_key_pkey": copied("idempotency_key", '{"path": "/other"}'),
    "note_pkey": copied("note"),
    "alarm_pkey": copied("alarm"),
    # Events: five types, numbered once within their session, each attempt once (P9).
    "event_pkey": copied("event", '{"sequence": 99}'),
    "event_session_id_project_sequence_key": copied("event", '{"id": "evt_x"}'),
    "event_type_check": changed("event", "type = 'confirm_information'"),
    "event_state_check": changed("event", "state = 'lost'"),
    "delivery_attempt_pkey": f"insert into delivery_attempt values {ATTEMPT}, {ATTEMPT}",
    # Public tokens and the tokens of cards: of a known project, each once, and for something.
    "public_token_pkey": f"insert into public_token values {TOKEN}, {TOKEN}",
    "public_token_by_id": f"insert into public_token values {TOKEN}, {TOKEN.replace('shop', 'inn')}",
    "public_token_id_check": f"insert into public_token values {TOKEN.replace('00', '0')}",
    "public_token_project_fkey": f"insert into public_token values {TOKEN.replace('shop', 'nobody')}",
    "opens_something": f"insert into public_token values {TOKEN.replace('true', 'false')}",
    "card_token_pkey": f"insert into card_token values {CARD_TOKEN}, {CARD_TOKEN}",
    "card_token_project_fkey": f"insert into card_token values {CARD_TOKEN.replace('shop', 'nobody')}",
    # Card ranges: each once for its directory server.
    "card_range_pkey": f"insert into card_range values {RANGE}, {RANGE}",
    "card_range_state_pkey": f"insert into card_range_state values {STATE}, {STATE}",
    # What a purge is about to do and has done: each card and each run once.
    "released_card_pkey": "insert into released_card values ('shop', 'card_1'), ('shop', 'card_1')",
    "purge_run_pkey": f"insert into purge_run values {RUN}, {RUN}",
    # Projects.
    "project_pkey": copied("project"),
    "project_key_pkey": f"insert into project_key values {KEY}, {KEY}",
    "project_key_project_fkey": "insert into project_key values ('nobody', 'key', 'pem', now(), null)",
}


async def _write(dsn: str) -> None:
    pool = await open_pool(dsn)
    await insert_project(pool, known(SHOP))
    await insert_project(pool, known(INN))
    await pool.close()
    stories = (paid(1), refunded(2), captured(3), reversed_late(4), waiting(5), told(6).create(), acting(7))
    stories = (*stories, authenticated(8))
    await keep(dsn, *stories)


@pytest.fixture(scope="module")
def written(postgres_dsn: str, migrated: str) -> Iterator[str]:
    """A database in which some payments stand. Nobody changes it: every statement of these tests is refused."""
    run_apart(execute(postgres_dsn, f"CREATE DATABASE constrained TEMPLATE {migrated} STRATEGY WAL_LOG"))
    dsn = with_database(postgres_dsn, "constrained")
    run_apart(_write(dsn))
    yield dsn
    run_apart(drop_database(postgres_dsn, "constrained"))


@pytest.mark.parametrize("name", REFUSED)
async def test_constraint_refuses(written: str, name: str) -> None:
    """What the constraint is named after cannot be written."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await execute(written, REFUSED[name])
    assert refused.value.constraint_name == name


async def test_no_constraint_is_forgotten(written: str) -> None:
    """Every check, key, reference and unique index of the books is in this file."""
    named = await fetch(
        written,
        """select conname from pg_constraint where contype in ('c', 'f', 'p', 'u', 'x')
               and connamespace = 'public'::regnamespace and conrelid <> 'schema_migration'::regclass
           union select indexrelid::regclass::text from pg_index join pg_class on pg_class.oid = indexrelid
               where indisunique and relnamespace = 'public'::regnamespace
                   and indrelid <> 'schema_migration'::regclass""",
    )
    assert {name for (name,) in named} == set(REFUSED)
