"""Key files: made once and whole, refused when they are not as they must be; wrapping binds place and version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from tests.vault.samples import file_keys
from tollhouse.vault.box import CannotOpen, new_key
from tollhouse.vault.fingerprints import Fingerprints
from tollhouse.vault.key_file import FORMAT, open_key_file
from tollhouse.vault.keys import FINGERPRINT, KEK, KeysRefused, Wrapped


def written(path: Path, content: object, *, mode: int = 0o600) -> Path:
    """A key file with this content."""
    path.write_text(json.dumps(content))
    path.chmod(mode)
    return path.parent


def test_a_first_use_makes_a_private_file(tmp_path: Path) -> None:
    """The file is 0600 in a 0700 folder, holds 32 random bytes, and leaves no draft behind."""
    keys = open_key_file(tmp_path / "home" / "keys", KEK)
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys.path.parent.iterdir()] == ["kek.json"]
    assert len(keys.key(1)) == 32


def test_later_uses_find_the_same_key(tmp_path: Path) -> None:
    """Opening again changes nothing; the two purposes have different keys."""
    first = open_key_file(tmp_path, KEK)
    assert open_key_file(tmp_path, KEK).key(1) == first.key(1)
    assert open_key_file(tmp_path, FINGERPRINT).key(1) != first.key(1)


def test_processes_starting_at_once_agree(tmp_path: Path) -> None:
    """Many processes make the file at the same moment: one key wins for all."""
    code = (
        "import sys, pathlib; from tollhouse.vault.key_file import *; sys.stdin.read(1);"
        "print(open_key_file(pathlib.Path(sys.argv[1]), KEK).check_values()[1].hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "keys")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    assert len({process.communicate()[0] for process in started}) == 1
    assert all(process.returncode == 0 for process in started)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644])
def test_a_file_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right for group or others is refused in one line that names the cure."""
    path = open_key_file(tmp_path, KEK).path
    path.chmod(mode)
    with pytest.raises(KeysRefused) as refusal:
        open_key_file(tmp_path, KEK)
    assert f"chmod 600 {path}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_wrong_length_is_refused(tmp_path: Path, length: int) -> None:
    """Keys are 32 bytes; the line tells which version is not, and never shows the key."""
    key = b64encode(os.urandom(length)).decode()
    folder = written(tmp_path / "kek.json", {"format": FORMAT, "current": 1, "keys": {"1": key}})
    with pytest.raises(KeysRefused, match=f"key version 1 has {length} bytes, not 32") as refusal:
        open_key_file(folder, KEK)
    assert not key or key not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"format": FORMAT, "current": 1, "keys": {"1": "not base64!"}},
        {"format": FORMAT, "current": 1, "keys": {"one": b64encode(bytes(32)).decode()}},
        {"format": FORMAT, "current": 2, "keys": {"1": b64encode(bytes(32)).decode()}},
        {"format": "tollhouse-keys-2", "current": 1, "keys": {"1": b64encode(bytes(32)).decode()}},
        [1, 2],
    ],
)
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, content: object) -> None:
    """A damaged file is refused and left as it is; nothing replaces it silently."""
    folder = written(tmp_path / "kek.json", content)
    with pytest.raises(KeysRefused, match="restore"):
        open_key_file(folder, KEK)
    assert json.loads((folder / "kek.json").read_text()) == content


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A file cut to nothing is not taken for a first use."""
    (tmp_path / "kek.json").touch(0o600)
    with pytest.raises(KeysRefused):
        open_key_file(tmp_path, KEK)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """What the system says about the file becomes one line."""
    (tmp_path / "kek.json").mkdir()
    with pytest.raises(KeysRefused, match="directory"):
        open_key_file(tmp_path, KEK)


async def test_a_key_unwraps_in_its_place_only() -> None:
    """The context given to wrap must be given to unwrap."""
    keys, data_key = file_keys(new_key()), new_key()
    wrapped = await keys.wrap(data_key, b"here")
    assert await keys.unwrap(wrapped, b"here") == data_key
    with pytest.raises(CannotOpen):
        await keys.unwrap(wrapped, b"there")


async def test_the_version_is_bound() -> None:
    """A wrapped key under another version's number does not unwrap, not even when both versions are one key."""
    key = new_key()
    keys = file_keys(key, key)
    wrapped = await keys.wrap(new_key(), b"here")
    assert wrapped.version == 2
    for version in (1, 3):
        with pytest.raises(CannotOpen):
            await keys.unwrap(Wrapped(version, wrapped.sealed), b"here")


async def test_an_old_version_still_unwraps() -> None:
    """After a new version came, what was wrapped before opens."""
    old, new, data_key = new_key(), new_key(), new_key()
    wrapped = await file_keys(old).wrap(data_key, b"here")
    assert await file_keys(old, new).unwrap(wrapped, b"here") == data_key


def test_fingerprints_are_scoped() -> None:
    """The same card has one fingerprint in a project, another in another project, another under another key."""
    one, other = Fingerprints({1: new_key()}, 1), Fingerprints({1: new_key()}, 1)
    assert one.of("a", "4242") == one.of("a", "4242")
    assert len({one.of("a", "4242"), one.of("b", "4242"), one.of("a4", "242"), other.of("a", "4242")}) == 4


def test_nothing_prints_a_key(tmp_path: Path) -> None:
    """No repr of key file, provider, fingerprints or wrapped key shows key bytes."""
    file = open_key_file(tmp_path, KEK)
    for shown in (
        repr(file),
        repr(Fingerprints({1: file.key(1)}, 1)),
        repr(file_keys(file.key(1))),
        repr(Wrapped(1, file.key(1))),
    ):
        assert repr(file.key(1)) not in shown
        assert b64encode(file.key(1)).decode() not in shown
