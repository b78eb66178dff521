"""Planted bugs. A simulation that does not catch each of them is asleep."""

from __future__ import annotations

from tests.simulation import network
from tests.simulation.forgers import FORGERS
from tests.simulation.impostors import IMPOSTORS
from tests.simulation.saboteur import Entry, Saboteur, Words, words
from tests.simulation.weather import Weather
from tollhouse import decision, draft, hearing, operation, outcome, webhook
from tollhouse.flows import deliver, drive, settle, start_payment
from tollhouse.operation import Heard, State
from tollhouse.store.memory import MemoryBooks, MemoryStore

SLEEPY = Weather(stop=0.02, commit_lost=0.05)
ALMOST_TOO_LATE = Weather(slow_link=0.6, lands_late=0.6, answer_lost=0.2)
WRONG_CLOCKS = Weather(clock_jump=0.05, slow_link=0.4)
CODES_LOST = Weather(cvvs_lost=0.5)
LATE_ANSWERS = Weather(lands_late=0.4, answer_late=0.6, stop=0.005)

SABOTEURS = (
    words(
        "sent again instead of reversed",
        "P1",
        drive._send,
        "    except NotSent:\n",
        "    except (NotSent, NoAnswer):\n",
    ),
    words(
        "sent before submitted is committed",
        "P1",
        drive._send,
        "    try:\n        done = await settle(",
        "    await world.links[payment.acquirer].exchange(request, send_before=began + 5)\n"
        "    try:\n        done = await settle(",
    ),
    words(
        "sent after the deadline",
        "P1",
        drive._send,
        "send_before=began + SEND_SECONDS_MAX",
        'send_before=float("inf")',
        SLEEPY,
    ),
    Saboteur(
        name="silence concluded while another process waits",
        promise="P1",
        lies=(
            Words(
                function=drive.drive,
                old="case ConcludeSilence() | None:",
                new="case ConcludeSilence():\n"
                "                current = await conclude_silence(world, current)\n"
                "            case None:",
            ),
        ),
        weather=WRONG_CLOCKS,
    ),
    words(
        "lease dropped while an answer is awaited",
        "P1",
        draft.Draft.change,
        "self._leaves or due_now or awaited",
        "self._leaves or due_now",
        WRONG_CLOCKS,
    ),
    words(
        "no answer taken for a decline",
        "P6",
        drive._outcome_rule,
        "    def rule(",
        "    from tollhouse.outcome import Declined, Reason\n\n"
        "    if isinstance(outcome, Unknown):\n"
        '        outcome = Declined(response_code="91", reason=Reason.ISSUER_UNAVAILABLE)\n\n'
        "    def rule(",
    ),
    words(
        "unknown to the acquirer, believed at once",
        "P6",
        hearing._left_late_enough,
        "    return not is_in_flight(",
        "    return True or is_in_flight(",
    ),
    Saboteur(
        name="unknown to the acquirer, asked before the last moment of sending",
        promise="P6",
        lies=(
            Words(
                function=hearing._left_late_enough,
                old="timedelta(seconds=SEND_SECONDS_MAX)",
                new="timedelta(seconds=0)",
            ),
            Words(
                function=hearing._reverse_anew,
                old="seconds=SEND_SECONDS_MAX + limits",
                new="seconds=limits",
            ),
        ),
        weather=ALMOST_TOO_LATE,
    ),
    words(
        "unknown to the acquirer, by the time of the hearing",
        "P6",
        hearing._hear_reversal,
        "not _left_late_enough(operation, target, limits)",
        "is_in_flight(target, draft.now, limits)",
        LATE_ANSWERS,
    ),
    words(
        "late approval ignored",
        "P7",
        hearing._contradiction,
        "case State.DECLINED | State.REVERSED if heard in approvals:",
        "case State.DECLINED | State.REVERSED if heard is None:",
    ),
    words(
        "late approval after a release ignored",
        "P7",
        hearing._contradiction,
        "case State.APPROVED if heard in approvals and draft.session.is_undone(",
        "case State.APPROVED if heard is None and draft.session.is_undone(",
    ),
    Saboteur(
        name="late approval makes a success of what was reversed",
        promise="P7",
        lies=(
            Entry(
                table=operation.UNDOABLE_TRANSITIONS,
                key=(State.REVERSED, Heard.APPROVAL),
                value=State.APPROVED,
            ),
        ),
    ),
    words(
        "decided again after a commit whose answer was lost",
        "P5",
        settle.settle,
        "            is_unclear = True\n",
        "            if session.version > 1:\n                raise Stale from None\n            is_unclear = True\n",
    ),
    words(
        "own success taken for a rival's",
        "P5",
        settle.settle,
        "if is_unclear and await",
        "if is_unclear and session.version == 1 and await",
    ),
    words(
        "lost connection taken for success",
        "P10",
        settle.settle,
        "            is_unclear = True\n",
        "            break\n",
    ),
    words(
        "no look at the version",
        "P3",
        MemoryBooks.write,
        "if session.version != (before.version if before else 0) + 1:",
        "if before is None and session.version != 1:",
    ),
    words(
        "loser of a race overwrites the winner",
        "P4",
        drive.apply,
        "            current = await world.store.find_session(session.project, session.id)\n",
        "            found = await world.store.find_session(session.project, session.id)\n"
        "            again = replace(change.session, version=found.version + 1)\n"
        "            return (await settle(world, replace(change, session=again))).session\n",
    ),
    words(
        "key remembered in a commit of its own",
        "P5",
        settle.settle_call,
        "claim=call.claim)\n    done = await settle(world, noted, answer_version=call.api_version)\n",
        "claim=None)\n    done = await settle(world, noted, answer_version=call.api_version)\n"
        "    if call.claim is not None:\n"
        "        await world.clock.sleep(0.01)\n"
        "        world.store.books.remember(call.claim, change.session)\n",
    ),
    words(
        "transfers forgotten",
        "P8",
        hearing._hear_undoable,
        "            draft.post(after)\n",
        "",
    ),
    words(
        "hold released twice in the ledger",
        "P8",
        hearing._hear_reversal,
        "if not draft.session.is_undone(target.id):",
        "if target.references is not None:",
    ),
    words(
        "event announced after the commit",
        "P9",
        settle.settle,
        "            await world.store.commit(change)\n",
        "            await world.store.commit(replace(change, events=()))\n"
        "            await world.clock.sleep(0.01)\n"
        "            world.store.books._announce(change, (session.project, session.id))\n",
    ),
    words(
        "failed attempt taken for a receipt",
        "P9",
        webhook.is_delivered,
        "return status is not None and",
        "return status is None or",
    ),
    words(
        "events sent in any order",
        "P9",
        webhook.may_send,
        "if order is WebhookOrder.NONE or",
        "if order is not None or",
    ),
    words(
        "body rendered anew for each attempt",
        "P9",
        deliver.deliver,
        "    posted = await",
        "    from dataclasses import replace\n\n"
        "    body = delivery.body + b' ' * delivery.attempts\n"
        "    claimed = replace(claimed, delivery=replace(delivery, body=body))\n"
        "    posted = await",
    ),
    words(
        "deadline overrules a decision",
        "P4",
        decision.expire,
        "if payment.phase is Phase.AWAIT_CONFIRM and _is_over(payment.decision_deadline_at, now):",
        "if payment.phase in (Phase.AWAIT_CONFIRM, Phase.CONFIRMED):",
    ),
    words(
        "refund without a limit",
        "P3",
        decision.refund,
        "if amount_minor > left or left <= 0:",
        "if amount_minor > payment.captured_minor:",
    ),
    words(
        "refused refund still counted",
        "P2",
        hearing._fail,
        "refunded_minor=payment.refunded_minor - operation.amount_minor",
        "refunded_minor=payment.refunded_minor",
    ),
    words(
        "partial approval taken for a whole one",
        "P2",
        outcome.outcome_of_code,
        "        return PartlyApproved(response_code=code)\n",
        "        return Approved(response_code=code)\n",
    ),
    words(
        "hold not released after a refused capture",
        "P2",
        hearing._hear_capture,
        "        draft.plan(Kind.REVERSAL, payment, charge.amount_minor, target=charge)\n",
        "",
    ),
    words(
        "reversal not repeated",
        "P13",
        hearing._schedule,
        "next_attempt_at=draft.now + gap",
        "next_attempt_at=None",
    ),
    words(
        "nobody is told what stays unclear",
        "P13",
        hearing.give_to_person,
        "    if not overdue:\n",
        "    if overdue or not overdue:\n",
    ),
    words(
        "session found by its id alone",
        "P12",
        MemoryStore.find_session,
        "return self.books.sessions.get((project, session_id))",
        "return next((one for (_, id), one in self.books.sessions.items() if id == session_id), None)",
    ),
    words(
        "security code kept after a lost race",
        "P11",
        start_payment.init_payment,
        "except (Refusal, KeyTaken):",
        "except Refusal:",
    ),
    words(
        "security code kept by a sleeper",
        "P11",
        drive._send,
        "if sealed_cvv is not None and (after is None",
        "if sealed_cvv is None and (after is None",
        Weather(stop=0.02),
    ),
    words(
        "security code kept after a cancel",
        "P11",
        decision.cancel,
        "        draft.erase_cvv(payment.sealed_cvv)\n",
        "",
    ),
    words(
        "security code kept in its row after the authorization left",
        "P11",
        hearing.submit,
        "        draft.payment(replace(payment, sealed_cvv=None))\n",
        "        draft.payment(payment)\n",
    ),
    words(
        "key of the security code kept after the authorization left",
        "P11",
        network.Link.exchange,
        "        await self._node.ports.vault.erase_cvv(card.sealed_cvv)\n",
        "        pass\n",
        Weather(answer_lost=0.2),
    ),
    words(
        "waits for ever for its security code",
        "P13",
        hearing.hear_cvv_gone,
        "    _give_up(draft, planned, Reason.ROUTING)\n",
        "    draft.operation(replace(planned, next_attempt_at=now + timedelta(hours=1)), Heard.NOT_SENT)\n",
        CODES_LOST,
    ),
    words(
        "sent without the security code that its route demands",
        "CVV",
        drive._demanding,
        "    return replace(request, card=replace(request.card, demands_cvv=True))",
        "    return request",
        CODES_LOST,
    ),
    *IMPOSTORS,
    *FORGERS,
)
