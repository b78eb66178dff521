"""The audit log as values: what was changed, removed or reordered does not fit, nor does a forged checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, strategies

from tollhouse.audit import (
    BEGINNING,
    TEXT_MAX,
    Act,
    Anchor,
    Entry,
    Head,
    Link,
    Proof,
    anchor_findings,
    anchor_line,
    checkpoint,
    clean,
    link_digest,
    read_anchor,
    read_checkpoint,
)

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Chain = list[tuple[Link, list[Entry]]]


def entry(number: int, **words: str) -> Entry:
    """An entry."""
    act = Act(**({"what": "card.reveal", "outcome": "granted", "subject": f"shop/card_{number}"} | words))
    return Entry(number=number, at=NOW + timedelta(seconds=number), act=act)


def chained(sizes: Sequence[int] = (2, 1, 3), name: str = "n") -> Chain:
    """A chain with links over so many entries each."""
    chain: Chain = []
    before, last = BEGINNING, 0
    for number, size in enumerate(sizes, 1):
        entries = [entry(last + place) for place in range(1, size + 1)]
        last += size
        before = link_digest(name, number, before, entries)
        chain.append((Link(number=number, last=last, digest=before), entries))
    return chain


def findings(chain: Chain, name: str = "n") -> list[str]:
    """What a walk finds."""
    proof = Proof(name)
    for link, entries in chain:
        proof.feed(link, entries)
    return proof.end([])


def test_a_whole_chain_has_no_findings() -> None:
    """Walked link by link it fits, and the walk knows how far it came."""
    assert findings(chained()) == []
    proof = Proof("n")
    for link, entries in chained():
        proof.feed(link, entries)
    assert (proof.entries, proof.head.number) == (6, 3)


@pytest.mark.parametrize("field", ["what", "outcome", "subject", "who", "origin", "details"])
def test_a_changed_word_is_found(field: str) -> None:
    """Whichever member of an entry is another one, the link over it does not fit."""
    chain = chained()
    chain[0][1][1] = entry(2, **{field: "another"})
    assert findings(chain) == ["chain n, link 1: entries 1 to 2 are not as they were written"]


def test_a_changed_time_is_found() -> None:
    """A microsecond is enough."""
    chain = chained()
    chain[2][1][0] = replace(chain[2][1][0], at=chain[2][1][0].at + timedelta(microseconds=1))
    assert len(findings(chain)) == 1


def test_a_removed_entry_is_found() -> None:
    """The numbers have a gap, at the end of a link as in its middle."""
    for place in range(3):
        chain = chained()
        del chain[2][1][place]
        assert findings(chain) == ["chain n, link 3: its entries are not 4 to 6 without a gap"]


def test_swapped_entries_are_found() -> None:
    """Two acts that changed their places, with the numbers right, are not what was written."""
    chain = chained()
    one, other = chain[2][1][:2]
    chain[2][1][:2] = [replace(one, act=other.act), replace(other, act=one.act)]
    assert len(findings(chain)) == 1


def test_a_removed_link_is_found() -> None:
    """With its entries or without; and the first one too."""
    for place in range(2):
        chain = chained()
        del chain[place]
        assert findings(chain)


def test_an_entry_moved_to_another_chain_is_found() -> None:
    """The chain's name is in the digest."""
    assert len(findings(chained(name="n"), name="m")) == 3


def test_a_stray_entry_is_found() -> None:
    """What no link covers was put there by somebody else."""
    assert Proof("n").end([7]) == ["chain n, entry 7: no link covers it"]


def test_a_chain_that_was_written_anew_does_not_fit_its_checkpoint() -> None:
    """Somebody who makes all digests anew is found by the head that a checkpoint vouches for."""
    honest, forged = chained(), chained((3, 3))
    assert findings(forged) == []
    vouched = {"n": Head(2, honest[1][0].digest)}
    found = {"n": Head(2, forged[1][0].digest)}
    assert anchor_findings("w", vouched, vouched) == []
    assert anchor_findings("w", vouched, found) == ["chain n, link 2: is another one than w vouches for"]
    assert anchor_findings("w", vouched, {}) == ["chain n, link 2: is gone, but w vouches for it"]


def test_a_checkpoint_says_what_was_signed() -> None:
    """Read with the right key in the right chain it gives the heads back."""
    heads = {"n": Head(3, bytes(32)), "m": Head(1, bytes([1]) * 32)}
    details = checkpoint(heads, chain="n", key=KEY)
    assert read_checkpoint(details, chain="n", key=KEY.public_key()) == heads


def test_a_forged_checkpoint_is_refused() -> None:
    """Of another chain, of another key, changed, or no checkpoint at all."""
    details = checkpoint({"n": Head(3, bytes(32))}, chain="n", key=KEY)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    forged = [
        (details, "m", KEY.public_key()),
        (details, "n", other),
        (details.replace("[3,", "[4,"), "n", KEY.public_key()),
        ("{}", "n", KEY.public_key()),
        ("[]", "n", KEY.public_key()),
        ("rubbish", "n", KEY.public_key()),
    ]
    for text, chain, key in forged:
        with pytest.raises(ValueError, match="audit key"):
            read_checkpoint(text, chain=chain, key=key)


@given(strategies.lists(strategies.text(max_size=4), min_size=6, max_size=6), strategies.data())
def test_words_cannot_run_into_each_other(words: list[str], data: strategies.DataObject) -> None:
    """Two entries with different members are different bytes, however their texts are cut."""
    names = ["what", "outcome", "subject", "who", "origin", "details"]
    others = data.draw(strategies.permutations(words))
    one, other = entry(1, **dict(zip(names, words, strict=True))), entry(1, **dict(zip(names, others, strict=True)))
    assert (one == other) == (one.canonical() == other.canonical())


def test_strangers_words_are_kept_short_and_printable() -> None:
    """No line break, no escape and no card gets into a log, and no flood."""
    assert "4000056655665556" not in clean("/api/4000056655665556")
    for before in range(TEXT_MAX - 20, TEXT_MAX + 1):
        shown = clean("x" * before + "4000056655665556")
        assert "400005665566" not in shown, before
    assert clean("a\nb\x1b[31m") == "a?b?[31m"
    assert len(clean("x" * 10_000)) == TEXT_MAX


def test_an_anchor_survives_logs() -> None:
    """Its line has no quotation mark, no run of digits that could be a card, and is read out of any text around it."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    heads = {"node 1,=x-0a": Head(7, bytes([0x41, 0x11] * 16)), "b": Head(1, bytes(32))}
    line = anchor_line(Anchor(at=datetime(2026, 11, 23, tzinfo=UTC), heads=heads), key=key)
    assert '"' not in line
    assert not re.search(r"[0-9]{7}", line)
    found = read_anchor(f'{{"event": "audit anchor", "line": "{line}"}}', key=key.public_key())
    assert found == Anchor(at=datetime(2026, 11, 23, tzinfo=UTC), heads=heads)
    assert read_anchor("nothing", key=key.public_key()) is None
    with pytest.raises(ValueError, match="audit key"):
        read_anchor(line.replace("=7=", "=8="), key=key.public_key())
