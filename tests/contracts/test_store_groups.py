"""The port `Store`: changes of one moment are written together, and each is judged alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import asyncpg

from tests.contracts.shelf import NOTHING, Shelf, bodied, claiming, commit_all, following, opened, started
from tests.ground.story import NOON
from tests.lives import acting, captured, reversed_late
from tollhouse.authentication import Authentication, Wish
from tollhouse.change import Change, Note
from tollhouse.idempotency import UsedKey
from tollhouse.ports import KeyTaken, Stale, Store
from tollhouse.store.memory import ConstraintBroken

BROKEN = (ConstraintBroken, asyncpg.IntegrityConstraintViolationError)


async def verdicts(store: Store, changes: list[Change]) -> list[str]:
    """What became of changes that were given at the same moment, so that they are written in groups."""
    found = await asyncio.gather(*(store.commit(change) for change in changes), return_exceptions=True)
    names = []
    for one in found:
        if one is not None and not isinstance(one, (Stale, KeyTaken, *BROKEN)):
            raise one
        names.append("broken" if isinstance(one, BROKEN) else "ok" if one is None else type(one).__name__)
    return names


def broken(change: Change) -> Change:
    """The same change with more captured than was held."""
    (payment,) = change.session.payments
    return replace(change, session=change.session.with_payment(replace(payment, captured_minor=1)))


async def assert_nothing_left(store: Store, shelf: Shelf, change: Change) -> None:
    """Neither the session of this change nor anything that hangs on it is there."""
    session = change.session
    assert await store.find_session(session.project, session.id) is None
    assert await shelf.kept(session.project, session.id) == NOTHING
    assert not await store.find_change(session.project, session.id, change.id)


# --- groups -----------------------------------------------------------------------------------------------------------


async def test_many_at_once(store: Store) -> None:
    """Changes that come at the same moment all become true."""
    changes = [started(number) for number in range(150)]
    assert set(await verdicts(store, changes)) == {"ok"}
    for change in changes:
        assert await store.find_session("shop", change.session.id) == change.session


async def test_many_payers_at_once(store: Store) -> None:
    """Authentications are written with their group, and each moves with its own session."""
    stories = [acting(number) for number in range(1, 31)]
    for step in range(max(len(story.changes) for story in stories)):
        assert set(await verdicts(store, [bodied(story.changes[step]) for story in stories])) == {"ok"}
    for story in stories:
        assert await store.find_session("shop", story.session.id) == story.session
        assert await store.find_authentication(story.attempt.id) == ("shop", story.session.id)


async def test_a_second_open_attempt_among_many(store: Store, shelf: Shelf) -> None:
    """It is refused alone; the others become true."""
    changes = [started(number) for number in range(1, 9)]
    session = changes[3].session
    (payment,) = session.payments
    pair = tuple(
        Authentication(id=id, payment_id=payment.id, version="2.2.0", wish=Wish.NO_PREFERENCE, opened_at=NOON)
        for id in ("au_1", "au_2")
    )
    doubled = replace(session, authentications=pair)
    changes[3] = replace(changes[3], session=doubled, authentication_ids=frozenset({"au_1", "au_2"}))
    assert await verdicts(store, changes) == ["broken" if place == 3 else "ok" for place in range(8)]
    await assert_nothing_left(store, shelf, changes[3])
    assert await store.find_authentication("au_1") is None


async def test_broken_one_among_many(store: Store, shelf: Shelf) -> None:
    """One that breaks a rule of the books is refused alone, and nothing of it is left, its key neither."""
    changes = [started(number) for number in range(20)]
    changes[7] = claiming(broken(changes[7]), "k")
    assert await verdicts(store, changes) == ["broken" if number == 7 else "ok" for number in range(20)]
    await assert_nothing_left(store, shelf, changes[7])
    assert await store.find_key("shop", "k") is None


async def test_every_refusal_at_once(store: Store, shelf: Shelf) -> None:
    """Stale, broken and key taken in the same moment: each gets its own word, the others become true."""
    await store.commit(claiming(opened(0), "used"))
    changes = [started(number) for number in range(9)]
    changes[2] = broken(changes[2])
    changes[4] = claiming(changes[4], "used")
    found = await verdicts(store, changes)
    assert found == ["Stale", "ok", "broken", "ok", "KeyTaken", "ok", "ok", "ok", "ok"]
    for place in (2, 4):
        await assert_nothing_left(store, shelf, changes[place])


async def test_two_changes_of_one_session_in_one_group(store: Store, shelf: Shelf) -> None:
    """One after the other of the same session in the same moment: all become true."""
    first = opened(1)
    second, third = following(first), following(following(first))
    assert await verdicts(store, [opened(2), opened(3), first, second, third]) == ["ok"] * 5
    assert await store.find_session("shop", first.session.id) == third.session
    assert (await shelf.kept("shop", first.session.id)).change_ids == {first.id, second.id, third.id}


async def test_rivals_in_one_group(store: Store, shelf: Shelf) -> None:
    """Two changes over the same version in the same moment: exactly one becomes true."""
    first = opened(1)
    await store.commit(first)
    rivals = [following(first, "red"), following(first, "blue")]
    assert Counter(await verdicts(store, [opened(2), opened(3), *rivals])) == {"ok": 3, "Stale": 1}
    assert len((await shelf.kept("shop", first.session.id)).change_ids) == 2


async def test_rivals_on_two_nodes(shelf: Shelf) -> None:
    """Of changes that two nodes make over the same versions, in contrary order, exactly one each becomes true."""
    red, blue = await shelf.open("red"), await shelf.open("blue")
    firsts = [opened(number) for number in range(25)]
    await commit_all(red, firsts)
    by_red, by_blue = await asyncio.gather(
        verdicts(red, [following(one, "red") for one in firsts]),
        verdicts(blue, [following(one, "blue") for one in reversed(firsts)]),
    )
    assert [sorted(pair) for pair in zip(by_red, reversed(by_blue), strict=True)] == [["Stale", "ok"]] * 25


# --- idempotency keys -------------------------------------------------------------------------------------------------


async def test_same_key_twice_in_one_group(store: Store, shelf: Shelf) -> None:
    """Two calls with one key in the same moment: one becomes true, nothing of the other is left."""
    changes = [started(1), started(2), claiming(started(3), "k"), claiming(started(4), "k"), started(5)]
    found = await verdicts(store, changes)
    assert sorted(found) == ["KeyTaken", "ok", "ok", "ok", "ok"]
    await assert_nothing_left(store, shelf, changes[found.index("KeyTaken")])


async def test_same_key_on_two_nodes(shelf: Shelf) -> None:
    """Two nodes decide by the key's row: one call becomes true, nothing of the other is left."""
    nodes = [await shelf.open("red"), await shelf.open("blue")]
    calls = [[claiming(started(100 * at + number), f"k{number}") for number in range(25)] for at in (1, 2)]
    calls[1].reverse()
    by_red, by_blue = await asyncio.gather(*(verdicts(node, mine) for node, mine in zip(nodes, calls, strict=True)))
    assert [sorted(pair) for pair in zip(by_red, reversed(by_blue), strict=True)] == [["KeyTaken", "ok"]] * 25
    for change, verdict in zip([*calls[0], *calls[1]], [*by_red, *by_blue], strict=True):
        if verdict == "KeyTaken":
            await assert_nothing_left(nodes[0], shelf, change)


async def test_key_of_a_refused_change_is_free(store: Store) -> None:
    """A call that ended without a write used up no key."""
    first = opened(1)
    await store.commit(first)
    assert await verdicts(store, [claiming(opened(1), "k")]) == ["Stale"]
    assert await store.find_key("shop", "k") is None
    await store.commit(claiming(following(first), "k"))
    assert await store.find_key("shop", "k") is not None


async def test_answer_is_kept_to_the_byte(store: Store) -> None:
    """The stored answer has the first answer's very bytes; where none is to be kept there is none."""
    answer = '{"id": "ps_1",  "note": "füße\\u0000 \\ud83d\\ude00 😀"}'.encode()
    await commit_all(store, [claiming(opened(1), "order 17/~", answer=answer), claiming(opened(2), "plain")])
    used = UsedKey(
        path="/api/v2/session/create", body_hash=b"\0hash\xff", session_id=opened(1).session.id, answer=answer
    )
    assert await store.find_key("shop", "order 17/~") == used
    plain = await store.find_key("shop", "plain")
    assert plain is not None
    assert plain.answer is None


# --- what comes along -------------------------------------------------------------------------------------------------


async def test_a_change_brings_everything(store: Store, shelf: Shelf) -> None:
    """Steps, transfers, alarms, notes and events stand with the session, in order."""
    story = reversed_late()
    note = Note(kind="message_in", data={"fields": {"39": "00"}, "grüße": [None, 1.5]})
    changes = [*story.changes[:-1], replace(story.changes[-1], notes=(note,))]
    await commit_all(store, changes)
    kept = await shelf.kept("shop", story.session.id)
    assert kept.change_ids == {change.id for change in changes}
    assert kept.steps == tuple(step for change in changes for step in change.steps)
    assert (kept.notes, kept.alarms) == ((note,), tuple(story.alarms))
    assert [(event.id, event.type, event.sequence) for event in kept.events] == [
        (event.id, event.type, event.sequence) for event in story.events
    ]


async def test_transfers_stand_as_they_were_booked(store: Store, shelf: Shelf) -> None:
    """Pending, posted and resolving transfers come back as they were given."""
    story = captured()
    await commit_all(store, story.changes)
    kept = await shelf.kept("shop", story.session.id)
    assert set(kept.transfers) == set(story.transfers)
    assert len(kept.transfers) == 3


async def test_projects_are_apart(store: Store, shelf: Shelf) -> None:
    """The same session id under two projects names two sessions, with keys and events of their own (P12)."""
    shop, inn = claiming(started(1, "shop"), "k"), claiming(opened(1, "inn"), "k")
    await commit_all(store, [shop, inn])
    assert await store.find_session("shop", shop.session.id) == shop.session
    assert await store.find_session("inn", shop.session.id) == inn.session
    assert [len((await shelf.kept(name, shop.session.id)).events) for name in ("shop", "inn")] == [1, 0]


async def test_notes_without_a_change(store: Store, shelf: Shelf) -> None:
    """Notes are kept beside the session, which does not move."""
    first = opened()
    await store.commit(first)
    notes = [Note(kind="request", data={"method": "session/status", "number": number}) for number in range(3)]
    for note in notes:
        store.note("shop", first.session.id, note, NOON)
    assert await store.find_session("shop", first.session.id) == first.session
    await shelf.close(store)
    assert sorted((await shelf.kept("shop", first.session.id)).notes, key=str) == notes
