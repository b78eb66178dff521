"""The widget's files: the newest, those of the present build, those of former ones, and no others."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.client import Shop
from tests.api.widget_site import fake_assets, read, write_build
from tests.worlds import FakeLog
from tollhouse.api.widget.assets import LOADER, NAMES, NOT_BUILT, Assets

OpenShop = Callable[..., Shop]
SCRIPT = "text/javascript; charset=utf-8"
MEDIA_TYPES = {"payment-form.js": SCRIPT, "tollhouse.mjs": SCRIPT, "payment-form.css": "text/css"}


def warnings(log: FakeLog) -> list[tuple[str, str]]:
    """What was warned of, with the reason."""
    return [(event, fields.get("why", "")) for level, event, fields in log.lines if level == "warning"]


@pytest.mark.parametrize("name", MEDIA_TYPES)
async def test_the_newest(open_shop: OpenShop, tmp_path: Path, name: str) -> None:
    """Short to keep, and open to any page, so that integrity can be checked there."""
    shop = open_shop(assets=fake_assets(tmp_path))
    got = await read(shop, f"/{name}")
    assert (got.status, got.body) == (200, (tmp_path / "built-first" / name).read_bytes())
    assert got.headers["content-type"] == MEDIA_TYPES[name]
    assert got.headers["cache-control"] == "public, max-age=300"
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in got.headers
    head = await read(shop, f"/{name}", verb="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(got.body)))


async def test_what_the_browser_has_kept_is_not_sent_again(open_shop: OpenShop, tmp_path: Path) -> None:
    """304 without a body, a length or a type while the file is the same; another build has another tag."""
    shop = open_shop(assets=fake_assets(tmp_path))
    tag = (await read(shop, f"/{LOADER}")).headers["etag"]
    for kept in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        got = await read(shop, f"/{LOADER}", if_none_match=kept)
        assert (got.status, got.body, got.headers["etag"]) == (304, b"", tag)
        assert got.headers["cache-control"] == "public, max-age=300"
        assert {"content-length", "content-type"}.isdisjoint(got.headers)
    assert (await read(shop, f"/{LOADER}", if_none_match='"other"')).status == 200
    later = open_shop(assets=fake_assets(tmp_path, says="second"))
    assert (await read(later, f"/{LOADER}", if_none_match=tag)).status == 200


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip, deflate, br", True), ("br;q=1.0, GZIP;q=0.8", True), ("br", False), ("gzip;q=0", False), ("", False)],
)
async def test_files_are_packed(open_shop: OpenShop, tmp_path: Path, accepted: str, is_packed: bool) -> None:
    """By gzip where the browser unpacks it; the bytes are the same after that."""
    shop = open_shop(assets=fake_assets(tmp_path))
    got = await read(shop, f"/{LOADER}", accept_encoding=accepted)
    body = gzip.decompress(got.body) if is_packed else got.body
    assert got.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert body == (tmp_path / "built-first" / LOADER).read_bytes()


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_a_version_is_for_ever(open_shop: OpenShop, tmp_path: Path, name: str) -> None:
    """Every file of the build under its version, to be kept for a year."""
    version = write_build(tmp_path / "built")
    shop = open_shop(assets=Assets.open(tmp_path / "built", tmp_path / "archive", FakeLog()))
    got = await read(shop, f"/widget/{version}/{name}")
    assert (got.status, got.body) == (200, (tmp_path / "built" / name).read_bytes())
    assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_former_versions_stay(open_shop: OpenShop, tmp_path: Path) -> None:
    """What this home has served once it serves for ever, also when the present build is not there."""
    version = write_build(tmp_path / "built-first", says="first")
    first = (tmp_path / "built-first" / LOADER).read_bytes()
    fake_assets(tmp_path)
    for assets in (
        fake_assets(tmp_path, says="second"),
        Assets.open(tmp_path / "nowhere", tmp_path / "archive", FakeLog()),
    ):
        got = await read(open_shop(assets=assets), f"/widget/{version}/{LOADER}", accept_encoding="gzip")
        assert (got.status, gzip.decompress(got.body)) == (200, first)
        assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert [path.name for path in (tmp_path / "archive" / version).iterdir() if path.name.startswith(".")] == []


async def test_a_damaged_file_is_not_served(open_shop: OpenShop, tmp_path: Path) -> None:
    """Nor one whose inventory is gone, unreadable, or of another version; the log says so."""
    log = FakeLog()
    version = write_build(tmp_path / "built-first", says="first")
    fake_assets(tmp_path)
    shop = open_shop(assets=fake_assets(tmp_path, says="second", log=log))
    archived = tmp_path / "archive" / version
    (archived / LOADER).write_bytes(b"stealCards()")
    assert (await read(shop, f"/widget/{version}/{LOADER}")).status == 404
    assert (await read(shop, f"/widget/{version}/frame.js")).status == 200
    (archived / LOADER).unlink()
    assert (await read(shop, f"/widget/{version}/{LOADER}")).status == 404
    other = archived.with_name("0123456789ab")
    archived.rename(other)
    assert (await read(shop, "/widget/0123456789ab/frame.js")).status == 404
    (other / "inventory.json").write_text("{}")
    assert (await read(shop, "/widget/0123456789ab/frame.js")).status == 404
    told = "a file of the widget's archive is damaged"
    assert warnings(log) == [
        (told, "payment-form.js is not what inventory.json says"),
        (told, "payment-form.js cannot be read: No such file or directory"),
        (told, "inventory.json is that of another version"),
        (told, "inventory.json has not the form of an inventory"),
    ]


def test_the_archive_heals(tmp_path: Path) -> None:
    """What is damaged of the present build's copy is written anew at the next start."""
    version = write_build(tmp_path / "built-first")
    fake_assets(tmp_path)
    kept = tmp_path / "archive" / version / LOADER
    sound = kept.read_bytes()
    kept.write_bytes(b"half")
    fake_assets(tmp_path)
    assert kept.read_bytes() == sound


async def test_a_home_that_cannot_be_written(open_shop: OpenShop, tmp_path: Path) -> None:
    """The widget works all the same, and the log says that nothing is archived."""
    log = FakeLog()
    (tmp_path / "archive").write_text("a file where the folder would be")
    shop = open_shop(assets=fake_assets(tmp_path, log=log))
    assert (await read(shop, f"/{LOADER}")).status == 200
    assert (await read(shop, f"/widget/0123456789ab/{LOADER}")).status == 404
    assert warnings(log) == [("the widget's files cannot be archived", "Not a directory")]


@pytest.mark.parametrize(
    "path",
    [
        "/widget/0123456789ab/payment-form.js",
        "/widget/{version}/inventory.json",
        "/widget/{version}/",
        "/widget/{version}/../payment-form.js",
        "/widget/{version}/..",
        "/widget/{version}/%2e%2e/inventory.json",
        "/widget/{version}/frame.js/",
        "/widget/{version}/frame.js\x00",
        "/widget/../archive/frame.js",
        "/widget/",
        "/payment-form.js/",
        "/frame.js",
    ],
)
async def test_no_other_file(open_shop: OpenShop, tmp_path: Path, path: str) -> None:
    """Nothing outside the build can be named, and nothing of it but its files."""
    version = write_build(tmp_path / "built-first")
    shop = open_shop(assets=fake_assets(tmp_path))
    got = await read(shop, path.replace("{version}", version))
    assert (got.status, got.code) == (404, "method_not_found")


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_files_are_read_and_nothing_else(open_shop: OpenShop, tmp_path: Path, verb: str) -> None:
    """405, and the answer names what is allowed."""
    version = write_build(tmp_path / "built-first")
    shop = open_shop(assets=fake_assets(tmp_path))
    for path in (f"/{LOADER}", f"/widget/{version}/{LOADER}"):
        got = await read(shop, path, verb=verb)
        assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")


async def test_without_a_build(open_shop: OpenShop, tmp_path: Path) -> None:
    """The gateway starts and says what to do; only the widget's addresses are unavailable."""
    log = FakeLog()
    shop = open_shop(assets=Assets.open(tmp_path / "built", None, log))
    assert [event for _, event, _ in log.lines] == [NOT_BUILT]
    for path in (f"/{LOADER}", f"/widget/0123456789ab/{LOADER}", f"/widget/v1/frame/{'0' * 64}", f"/pay/{'0' * 64}"):
        got = await read(shop, path)
        assert (got.status, got.body) == (503, b"the widget is not built: run make widget\n")
        assert got.headers["content-type"] == "text/plain; charset=utf-8"
        assert got.headers["cache-control"] == "no-store"
    assert (await read(shop, "/healthz")).status == 200


@pytest.mark.parametrize("damage", ["changed", "missing", "lacking", "garbled"])
async def test_a_damaged_build_is_none(open_shop: OpenShop, tmp_path: Path, damage: str) -> None:
    """A build that is half there or was changed by hand is not served at all."""
    log, built = FakeLog(), tmp_path / "built"
    write_build(built)
    inventory = built / "inventory.json"
    match damage:
        case "changed":
            (built / "frame.js").write_bytes(b"stealCards()")
        case "missing":
            (built / "frame.js").unlink()
        case "lacking":
            inventory.write_text(inventory.read_text().replace('"frame.js"', '"other.js"'))
            (built / "frame.js").rename(built / "other.js")
        case _:
            inventory.write_text('{"version":"../../etc/pa","files":[]}')
    shop = open_shop(assets=Assets.open(built, tmp_path / "archive", log))
    assert (await read(shop, f"/{LOADER}")).status == 503
    ((event, why),) = warnings(log)
    assert event == "the widget's build is damaged: run make widget"
    assert ("inventory.json" if damage == "garbled" else "frame.js") in why
    assert not (tmp_path / "archive").exists()
