"""`tollhouse key`: keys are added and retired, never the last one by mistake."""

from __future__ import annotations

from tests.cli.commands import Console


def ids(shown: dict[str, list[dict[str, str]]]) -> list[str]:
    """The ids of the active keys."""
    return [key["id"] for key in shown["public_keys"]]


def test_keys_change_without_a_pause(console: Console) -> None:
    """A second key is active beside the first; then the first one goes."""
    (first,) = ids(console.create())
    added = console.json("key", "add", "shop", str(console.key_file("second")))
    assert ids(added) == [first, added["added"]]
    retired = console.json("key", "retire", "shop", first)
    assert ids(retired) == [added["added"]]
    assert ids(console.json("project", "show", "shop")) == [added["added"]]


def test_a_key_is_not_added_twice(console: Console) -> None:
    """The same key again is refused; once retired it may come back."""
    (first,) = ids(console.create())
    file = str(console.home / "shop.pub.pem")
    assert f"has this key already: {first}" in console.failure("key", "add", "shop", file)
    console.run("key", "retire", "shop", first, "--force")
    assert ids(console.json("key", "add", "shop", file)) == [first]


def test_the_last_key_is_kept_unless_forced(console: Console) -> None:
    """Without a key a project cannot call: that is done only when it is said."""
    (first,) = ids(console.create())
    assert "the last active key of project shop" in console.failure("key", "retire", "shop", first)
    assert ids(console.json("key", "retire", "shop", first, "--force")) == []


def test_five_keys_are_the_most(console: Console) -> None:
    """A sixth active key is refused, with the command that makes room."""
    (first,) = ids(console.create())
    for number in range(4):
        console.run("key", "add", "shop", str(console.key_file(f"more-{number}")))
    line = console.failure("key", "add", "shop", str(console.key_file("sixth")))
    assert "5 active keys" in line
    assert f"tollhouse key retire shop {first}" in line


def test_unknown_projects_and_keys_are_named(console: Console) -> None:
    """Who does not exist is said in the line."""
    console.create()
    assert "there is no project 'nope'" in console.failure("key", "add", "nope", str(console.key_file("any")))
    assert "has no active key 'nope'" in console.failure("key", "retire", "shop", "nope")
