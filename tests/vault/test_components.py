"""Components: all parts are the key, fewer are nothing, and what is entered wrong is told at once."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.conftest import NewKeeper
from tollhouse.vault.box import new_key
from tollhouse.vault.components import Joining, PartRefused, parse_part, split, xor
from tollhouse.vault.custodians import FOLDER, OPENED, REFUSED, TAKEN, Reply, send_part, wait_for_root
from tollhouse.vault.joined import change_root
from tollhouse.vault.keys import KEK, KeysRefused, digest_of
from tollhouse.vault.rotation import rotate

keys = st.binary(min_size=32, max_size=32)


@given(keys, st.integers(2, 9))
def test_all_parts_are_the_key(key: bytes, parts: int) -> None:
    """Split, written down, read and joined in any order, it is the same key."""
    joining = Joining(parts)
    for part in reversed(split(key, parts)):
        joining.add(parse_part(f"  {part.line()}\n"))
    assert joining.join() == key


@given(keys, keys, st.integers(2, 9), st.data())
def test_all_parts_but_one_say_nothing(key: bytes, other: bytes, parts: int, data: st.DataObject) -> None:
    """For every other key there is a missing part that makes exactly it of the parts that are there."""
    shares = [part.content for part in split(key, parts)]
    missing = data.draw(st.integers(0, parts - 1))
    known = shares[:missing] + shares[missing + 1 :]
    assert xor([*known, xor([*known, other])]) == other


def test_parts_are_of_full_length_and_never_the_same() -> None:
    """Each part is as long as the key, and splitting twice gives nothing in common."""
    key = new_key()
    contents = [part.content for _ in range(2) for part in split(key, 3)]
    assert {len(content) for content in contents} == {32}
    assert len({*contents, key}) == 7


def test_every_wrong_character_is_told() -> None:
    """A part with any one character changed, left out or added is refused, and its content is not in the refusal."""
    part = split(new_key(), 3)[0]
    line = part.line()
    wrong = [line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :] for at in range(len(line))]
    wrong += [line[:at] + line[at + 1 :] for at in range(len(line))] + [line + "A", "", "tollhouse-part"]
    for text in wrong:
        with pytest.raises(PartRefused) as refusal:
            parse_part(text)
        assert line.split(".")[4] not in str(refusal.value)


def test_parts_that_do_not_belong_are_refused() -> None:
    """The same part twice, a part of another splitting, a part of another number of parts."""
    key = new_key()
    one, other = split(key, 3), split(key, 3)
    joining = Joining(3)
    joining.add(one[0])
    for strange in (one[0], other[1], split(key, 2)[1]):
        with pytest.raises(PartRefused):
            joining.add(strange)
    joining.add(one[1])
    assert joining.missing == 1


def test_a_part_prints_no_key() -> None:
    """Its repr shows which one it is and nothing else."""
    part = split(new_key(), 2)[0]
    assert repr(part.content) not in repr(part)
    assert part.line().split(".")[4] not in repr(part)


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A home whose path leaves room for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="th-"))
    yield folder
    shutil.rmtree(folder)


async def waiting(
    home: Path, node: str, key: bytes, *, check_value: bytes | None = None, told: list[str] | None = None
) -> asyncio.Task[bytes]:
    """A process that waits for three parts of this key, at its socket."""
    check = check_value or digest_of(key)
    is_waiting = asyncio.Event()

    def tell(line: str) -> None:
        assert "tollhouse-part." not in line
        if told is not None:
            told.append(line)
        is_waiting.set()

    task = asyncio.create_task(wait_for_root(home, node, parts=3, check_value=check, tell=tell))
    await is_waiting.wait()
    return task


async def test_custodians_open_every_process_that_waits(short_home: Path) -> None:
    """Each part goes to all; the last one opens them, the log says so in words, and the sockets are gone."""
    key = new_key()
    told: list[str] = []
    tasks = [await waiting(short_home, node, key, told=told) for node in ("one", "two")]
    assert (short_home / FOLDER).stat().st_mode & 0o777 == 0o700
    assert (short_home / FOLDER / "one.sock").stat().st_mode & 0o777 == 0o600
    replies = [await send_part(short_home, part.line()) for part in split(key, 3)]
    assert [[reply.word for reply in one] for one in replies] == [[TAKEN] * 2, [TAKEN] * 2, [OPENED] * 2]
    assert await asyncio.gather(*tasks) == [key, key]
    assert list((short_home / FOLDER).iterdir()) == []
    assert told[2::2] == [
        "a key part came: taken; 2 more to come",
        "a key part came: taken; 1 more to come",
        "a key part came: that was the last part; the keys are open",
    ]


async def test_a_wrong_part_is_refused_and_another_may_come(short_home: Path) -> None:
    """What is no part changes nothing. Parts that fit each other and not the database begin again, all of them."""
    key = new_key()
    task = await waiting(short_home, "one", key)
    assert [one.word for one in await send_part(short_home, "rubbish")] == [REFUSED]
    assert [one.word for one in await send_part(short_home, "x" * 5000)] == [REFUSED]
    (wrong,) = [await send_part(short_home, part.line()) for part in split(new_key(), 3)][2]
    assert wrong == Reply(
        "one", REFUSED, "together these parts are not the key of this database; all custodians begin again"
    )
    for part in split(key, 3):
        await send_part(short_home, part.line())
    assert await task == key


async def test_the_socket_of_a_dead_process_is_passed_over(short_home: Path) -> None:
    """It takes nothing and is removed; a process that died while it waited may wait again under its name."""
    key = new_key()
    task = await waiting(short_home, "one", key)
    path = short_home / FOLDER / "one.sock"
    kept = short_home / "kept"
    kept.hardlink_to(path)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    kept.rename(path)
    assert await send_part(short_home, split(key, 3)[0].line()) == []
    assert not path.exists()


async def test_a_home_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    """One line names the setting."""
    with pytest.raises(KeysRefused, match="TOLLHOUSE_HOME=.*too long"):
        await wait_for_root(tmp_path / ("x" * 100), "one", parts=3, check_value=b"", tell=lambda _: None)


async def test_custodians_get_new_parts(new_keeper: NewKeeper, pool: asyncpg.Pool) -> None:
    """After a new splitting the old parts open nothing, and everything that was wrapped before opens."""
    keeper = new_keeper("components")
    async with keeper.open(pool) as before:
        wrapped = await before.ring.wrap(b"k" * 32, b"here")
        old = list(keeper.parts)
        root = xor([part.content for part in old])
        keeper.parts.clear()
        await change_root(pool, parts=2, old=root, keep=lambda new: keeper.parts.extend(split(new, 2)))
        assert await before.ring.unwrap(wrapped, b"here") == b"k" * 32
    async with keeper.open(pool) as after:
        assert await after.ring.unwrap(wrapped, b"here") == b"k" * 32
        assert await rotate(after, KEK) == 2
    keeper.parts = old
    with pytest.raises(PartRefused, match="one of 3, and the key has 2"):
        async with keeper.open(pool):
            pass


async def test_without_components_nothing_starts(new_keeper: NewKeeper, pool: asyncpg.Pool) -> None:
    """The first start says which command makes them."""
    keeper = new_keeper("components")
    keeper.parts = split(new_key(), 3)
    with pytest.raises(KeysRefused, match="tollhouse vault key components"):
        async with keeper.open(pool):
            pass


async def test_nothing_of_the_joined_key_is_stored(new_keeper: NewKeeper, pool: asyncpg.Pool) -> None:
    """Neither it nor a part of it is in the registry or in a file of the home."""
    keeper = new_keeper("components")
    async with keeper.open(pool):
        secret = [part.content for part in keeper.parts] + [xor([part.content for part in keeper.parts])]
        stored = [
            bytes(cell) for row in await pool.fetch("SELECT check_value, held FROM vault.key") for cell in row if cell
        ]
        stored += [path.read_bytes() for path in keeper.home.rglob("*") if path.is_file()]
        assert stored
        assert not [one for one in secret for place in stored if one in place]
