"""People, providers and the way between them, one poll at a time, in time that costs nothing.

The strategies are the library's own objects, asked as the library asks them: through `next_poll`, with the `PollView`
that `history` gives, over the floor of `protocol.timing`. What they cannot know happens here: when the person decides,
how long each message takes, and what a strict provider makes of when it arrives.

How long people take is assumed. No distribution for BankID or CIBA has been published; the six here differ as much as
one may expect, and what is concluded from them is what holds for all six.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from random import Random

from attrs import define, field, frozen

from idura_ciba.polling.hazard import log_normal
from idura_ciba.polling.strategy import Learning, PollView, Record, Strategy, next_poll
from idura_ciba.protocol.answers import ErrorAnswer, SlowedDown, StillPending, TokenAnswer
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.history import History

#: Of the logarithm of one way.
WAY_SIGMA = 0.5
#: To a strategy it is the same which way somebody decides.
DECIDED = ErrorAnswer("access_denied", None, 400)
EXPIRED = ErrorAnswer("expired_token", None, 400)


# --- people -----------------------------------------------------------------------------------------------------------


@frozen
class People:
    """How long somebody takes to approve or deny.

    Attributes:
        parts: Log-normal times by share, as `(share, median, sigma)`.
        never: The share that never answers.
        phases: Instead of `parts`, log-normal steps one after the other, as `(word, median, sigma)`; the provider says
            the word while the person is in the step. Who never answers stays in the first.
    """

    never: float
    parts: tuple[tuple[float, float, float], ...] = ()
    phases: tuple[tuple[str, float, float], ...] = ()

    def draw(self, dice: Random) -> tuple[float, tuple[tuple[float, str], ...]]:
        """Seconds until the decision, infinite for never, and when each step began."""
        lost = dice.random() < self.never
        if self.phases:
            began, steps = 0.0, []
            for word, median, sigma in self.phases:
                steps.append((began, word))
                began += math.inf if lost else median * math.exp(sigma * dice.gauss(0, 1))
                if lost:
                    break
            return began, tuple(steps)
        _, median, sigma = self.parts[bisect(list(accumulate(part[0] for part in self.parts[:-1])), dice.random())]
        took = median * math.exp(sigma * dice.gauss(0, 1))
        return (math.inf if lost else took), ()

    def cdf(self, at: float) -> float:
        """The probability of a decision within so many seconds; not for those with steps."""
        return (1 - self.never) * sum(share * log_normal(median, sigma, at) for share, median, sigma in self.parts)


PEOPLE: Mapping[str, People] = {
    "fast8": People(0.0435, ((1.0, 6.5, 0.65),)),  # Duo Push: "nearly 8 seconds" on average, 4.35 % incomplete
    "med12": People(0.05, ((1.0, 12.0, 0.5),)),
    "med18": People(0.15, ((1.0, 18.0, 0.6),)),
    "med25": People(0.30, ((1.0, 25.0, 0.7),)),
    "heavy": People(0.15, ((0.7, 12.0, 0.5), (0.3, 60.0, 1.0))),
    "phased": People(
        0.10,
        phases=(
            ("awaiting first user interaction", 7.0, 0.6),
            ("awaiting user request acknowledgement", 4.0, 0.5),
            ("awaiting user identification", 4.5, 0.5),
        ),
    ),
}


# --- providers --------------------------------------------------------------------------------------------------------


@define
class Lenient:
    """Answers whatever comes, until the end."""

    interval: float
    seen: float = field(default=-math.inf, init=False)

    def issued(self, at: float) -> None:
        """The order exists."""

    def too_fast(self, at: float) -> bool:
        """Whether a poll that arrives now is answered `slow_down`; asked once for each."""
        del at
        return False


@define
class Resetting(Lenient):
    """Duende IdentityServer: too soon after the last arrival, and each arrival counts as one."""

    def too_fast(self, at: float) -> bool:
        """See `Lenient`."""
        early, self.seen = at < self.seen + self.interval, at
        return early


@define
class Expiring(Lenient):
    """Keycloak: an entry that lives for one interval; what arrives meanwhile is too soon and does not prolong it."""

    def too_fast(self, at: float) -> bool:
        """See `Lenient`."""
        if at < self.seen + self.interval:
            return True
        self.seen = at
        return False


@define
class Stamping(Resetting):
    """As `Resetting`, and the order itself counts as an arrival: an immediate first poll is too soon."""

    def issued(self, at: float) -> None:
        """See `Lenient`."""
        self.seen = at


STRICT: Mapping[str, type[Lenient]] = {"resets": Resetting, "expires": Expiring, "stamps": Stamping}


@frozen
class Case:
    """One situation.

    Attributes:
        people: A name of `PEOPLE`.
        lifetime: `expires_in`.
        interval: As the provider says and checks.
        server: What it makes of polls that come too soon.
        way: Median seconds of one message one way; log-normal.
        detour: Seconds more that each takes.
        words: What is said instead of the person's step, if anything.
        rounds: Whether the provider counts whole seconds, and rounds the beginning down.
    """

    people: str
    lifetime: float = 120.0
    interval: float = 3.0
    server: type[Lenient] = Resetting
    way: float = 0.055
    detour: float = 0.0
    words: Callable[[Random], str] | None = None
    rounds: bool = False

    def __str__(self) -> str:
        """As the tables name it."""
        return f"{self.people} E={self.lifetime:g} I={self.interval:g}"


# --- transactions -----------------------------------------------------------------------------------------------------


@define
class Result:
    """What came of many transactions."""

    delays: list[float] = field(factory=list)
    polls: list[int] = field(factory=list)
    unanswered_polls: list[int] = field(factory=list)
    slow_downs: int = 0
    missed: int = 0
    late: int = 0
    grace_polls: int = 0

    @property
    def mean(self) -> float:
        """Seconds from decision to its arrival here, of those that arrived."""
        return sum(self.delays) / len(self.delays)

    @property
    def error(self) -> float:
        """The standard error of that mean."""
        mean = self.mean
        return math.sqrt(sum((delay - mean) ** 2 for delay in self.delays)) / len(self.delays)

    @property
    def p95(self) -> float:
        """Of the same."""
        return sorted(self.delays)[int(0.95 * len(self.delays))]

    @property
    def polls_each(self) -> float:
        """Without the one after the end."""
        return sum(self.polls) / len(self.polls)

    @property
    def polls_never(self) -> float:
        """Of those that never answered."""
        return sum(self.unanswered_polls) / max(1, len(self.unanswered_polls))

    @property
    def slow_each(self) -> float:
        """`slow_down` answers for each transaction."""
        return self.slow_downs / len(self.polls)

    @property
    def missed_share(self) -> float:
        """Of the decisions before the end, those that nobody heard of."""
        return self.missed / max(1, self.missed + len(self.delays))

    def include(self, other: Result) -> None:
        """Add up."""
        self.delays += other.delays
        self.polls += other.polls
        self.unanswered_polls += other.unanswered_polls
        self.slow_downs += other.slow_downs
        self.missed += other.missed
        self.late += other.late
        self.grace_polls += other.grace_polls


#: A client: when to poll next, or None; nothing is floored here.
Client = Callable[[PollView], float | None]


def shipped(strategy: Strategy) -> Client:
    """The library's way of asking a strategy."""
    return lambda view: next_poll(strategy, view)


def run(
    client: Client, case: Case, count: int, seed: int = 1, *, teach: Learning | None = None, guard: float = 0.2
) -> Result:
    """So many transactions, one after the other; the same people for whoever is compared with the same seed.

    Args:
        client: Whom to ask.
        case: The situation.
        count: How many transactions.
        seed: Of the people, of the way, and of what clients draw.
        teach: Is told how each went.
        guard: Seconds before the earliest end after which a poll counts as late.
    """
    result, people = Result(), PEOPLE[case.people]
    # A wrapper has None there if the strategy inside does not learn.
    learn = getattr(teach, "finished", None)
    crowd, ways, lots = Random(f"people {seed}"), Random(f"way {seed}"), Random(f"lots {seed}")
    for nth in range(count):
        # Each begins at another moment of a second: the golden ratio spreads them evenly.
        rounded_off = 0.618 * nth % 1.0 if case.rounds else 0.0
        login = Login(case, *people.draw(crowd), 1000.0 + nth, ways, lots, rounded_off)
        polls, over = 0, False
        while not over:
            at = client(login.view())
            if at is None or at >= login.timing.latest_end:
                at = login.timing.grace_at
                result.grace_polls += at is not None
                if at is not None:
                    login.poll(at)
                break
            result.late += at > login.timing.earliest_end - guard + 1e-6
            polls += 1
            over = login.poll(at)
        login.count(result, polls)
        if learn is not None:
            learn(login.record())
    return result


@define
class Login:
    """One transaction and the person, as nobody sees both."""

    case: Case
    took: float
    steps: tuple[tuple[float, str], ...]
    requested_at: float
    ways: Random
    lots: Random
    rounded_off: float = 0.0
    server: Lenient = field(init=False)
    issued_at: float = field(init=False)
    timing: Timing = field(init=False)
    now: float = field(init=False)
    history: History = field(init=False)
    slow_downs: int = field(default=0, init=False)
    decided: bool = field(default=False, init=False)
    expired_at: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        case = self.case
        self.issued_at = self.requested_at + self.way()
        self.now = self.issued_at + self.way()
        self.server = case.server(case.interval)
        self.server.issued(self.issued_at)
        self.timing = Timing.begin(
            requested_at=self.requested_at,
            acknowledged_at=self.now,
            expires_in=case.lifetime,
            interval=case.interval,
        )
        self.history = History((case.people,))

    def way(self) -> float:
        """Seconds that one message takes."""
        return self.case.detour + self.ways.lognormvariate(math.log(self.case.way), WAY_SIGMA)

    def view(self) -> PollView:
        """What the client may know."""
        return self.history.view(self.timing, now=self.now, rng=self.lots)

    def poll(self, at: float) -> bool:
        """Send one; says whether it brought the end."""
        arrives_at = at + self.way()
        self.now = arrives_at + self.way()
        answer = self.answer(arrives_at)
        self.history.count(answer, at, self.now, interval=self.timing.interval)
        if not isinstance(answer, StillPending | SlowedDown):
            self.decided = answer is DECIDED
            self.expired_at = self.now if answer is EXPIRED else None
            return True
        self.slow_downs += isinstance(answer, SlowedDown)
        self.timing = self.history.note(answer, at, self.now, self.timing)
        return False

    def answer(self, at: float) -> TokenAnswer:
        """What the provider says to a poll that arrives then."""
        if at >= self.issued_at + self.case.lifetime - self.rounded_off:
            return EXPIRED  # whatever the person has done
        if self.server.too_fast(at):
            return SlowedDown(None)
        if at >= self.issued_at + self.took:
            return DECIDED
        word = self.case.words(self.lots) if self.case.words else _step(self.steps, at - self.issued_at)
        return StillPending(None if word is None else Redacted(word))

    def count(self, result: Result, polls: int) -> None:
        """Add to what came of all; `polls` is without the one after the end."""
        result.polls.append(polls)
        result.slow_downs += self.slow_downs
        if self.decided:
            result.delays.append(self.now - self.issued_at - self.took)
        elif self.took < self.case.lifetime - self.rounded_off:
            result.missed += 1
        elif math.isinf(self.took):
            result.unanswered_polls.append(polls)

    def record(self) -> Record:
        """What the strategy is told."""
        return self.history.record(self.timing, decided=self.decided, expired_at=self.expired_at)


def _step(steps: tuple[tuple[float, str], ...], at: float) -> str | None:
    word = None
    for began, name in steps:
        if began > at:
            break
        word = name
    return word


# --- what is demanded -------------------------------------------------------------------------------------------------


@frozen
class Demand:
    """One line of the result.

    Attributes:
        name: Its number in the list of demands.
        what: In which situation.
        demanded: As text.
        reached: As text, with its standard error where chance plays a part.
        met: Whether it is.
    """

    name: str
    what: str
    demanded: str
    reached: str
    met: bool

    def __str__(self) -> str:
        """One line."""
        verdict = "PASS" if self.met else "FAIL"
        return f"{verdict}  {self.name:<3} {self.what:<64} {self.demanded:<28} {self.reached}"


Demands = Iterator[Demand]
