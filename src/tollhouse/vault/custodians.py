"""Where custodians enter their parts: a socket in the home of a process that waits, and the line that goes over it.

Each part is one connection and one line, answered by one line. Nothing of a part is logged, and the socket is for its
owner alone (mode 0600 in a 0700 folder).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tollhouse.vault.components import Joining, PartRefused, parse_part
from tollhouse.vault.keys import KeysRefused, digest_of

FOLDER = "unlock"
LINE_BYTES_MAX = 256
LINE_SECONDS_MAX = 10.0
PATH_BYTES_MAX = 100  # what fits into the address of a socket, with a little to spare
OPENED, TAKEN, REFUSED = "opened", "taken", "refused"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a waiting process said to a part."""

    process: str
    word: str
    text: str


class Collecting:
    """Parts become a key that fits the check value, or are all forgotten."""

    def __init__(self, *, parts: int, check_value: bytes) -> None:
        self._joining = Joining(parts)
        self._check_value = check_value
        self.root: bytes | None = None

    @property
    def missing(self) -> int:
        """How many parts are still wanted."""
        return self._joining.missing

    def take(self, line: str) -> str:
        """Take a part; what is to be said of it. Raises `PartRefused`."""
        self._joining.add(parse_part(line))
        if self.missing:
            return f"taken; {self.missing} more to come"
        root = self._joining.join()
        if digest_of(root) != self._check_value:
            self._joining.forget()
            raise PartRefused("together these parts are not the key of this database; all custodians begin again")
        self.root = root
        return "that was the last part; the keys are open"


async def wait_for_root(home: Path, node: str, *, parts: int, check_value: bytes, tell: Tell) -> bytes:
    """The joined key, once the custodians have entered their parts. Raises `KeysRefused`."""
    collecting = Collecting(parts=parts, check_value=check_value)
    folder = home / FOLDER
    path = folder / f"{node}.sock"
    if len(bytes(path)) > PATH_BYTES_MAX:
        raise KeysRefused(f"TOLLHOUSE_HOME={home}: too long for a socket in it; choose a shorter one")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path.unlink(missing_ok=True)
    done = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word, text = TAKEN, ""
        try:
            async with asyncio.timeout(LINE_SECONDS_MAX):
                line = await reader.readline()
            text = collecting.take(line.decode("ascii", "replace"))
            tell(f"a key part came: {text}")
        except PartRefused as refused:
            word, text = REFUSED, str(refused)
            tell(f"a key part was refused: {text}")
        except (TimeoutError, ValueError):
            word, text = REFUSED, "no whole line came"
        if collecting.root is not None:
            word = OPENED
            done.set()
        writer.write(f"{word} {text}\n".encode())
        writer.close()

    server = await asyncio.start_unix_server(hear, path, limit=LINE_BYTES_MAX)
    path.chmod(0o600)
    tell(f"waiting for {parts} key parts; each custodian runs `tollhouse vault key unlock`")
    try:
        await done.wait()
        await asyncio.sleep(0)  # the last answer leaves
    finally:
        server.close()
        path.unlink(missing_ok=True)
    assert collecting.root is not None
    return collecting.root


async def send_part(home: Path, line: str) -> list[Reply]:
    """Give a part to every process of this home that waits for one."""
    replies = []
    for path in sorted((home / FOLDER).glob("*.sock")):
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its process is dead
            continue
        except FileNotFoundError:
            continue
        writer.write(line.strip().encode() + b"\n")
        word, _, text = (await reader.readline()).decode().strip().partition(" ")
        writer.close()
        replies.append(Reply(path.stem, word or REFUSED, text or "it ended without an answer"))
    return replies
