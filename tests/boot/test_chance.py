"""Ids, references and terminals of the real world."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tollhouse.boot.chance import NodeIds, NodeNaming, base36, new_node, new_terminals


def test_ids_have_twenty_digits_and_grow() -> None:
    """Their shape is that of the API, and later ones sort after earlier ones."""
    ids = NodeIds()
    made = [ids.new("pm") for _ in range(5000)]
    assert all(re.fullmatch(r"pm_[0-9]{20}", id) for id in made)
    assert made == sorted(set(made))


def test_two_processes_make_different_ids() -> None:
    """A number of their own, or else their counts, tell apart what the clock does not."""
    one, other = NodeIds(), NodeIds()
    assert not {one.new("ps") for _ in range(1000)} & {other.new("ps") for _ in range(1000)}


def test_secrets_are_random_and_stand_in_a_url() -> None:
    """22 characters of base64url hold 128 bits, and nobody meets one twice."""
    ids = NodeIds()
    made = [ids.secret() for _ in range(1000)]
    assert all(re.fullmatch(r"[0-9A-Za-z_-]{22}", secret) for secret in made)
    assert len(set(made)) == len(made)
    assert len({secret[:4] for secret in made}) > 990


def test_uuids_are_random() -> None:
    """In their canonical form, of version 4, never the same."""
    ids = NodeIds()
    made = [ids.uuid() for _ in range(1000)]
    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(pattern, uuid) for uuid in made)
    assert len(set(made)) == len(made)


def test_references_are_never_used_twice() -> None:
    """A node that sends within one millisecond still names every message differently."""
    naming = NodeNaming(new_terminals())
    now = datetime(2026, 3, 2, tzinfo=UTC)
    made = [naming.new(now) for _ in range(1200)]
    assert all(re.fullmatch(r"[0-9A-Z]{12}", one.rrn) for one in made)
    assert len({one.rrn for one in made}) == len({one.stan for one in made}) == len(made)


def test_stans_go_round() -> None:
    """Six digits from 000001 to 999999, and then from the beginning."""
    naming = NodeNaming(["T0000001"])
    now = datetime(2026, 3, 2, tzinfo=UTC)
    first = naming.new(now).stan
    stans = [naming.new(now).stan for _ in range(999_999)]
    assert stans[-1] == first
    assert min(stans) == "000001"
    assert max(stans) == "999999"


def test_references_of_different_instants_differ() -> None:
    """The time is part of the RRN."""
    naming = NodeNaming(["T0000001"])
    now = datetime(2026, 3, 2, tzinfo=UTC)
    rrns = [naming.new(now + timedelta(milliseconds=step)).rrn[:8] for step in range(1000)]
    assert rrns == sorted(set(rrns))


def test_a_message_is_dated_to_the_second() -> None:
    """Field 7 holds no fractions, and answers are matched on it."""
    now = datetime(2026, 3, 2, 9, 15, 0, 204511, tzinfo=UTC)
    assert NodeNaming(["T0000001"]).new(now).transmitted_at == now.replace(microsecond=0)


def test_terminals_and_nodes_have_names_of_their_own() -> None:
    """Eight characters a terminal, several to a node, none shared."""
    terminals = [terminal for _ in range(50) for terminal in new_terminals()]
    assert {len(terminal) for terminal in terminals} == {8}
    assert len(set(terminals)) == len(terminals)
    assert new_node() != new_node()


def test_base36_keeps_the_last_digits() -> None:
    """A number that is too long loses its first digits."""
    assert base36(35, 2) == "0Z"
    assert base36(36**2 + 1, 2) == "01"
