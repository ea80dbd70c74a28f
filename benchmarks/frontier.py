"""What each strategy saves and what it costs, alone and in a fleet under one limit: demands first, then the tables.

    python benchmarks/frontier.py                  twelve minutes on one core
    python benchmarks/frontier.py --quick          two, and three standard errors of leeway
    python benchmarks/frontier.py --plots docs     draws the pictures, and nothing else

Needs numpy, and matplotlib for the pictures. Exits with 1 where a demand is missed. A figure after the sign of plus and
minus is one standard error. "Later" compares mean delays with `Fixed()`, and "saved" polls; both of the same people.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import frontier_fleet
import tenacity
from attrs import evolve, frozen
from frontier_optimum import Answers, optimum
from frontier_sim import PEOPLE, STRICT, Case, Client, Demand, Demands, Lenient, Result, run, shipped

from idura_ciba.polling.basic import Backoff, Fixed, Proportional
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.hazard import HazardAware, price_for
from idura_ciba.polling.life_table import Survival
from idura_ciba.polling.phase import PhaseAware
from idura_ciba.polling.strategy import Poll, PollView, Strategy, next_poll

#: Where known distributions are looked at: finely, so that what is measured is the rule and not the bins.
FINE = [quarter / 4 for quarter in range(4 * 900)]
#: No bound on gaps, as the optimum has none.
UNBOUNDED = 1e6
#: And where people are drawn: one who answers in the tenth minute would be found in the fifteenth.
WIDE = 60.0
#: Transactions that a trained strategy has seen.
HISTORY = 300


@frozen
class Scale:
    """How much is simulated.

    Attributes:
        short: Transactions of 180 s at most, in each comparison.
        long: Longer ones, which take ten times as many polls.
        runs: Trainings of one strategy from nothing.
        leeway: Standard errors by which a demand may be missed: none, but where there are too few transactions to say.
    """

    short: int
    long: int
    runs: int
    leeway: float

    def count(self, case: Case) -> int:
        """How many of this one."""
        return self.short if case.lifetime <= 180 else self.long  # noqa: PLR2004 - as said above


FULL, QUICK = Scale(3000, 1200, 6, 0.0), Scale(300, 100, 2, 3.0)


def known(case: Case, **options: float) -> HazardAware:
    """One that knows the truth."""
    return HazardAware(known=Survival.from_cdf(Answers.of(case.people, case.lifetime).smooth_cdf, FINE), **options)


# --- comparing --------------------------------------------------------------------------------------------------------


@frozen
class Comparison:
    """One strategy beside `Fixed()`, with standard errors."""

    later: float
    later_error: float
    saved: float
    saved_error: float
    worst: float

    @classmethod
    def of(cls, base: Result, *results: Result) -> Comparison:
        """Several results are runs of one thing, each with a training of its own."""
        later = [result.mean / base.mean for result in results]
        saved = [1 - result.polls_each / base.polls_each for result in results]
        mean_later, mean_saved = sum(later) / len(later), sum(saved) / len(saved)
        # The people are the same, so what they make of both cancels; what is left is summed up pair by pair.
        pairs = [
            mine - (1 - share) * theirs
            for result, share in zip(results, saved, strict=True)
            for mine, theirs in zip(result.polls, base.polls, strict=True)
        ]
        of_pairs = math.sqrt(sum(pair * pair for pair in pairs) / len(pairs) / len(base.polls)) / base.polls_each
        sampled = mean_later * math.hypot(
            base.error / base.mean, results[0].error / results[0].mean / len(results) ** 0.5
        )
        return cls(
            mean_later,
            math.hypot(sampled, _error(later)),
            mean_saved,
            math.hypot(of_pairs, _error(saved)),
            max(later),
        )

    def demand(self, name: str, what: str, saved: float, later: float, leeway: float) -> Demand:
        """That it saves as much as that and is no later."""
        met = self.saved + leeway * self.saved_error >= saved and self.later - leeway * self.later_error <= later
        return Demand(name, what, f">= {saved:.0%} saved, <= {later:.2f} later", str(self), met)

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.saved:6.1%} +- {self.saved_error:.1%} saved, {self.later:.3f} +- {self.later_error:.3f} later"
            f"{f', worst run {self.worst:.2f}' if self.worst > self.later else ''}"
        )


def _error(values: Sequence[float]) -> float:
    if len(values) == 1:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


_bases: dict[tuple[Case, int], Result] = {}


def base_of(case: Case, scale: Scale) -> Result:
    """`Fixed()` in this situation, simulated once."""
    wanted = (case, scale.count(case))
    if wanted not in _bases:
        _bases[wanted] = run(shipped(FinalPoll(Fixed())), *wanted)
    return _bases[wanted]


def trained(make: Callable[[], Strategy], case: Case, scale: Scale, history: int = HISTORY) -> list[Result]:
    """Trainings from nothing by what its own polls tell, and what each is worth afterwards, when it learns no more."""
    results = []
    for nth in range(scale.runs):
        strategy = FinalPoll(make())
        run(shipped(strategy), case, history, seed=1000 + nth, teach=strategy)
        results.append(run(shipped(strategy), case, scale.count(case)))
    return results


# --- what is demanded -------------------------------------------------------------------------------------------------


def a1_strict_servers(scale: Scale) -> Demands:
    """No strategy may draw a `slow_down`, and `Fixed` must be as quick as it can be."""
    strategies = {
        "Fixed": Fixed(),
        "Proportional": Proportional(),
        "Backoff": Backoff(tenacity.wait_exponential(max=30)),
        "HazardAware": HazardAware(),
        "PhaseAware": PhaseAware(),
    }
    for name, detour in (("RTT 0.12 s", 0.0), ("RTT 1.1 s", 0.5)):
        count, polls = 0, 0
        for strategy in strategies.values():
            for server in STRICT.values():
                case = Case("phased", server=server, detour=detour)
                learner = FinalPoll(strategy)
                result = run(shipped(learner), case, scale.short // 3, teach=learner)
                count, polls = count + result.slow_downs, polls + sum(result.polls)
        reached = f"{count} in {polls} polls"
        yield Demand("A1", f"{name}, 5 strategies, 3 strict servers: slow_down", "0", reached, count == 0)
    result = run(shipped(FinalPoll(Fixed())), Case("med18"), 5 * scale.short)
    reached, met = f"{result.mean:.3f} +- {result.error:.3f} s", result.mean - scale.leeway * result.error <= 1.5 + 0.15
    yield Demand("A1", "Fixed, med18 E=120 I=3: mean delay", "<= 1.65 s", reached, met)


def a2_final_poll(scale: Scale) -> Demands:
    """What is approved before the end is fetched."""
    for lifetime, most in ((30.0, 0.008), (120.0, 0.0005)):
        case = Case("med18", lifetime, 5.0)
        result = run(shipped(FinalPoll(Fixed())), case, 5 * scale.short)
        without = run(shipped(Fixed()), case, 2 * scale.short)
        answers = result.missed + len(result.delays)
        error = math.sqrt(max(result.missed, 1)) / answers
        reached = f"{result.missed_share:.2%} +- {error:.2%}; {without.missed_share:.2%} without"
        met = result.missed_share - scale.leeway * error <= most
        yield Demand("A2", f"{case}: missed", f"<= {most:.2%}", reached, met)
        reached = f"{result.late}; {result.grace_polls / len(result.polls):.2f} of them after the end, each"
        yield Demand("A2", f"{case}: polls after the final poll", "0", reached, result.late == 0)
    case, strategy = Case("med18", 30.0, 5.0, rounds=True), FinalPoll(Fixed())
    result = run(shipped(strategy), case, 5 * scale.short, teach=strategy, guard=0.0)
    without = run(shipped(FinalPoll(Fixed())), case, 2 * scale.short, guard=0.0)
    reached = f"{result.missed_share:.2%}; {without.missed_share:.2%} where nothing is learned"
    yield Demand("A2", f"{case}, rounds down: missed", "<= 3.0%", reached, result.missed_share <= 0.03)  # noqa: PLR2004


def a3_known_people(scale: Scale) -> Demands:
    """With a model that is right, the rule reaches the optimum."""
    for people, lifetime, price, least, most in (
        ("med18", 120.0, 0.1, 0.27, 1.10),
        ("med25", 900.0, 0.02, 0.75, 1.12),
    ):
        case = Case(people, lifetime)
        strategy = FinalPoll(known(case, price=price, max_gap=WIDE))
        found = Comparison.of(base_of(case, scale), run(shipped(strategy), case, scale.count(case)))
        yield found.demand(
            "A3", f"HazardAware that knows, {case}, price {price:g}, gaps <= 60 s", least, most, scale.leeway
        )
    for people, lifetime in (("med18", 120.0), ("heavy", 120.0), ("med25", 900.0)):
        case, excess = Case(people, lifetime), {}
        for price in (0.02, 0.05, 0.1, 0.2, 0.4):
            best = optimum(case, price)
            polls = on_paper(FinalPoll(known(case, price=price, max_gap=UNBOUNDED)), case)
            least = best.answers.cost(best.schedule(), price)
            excess[price] = best.answers.cost(polls, price) / least - 1
        worst = max(excess, key=lambda price: excess[price])
        yield Demand(
            "A3",
            f"cost above the optimum, {case}, price .02 .. .4",
            "<= 2.0%",
            f"{excess[worst]:.2%} at {worst:g}",
            excess[worst] <= 0.02,  # noqa: PLR2004 - what is demanded
        )


def on_paper(strategy: Strategy, case: Case) -> list[float]:
    """When it polls somebody who never answers, where messages take no time."""
    polls, last, began = [], None, 1000.0
    while True:
        heard = last.received_at if last else began
        view = PollView(
            now=heard,
            requested_at=began,
            acknowledged_at=began,
            earliest_end=began + case.lifetime,
            latest_end=began + case.lifetime,
            interval=case.interval,
            not_before=heard + case.interval,
            attempt=len(polls) + 1,
            last=last,
            hint=None,
            hint_since=None,
            key=(case.people, case.lifetime),
            rng=None,  # type: ignore[arg-type]  # none of those asked here draws lots
        )
        at = next_poll(strategy, view)
        if at is None or at >= began + case.lifetime:
            return polls
        polls.append(at - began)
        last = Poll(at, at, "pending")


def a4_learning(scale: Scale) -> Demands:
    """It saves from the first login on, keeps to its slack, and learns."""
    for lifetime, early, late in ((120.0, 0.10, 0.20), (900.0, 0.40, 0.50)):
        for people in PEOPLE:
            case = Case(people, lifetime)
            base = base_of(case, scale)
            found = Comparison.of(base, run(shipped(FinalPoll(HazardAware())), case, scale.count(case)))
            yield found.demand("A4", f"HazardAware(slack=.10), untrained, {case}", early, MOST_LATER, scale.leeway)
            found = Comparison.of(base, *trained(HazardAware, case, scale))
            yield found.demand(
                "A4",
                f"the same after {HISTORY} transactions, mean of {scale.runs} runs",
                late,
                MOST_LATER,
                scale.leeway,
            )


#: However slack is defined, what was promised as a tenth may come out as this at most.
MOST_LATER = 1.15


def a5_words(scale: Scale) -> Demands:
    """Words on progress save more, and words that mean nothing change nothing."""
    case = Case("phased")
    found = Comparison.of(base_of(case, scale), *trained(PhaseAware, case, scale))
    yield found.demand("A5", f"PhaseAware, {case}, {HISTORY} transactions", 0.5, 1.05, scale.leeway)
    noisy = evolve(case, words=lambda dice: dice.choice(["", "?", "started "]) + str(dice.getrandbits(40)))
    decisions = []
    for strategy in (PhaseAware(), HazardAware()):
        asked: list[float | None] = []
        learner = FinalPoll(strategy)
        run(_noting(shipped(learner), asked), noisy, scale.short, teach=learner)
        decisions.append(asked)
    same = decisions[0] == decisions[1]
    reached = f"{'identical' if same else 'different'}, {len(decisions[0])} decisions while learning"
    yield Demand("A5", "PhaseAware with words that mean nothing", "identical to HazardAware", reached, same)


def _noting(client: Client, asked: list[float | None]) -> Client:
    def note(view: PollView) -> float | None:
        asked.append(client(view))
        return asked[-1]

    return note


def a9_decision_cost(scale: Scale) -> Demands:
    """A decision must not be felt beside a request."""
    case = Case("phased")
    for strategy in (HazardAware(), PhaseAware()):
        learner, views = FinalPoll(strategy), []
        run(shipped(learner), case, HISTORY, teach=learner)
        run(_viewing(shipped(learner), views), case, 300)

        def decide(learner: FinalPoll = learner, views: list[PollView] = views) -> None:
            for view in views:
                next_poll(learner, view)

        best = min(timeit.repeat(decide, number=1, repeat=3 + scale.runs)) / len(views)
        yield Demand(
            "A9",
            f"FinalPoll({type(strategy).__name__}), one decision",
            "<= 20 us",
            f"{best * 1e6:.1f} us",
            best <= 20e-6,  # noqa: PLR2004 - what is demanded
        )


def _viewing(client: Client, views: list[PollView]) -> Client:
    def note(view: PollView) -> float | None:
        views.append(view)
        return client(view)

    return note


DEMANDS = (a1_strict_servers, a2_final_poll, a3_known_people, a4_learning, a5_words, a9_decision_cost)


# --- what others do ---------------------------------------------------------------------------------------------------


def from_send(view: PollView) -> float:
    """By the letter of CIBA: the interval counts from when the last request was sent."""
    return (view.last.sent_at if view.last else view.acknowledged_at) + view.interval


def doubling(view: PollView) -> float:
    """A retry library's habit: 1, 2, 4 and so on to 30 s, whatever the provider says."""
    return view.heard_at + min(30.0, 2.0 ** (view.attempt - 1))


def half_more(view: PollView) -> float:
    """Each wait half as long again as the one before, at least the interval."""
    return max(view.not_before, view.heard_at + min(30.0, view.interval * 1.5 ** (view.attempt - 1)))


def full_jitter(view: PollView) -> float:
    """Anything up to a bound that doubles."""
    return view.heard_at + view.rng.uniform(0, min(30.0, view.interval * 2.0 ** (view.attempt - 1)))


def jittered(view: PollView) -> float:
    """The interval and up to as much again."""
    return view.not_before + view.rng.uniform(0, view.interval)


OTHERS: dict[str, Client] = {
    "others: interval from the send": from_send,
    "others: retry library, 1, 2, 4 .. 30 s": doubling,
    "others: x1.5 up to 30 s, floored": half_more,
    "others: full jitter up to 30 s": full_jitter,
    "others: interval + jitter": jittered,
    "others: 5 s": shipped(Fixed(5.0)),
}

CASES = (Case("med18"), Case("heavy"), Case("med12", 30.0, 5.0), Case("med25", 900.0), Case("phased"))


def rows(case: Case, scale: Scale) -> Iterator[tuple[str, Result]]:
    """All strategies in one situation."""
    count = scale.count(case)

    def asked(client: Client) -> Result:
        return run(client, case, count)

    def all_of(results: list[Result]) -> Result:
        total = Result()
        for result in results:
            total.include(result)
        return total

    yield "Fixed (default)", base_of(case, scale)
    yield "Fixed without the final poll", asked(shipped(Fixed()))
    yield "Fixed(2 x interval)", asked(shipped(FinalPoll(Fixed(2 * case.interval))))
    yield "Proportional(.05)", asked(shipped(FinalPoll(Proportional())))
    yield "Backoff(wait_exponential(max=30))", asked(shipped(FinalPoll(Backoff(tenacity.wait_exponential(max=30)))))
    yield "HazardAware, untrained", asked(shipped(FinalPoll(HazardAware())))
    yield f"HazardAware, {HISTORY} transactions", all_of(trained(HazardAware, case, scale))
    oracle = known(case)
    assert oracle.known is not None
    yield "HazardAware that knows", asked(shipped(FinalPoll(oracle)))
    if PEOPLE[case.people].phases:
        yield f"PhaseAware, {HISTORY} transactions", all_of(trained(PhaseAware, case, scale))
    price = price_for(
        oracle.known,
        oracle.slack,
        interval=case.interval,
        lifetime=case.lifetime,
        max_gap=15.0 if case.lifetime <= 180 else 30.0,  # noqa: PLR2004 - the defaults of HazardAware
    )
    yield "exact optimum at that price, blind", asked(shipped(FinalPoll(optimum(case, price))))
    for name, client in OTHERS.items():
        yield name, asked(client)


def table(case: Case, scale: Scale) -> None:
    """Print one."""
    strict = "lenient" if case.server is Lenient else "strict"
    print(f"\n{case}, {strict} server, n = {scale.count(case)}")
    print(
        f"  {'':<36}{'mean s':>8}{'+-':>7}{'p95 s':>8}{'polls':>8}{'saved':>8}{'/never':>8}{'slow/tx':>9}{'missed':>8}"
    )
    base = base_of(case, scale)
    for name, result in rows(case, scale):
        saved = 1 - result.polls_each / base.polls_each
        print(
            f"  {name:<36}{result.mean:8.2f}{result.error:7.3f}{result.p95:8.2f}{result.polls_each:8.2f}{saved:8.0%}"
            f"{result.polls_never:8.1f}{result.slow_each:9.2f}{result.missed_share:8.2%}",
            flush=True,
        )


def fleets(scale: Scale) -> Demands:
    """The demands on schedulers; their table is printed meanwhile."""
    return frontier_fleet.demands(quick=scale is QUICK)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the transactions, and three standard errors of leeway"
    )
    parser.add_argument("--plots", type=Path, help="draw the pictures into this folder, and nothing else")
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    if options.plots:
        importlib.import_module("frontier_plots").draw(options.plots)
        return 0
    began, missed = time.monotonic(), 0
    print(f"{'':<10}{'in which situation':<65}{'demanded':<29}reached")
    for demands in (*DEMANDS, fleets):
        for demand in demands(scale):
            missed += not demand.met
            print(demand, flush=True)
    for case in CASES:
        table(case, scale)
    print(f"\n{missed} demands missed, {time.monotonic() - began:.0f} s")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
