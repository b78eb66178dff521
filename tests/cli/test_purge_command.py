"""`tollhouse purge`: shows what goes and why the rest stays, erases it, forgets a payer, refuses with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.commands import Console
from tests.cli.programs import environment
from tests.ground.story import Story
from tests.lives import declined, keep, paid, waiting
from tests.servers import execute, fetch, run_apart
from tollhouse.card import CardDetails, Expiry, parse_pan
from tollhouse.vault.embedded import EmbeddedVault

CARD = CardDetails(pan=parse_pan("4000056655665556"), expiry=Expiry(2099, 12))
AT_ONCE = ("--settle-seconds", "0")


def lived(console: Console, story: Story, days: int) -> str:
    """A story that ended so many days ago, with a card of its own in the vault; its token."""

    async def write() -> str:
        await keep(console.dsn, story)
        vault = await EmbeddedVault.open(console.dsn, console.home, "n1")
        card = (await vault.keep("shop", CARD)).token
        await vault.close()
        id, ago = story.session.id, f"now() - interval '{days} days'"
        await execute(
            console.dsn,
            f"update session set created_at = {ago}, updated_at = {ago} where id = '{id}'",
            f"""update payment set created_at = {ago}, card = jsonb_set(card::jsonb, '{{token}}', '"{card}"')::text
                where session_id = '{id}'""",
            f"update event set created_at = {ago}, state = 'delivered' where session_id = '{id}'",
            f"update vault.card set created_at = {ago} where token = '{card}'",
        )
        return card

    found: str = run_apart(write())
    return found


def value(console: Console, query: str) -> Any:
    """A single value of the database."""
    return run_apart(fetch(console.dsn, query))[0][0]


def cards(console: Console) -> int:
    """How many cards are in the vault."""
    count: int = value(console, "select count(*) from vault.card")
    return count


@pytest.fixture
def shop(console: Console) -> Console:
    """A project with a paid session, one declined long ago, and one that waits."""
    console.create()
    lived(console, paid(1), 30)
    lived(console, declined(2), 600)
    lived(console, waiting(3), 600)
    return console


def test_a_dry_run_counts_and_changes_nothing(shop: Console) -> None:
    """By kind how many go with the oldest and the newest, and for what reasons how many stay."""
    plan = shop.json("purge", "--dry-run")
    assert {kind: (count["goes"], count["stays"]) for kind, count in plan["kinds"].items()} == {
        "cards": (1, {"refundable": 1, "unfinished": 1}),
        "card tokens": (0, {}),
        "sealed security codes": (0, {}),
        "public tokens": (0, {}),
        "events": (3, {"young": 2}),
        "answers to idempotency keys": (0, {}),
        "personal data": (1, {"unfinished": 1, "young": 1}),
        "books": (0, {"kept": 3}),
    }
    assert plan["kinds"]["cards"]["oldest"] == plan["kinds"]["cards"]["newest"]
    assert plan["retention"] == {"cards_days": 540, "personal_days": 540, "events_days": 90, "books_days": 3650}
    assert plan["last_run"] is None
    assert cards(shop) == 3
    text = shop.run("purge", "--dry-run")
    assert "stay: can still be refunded" in text
    assert "nothing was changed" in text


def test_a_run_erases_and_is_written_down(shop: Console) -> None:
    """What went is told, stands in the audit log with every card's name, and the books are still proven."""
    gone = shop.json("purge", *AT_ONCE)["gone"]
    assert gone == {"events": 3, "personal data": 1, "cards let go": 1, "cards": 1}
    assert cards(shop) == 2
    lines = [json.loads(line) for line in shop.run("audit", "export").splitlines()]
    told = [(line["what"], line["outcome"], line["details"]) for line in lines if "purge" in line["what"]]
    assert told == [
        ("purge.run", "granted", ""),
        ("purge.gone", "done", "3 events, 1 personal data, 1 cards let go, 1 cards"),
        ("purge.run", "done", ""),
    ]
    assert [line["subject"][:10] for line in lines if line["what"] == "card.shred"] == ["shop/card_"]
    assert shop.json("purge", "--dry-run")["last_run"]["gone"] == gone
    shop.run("verify")
    shop.run("session", "show", "ps_002")
    assert "nothing is gone" in shop.run("purge", *AT_ONCE)


def test_settings_say_how_long(shop: Console) -> None:
    """A flag wins; below its floor it is refused with the reason."""
    plan = shop.json("purge", "--dry-run", "--retention-cards-days", "30")
    assert plan["kinds"]["cards"]["goes"] == 2
    for name, floor in (("cards", 30), ("personal", 30), ("events", 30), ("books", 1825)):
        line = shop.failure("purge", "--dry-run", f"--retention-{name}-days", str(floor - 1))
        assert f"TOLLHOUSE_RETENTION_{name.upper()}_DAYS" in line
        assert f"from {floor} to" in line


def test_one_project_only(shop: Console) -> None:
    """Another project's things stay, and a project that does not exist is told."""
    shop.create("inn")
    assert shop.json("purge", "--project", "inn", *AT_ONCE)["gone"] == {}
    assert cards(shop) == 3
    assert "there is no project 'nobody'" in shop.failure("purge", "--project", "nobody")


def test_a_session_is_forgotten(shop: Console) -> None:
    """Its payer goes; a card that a refund can still need stays, which is told with exit code 1."""
    done = shop.end("purge", "--session", "ps_001", "--json", *AT_ONCE)
    assert done.exit_code == 1
    erased = json.loads(done.stdout)
    assert erased["gone"] == {"personal data": 1}
    assert [why for why in erased["stays"].values() if "refundable" in why]
    assert "erased" in value(shop, "select details from payment where session_id = 'ps_001'")
    ended = shop.end("purge", "--session", "ps_003", *AT_ONCE)
    assert ended.exit_code == 1
    assert "money can still move" in ended.stderr
    assert "there is no such session" in shop.failure("purge", "--session", "ps_999")


def test_a_customer_is_forgotten(shop: Console) -> None:
    """In every session that names this payer; a second time there is none."""
    run_apart(execute(shop.dsn, "update session set due_at = null, status = 'cancelled' where id = 'ps_003'"))
    run_apart(
        execute(
            shop.dsn,
            "update payment set phase = 'failed', reason = 'cancelled', sealed_cvv = null where session_id = 'ps_003'",
        )
    )
    done = shop.end("purge", "--project", "shop", "--customer", "u-1", "--json", *AT_ONCE)
    assert json.loads(done.stdout)["gone"]["personal data"] == 3
    assert "names this payer" in shop.failure("purge", "--project", "shop", "--customer", "u-1")


def test_a_card_is_forgotten(console: Console) -> None:
    """By the vault's token, however young, unless money can still move with it."""
    console.create()
    free, needed = lived(console, declined(1), 0), lived(console, paid(2), 0)
    done = console.json("purge", "--project", "shop", "--card", free, *AT_ONCE)
    assert done == {"gone": {"cards let go": 1, "cards": 1}, "stays": {}}
    ended = console.end("purge", "--project", "shop", "--card", needed, *AT_ONCE)
    assert ended.exit_code == 1
    assert "a payment, its reversal or a refund can still need it" in ended.stderr
    assert "no card under this token" in console.failure("purge", "--project", "shop", "--card", "tc_unknown")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--card", "card_x"), "needs --project"),
        (("--customer", "u-1"), "needs --project"),
        (("--session", "ps_1", "--customer", "u-1"), "name one of them"),
        (("--dry-run", "--session", "ps_1"), "leave one out"),
    ],
)
def test_what_cannot_be_meant_is_refused(console: Console, words: tuple[str, ...], part: str) -> None:
    """One line that says what to do."""
    assert part in console.failure("purge", *words)


def test_killed_while_cards_wait(shop: Console) -> None:
    """`kill -9` between letting cards go and erasing them: the next run erases them, and the books are proven."""
    words = [sys.executable, "-m", "tollhouse.cli", "purge", "--settle-seconds", "3600"]
    env = environment(database_url=shop.dsn, home=shop.home)
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("until cards are erased" in line for line in process.stderr)
        process.kill()
    assert cards(shop) == 3
    assert value(shop, "select count(*) from released_card") == 1
    shop.run("verify")
    assert shop.json("purge", *AT_ONCE)["gone"] == {"cards": 1}
    assert cards(shop) == 2
