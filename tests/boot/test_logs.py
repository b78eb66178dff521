"""Logs: whatever is logged, by whoever, holds no card number."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.card import luhn_digit
from tollhouse.masking import mask_cards

PAN = "4242424242424242"
MASKED = "424242******4242"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PAN, MASKED),
        ("card 4242 4242 4242 4242 declined", f"card {MASKED} declined"),
        ("4242-4242-4242-4242", MASKED),
        ("4242  4242\u00a04242\u20114242", MASKED),
        ("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "424242**********"),  # 14 of them would be one, too
        (f"{PAN} 006", "424242*************"),  # and here 19
        (f"{PAN} 12 29 123", f"{MASKED} 12 29 123"),
        (f"{PAN}-123", f"{MASKED}-123"),
        (f"1 {PAN}", f"1 {MASKED}"),
        (f"1700000000 {PAN} {PAN}", f"1700000000 {MASKED} {MASKED}"),
        (f"pan={PAN}&cvv=123", f"pan={MASKED}&cvv=123"),
        ("378282246310005", "378282*****0005"),
        ("4222222222222", "422222***2222"),
        ("6304000000000000000 6799990100000000019", "6304000000000000000 679999*********0019"),
    ],
)
def test_pans_are_masked(text: str, shown: str) -> None:
    """First six and last four digits stay, also where the number is grouped or has neighbours."""
    assert mask_cards(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",  # wrong check digit
        "1234567812345670",  # no scheme's range
        "42424242424242421234",  # 20 digits in one piece: our own ids
        "424242424242",  # too short
        "2026-11-22T13:46:18.852257Z",
        "1700000000000",
        "amount=2590 port=8400",
    ],
)
def test_other_digits_stay(text: str) -> None:
    """What is no card number is shown as it is."""
    assert mask_cards(text) == text


@given(
    st.sampled_from(["4", "51", "37", "6011", "3528"]),
    st.integers(13, 19),
    st.data(),
)
def test_any_pan_is_masked(start: str, length: int, data: st.DataObject) -> None:
    """Every number of a scheme's range with a right check digit is masked, however it is grouped."""
    body = start + data.draw(st.text("0123456789", min_size=length - len(start) - 1, max_size=length - len(start) - 1))
    digits = body + luhn_digit(body)
    gaps = data.draw(st.lists(st.sampled_from(["", " ", "-"]), min_size=len(digits), max_size=len(digits)))
    text = "".join(digit + gap for digit, gap in zip(digits, gaps, strict=True))
    assert digits not in mask_cards(text).replace(" ", "").replace("-", "")
    assert "*" in mask_cards(text)


EVERY_WAY = f"""
import asyncio, logging, sys, threading, warnings
import structlog
from tollhouse.boot.logs import set_up_logs
set_up_logs("info", sys.argv[1])
class Thing:
    def __repr__(self): return "Thing({PAN})"
log = structlog.get_logger()
log.info("event {PAN}", field="{PAN}", number={PAN}, nested={{"{PAN}": [("{PAN}",), b"{PAN}"]}}, thing=Thing())
log.debug("too quiet")
try:
    raise ValueError("{PAN}")
except ValueError:
    log.exception("failed")
    logging.getLogger("asyncio").exception("failed")
for name in ("uvicorn.error", "uvicorn.access", "aiohttp.server", "asyncio", "somebody"):
    logging.getLogger(name).warning("line %s", "{PAN}", extra={{"card": "{PAN}"}})
warnings.warn("warned {PAN}")
thread = threading.Thread(target=lambda: int("{PAN} x"))
thread.start(); thread.join()
async def forgotten():
    asyncio.get_running_loop().call_soon(lambda: int("{PAN} y"))
    await asyncio.sleep(0.01)
asyncio.run(forgotten())
raise RuntimeError("uncaught {PAN}")
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_bypasses_the_mask(log_format: str) -> None:
    """Events, fields, objects, tracebacks, other libraries, warnings and uncaught errors: all masked, all on stderr."""
    ended = subprocess.run([sys.executable, "-c", EVERY_WAY, log_format], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert PAN not in ended.stderr
    assert ended.stderr.count(MASKED) >= 20
    assert "too quiet" not in ended.stderr
    for word in ("Thing(", "warned", "uncaught", "somebody", "uvicorn.access", "aiohttp.server"):
        assert word in ended.stderr
    assert "\x1b[" not in ended.stderr
    if log_format == "json":
        lines = [json.loads(line) for line in ended.stderr.splitlines()]
        assert {"event", "level", "timestamp"} <= set.intersection(*(set(line) for line in lines))
        assert lines[0]["number"] == MASKED
