"""The vault's process and its nodes when things go wrong: it goes away, stalls, hears nonsense, meets strangers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import stat
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.vaults import SECONDS_MAX, Lines, Running, running, until
from tests.vault.samples import CARD, PAN_TEXT, REFERENCES, request
from tollhouse.acquirers.message import NotSent, Request, Slot
from tollhouse.audit import DONE, Act
from tollhouse.boot.vault_place import Place, listening
from tollhouse.card import CVV
from tollhouse.ports import StoreUnreachable
from tollhouse.vault import frames
from tollhouse.vault.admission import Users
from tollhouse.vault.client import RemoteVault, Way
from tollhouse.vault.frames import FrameBroken, Frames
from tollhouse.vault.keys import KeysRefused
from tollhouse.vault.port import VaultAway
from tollhouse.vault.server import VaultServer


@pytest.fixture
async def place(pool: asyncpg.Pool, home: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """A vault behind a unix socket; nodes wait for it only briefly."""
    async with running("unix", pool, home, tmp_path) as one:
        one.limit_seconds = 0.3
        yield one


async def remote(place: Running) -> RemoteVault:
    """A node's way to the vault."""
    vault, _ = await place.node()
    assert isinstance(vault, RemoteVault)
    return vault


async def patiently(vault: RemoteVault, token: str) -> dict[str, str]:
    """A filled request, asked for until it is: a busy machine may be slower than these nodes wait."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            with contextlib.suppress(NotSent):
                return await vault.fill(request("shop", token))


def keys_left(place: Running) -> int:
    """How many bytes of keys the vault's slot files hold."""
    files = (place.home / "cvv-keys").glob("*.slots")
    return sum(1 for file in files for byte in file.read_bytes() if byte)


async def test_a_vault_that_is_away(place: Running) -> None:
    """No card is kept and none goes out, and the error says why; when it is back everything goes on by itself."""
    vault = await remote(place)
    kept = await vault.keep("shop", CARD)
    await place.end()
    with pytest.raises(StoreUnreachable, match="away|lost"):
        await vault.keep("shop", CARD)
    with pytest.raises(StoreUnreachable, match="away|lost"):
        await vault.check()
    with pytest.raises(NotSent, match="away|lost"):
        await vault.fill(request("shop", kept.token))
    await place.serve()
    await until(lambda: len(place.log.said("vault connected")) == 2)
    assert (await patiently(vault, kept.token))["2"] == PAN_TEXT
    assert len(place.log.said("vault away")) < 5


@pytest.mark.parametrize("greeting", [b"\x94\xa5hello\x01\xa1n" + b"\x91" * 1010 + b"\x00", None])
async def test_nonsense_in_depth_harms_nobody(place: Running, greeting: bytes | None) -> None:
    """Before and after a greeting: a stranger's is written down, and the vault goes on."""
    vault = await remote(place)
    assert place.place is not None
    assert place.place.path is not None
    reader, writer = await asyncio.open_unix_connection(str(place.place.path))
    call = b"\x92\x01" + b"\x91" * 5000 + b"\x00"
    for raw in (greeting or frames.encode(frames.Hello(frames.PROTOCOL, "deep")), call):
        writer.write(len(raw).to_bytes(4, "big") + raw)
    async with asyncio.timeout(SECONDS_MAX):
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until it hangs up
    writer.close()
    if greeting is not None:
        await until(lambda: place.log.said("vault.refused"))
    await vault.check()


async def test_an_erasure_that_always_fails_holds_up_no_other(place: Running) -> None:
    """Codes that are owed are gone as soon as the vault is back, whichever of them cannot be erased."""
    vault = await remote(place)
    sealed = [await vault.seal_cvv("shop", CVV("123")) for _ in range(8)]
    await place.end()
    owed = [asyncio.create_task(vault.erase_cvv(one)) for one in [*sealed, *(f"v1.{'A' * 20}{n}" for n in range(8))]]
    await asyncio.gather(*owed)
    assert keys_left(place) > 0
    await place.serve()
    await until(lambda: keys_left(place) == 0)


async def test_a_request_without_slots_needs_no_vault(place: Running) -> None:
    """Reversals and echoes leave also while the vault is away."""
    vault = await remote(place)
    await place.end()
    reversal = Request(mti="0400", fields={"4": "1"}, slots={}, card=None, references=REFERENCES)
    assert await vault.fill(reversal) == {"4": "1"}
    await vault.left(reversal)


async def test_what_left_while_the_vault_was_away_is_erased(place: Running) -> None:
    """The flow goes on; the code dies as soon as the vault is back, also when whoever told of it was stopped."""
    vault = await remote(place)
    kept = await vault.keep("shop", CARD)
    first, second, third = [await vault.seal_cvv("shop", CVV("123")) for _ in range(3)]
    await place.end()
    await vault.left(request("shop", kept.token, first))
    await vault.erase_cvv(second)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await vault.left(request("shop", kept.token, third))
    assert keys_left(place)
    assert place.log.said("erased later")
    await place.serve()
    await until(lambda: not keys_left(place))


async def test_closing_waits_for_what_is_still_to_be_erased(place: Running) -> None:
    """A node that is stopped while the vault comes back ends in order, and leaves no code behind."""
    place.limit_seconds = 10
    vault = await remote(place)
    sealed = await vault.seal_cvv("shop", CVV("123"))
    await place.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await vault.erase_cvv(sealed)
    await place.serve()
    await vault.close()
    assert not keys_left(place)


async def test_erasing_goes_over_a_lost_connection(place: Running) -> None:
    """A connection that breaks during the call is no reason to give up."""
    place.limit_seconds = 10
    vault = await remote(place)
    sealed = await vault.seal_cvv("shop", CVV("123"))
    await place.end()
    erasing = asyncio.create_task(vault.erase_cvv(sealed))
    await asyncio.sleep(0.05)
    assert not erasing.done()
    await place.serve()
    await erasing
    assert not keys_left(place)


async def test_a_vault_that_stalls(tmp_path: Path) -> None:
    """One that takes the call and never answers is given up after the time limit."""
    taken = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        welcome = frames.encode(frames.Welcome(frames.PROTOCOL, "user"))
        writer.write(len(welcome).to_bytes(4, "big") + welcome)
        await reader.read(100)
        taken.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(stall, tmp_path / "vault.sock")
    vault = RemoteVault(Way(path=tmp_path / "vault.sock"), node="node", log=Lines(), limit_seconds=0.3)
    vault.start()
    with pytest.raises(VaultAway, match="did not answer"):
        await vault.keep("shop", CARD)
    assert taken.is_set()
    with pytest.raises(NotSent):
        await vault.fill(request("shop", "card_1"))
    await vault.close()
    server.close()


async def test_no_error_shows_a_card(place: Running) -> None:
    """What fails on the way, printed with all local variables of its frames, holds neither PAN nor CVV."""
    vault = await remote(place)
    kept, sealed = await vault.keep("shop", CARD), await vault.seal_cvv("shop", CVV("8731"))
    await place.end()
    problems: list[BaseException] = []
    for call in (
        vault.keep("shop", CARD),
        vault.seal_cvv("shop", CVV("8731")),
        vault.fill(request("shop", kept.token, sealed)),
    ):
        problems += await asyncio.gather(call, return_exceptions=True)
    assert [type(problem) for problem in problems] == [VaultAway] * 2 + [NotSent]
    for problem in problems:
        shown = "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())
        assert "_ask" in shown
        assert PAN_TEXT not in shown
        assert "8731" not in re.sub(r"0x[0-9a-f]+", "", shown)  # an address in memory may have any digits
    assert PAN_TEXT not in str(place.log.lines)


class Stranger:
    """Speaks with the vault byte by byte."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Stranger:
        self.reader, self._writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    def send(self, message: object) -> None:
        """One frame."""
        self.send_raw(frames.encode(message))

    def send_raw(self, frame: bytes, length: int | None = None) -> None:
        """One frame as it is, perhaps with a wrong length."""
        self._writer.write((len(frame) if length is None else length).to_bytes(4, "big") + frame)

    async def hear(self, kind: Any) -> Any:
        """The next frame."""
        async with asyncio.timeout(SECONDS_MAX):
            length = int.from_bytes(await self.reader.readexactly(4), "big")
            return frames.decode(kind, await self.reader.readexactly(length))

    async def is_cut_off(self) -> bool:
        """Whether the vault hangs up without a word more."""
        async with asyncio.timeout(SECONDS_MAX):
            try:
                return not await self.reader.read()
            except ConnectionError:
                return True


HELLO = frames.Hello(frames.PROTOCOL, "stranger")


@pytest.mark.parametrize(
    ("frame", "length"),
    [(b"GET / HTTP/1.1", None), (b"x", 10_000), (b"", 0), (frames.encode(frames.Asked(1, frames.Check())), None)],
    ids=["garbage", "too long", "empty", "a call before the greeting"],
)
async def test_who_does_not_greet_is_cut_off(place: Running, frame: bytes, length: int | None) -> None:
    """And it stands in the audit log."""
    await place.serve()
    assert place.place is not None
    assert place.place.path is not None
    async with Stranger(place.place.path) as stranger:
        stranger.send_raw(frame, length)
        assert await stranger.is_cut_off()
    await until(lambda: place.log.said("vault.refused"))
    assert [entry["outcome"] for entry in await place.entries("vault.connect")] == ["refused"]


async def test_who_speaks_another_version_is_told(place: Running) -> None:
    """Before it is cut off, so that an operator sees which program is older."""
    await place.serve()
    assert place.place is not None
    assert place.place.path is not None
    async with Stranger(place.place.path) as stranger:
        stranger.send(frames.Hello(frames.PROTOCOL + 1, "newer"))
        assert "version" in (await stranger.hear(frames.Welcome | frames.Refused)).why
        assert await stranger.is_cut_off()


async def test_who_says_nothing_is_cut_off(place: Running) -> None:
    """A connection without a greeting does not stay."""
    path = place.folder / "slow.sock"
    with listening(Place(path=path), is_shared=False) as listener:
        server = VaultServer(place.inside, place.audit, Users({os.geteuid()}), log=place.log, greeting_seconds=0.1)
        await server.start(listener)
        async with Stranger(path) as stranger:
            assert await stranger.is_cut_off()
        await server.close()
    assert place.log.said("did not say who it is in time")


async def test_a_call_that_makes_no_sense_harms_no_other(place: Running) -> None:
    """It is refused under its number, and the connection goes on."""
    await place.serve()
    assert place.place is not None
    assert place.place.path is not None
    async with Stranger(place.place.path) as stranger:
        stranger.send(HELLO)
        assert (await stranger.hear(frames.Welcome | frames.Refused)).protocol == frames.PROTOCOL
        for number, call in enumerate((["reveal", "shop"], ["keep", "shop", {"pan": "4111"}], ["seal_cvv", "s", "12"])):
            stranger.send([number, call])
            answer = await stranger.hear(frames.Answered)
            assert (answer.id, answer.kind) == (number, frames.FAILED)
        stranger.send(frames.Asked(9, frames.Check()))
        assert (await stranger.hear(frames.Answered)).kind == frames.OK
        stranger.send_raw(b"\xff\xff")
        assert await stranger.is_cut_off()


async def test_other_users_get_nothing(place: Running) -> None:
    """The kernel says who connects; who is not on the list is told so, and it stands in the audit log."""
    path = place.folder / "other.sock"
    with listening(Place(path=path), is_shared=True) as listener:
        server = VaultServer(place.inside, place.audit, Users({os.geteuid() + 1}), log=place.log)
        await server.start(listener)
        async with Stranger(path) as stranger:
            stranger.send(HELLO)
            assert "may not speak" in (await stranger.hear(frames.Welcome | frames.Refused)).why
            assert await stranger.is_cut_off()
        await server.close()
    (entry,) = await place.entries("vault.connect")
    assert (entry["outcome"], "may not speak" in entry["details"]) == ("refused", True)


def test_the_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    """Mode 0600; a second vault at the same place is refused, and a socket that a killed one left is replaced."""
    place = Place(path=tmp_path / "vault.sock")
    assert place.path is not None
    with listening(place, is_shared=False):
        assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
        with pytest.raises(KeysRefused, match="listens at .* already"), listening(place, is_shared=False):
            pass
    assert not place.path.exists()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place.path))
    with listening(place, is_shared=False):
        assert place.path.exists()


async def test_a_node_writes_nothing_about_cards(place: Running) -> None:
    """Entries of the vault's own kinds are not taken from nodes; other ones beside them are."""
    vault = await remote(place)
    acts = [Act(what=what, outcome=DONE) for what in ("card.reveal", "key.rotate", "audit.checkpoint", "project.set")]
    await vault.record([*acts, Act(what="project.set", outcome="perhaps")])
    assert [len(await place.entries(act.what)) for act in acts] == [0, 0, 0, 1]


class Heard(Frames):
    """Keeps what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []
        self.is_broken = False
        self.greeted()

    def on_frame(self, frame: bytes) -> None:
        """Keep it."""
        self.frames.append(frame)

    def on_lost(self, problem: Exception | None) -> None:
        """There is no connection."""

    def on_broken(self, problem: FrameBroken) -> None:
        """Keep that."""
        self.is_broken = True


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.data())
async def test_frames_come_whole_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    """The network may cut anywhere."""
    stream = b"".join(len(frame).to_bytes(4, "big") + frame for frame in sent)
    heard = Heard()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        heard.data_received(stream[:size])
        stream = stream[size:]
    assert heard.frames == sent
    assert not heard.is_broken


@given(st.binary(max_size=60))
async def test_any_bytes_are_told_from_calls(noise: bytes) -> None:
    """Noise is `FrameBroken` or a call, and nothing else."""
    for kind in (frames.Asked, frames.Hello, frames.Answered, frames.Welcome | frames.Refused):
        try:
            found = frames.decode(kind, noise)
        except FrameBroken:
            continue
        assert frames.decode(kind, frames.encode(found)) == found


def test_every_call_travels() -> None:
    """What the port takes and gives comes out as it went in, and prints no card."""
    asked = frames.Fill(request("shop", "card_1", "cvv1.x.y", slots={"2": Slot.PAN}))
    for call in (frames.Keep("shop", CARD), frames.SealCvv("shop", CVV("123")), asked):
        found: frames.Asked = frames.decode(frames.Asked, frames.encode(frames.Asked(7, call)))
        assert (found.id, found.call) == (7, call)
        assert repr(found.call) == f"{type(call).__name__}(...)"
