"""What settings may be: each reads the text of one, or raises `ValueError` with what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tollhouse.source import Trusted

ADDRESS_LENGTH_MAX = 200  # 3-D Secure has 256 for an address below ours
KEEPERS = ("file", "pkcs11", "transit", "components")


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Text of this pattern."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(expected)
        return text

    return read


def choice(*names: str) -> Callable[[str], str]:
    """One of these names, in small letters."""

    def read(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"expected {' or '.join(names)}")
        return text.lower()

    return read


def keepers(text: str) -> str:
    """Who keeps keys: one, or the new one and the old one."""
    names = [name.strip() for name in text.lower().split(",")]
    if not set(names) <= set(KEEPERS) or len(set(names)) != len(names):
        raise ValueError(f"expected {' or '.join(KEEPERS)}, or the new one and the old one with a comma between")
    return ",".join(names)


def port(text: str) -> int:
    """A port of TCP."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("expected a port from 1 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """A length of time."""
    try:
        length = float(text)
    except ValueError:
        length = math.nan
    if not 0 < length <= 3600:
        raise ValueError("expected a number of seconds above 0, at most 3600")
    return length


def path(text: str) -> Path:
    """A path, made absolute."""
    if "\0" in text:
        raise ValueError("expected a folder")
    return Path(text).expanduser().absolute()


def web_address(text: str) -> str:
    """An address of http or https that paths can be added to."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected an address such as https://pay.example.com")
    if len(text) > ADDRESS_LENGTH_MAX:
        raise ValueError(f"expected at most {ADDRESS_LENGTH_MAX} characters")
    return text.rstrip("/")


def database_address(text: str) -> str:
    """The address of a Postgres."""
    if urlsplit(text).scheme not in ("postgres", "postgresql"):
        raise ValueError("expected an address such as postgresql://tollhouse@db.example.com/tollhouse")
    return text


def file(text: str) -> str:
    """The path of a file, as text."""
    return str(path(text))


def days(text: str) -> int:
    """A number of days."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 3650:
        raise ValueError("expected a number of days from 1 to 3650")
    return int(text)


def key_server(text: str) -> str:
    """The address of a key server, encrypted unless it is on this machine."""
    parts = urlsplit(web_address(text))
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("expected https://, because keys go over it; http:// is for this machine alone")
    return text.rstrip("/")


def proxies(text: str) -> str:
    """Addresses and networks with commas between."""
    Trusted.parse(text)
    return text


def count(text: str) -> int:
    """How many of something."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= 100_000:
        raise ValueError("expected a number from 1 to 100000")
    return int(text)


host = matching(
    r"(?=.{1,253}$)[0-9A-Za-z_:-]{1,63}(\.[0-9A-Za-z_:-]{1,63})*\.?",
    "expected the name or the address of a machine, such as 127.0.0.1 or 0.0.0.0",
)
label = matching(r"[ -~]{1,32}", "expected at most 32 printable characters")
name = matching(r"[0-9A-Za-z._-]{1,64}", "expected at most 64 letters, digits, dots and dashes")
users = matching(r"[0-9A-Za-z._-]+( *, *[0-9A-Za-z._-]+)*", "expected names of users with commas between")
mount = matching(r"[0-9A-Za-z_-]+(/[0-9A-Za-z_-]+)*", "expected a path such as transit or team/transit")
