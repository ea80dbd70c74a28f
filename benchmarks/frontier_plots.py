"""The pictures of `docs/choosing-a-strategy.md`: `python benchmarks/frontier.py --plots docs`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import matplotlib as mpl
import tenacity
from attrs import evolve
from frontier_fleet import FIXED, INTERVAL, Limit, Situation, fleets
from frontier_fleet import known as knowing
from frontier_optimum import optimum
from frontier_sim import PEOPLE, WAY_SIGMA, Case, Client, Login, Result, run, shipped
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from idura_ciba.polling.basic import Backoff, Fixed, Proportional
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.phase import PhaseAware
from idura_ciba.polling.strategy import PollView, Strategy
from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler

mpl.use("Agg")

#: Mid-tones that can be told apart, also by the colour-blind, on white and on black (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, GREY = "#1f83c4", "#d98200", "#009e73", "#d55e00", "#8a8a8a"
#: A card of its own: a transparent one would lose its dark text on a dark page.
CARD, INK = "#fbfbfb", "#222222"
DPI = 110
STYLE = {
    "font.size": 10,
    "axes.facecolor": CARD,
    "figure.facecolor": CARD,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def taught(strategy: Strategy, case: Case) -> FinalPoll:
    """One that has seen a thousand logins of this kind."""
    learner = FinalPoll(strategy)
    run(shipped(learner), case, 1000, seed=77, teach=learner)
    return learner


def draw(folder: Path) -> None:
    """All."""
    with plt.rc_context(STYLE):
        frontier(folder / "polling-frontier.png")
        timeline(folder / "polling-timeline.png")
        fleet(folder / "polling-fleet.png")


# --- polls saved against delay ----------------------------------------------------------------------------------------


def frontier(path: Path) -> None:
    """Two situations side by side, one point for each strategy."""
    figure, places = plt.subplots(1, 2, figsize=(10.5, 4.8), layout="constrained")
    for axes, case, count in zip(places, (Case("med18"), Case("med25", 900.0)), (10000, 3000), strict=True):
        one_frontier(axes, case, count)
    places[0].set_ylabel("polls saved, beside Fixed()")
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def one_frontier(axes: Axes, case: Case, count: int) -> None:
    """One situation."""
    base = run(shipped(FinalPoll(Fixed())), case, count)

    def point(result: Result) -> tuple[float, float]:
        return result.mean, 1 - result.polls_each / base.polls_each

    axes.plot(*zip(*best(case), strict=True), color=INK, linewidth=1.5, label="the best possible", zorder=1)
    longer = [point(run(shipped(FinalPoll(Fixed(seconds))), case, count)) for seconds in (3.0, 4.0, 5.0, 6.0, 8.0)]
    axes.plot(*zip(*longer, strict=True), "o-", color=GREY, markersize=4, label="Fixed(3, 4, 5, 6, 8)", zorder=2)
    for name, marker, colour, result in points(case, count):
        axes.plot(*point(result), marker, color=colour, markersize=9, label=name, zorder=3, linestyle="none")
    axes.plot(*point(base), "o", color=BLUE, markersize=9, label="Fixed(), the default", zorder=4, linestyle="none")
    who = PEOPLE[case.people]
    axes.set_title(
        f"median {who.parts[0][1]:g} s, {who.never:.0%} never answer, expires after {case.lifetime:g} s", fontsize=10
    )
    axes.set_xlabel("seconds from decision to its arrival, mean")
    axes.set_xlim(1.4, 5.2)
    axes.set_ylim(-0.03, 1.0)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))


def best(case: Case) -> Iterator[tuple[float, float]]:
    """The exact optimum for all prices, by its own sums; the floor is an interval and the way there and back."""
    one_way = case.way * math.exp(WAY_SIGMA**2 / 2)
    case = evolve(case, interval=case.interval + 2 * one_way)
    fewest = None
    for price in (0.0, *(0.001 * 1.3**nth for nth in range(32))):
        found = optimum(case, price)
        sent, waited = found.answers.means(found.schedule())
        fewest = fewest or sent
        yield one_way + waited / float(found.answers.cdf[-1]), 1 - sent / fewest


def points(case: Case, count: int) -> Iterator[tuple[str, str, str, Result]]:
    """The other strategies, and what others do."""
    yield "Proportional()", "s", ORANGE, run(shipped(FinalPoll(Proportional())), case, count)
    yield "HazardAware(), new", "^", GREEN, run(shipped(FinalPoll(HazardAware())), case, count)
    yield "HazardAware(), after 1000", "D", GREEN, run(shipped(taught(HazardAware(), case)), case, count)
    waits = FinalPoll(Backoff(tenacity.wait_exponential(multiplier=3, exp_base=1.2, max=10)))
    yield "Backoff, x1.2 up to 10 s", "v", RED, run(shipped(waits), case, count)
    yield "interval + jitter", "x", RED, run(_jittered, case, count)
    yield "interval from the send, strict server", "P", RED, run(_from_send, case, count)


def _jittered(view: PollView) -> float:
    return view.not_before + view.rng.uniform(0, view.interval)


def _from_send(view: PollView) -> float:
    return (view.last.sent_at if view.last else view.acknowledged_at) + view.interval


# --- when the polls fall ----------------------------------------------------------------------------------------------


def timeline(path: Path) -> None:
    """When each strategy polls, below when people answer."""
    case = Case("phased", 180.0)
    strategies = {
        "Fixed()": (BLUE, FinalPoll(Fixed())),
        "Proportional()": (ORANGE, FinalPoll(Proportional())),
        "HazardAware()": (GREEN, taught(HazardAware(), case)),
        "PhaseAware()": (RED, taught(PhaseAware(), case)),
    }
    figure, (top, answer, never) = plt.subplots(
        3, 1, figsize=(10.5, 5.6), sharex=True, layout="constrained", height_ratios=[1.3, 1, 1]
    )
    crowd = Random(5)
    times = [PEOPLE["phased"].draw(crowd)[0] for _ in range(60_000)]
    top.hist(times, bins=range(181), weights=[1 / len(times)] * len(times), color=GREY, alpha=0.6)
    top.set_ylabel("answers in\neach second")
    top.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    top.set_title("When people answer: three steps in the app, one in ten never opens it", fontsize=10, loc="left")
    steps = (
        (0.0, "awaiting first user interaction"),
        (11.0, "awaiting user request acknowledgement"),
        (16.0, "awaiting user identification"),
    )
    rows(answer, case, strategies, 21.5, steps)
    answer.set_title(
        "Polls to somebody who opens the app after 11 s and approves after 21.5 s", fontsize=10, loc="left"
    )
    answer.axvline(21.5, color=INK, linewidth=1.2)
    answer.text(24, -1.5, "approves", va="center", fontsize=9)
    rows(never, case, strategies, float("inf"), steps[:1])
    never.set_title("Polls to somebody who never opens it", fontsize=10, loc="left")
    never.set_xlabel("seconds since the request")
    never.set_xlim(0, 182)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def rows(
    axes: Axes,
    case: Case,
    strategies: dict[str, tuple[str, FinalPoll]],
    took: float,
    steps: tuple[tuple[float, str], ...],
) -> None:
    """One person, one row for each strategy."""
    for nth, (colour, strategy) in enumerate(strategies.values()):
        sent = sent_to(shipped(strategy), case, took, steps)
        axes.vlines(sent, -nth - 0.36, -nth + 0.36, color=colour, linewidth=2)
        axes.text(186, -nth, f"{len(sent)} polls", va="center", ha="left", fontsize=9, color=colour, clip_on=False)
    axes.set_yticks([-nth for nth in range(len(strategies))], list(strategies))
    axes.set_ylim(-len(strategies) + 0.4, 0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def sent_to(client: Client, case: Case, took: float, steps: tuple[tuple[float, str], ...]) -> list[float]:
    """When one person is polled, in seconds since the request; messages take a steady 60 ms."""
    steady = evolve(case, way=1e-9, detour=0.06)
    login = Login(steady, took, steps, 1000.0, Random(1), Random(1))
    sent: list[float] = []
    while True:
        at = client(login.view())
        if at is None or at >= login.timing.latest_end:
            return sent
        sent.append(at - 1000.0)
        if login.poll(at):
            return sent


# --- many under one limit ---------------------------------------------------------------------------------------------


def fleet(path: Path) -> None:
    """How late answers are heard of, by how much more everybody would poll than the provider allows."""
    figure, places = plt.subplots(1, 2, figsize=(10.5, 4.4), sharey=True, layout="constrained")
    one_fleet(places[0], "med18", 120.0, 600, 150.0)
    one_fleet(places[1], "med25", 900.0, 600, 300.0)
    places[0].set_ylabel("seconds from decision to its arrival, mean")
    handles, labels = places[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def one_fleet(axes: Axes, people: str, lifetime: float, concurrent: int, seconds: float) -> None:
    """One kind of people."""
    # Beyond that neither scheduler helps at 120 s: a login gets hardly more than the poll before its end.
    loads = (0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0)
    fair, index, bounds, alone = [], [], [], []
    for load in loads:
        case = Situation(people, lifetime, concurrent, load, lifetime, seconds)
        rate = case.allowed
        fair.append(fleets(case, "round robin", lambda rate=rate: FairScheduler(rate=rate), FIXED).mean)
        served = fleets(case, "index", lambda rate=rate: IndexScheduler(rate=rate), knowing(people))
        index.append(served.mean)
        bounds.append(case.bound(served.polls))
        # Refusals are not counted here: where they are, nothing arrives at all.
        refusing = {"limit": lambda _, rate=rate: Limit(rate, counts_refused=False), "tells": lambda _: False}
        alone.append(fleets(case, "timers", lambda: FairScheduler(max_in_flight=10**6), FIXED, **refusing).mean)
    axes.plot(loads, alone, "x-", color=RED, label="no scheduler, refusals repeated")
    axes.plot(loads, fair, "o-", color=BLUE, label="FairScheduler")
    axes.plot(loads, index, "D-", color=GREEN, label="IndexScheduler")
    axes.plot(loads, bounds, color=INK, linewidth=1.2, label="the best possible")
    who = PEOPLE[people]
    axes.set_title(
        f"median {who.parts[0][1]:g} s, {who.never:.0%} never answer, expires after {lifetime:g} s", fontsize=10
    )
    axes.set_xlabel(f"load: polls wanted every {INTERVAL:g} s, by what may be sent")
    axes.set_xlim(0.6, 6.2)
    axes.set_ylim(0, 12)
