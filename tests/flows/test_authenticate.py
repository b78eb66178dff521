"""The payer's way through 3-D Secure, step by step, with a directory server that does as it is told."""

from __future__ import annotations

import json

import pytest

from tests.builders import (
    BROWSER,
    OFFER,
    announced,
    asked,
    awaiting_payer,
    call,
    card,
    challenged,
    driven,
    heard,
    link_of,
    succeeded,
    view_of,
    with_settings,
)
from tests.issuer import ACS_ID, ACS_URL, DS_ID, NOT_SENT, SILENT, VALUE, Turn, answering, result
from tests.worlds import PROJECT, TWO_STAGE, MemoryWorld, declined, memory_world
from tollhouse.acquirers.iso8583.fields import unpack_tags
from tollhouse.authentication import Enrolment, State, Wish
from tollhouse.flows.authenticate import Showing, ask, look, take_return, try_again
from tollhouse.flows.confirm import confirm
from tollhouse.flows.start_payment import init_payment
from tollhouse.outcome import Reason
from tollhouse.payment import Phase
from tollhouse.session import Status
from tollhouse.threeds.writing import unpack
from tollhouse.verdict import Policy

VERSIONS = ("2.2.0", "2.3.1")
NOBODY = "no-such-link-no-such-l"


# --- what the page shows ----------------------------------------------------------------------------------------------


async def test_a_link_of_nobody() -> None:
    """There is nothing to show, ask, try again or bring back."""
    world = memory_world()
    await awaiting_payer(world)
    assert await look(world, NOBODY) is None
    assert await ask(world, NOBODY, BROWSER, "U") is None
    assert await try_again(world, NOBODY) is None
    await take_return(world, NOBODY, "e30")
    assert world.directory.asked == []


async def test_the_page_begins() -> None:
    """Whose page it is, how much is paid, how long is left; nothing else is known yet."""
    world = memory_world()
    session = await awaiting_payer(world)
    view = await view_of(world, session)
    assert view.showing is Showing.BEGIN
    assert (view.merchant, view.money, view.now) == ("shop", session.payments[0].money, world.clock.now())
    assert view.deadline_at == session.payments[0].action_deadline_at
    assert view.authentication_id == session.authentications[0].id
    assert (view.method_url, view.acs_url, view.return_url, view.can_retry) == (None, None, None, False)
    assert await view_of(world, session) == view


async def test_the_method_page_comes_first() -> None:
    """Where the issuer has one: its address, and what it is given."""
    world = memory_world()
    session = await awaiting_payer(world, method_url="https://acs.test/method")
    view = await view_of(world, session)
    assert view.method_url == "https://acs.test/method"
    assert view.method_data is not None
    assert "=" not in view.method_data
    assert json.loads(unpack(view.method_data)) == {
        "threeDSServerTransID": session.authentications[0].id,
        "threeDSMethodNotificationURL": f"https://pay.test/3ds/{link_of(session)}/method",
    }


@pytest.mark.parametrize(
    ("method_url", "completion", "told"),
    [
        ("https://acs.test/method", "Y", "Y"),
        ("https://acs.test/method", "N", "N"),
        ("https://acs.test/method", "U", "U"),
        (None, "Y", "U"),
        (None, "N", "U"),
    ],
)
async def test_what_became_of_the_method_page(method_url: str | None, completion: str, told: str) -> None:
    """It is told as it was; without such a page there was nothing to complete."""
    world = memory_world()
    await asked(world, await awaiting_payer(world, method_url=method_url), completion)
    assert world.directory.asked[0]["threeDSCompInd"] == told


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_challenge_is_shown(version: str) -> None:
    """The issuer's address with one request for each window size, in the version of the card's range."""
    world = memory_world()
    session = await challenged(world, version=version)
    view = await view_of(world, session)
    assert (view.showing, view.acs_url, view.can_retry) == (Showing.CHALLENGE, ACS_URL, True)
    assert set(view.challenge_requests) == {"01", "02", "03", "04", "05"}
    for size, packed in view.challenge_requests.items():
        assert json.loads(unpack(packed)) == {
            "messageType": "CReq",
            "messageVersion": version,
            "threeDSServerTransID": session.authentications[0].id,
            "acsTransID": ACS_ID,
            "challengeWindowSize": size,
        }
    assert await view_of(world, session) == view


async def test_a_decoupled_authentication_is_shown() -> None:
    """Nothing to send the browser to; the result comes without it."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(answering("D"))
    view = await asked(world, session)
    assert (view.showing, view.acs_url, view.challenge_requests) == (Showing.DECOUPLED, None, {})
    await heard(world, result(world.directory.asked[0], "Y"))
    assert (await view_of(world, session)).showing is Showing.OVER
    assert world.session(session).status is Status.ACCEPTED


async def test_all_is_over() -> None:
    """The link is good for ever, and says only that there is nothing left to do."""
    world = memory_world()
    session = await awaiting_payer(world)
    await asked(world, session)
    view = await view_of(world, session)
    assert (view.showing, view.authentication_id, view.deadline_at, view.can_retry) == (Showing.OVER, None, None, False)
    assert (await asked(world, session)).showing is Showing.OVER
    assert len(world.directory.asked) == 1


RETURNS = [
    ("https://shop.example/back", "https://shop.example/back?session_id={id}"),
    ("https://shop.example", "https://shop.example?session_id={id}"),
    ("https://shop.example/back?a=1&b=%20x", "https://shop.example/back?a=1&b=%20x&session_id={id}"),
    ("https://shop.example/back?", "https://shop.example/back?session_id={id}"),
    ("https://shop.example/back#end?x", "https://shop.example/back?session_id={id}#end?x"),
    ("https://shop.example/back?a#end", "https://shop.example/back?a&session_id={id}#end"),
    ("https://shop.example/back?session_id=mine", "https://shop.example/back?session_id=mine"),
    ("https://shop.example/back?a=1&session_id=#x", "https://shop.example/back?a=1&session_id=#x"),
    ("https://shop.example/back?my_session_id=1", "https://shop.example/back?my_session_id=1&session_id={id}"),
    ("https://[::ffff:f:f:f]/\u043a?\u043b=\u043c", "https://[::ffff:f:f:f]/\u043a?\u043b=\u043c&session_id={id}"),
    ("http://[f]/", "http://[f]/?session_id={id}"),
]


@pytest.mark.parametrize(("return_url", "expected"), RETURNS)
async def test_the_way_back(return_url: str, expected: str) -> None:
    """The merchant's address with the session's id; what the merchant has there stays as it is."""
    world = memory_world()
    session = await awaiting_payer(world, options={"return_url": return_url})
    assert (await view_of(world, session)).return_url is None
    view = await asked(world, session)
    assert view.return_url == expected.format(id=session.id)


async def test_no_way_back() -> None:
    """Without an address the payer ends on our page."""
    world = memory_world()
    assert (await asked(world, await awaiting_payer(world))).return_url is None


async def test_a_way_back_without_anything_added() -> None:
    """With the setting `return_params` off the address is the merchant's own, also if it changes meanwhile."""
    world = memory_world()
    quiet = with_settings(PROJECT, return_params=False)
    session = await awaiting_payer(world, project=quiet, options={"return_url": "https://shop.example/back"})
    assert (await asked(world, session)).return_url == "https://shop.example/back"


# --- outcomes ---------------------------------------------------------------------------------------------------------


def proof_sent(world: MemoryWorld) -> dict[str, str]:
    """What the last message to the acquirer says of 3-D Secure."""
    return unpack_tags(world.link.sent[-1].fields.get("48", ""))


PROOF = {"42": "05", "43": VALUE, "44": DS_ID, "45": "2.2.0"}


@pytest.mark.parametrize(
    ("turn", "ends", "proof"),
    [
        (answering("Y"), Status.ACCEPTED, PROOF),
        (answering("A"), Status.ACCEPTED, {**PROOF, "42": "06"}),
        (answering("U"), Status.ACCEPTED, {"42": "07"}),
        (answering("I"), Status.ACCEPTED, {"42": "07"}),
        (SILENT, Status.ACCEPTED, {}),
        (NOT_SENT, Status.ACCEPTED, {}),
        (answering("N"), Status.CANCELLED, None),
        (answering("R"), Status.CANCELLED, None),
    ],
)
async def test_each_outcome_at_once(turn: Turn, ends: Status, proof: dict[str, str] | None) -> None:
    """The charge goes out with what was proved, or nothing is sent at all."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.directory.script.append(turn)
    assert (await asked(world, session)).showing is Showing.OVER
    assert world.session(session).status is ends
    assert announced(world, session) == ["ready_to_confirm", "action_required", "payment_finished"]
    if proof is None:
        assert world.link.sent == []
        assert world.session(session).reason is Reason.NOT_AUTHENTICATED
    else:
        assert (world.link.types, world.link.had_cvv) == (["0200"], [True])
        assert proof_sent(world) == proof
    assert world.vault.cvvs == set()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["Y", "A", "N", "U", "R"])
async def test_each_result_of_a_challenge(status: str, version: str) -> None:
    """It is answered, decides, and is driven: only what is proved is charged."""
    world = memory_world()
    session = await challenged(world, version=version)
    answer = await heard(world, result(world.directory.asked[0], status))
    assert answer == {
        "messageType": "RRes",
        "messageVersion": version,
        "threeDSServerTransID": session.authentications[0].id,
        "acsTransID": ACS_ID,
        "dsTransID": DS_ID,
        "resultsStatus": "01",
    }
    assert world.session(session).status is (Status.ACCEPTED if status in ("Y", "A") else Status.CANCELLED)
    assert len(world.link.sent) == (status in ("Y", "A"))
    if status == "Y":
        assert proof_sent(world) == {**PROOF, "45": version}


async def test_two_stages() -> None:
    """The hold carries the proof, the capture does not."""
    world = memory_world()
    session = await awaiting_payer(world, project=TWO_STAGE)
    await asked(world, session)
    assert world.session(session).payments[0].phase is Phase.HELD
    assert (world.link.types, proof_sent(world)) == (["0100"], PROOF)


async def test_a_project_that_never_asks() -> None:
    """The directory server hears nothing, the acquirer nothing of 3-D Secure."""
    world = memory_world()
    world.directory.enrolled["4242424242424242"] = Enrolment(version="2.2.0")
    never = with_settings(PROJECT, threeds=Policy.NEVER)
    session = (await init_payment(world, call(never), OFFER, card())).session
    after = await driven(world, await confirm(world, call(never), session.id))
    assert after.status is Status.ACCEPTED
    assert (world.directory.asked, proof_sent(world)) == ([], {})


async def test_a_card_that_takes_no_part() -> None:
    """Nobody can be asked, so nobody is."""
    world = memory_world()
    assert (await succeeded(world)).authentications == ()
    assert (world.directory.asked, proof_sent(world)) == ([], {})


async def test_always_wants_an_answer() -> None:
    """Under `always` silence fails the payment."""
    world = memory_world()
    session = await awaiting_payer(world, project=with_settings(PROJECT, threeds=Policy.ALWAYS))
    world.directory.script.append(SILENT)
    await asked(world, session)
    assert world.session(session).reason is Reason.NOT_AUTHENTICATED


async def test_a_soft_decline_steps_up() -> None:
    """The issuer is asked by its own mandate on the same link; the second charge has its own name and no CVV."""
    world = memory_world()
    session = await awaiting_payer(world)
    world.link.script.append(declined("1A"))
    world.directory.script += [answering("U"), answering("C")]
    await asked(world, session)
    stepped = world.session(session)
    assert stepped.payments[0].phase is Phase.AWAIT_ACTION
    assert link_of(stepped) == link_of(session)
    assert (await view_of(world, session)).authentication_id == stepped.authentications[-1].id
    await asked(world, session)
    assert [one["threeDSRequestorChallengeInd"] for one in world.directory.asked] == [
        Wish.NO_PREFERENCE.value,
        Wish.MANDATE.value,
    ]
    await heard(world, result(world.directory.asked[1], "Y"))
    assert world.session(session).status is Status.ACCEPTED
    assert world.link.types == ["0200", "0200"]
    assert world.link.had_cvv == [True, False]
    assert len({request.fields["37"] for request in world.link.sent}) == 2
    assert proof_sent(world) == PROOF
    events = ["ready_to_confirm", "action_required", "action_required", "payment_finished"]
    assert announced(world, session) == events


async def test_trying_again() -> None:
    """The page begins anew with another id; the attempt that was left is over."""
    world = memory_world()
    session = await challenged(world)
    first = session.authentications[0].id
    view = await try_again(world, link_of(session))
    assert view is not None
    assert (view.showing, view.authentication_id != first) == (Showing.BEGIN, True)
    assert world.session(session).authentication(first).state is State.LAPSED
    assert await try_again(world, link_of(session)) == view
    await asked(world, session)
    assert world.session(session).status is Status.ACCEPTED
