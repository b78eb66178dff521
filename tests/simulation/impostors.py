"""Planted bugs of 3-D Secure: each lets a charge go, or a payer be asked, where that is not permitted."""

from __future__ import annotations

from tests.simulation.saboteur import Entry, Saboteur, Words, words
from tests.simulation.weather import Weather
from tollhouse import authenticating, authentication, hearing, payment, verdict
from tollhouse.authentication import Heard, State
from tollhouse.flows import authenticate, drive, exempt
from tollhouse.payment import Phase, Told
from tollhouse.store.memory import MemoryBooks
from tollhouse.verdict import Ending, Policy, Verdict

TRYING = Weather(payer_wanders=0.6, directory_away=0.3)
EARLY_RESULTS = Weather(result_early=0.9)
LATE_RESULTS = Weather(result_late=0.9)
BROKEN_ANSWERS = Weather(answer_broken=0.9)
SOFT_DECLINES = Weather(declines=0.8)

IMPOSTORS: tuple[Saboteur, ...] = (
    words(
        "browser's return trusted",
        "3DS",
        authenticate.take_return,
        "    world.store.note(session.project,",
        "    if message.get('transStatus') == 'Y':\n"
        "        from tollhouse.authentication import Result, TransStatus\n\n"
        "        passed = Result(status=TransStatus.AUTHENTICATED, value='A' * 27 + '=')\n"
        "        now, ids, id = world.clock.now(), world.ids, attempts[-1].id\n"
        "        await apply(\n"
        "            world, session, lambda found: authenticating.hear_result(found, id, passed, now=now, ids=ids)\n"
        "        )\n"
        "    world.store.note(session.project,",
    ),
    Saboteur(
        name="result taken twice, with a second charge",
        promise="3DS",
        lies=(
            Words(
                function=authenticating.hear_result,
                old="if authentication.state in WITH_ISSUER:",
                new="if authentication.state is not State.LAPSED:",
            ),
            Entry(
                table=authentication.TRANSITIONS,
                key=(State.FINISHED, Heard.FINISHED),
                value=State.FINISHED,
            ),
            *(
                Entry(table=payment.TRANSITIONS, key=(phase, Told.AUTHENTICATED), value=Phase.CONFIRMED)
                for phase in (Phase.CONFIRMED, Phase.AUTHORIZING, Phase.SUCCEEDED, Phase.FAILED)
            ),
        ),
    ),
    Saboteur(
        name="late result revives a payment whose time was over",
        promise="3DS",
        lies=(
            Words(
                function=authenticating.hear_result,
                old="if authentication.state in WITH_ISSUER:",
                new="if authentication.state is not State.FINISHED:",
            ),
            Entry(table=authentication.TRANSITIONS, key=(State.LAPSED, Heard.FINISHED), value=State.FINISHED),
            Entry(table=payment.TRANSITIONS, key=(Phase.FAILED, Told.AUTHENTICATED), value=Phase.CONFIRMED),
            Entry(table=payment.TRANSITIONS, key=(Phase.FAILED, Told.NOT_AUTHENTICATED), value=Phase.FAILED),
        ),
        weather=LATE_RESULTS,
    ),
    Saboteur(
        name="stepped-up charge under the references of the first",
        promise="3DS",
        lies=(
            Words(
                function=drive._send,
                old="world.naming.new(now), now=now",
                new="next((o.references for o in session.operations if o is not operation and o.references\n"
                "        and o.kind is operation.kind and o.target_id is None), None)\n"
                "        or world.naming.new(now), now=now",
            ),
            Words(
                function=MemoryBooks._require,
                old="if any(self.rrns.get(rrn, operation_id) != operation_id for",
                new="if any(self.rrns is None for",
            ),
        ),
    ),
    Saboteur(
        name="challenge without an outcome taken for permission",
        promise="3DS",
        lies=(
            Entry(
                table=verdict.VERDICTS,
                key=(verdict.MANDATED, Ending.UNAVAILABLE),
                value=Verdict.UNPROVEN,
            ),
        ),
    ),
    Saboteur(
        name="silence taken for permission where authentication is always wanted",
        promise="3DS",
        lies=(Entry(table=verdict.VERDICTS, key=(Policy.ALWAYS, Ending.NO_ANSWER), value=Verdict.UNPROVEN),),
    ),
    words(
        "authentication used again for the second charge",
        "3DS",
        hearing._steps_up,
        "    authenticating.begin(",
        "    proven = draft.session.authentications_of(payment.id)\n"
        "    if proven:\n"
        "        again = draft.payment(replace(payment, phase=Phase.CONFIRMED))\n"
        "        authenticating.plan_charge(draft, again, proven[-1])\n"
        "        return True\n"
        "    authenticating.begin(",
        SOFT_DECLINES,
    ),
    words(
        "second charge without authentication",
        "3DS",
        hearing._steps_up,
        "    authenticating.begin(draft, payment, Told.STEP_UP, Wish.MANDATE)\n",
        "    authenticating.plan_charge(draft, draft.payment(replace(payment, phase=Phase.CONFIRMED)))\n",
    ),
    words(
        "answer for another transaction accepted",
        "3DS",
        authenticate._exchange,
        '        accept(message, {"threeDSServerTransID": authentication.id})\n',
        "",
        BROKEN_ANSWERS,
    ),
    words(
        "result accepted under strange ids",
        "3DS",
        authenticate.hear_results,
        "        accept(message, told if is_error else known)\n",
        "",
    ),
    Saboteur(
        name="result before the answer believed",
        promise="3DS",
        lies=(
            Words(
                function=authenticate._named,
                old="    if authentication.ds_transaction_id is None:",
                new="    if authentication.id == '':",
            ),
            Words(
                function=authenticating.hear_result,
                old="if authentication.state in WITH_ISSUER:",
                new="if not authentication.is_final:",
            ),
        ),
        weather=EARLY_RESULTS,
    ),
    Saboteur(
        name="forged error before the answer believed",
        promise="3DS",
        lies=(
            Words(
                function=authenticate._named,
                old="    if authentication.ds_transaction_id is None:",
                new="    if authentication.id == '':",
            ),
            Words(
                function=authenticate.hear_results,
                old=' or name == "dsTransID"',
                new="",
            ),
            Words(
                function=authenticating.hear_error,
                old="if authentication.state not in WITH_ISSUER:",
                new="if authentication.is_final:",
            ),
        ),
    ),
    words(
        "contrary result believed",
        "3DS",
        authenticating.hear_result,
        "        draft.alarm(authentication.id, what)\n",
        "        draft.authentication(replace(authentication, result=result), 'contrary')\n",
    ),
    words(
        "challenge evaded by beginning anew",
        "3DS",
        authenticating._conclude,
        "is_asked_for or was_challenged or",
        "is_asked_for or",
        TRYING,
    ),
    words(
        "asked without end",
        "3DS",
        authenticating.may_retry,
        "        and _asked_count(attempts) < ATTEMPTS_MAX\n",
        "",
        TRYING,
    ),
    words(
        "asked before that is committed",
        "3DS",
        authenticate._ask,
        "    try:\n        asked =",
        "    await _exchange(world, payment, authentication, inquiry)\n    try:\n        asked =",
    ),
    words(
        "exemption claimed although switched off",
        "3DS",
        exempt.exempt,
        "frozenset(project.settings.threeds_exemptions)",
        "frozenset(Exemption)",
    ),
    words(
        "payer announced again with every attempt",
        "P9",
        authenticating.retry,
        "    return draft.change()\n",
        "    draft.announce(EventType.ACTION_REQUIRED)\n    return draft.change()\n",
    ),
)
