"""Directory server and issuer: which cards take part, what was asked of them, and what they really said.

They time out, lose requests and answers, answer twice, late, wrongly or with an error, and their results come early,
late, twice, contradictory, for strangers, or never. What they said is the truth that authorizations are held against.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests import issuer as messages
from tests.bank import APPROVED, SOFT_CODES, Claim
from tests.simulation import permits
from tests.simulation.door import hear_directory
from tests.simulation.scheduler import Box, Pause
from tests.simulation.truth import payer_of
from tollhouse.acquirers.message import NoAnswer, NotSent
from tollhouse.authentication import ANSWER_SECONDS_MAX, VERSIONS, Enrolment
from tollhouse.card import PAN
from tollhouse.threeds.translate import Inquiry
from tollhouse.threeds.writing import pack, unpack

if TYPE_CHECKING:
    from tests.simulation.world import Node, Simulation

METHOD_URL = "https://acs.test/method"
ECI = {"4": {"Y": "05", "A": "06"}, "5": {"Y": "02", "A": "01"}}  # by the card's first digit
CHALLENGE_SECONDS = 600  # so long the issuer waits for its payer
RESULT_CALLS_MAX = 4
RESULT_LATE_SECONDS = (15, 300, 3590, 3700)  # the link lives for 3600
STRANGER = "5ca1ab1e-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the issuer says of a payer, in its answer or in a result message."""

    status: str
    value: str | None = None
    cancelled: str | None = None


@dataclass(slots=True, kw_only=True)
class Case:
    """One authentication request as the issuer has it."""

    asked: Mapping[str, Any]
    pan: str
    number: int
    answer: Word
    is_opened: bool = False  # the payer's browser came to the challenge
    outcome: Word | None = None  # how the challenge ended
    heard: list[Word] = field(default_factory=list)  # words that reached the gateway as they were said

    @property
    def server_id(self) -> str:
        """The gateway's id."""
        return str(self.asked["threeDSServerTransID"])

    @property
    def ds_id(self) -> str:
        """The directory server's."""
        return f"d5000000-0000-4000-8000-{self.number:012d}"

    @property
    def acs_id(self) -> str:
        """The issuer's."""
        return f"acc00000-0000-4000-8000-{self.number:012d}"

    def eci_of(self, word: Word) -> str | None:
        """As this card's scheme spells the word."""
        return ECI[self.pan[0]].get(word.status)

    def word(self, status: str, *, cancelled: str | None = None) -> Word:
        """A word of this case, with its value if it vouches for the payer."""
        digest = hashlib.sha1(f"{self.ds_id} {self.pan} {status}".encode(), usedforsecurity=False).digest()
        value = base64.b64encode(digest).decode() if status in ("Y", "A") else None
        return Word(status=status, value=value, cancelled=cancelled)

    def members_of(self, word: Word) -> dict[str, Any]:
        """What its messages say of a word, and under which ids."""
        members = {"acsTransID": self.acs_id, "dsTransID": self.ds_id}
        return members if word.value is None else {**members, "authenticationValue": word.value}

    def answer_bytes(self, word: Word) -> bytes:
        """The ARes."""
        turn = messages.answering(word.status, eci=self.eci_of(word))
        return json.dumps({**messages.answer(self.asked, turn), **self.members_of(word)}).encode()

    def result_bytes(self, word: Word, **changed: Any) -> bytes:
        """The RReq."""
        members = self.members_of(word)
        if word.value is not None:
            members["eci"] = self.eci_of(word)
        return messages.result(self.asked, word.status, cancelled=word.cancelled, **{**members, **changed})

    def return_text(self, status: str) -> str:
        """The CRes that the browser brings back, packed."""
        return pack(
            {
                "messageType": "CRes",
                "messageVersion": self.asked["messageVersion"],
                "threeDSServerTransID": self.server_id,
                "acsTransID": self.acs_id,
                "transStatus": status,
            }
        )


class Directory:
    """`ports.Directory` of one node."""

    def __init__(self, simulation: Simulation, node: Node) -> None:
        self._simulation = simulation
        self._node = node
        self.knows_ranges = True

    def find_enrolment(self, pan: PAN) -> Enrolment | None:
        """By the whole number."""
        return self._simulation.issuer.enrolled.get(pan.reveal())

    async def ask(self, inquiry: Inquiry) -> bytes:
        """As `ports.Directory` promises."""
        simulation = self._simulation
        await Pause(0.005)
        if simulation.chance("directory_away"):
            raise NotSent("connection refused")
        server_id = inquiry.message["threeDSServerTransID"]
        permits.at_asking(simulation, self._node, server_id, inquiry.message["notificationURL"])
        box, left_at = Box(simulation.scheduler), simulation.scheduler.now
        simulation.issuer.take(inquiry, box)
        answered = await box.take(within_seconds=ANSWER_SECONDS_MAX)
        if answered is None:
            raise NoAnswer("no answer within 12 s")
        case, body = answered
        if case is not None:
            case.heard.append(case.answer)
            simulation.issuer.told[self._node.name, server_id] = (left_at, case.answer)
        assert isinstance(body, bytes)
        return body

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Nothing comes of it."""
        assert message["messageType"] == "Erro"
        await Pause(0.005)


class Issuer:
    """Both of them, and `bank.Issuer`."""

    def __init__(self, simulation: Simulation) -> None:
        self.enrolled: dict[str, Enrolment] = {}
        self.strict: set[str] = set()  # cards that are declined softly unless their payer is authenticated
        self.cases: dict[str, list[Case]] = {}  # by the gateway's id
        self.asked: Counter[str] = Counter()  # requests that left, by the payer's link
        self.asked_since: dict[str, float] = {}  # when it was committed that it is asked
        self.told: dict[tuple[str, str], tuple[float, Word]] = {}  # when a node asked, and what it was answered
        self.broken_off: set[str] = set()  # told by an error message, server to server
        self.pending = 0
        self._simulation = simulation
        self._by_acs_id: dict[str, Case] = {}

    def issue(self, pan: str) -> None:
        """A card, which takes part or does not."""
        random = self._simulation.random
        if random.random() < 0.2:
            return
        url = METHOD_URL if random.random() < 0.5 else None
        self.enrolled[pan] = Enrolment(version=random.choice(VERSIONS), method_url=url)
        if random.random() < 0.5:
            self.strict.add(pan)

    def judge(self, payer: str, claim: Claim) -> str:
        """Refuses a false claim, and softly what a strict card wants proven."""
        pan = payer_of(self._simulation, payer)
        if claim.is_authenticated:
            return APPROVED if self.vouches(pan, claim) else "05"
        return APPROVED if pan not in self.strict else SOFT_CODES[pan[0] != "4"]

    def vouches(self, pan: str, claim: Claim) -> bool:
        """Whether it has really said this of this card: value, directory server's id, version and ECI."""
        return any(
            (claim.value, claim.ds_transaction_id, claim.version, claim.eci)
            == (word.value, case.ds_id, case.asked["messageVersion"], case.eci_of(word))
            for case in self.cases_of(pan)
            for word in case.heard
        )

    def cases_of(self, pan: str) -> list[Case]:
        """Everything it was asked about a card."""
        return [case for cases in self.cases.values() for case in cases if case.pan == pan]

    def heard_of(self, server_id: str) -> list[Word]:
        """What has reached the gateway about one authentication."""
        return [word for case in self.cases.get(server_id, ()) for word in case.heard]

    # Requests and answers

    def take(self, inquiry: Inquiry, box: Box) -> None:
        """A request has left."""
        simulation = self._simulation
        if simulation.chance("result_strange"):
            self._later(simulation.random.uniform(0, 3), self._forge, inquiry.message)
        if simulation.chance("inquiry_lost"):
            simulation.record(None, f"    the AReq {inquiry.message['threeDSServerTransID']} is lost")
            return
        for _ in range(2 if simulation.chance("inquiry_twice") else 1):
            slow = simulation.chance("inquiry_slow")
            delay = simulation.random.uniform(8, 40) if slow else simulation.random.uniform(0.05, 1)
            self._later(delay, self._answer, inquiry, box)

    async def _answer(self, inquiry: Inquiry, box: Box) -> None:
        simulation = self._simulation
        case = self._open(inquiry)
        simulation.record(None, f"    issuer: AReq {case.server_id} is answered {case.answer.status}")
        match case.answer.status:
            case "C":
                self._later(CHALLENGE_SECONDS, self._give_up, case)
            case "D":
                is_early = simulation.chance("result_early")
                self._later(0.0 if is_early else simulation.random.uniform(2, 400), self._decide_alone, case)
                await Pause(1.0 if is_early else 0.0)
            case _:
                pass
        if simulation.chance("inquiry_lost"):
            return
        if simulation.chance("answer_broken"):
            box.put((None, self._broken(case)))
            return
        box.put((case, case.answer_bytes(case.answer)))

    def _open(self, inquiry: Inquiry) -> Case:
        simulation, asked = self._simulation, inquiry.message
        number = len(self._by_acs_id) + 1
        pan = payer_of(simulation, inquiry.card.card_token)
        case = Case(asked=asked, pan=pan, number=number, answer=Word(status=""))
        case.answer = case.word(self._first_word(asked["threeDSRequestorChallengeInd"] in ("04", ["04"])))
        self.cases.setdefault(case.server_id, []).append(case)
        self._by_acs_id[case.acs_id] = case
        simulation.tally["authentications"] += 1
        simulation.tally["challenges"] += case.answer.status in ("C", "D")
        return case

    def _first_word(self, is_mandated: bool) -> str:
        random = self._simulation.random
        if self._simulation.chance("issuer_refuses"):
            return random.choice(("N", "R", "U", "U", "I"))
        return random.choice(("C", "C", "C", "Y", "A") if is_mandated else ("Y", "Y", "A", "C", "C", "C", "D"))

    def _broken(self, case: Case) -> bytes:
        """An answer that is none: not JSON, an error, another's, or one that breaks the table."""
        random = self._simulation.random
        members = json.loads(case.answer_bytes(case.answer))
        others = [other for cases in self.cases.values() for other in cases if other.server_id != case.server_id]
        match random.choice(("no json", "error", "another's", "another's", "incomplete", "wrong", "no value", "new")):
            case "no json":
                return b"<html>Bad Gateway</html>"
            case "error":
                return self._error_bytes(case)
            case "another's" if others:
                other = random.choice(others)
                return other.answer_bytes(other.answer)
            case "incomplete":
                del members[random.choice(("dsTransID", "acsTransID", "transStatus", "messageVersion"))]
            case "no value":
                members |= {"transStatus": "Y"}
                members.pop("authenticationValue", None)
            case "new":  # a payment confirmed by the browser itself: known to the table and not to us
                members = {**members, "messageVersion": "2.3.1", "transStatus": "S", "spcTransData": {"a": "b"}}
                members["webAuthnCredList"] = [{"a": "b"}]
            case _:
                members["transStatus"] = "X"
        return json.dumps(members).encode()

    def _error_bytes(self, case: Case) -> bytes:
        error = {"errorCode": "403", "errorComponent": "D", "errorDescription": "failure", "errorDetail": "timeout"}
        named = {"threeDSServerTransID": case.server_id, "messageVersion": case.asked["messageVersion"]}
        ids = {"dsTransID": case.ds_id, "acsTransID": case.acs_id}
        return json.dumps({"messageType": "Erro", **named, **ids, **error}).encode()

    # Challenges and results

    async def challenge(self, request: str, will: str, seconds: float) -> str | None:
        """The browser brings a CReq; the payer passes, fails or cancels, or leaves. What the browser takes back."""
        members = json.loads(unpack(request))
        case = self._by_acs_id[members["acsTransID"]]
        case.is_opened = case.is_opened or case.outcome is None
        await Pause(seconds)
        if will == "leave":
            return None
        if case.outcome is None:
            word = {"pass": case.word("Y"), "fail": case.word("N"), "cancel": case.word("N", cancelled="01")}[will]
            self._conclude(case, word)
        assert case.outcome is not None
        return case.return_text("Y" if case.outcome.status in ("Y", "A") else "N")

    def forged_return(self, request: str) -> str:
        """What a payer may bring who would like to have passed."""
        return self._by_acs_id[json.loads(unpack(request))["acsTransID"]].return_text("Y")

    async def _give_up(self, case: Case) -> None:
        if case.outcome is None:
            status = self._simulation.random.choice(("N", "U"))
            self._conclude(case, case.word(status, cancelled="04" if case.is_opened else "05"))

    async def _decide_alone(self, case: Case) -> None:
        """The issuer asks the payer by its own means."""
        simulation = self._simulation
        case.is_opened = True
        if simulation.chance("payer_wanders"):
            self._conclude(case, simulation.random.choice((case.word("N"), case.word("U", cancelled="03"))))
        else:
            self._conclude(case, case.word("Y"))

    def _conclude(self, case: Case, word: Word) -> None:
        """How it ended, and the messages that say so."""
        simulation, random = self._simulation, self._simulation.random
        case.outcome = word
        simulation.tally["challenges passed"] += word.status == "Y"
        simulation.record(None, f"    issuer: {case.server_id} ends with {word.status} {word.cancelled or ''}")
        words = [word]
        if simulation.chance("result_twice"):
            words.append(word)
        if simulation.chance("result_contradicts"):
            words.append(case.word("N" if word.status == "Y" else "Y"))
        random.shuffle(words)
        for one in words:
            if simulation.chance("result_lost"):
                continue
            is_late = simulation.chance("result_late")
            delay = random.choice(RESULT_LATE_SECONDS) if is_late else random.uniform(0.02, 2)
            self._later(delay, self._bring, case, one, case.result_bytes(one))
        if simulation.chance("result_strange"):
            self._later(random.uniform(0, 3), self._bring_strange, case, word)

    async def _bring(self, case: Case, word: Word, body: bytes) -> None:
        """Call until it is answered; an answer may be lost, and it is called again."""
        simulation = self._simulation
        for _ in range(RESULT_CALLS_MAX):
            case.heard.append(word)
            answer = await self._post(body)
            simulation.record(None, f"    issuer: RReq {case.server_id} {word.status} is answered {answer}")
            if answer in ("RRes", "Erro") and not simulation.chance("result_twice"):
                return
            await Pause(simulation.random.uniform(1, 20))

    async def _bring_strange(self, case: Case, word: Word) -> None:
        """A result for nothing of the gateway's, under other ids, or an error in its place."""
        random = self._simulation.random
        match random.choice(("stranger", "other ids", "error")):
            case "stranger":
                answer = await self._post(case.result_bytes(word, threeDSServerTransID=STRANGER))
                permits.at_strange_result(self._simulation, answer)
            case "other ids" if permits.is_answer_known(self._simulation, case.server_id):
                answer = await self._post(case.result_bytes(case.word("Y"), dsTransID=STRANGER))
                permits.at_strange_result(self._simulation, answer)
            case _:
                self.broken_off.add(case.server_id)
                await self._post(self._error_bytes(case))

    async def _forge(self, asked: Mapping[str, Any]) -> None:
        """The payer plays the directory server, knowing what browsers know: success, or an error that helps."""
        error = {"messageType": "Erro", "errorCode": "403", "errorComponent": "D", "errorDescription": "failure"}
        named = {name: asked[name] for name in ("threeDSServerTransID", "messageVersion")}
        broken_off = json.dumps({**error, **named, "errorDetail": "timeout"}).encode()
        passed = messages.result(asked, "Y", dsTransID=STRANGER)
        answer = await self._post(self._simulation.random.choice((passed, broken_off)))
        permits.at_strange_result(self._simulation, answer)

    async def _post(self, body: bytes) -> str | None:
        simulation = self._simulation
        node, box = simulation.any_node(), Box(simulation.scheduler)
        node.start("results", hear_directory, node, body, box)
        answer = await box.take(within_seconds=15)
        return answer if answer is None else str(json.loads(answer).get("messageType", ""))

    def _later(self, delay: float, what: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        async def run() -> None:
            await what(*arguments)
            self.pending -= 1

        self.pending += 1
        self._simulation.scheduler.spawn("issuer", run(), after=delay)
