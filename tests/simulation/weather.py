"""How bad a world is: each fault is there or not, weak or strong, drawn from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Rates of faults while the storm lasts; all are zero in a healthy world.

    A rate's fault is named as in money-safety section 5. Those of processes count per step of a task, the others per
    call, message or posting.
    """

    crash: float = 0.0  # kill -9 of the whole process
    stop: float = 0.0  # the process sleeps, perhaps longer than its leases
    clock_jump: float = 0.0  # a node's clock, not the database's
    commit_lost: float = 0.0  # the connection is lost around the commit: was it written?
    read_lost: float = 0.0
    not_sent: float = 0.0  # connection refused
    slow_link: float = 0.0  # so slow before sending that the deadline may pass
    request_lost: float = 0.0
    lands_late: float = 0.0  # up to the in-flight limit
    answer_lost: float = 0.0
    answer_late: float = 0.0
    answer_twice: float = 0.0
    garbage: float = 0.0
    foreign_answer: float = 0.0  # for a STAN nobody sent
    declines: float = 0.0
    partial: float = 0.0
    refund_declined: float = 0.0
    capture_declined: float = 0.0
    reversal_refused: float = 0.0
    approved_again: float = 0.0  # late approval after an acknowledged reversal
    receiver_fails: float = 0.0
    receiver_hangs: float = 0.0  # answers after the time limit, or never
    receiver_down: float = 0.0  # chance that a receiver is away for minutes
    acquirer_away: float = 0.0  # chance that the acquirer is away for more than a day
    directory_away: float = 0.0  # connection refused
    inquiry_lost: float = 0.0  # the request to the directory server, or its answer
    inquiry_slow: float = 0.0  # answered about when nobody waits any more
    inquiry_twice: float = 0.0
    answer_broken: float = 0.0  # an error, another's answer, or one that breaks the table
    issuer_refuses: float = 0.0
    result_early: float = 0.0  # before the answer
    result_late: float = 0.0  # up to after the link's end
    result_lost: float = 0.0
    result_twice: float = 0.0
    result_contradicts: float = 0.0
    result_strange: float = 0.0  # under ids of nothing, or an error in its place
    cvvs_lost: float = 0.0  # the vault comes back without the keys of security codes
    payer_wanders: float = 0.0  # closes the tab, fails, cancels, forges, comes late or never


HEALTHY = Weather()
STRONG: dict[str, float] = {
    "crash": 0.01,
    "stop": 0.004,
    "clock_jump": 0.002,
    "commit_lost": 0.2,
    "read_lost": 0.05,
    "not_sent": 0.3,
    "slow_link": 0.2,
    "request_lost": 0.3,
    "lands_late": 0.3,
    "answer_lost": 0.4,
    "answer_late": 0.3,
    "answer_twice": 0.4,
    "garbage": 0.2,
    "foreign_answer": 0.1,
    "declines": 0.3,
    "partial": 0.15,
    "refund_declined": 0.3,
    "capture_declined": 0.3,
    "reversal_refused": 0.5,
    "approved_again": 0.4,
    "receiver_fails": 0.5,
    "receiver_hangs": 0.2,
    "receiver_down": 0.5,
    "acquirer_away": 0.06,
    "directory_away": 0.3,
    "inquiry_lost": 0.2,
    "inquiry_slow": 0.3,
    "inquiry_twice": 0.3,
    "answer_broken": 0.3,
    "issuer_refuses": 0.4,
    "result_early": 0.7,
    "result_late": 0.3,
    "result_lost": 0.4,
    "result_twice": 0.4,
    "result_contradicts": 0.3,
    "result_strange": 0.3,
    "cvvs_lost": 0.1,
    "payer_wanders": 0.25,
}
assert set(STRONG) == {field.name for field in fields(Weather)}


def draw_weather(random: random.Random) -> Weather:
    """One world's weather. Half of the faults are absent, so that what is left has room to meet.

    Where clocks jump nothing lands late: the in-flight limit is measured on the nodes' clocks, so that a clock that
    jumps forward shortens it. Nothing that the gateway could know tells such a jump from time that has passed.
    """
    if random.random() < 0.02:
        return HEALTHY
    rates = {name: strong * random.choice((0, 0, 0.2, 1)) for name, strong in STRONG.items()}
    if rates["clock_jump"]:
        rates["lands_late"] = 0.0
    return Weather(**rates)
