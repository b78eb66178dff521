"""`tollhouse widget check --har`: what a browser recorded, compared with the inventory."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.widget_host import (
    PAYER_LINK,
    SHOP,
    TOKEN,
    Answered,
    WidgetHost,
    end,
    entry,
    make_build,
    make_har,
    recorded,
    version_of,
)
from tollhouse.api.widget.door import FRAME_PREFIX, HOSTED_PREFIX
from tollhouse.cli.failure import Failure
from tollhouse.cli.inventory import digest

POLICY = "Content-Security-Policy"


@pytest.fixture
def host(tmp_path: Path) -> WidgetHost:
    """A host where all is as it must be."""
    return WidgetHost(make_build(tmp_path / "built")).fill()


def test_clean_recording(host: WidgetHost) -> None:
    """A visit to a shop with scripts of its own is clean: the shop's page is the shop's."""
    assert recorded(host, host.visit()) == []
    assert recorded(host, host.visit(), "--origin", SHOP) == []


def test_recordings_of_our_pages(host: WidgetHost) -> None:
    """The hosted page and the payer's page of 3-D Secure, with the issuer's pages after it, are clean."""
    hosted, threeds = HOSTED_PREFIX + TOKEN, f"/3ds/{PAYER_LINK}"
    issuer = entry("https://acs.example/challenge", "<script>1</script>", kind="document", asked_by=host.url + threeds)
    script = entry("https://acs.example/a.js", "1", kind="script", asked_by="https://acs.example/challenge")
    assert recorded(host, [host.entry(hosted), *host.visit()[2:], host.entry(threeds), issuer, script]) == []


def test_way_back_from_the_hosted_page(host: WidgetHost) -> None:
    """Where the hosted page leads its payer, the shop's page is the shop's again."""
    thanks = entry(f"{SHOP}/thanks", "<script src='https://tags.example/t.js'></script>", kind="document")
    thanks["_initiator"] = {"type": "script", "stack": {"callFrames": [{"url": host.url + host.path("hosted.js")}]}}
    tags = entry("https://tags.example/t.js", "1", kind="script")
    assert recorded(host, [host.entry(HOSTED_PREFIX + TOKEN), *host.visit()[2:], thanks, tags]) == []


def test_changed_script_in_a_recording(host: WidgetHost) -> None:
    """A script is compared byte for byte, as text or as base64."""
    visit = host.visit()
    content = visit[5]["response"]["content"]
    assert recorded(host, [*visit]) == []
    content["text"] = base64.b64encode(content["text"].encode()).decode()
    content["encoding"] = "base64"
    assert recorded(host, [*visit]) == []
    content["text"] = base64.b64encode(b"steal()").decode()
    (found,) = recorded(host, visit)
    assert (found["what"], found["found"]) == ("changed file", digest("sha384", b"steal()"))
    assert found["where"] == "visit.har #6"


def _foreign(host: WidgetHost) -> list[dict[str, Any]]:
    return [
        *host.visit(),
        entry("https://evil.example/x.gif?n=4242", "", kind="image", asked_by=host.url + FRAME_PREFIX + TOKEN),
    ]


def _foreign_by_script(host: WidgetHost) -> list[dict[str, Any]]:
    sent = entry("https://evil.example/take", "", kind="fetch")
    sent["_initiator"] = {"type": "script", "stack": {"callFrames": [{"url": host.url + host.path("frame.js")}]}}
    return [*host.visit(), sent]


def _foreign_by_origin(host: WidgetHost) -> list[dict[str, Any]]:
    sent = entry("https://evil.example/take", "{}", verb="POST")
    sent["request"]["headers"] = [{"name": "Origin", "value": host.url}]
    return [*host.visit(), sent]


def _foreign_in_frame(host: WidgetHost) -> list[dict[str, Any]]:
    visit = host.visit()
    sent = entry("https://evil.example/take", "{}", verb="POST", kind="fetch")
    for one, frame in ((visit[0], "1"), (visit[1], "1"), (visit[4], "2"), (sent, "2")):
        one["_frameref"] = frame
    return [*visit, sent]


def _foreign_on_hosted(host: WidgetHost) -> list[dict[str, Any]]:
    return [*host.visit(), host.entry(HOSTED_PREFIX + TOKEN), entry("https://evil.example/x.js", "1", kind="script")]


@pytest.mark.parametrize(
    "make", [_foreign, _foreign_by_script, _foreign_by_origin, _foreign_in_frame, _foreign_on_hosted]
)
def test_foreign_hosts(host: WidgetHost, make: Callable[[WidgetHost], list[dict[str, Any]]]) -> None:
    """Nothing that our frame or hosted page asks for comes from elsewhere; the address is told without its query."""
    (found,) = recorded(host, make(host))
    assert (found["what"], found["found"]) == ("foreign host", "https://evil.example")
    assert "4242" not in found["url"]


def test_callbacks_of_the_shop_are_the_shops(host: WidgetHost) -> None:
    """What the shop's own code asks for when our loader calls it back is not ours."""
    beacon = entry("https://tags.example/paid", "", kind="fetch")
    frames = [{"url": f"{SHOP}/shop.js"}, {"url": host.url + host.path("payment-form.js")}]
    beacon["_initiator"] = {"type": "script", "stack": {"callFrames": frames}}
    assert recorded(host, [*host.visit(), beacon]) == []


def test_unknown_script_of_our_host(host: WidgetHost) -> None:
    """A script of our host that the inventory does not have is told, whatever its address."""
    extra = entry(f"{host.url}/more.js", "1", {"Content-Type": "application/javascript"})
    (found,) = recorded(host, [*host.visit(), extra])
    assert (found["what"], found["found"]) == ("unknown script or style", digest("sha384", b"1"))


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        ((" 'unsafe-inline'", "script-src"), f"{POLICY}: script-src"),
        (("", "base-uri 'none'; "), f"{POLICY}: base-uri missing"),
    ],
)
def test_payers_page_in_a_recording(host: WidgetHost, edit: tuple[str, str], what: str) -> None:
    """The 3-D Secure page's policy and scripts are compared too."""
    path = f"/3ds/{PAYER_LINK}"
    added, at = edit
    page = host.answers[path]
    text = page.headers[POLICY].replace(at, f"{at}{added}" if added else "")
    host.answers[path] = page.with_header(POLICY, text)
    found = recorded(host, [*host.visit(), host.entry(path)])
    assert found
    assert found[0]["what"].startswith(what)
    assert PAYER_LINK not in json.dumps(found)
    host.answers[path] = Answered(page.body.replace(b'"use strict"', b'"use sloppy"'), page.headers)
    assert [one["what"] for one in recorded(host, [*host.visit(), host.entry(path)])] == ["unknown script in the page"]


def test_origins_that_may_show_the_form(host: WidgetHost) -> None:
    """With --origin the frame's page must name just these."""
    (found,) = recorded(host, host.visit(), "--origin", "https://other.example")
    assert found["what"] == f"{POLICY}: frame-ancestors changed"
    assert SHOP in found["found"]
    assert end(host, "check", "--origin", SHOP).exit_code == 2
    assert end(host, "check", "--har", str(host.build / "frame.js"), "--origin", "shop.example").exit_code == 2


def test_former_build_in_the_archive(host: WidgetHost) -> None:
    """A browser may have kept a page of a former build: it is known as long as the home's archive has it whole."""
    former = WidgetHost(make_build(host.build.parent / "former", "older")).fill()
    (unknown, *_) = recorded(host, former.visit())
    assert unknown["what"] == "unknown version"
    archive = host.build.parent / "widget" / version_of(former.build)
    shutil.copytree(former.build, archive)
    assert recorded(host, former.visit()) == []
    (archive / "frame.js").write_text("steal()")
    assert {one["what"] for one in recorded(host, former.visit())} == {"unknown version"}
    shutil.rmtree(archive)
    shutil.copytree(make_build(host.build.parent / "third", "third"), archive)
    assert {one["what"] for one in recorded(host, former.visit())} == {"unknown version"}


def test_recording_without_contents(host: WidgetHost) -> None:
    """What cannot be compared is a difference; what the browser had already (304) or broke off is not."""
    visit = host.visit()
    del visit[5]["response"]["content"]["text"]
    (found,) = recorded(host, visit)
    assert (found["what"], found["expected"]) == ("not in the recording", "an export with contents")
    for status in (304, 0):
        visit[5]["response"]["status"] = status
        assert recorded(host, visit) == []


def test_recording_that_proves_nothing(host: WidgetHost) -> None:
    """A recording without the form's page, or without our host, is not clean."""
    assert [one["what"] for one in recorded(host, host.visit()[:2])] == ["nothing of this host"]
    assert [one["what"] for one in recorded(host, host.visit()[:4])] == ["no page of the form"]


@pytest.mark.parametrize("text", ["", "no", "{}", '{"log":{}}', '{"log":{"entries":[{}]}}', '{"log":{"entries":[1]}}'])
def test_unreadable_recording(host: WidgetHost, text: str) -> None:
    """A file that is no HAR is one line that names it, exit code 2, and repeats nothing of it."""
    path = host.build.parent / "bad.har"
    path.write_text(text)
    ended = end(host, "check", "--har", str(path))
    assert isinstance(ended.exception, Failure)
    assert ended.exception.exit_code == 2
    assert str(ended.exception).startswith(f"{path} is no HAR: ")
    absent = end(host, "check", "--har", "absent.har").exception
    assert isinstance(absent, Failure)
    assert (str(absent), absent.exit_code) == ("absent.har cannot be read: No such file or directory", 2)


@pytest.mark.parametrize("member", ["url", "text"])
def test_broken_entry(host: WidgetHost, member: str) -> None:
    """An entry whose address or content cannot be read is named, exit code 2."""
    visit = host.visit()
    if member == "url":
        visit[2]["request"]["url"] = "http://[bad"
    else:
        visit[2]["response"]["content"] = {"text": "no base64!", "encoding": "base64"}
    visit[3]["_initiator"] = {"type": "parser", "url": "http://[bad"}
    ended = end(host, "check", "--har", str(make_har(host.build.parent / "bad.har", visit)))
    assert isinstance(ended.exception, Failure)
    assert ended.exception.exit_code == 2
    assert str(ended.exception).startswith("bad.har #3: its ")


def test_what_payers_typed_is_not_told(host: WidgetHost) -> None:
    """A recording holds what was typed and the public token; neither is in what a check prints."""
    visit = host.visit()
    visit[7]["request"]["postData"] = {"text": '{"card":{"number":"4000120000000008"}}'}
    visit.append(host.entry(HOSTED_PREFIX + TOKEN))
    visit[-1]["response"]["headers"] = []
    path = make_har(host.build.parent / "visit.har", visit)
    for words in ((), ("--json",)):
        ended = end(host, "check", "--har", str(path), *words)
        assert ended.exit_code == 1
        assert f"/pay/{TOKEN[:6]}" in ended.output
        assert TOKEN not in ended.output.replace(FRAME_PREFIX + TOKEN, "")
        assert "4000120000000008" not in ended.output
