"""Tests of several budgets for one provider, which tell each other what refusals teach."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from random import Random

import pytest
from attrs import define, evolve, field

from idura_ciba.scheduling.budget import CUT, DEEPEST_CUT, FEW, RUN, Budget, Throttle

#: Seconds between two times at which each says what it knows, and hears the others: a sign of life of a worker.
BEAT = 1.0


def shared(rate: float | None = None) -> Budget:
    """One of several."""
    budget = Budget(rate)
    budget.share(within=BEAT)
    return budget


def answer(budget: Budget, begin: float, end: float, rate: float) -> None:
    """So many answers a second."""
    for nth in range(round((end - begin) * rate)):
        at = begin + nth / rate
        budget.answered(at, sent_at=at - 0.1)


def refuse(budget: Budget, now: float, *, count: int = 8, retry_after: float | None = None) -> list[bool]:
    """So many refusals at once, enough for a cut; which of them were news."""
    return [budget.was_refused(now, sent_at=now - 0.1, retry_after=retry_after) for _ in range(count)]


def test_whoever_has_learned_nothing_has_nothing_to_tell() -> None:
    """Neither a cut nor a limit."""
    assert Budget(20).throttle(5.0) == Throttle(0, 1.0, 20.0, 0.0)
    assert Budget().throttle(5.0) == Throttle()


def test_a_cut_is_told_once_and_taken_over_once() -> None:
    """The same part of another rate, under the same number; an older one changes nothing."""
    one, two = shared(20), shared(40)
    answer(one, 0.0, 10.0, 15.0)
    assert sum(refuse(one, 10.0)) == 1
    told = one.throttle(10.0)
    assert (told.cuts, told.part) == (1, pytest.approx(CUT * 0.75, rel=0.02))
    two.take_over(10.5, told)
    assert two.allowed == pytest.approx(40 * one.allowed / 20)
    assert two.throttle(10.5).cuts == 1
    for again in (told, evolve(told, part=0.1), evolve(told, cuts=0, part=0.1)):
        two.take_over(11.0, again)
    assert two.allowed == pytest.approx(40 * one.allowed / 20)


def test_a_cut_that_is_taken_over_raises_nothing() -> None:
    """Whoever is allowed less stays there."""
    budget = shared(20)
    answer(budget, 0.0, 10.0, 5.0)
    refuse(budget, 10.0)
    assert budget.allowed == pytest.approx(10.0)
    budget.take_over(12.0, Throttle(7, 0.9))
    assert (budget.allowed, budget.throttle(12.0).cuts) == (pytest.approx(10.0), 7)


def test_one_burst_is_one_cut_whoever_was_refused() -> None:
    """Both have cut by themselves before they heard: the numbers are the same, so neither is cut again."""
    one, two = shared(20), shared(20)
    for budget in (one, two):
        answer(budget, 0.0, 10.0, 15.0)
        refuse(budget, 10.0)
    allowed = one.allowed
    one.take_over(10.6, two.throttle(10.6))
    two.take_over(10.6, one.throttle(10.6))
    assert one.allowed == two.allowed == allowed


def test_until_the_others_have_heard_of_a_cut_refusals_say_nothing() -> None:
    """They still send too much. Afterwards they count."""
    one, alone = shared(20), Budget(20)
    for budget in (one, alone):
        answer(budget, 0.0, 10.0, 15.0)
        refuse(budget, 10.0)
        allowed = budget.allowed
        answer(budget, 10.2, 11.1, 8.0)
        for _ in range(8):
            budget.was_refused(11.2, sent_at=10.9)
        assert budget.allowed == (allowed if budget is one else pytest.approx(CUT * allowed, rel=0.3))
    answer(one, 11.2, 12.2, 8.0)
    assert sum(one.was_refused(12.3, sent_at=12.2) for _ in range(8)) == 1
    assert one.throttle(12.3).cuts == 2


def test_without_a_rate_each_is_cut_to_what_was_answered_to_it() -> None:
    """So that the sum is what was answered to all; a few are left to each, and who has sent nothing takes theirs."""
    busy, slow, idle = shared(), shared(), shared()
    answer(busy, 0.0, 10.0, 50.0)
    answer(slow, 0.0, 10.0, 1.0)
    for nth in range(50):
        busy.take(9.0 + nth / 50, queued=False)
    refuse(busy, 10.0)
    told = busy.throttle(10.0)
    assert told.part is None
    assert busy.allowed == pytest.approx(CUT * 50.0, rel=0.05)
    slow.take_over(10.5, told)
    assert slow.allowed == DEEPEST_CUT * FEW
    idle.take_over(10.5, told)
    assert idle.allowed == busy.allowed
    slow.take_over(12.0, evolve(told, cuts=2))
    assert slow.allowed == DEEPEST_CUT * FEW


def test_a_learned_part_outlives_another_share() -> None:
    """Where shares of one rate change, the part that is allowed stays; also where there is none for a while."""
    budget = shared(20)
    budget.take_over(0.0, Throttle(1, 0.6))
    for share in (15, 1e-6, 30, 20):
        budget.change(share, in_part=True)
        assert budget.allowed == pytest.approx(0.6 * share)
    budget.change(None, in_part=True)
    assert budget.allowed == pytest.approx(12.0)


def test_whoever_is_told_to_wait_tells_the_others() -> None:
    """For as long as is left, at once, and not for each refusal anew."""
    one, two = shared(20), shared(20)
    assert sum(refuse(one, 10.0, count=RUN - 1, retry_after=20.0)) == 1
    assert sum(one.was_refused(10.0 + nth / 10, sent_at=9.9, retry_after=20.0) for nth in range(9)) == 0
    assert one.throttle(14.0).closed == pytest.approx(16.0)
    two.take_over(14.0, one.throttle(14.0))
    assert two.ready_at(queued=False) == pytest.approx(30.0)
    assert one.throttle(31.0).closed == 0.0


def test_what_others_were_told_is_not_passed_on() -> None:
    """It would grow by the time that it is on its way."""
    budget = shared(20)
    budget.take_over(10.0, Throttle(closed=20.0))
    assert budget.ready_at(queued=False) == 30.0
    assert budget.throttle(11.0).closed == 0.0


def test_whoever_gets_no_answer_at_all_keeps_that_to_itself() -> None:
    """Its own line may be what is broken: neither its cuts nor its backoff stop the others."""
    budget, news = shared(20), 0
    answer(budget, 0.0, 10.0, 15.0)
    for nth in range(600):
        now = 10.0 + nth * 0.1
        if budget.ready_at(queued=True) <= now:
            budget.take(now, queued=True)
            news += budget.was_refused(now, sent_at=now)
    assert news == 1  # that there had been answers, and then were none
    assert (budget.throttle(now).cuts, budget.throttle(now).closed) == (1, 0.0)
    assert budget.ready_at(queued=True) > now + 1


def test_whoever_is_answered_again_catches_up_with_the_others() -> None:
    """Its line was broken, and theirs was not; as long as it is, nothing changes."""
    budget = shared(20)
    answer(budget, 0.0, 10.0, 15.0)
    for nth in range(20):
        refuse(budget, 10.0 + 3 * nth)
    assert budget.allowed < 1.0
    others = Throttle(1, 0.8)
    budget.take_over(70.0, others)
    assert budget.allowed < 1.0
    budget.answered(80.0, sent_at=79.9)
    budget.take_over(80.5, evolve(others, cuts=0))
    assert budget.allowed < 1.0
    budget.take_over(80.5, others)
    assert budget.allowed == pytest.approx(CUT * 0.8 * 20)
    budget.take_over(81.0, evolve(others, part=0.2))
    assert budget.allowed == pytest.approx(CUT * 0.8 * 20)


# --- with a provider --------------------------------------------------------------------------------------------------


@define
class Worker:
    """One of those who send, as busy as its demand."""

    budget: Budget
    demand: float
    waiting: int = 0
    queued: bool = False
    wake: float = math.inf


@define
class World:
    """Budgets of several workers and one provider, which refuses what is more than `limit * window` in a window."""

    limit: float
    window: float
    workers: list[Worker]
    counts_refused: bool = False
    accidents: float = 0.0
    answered: list[int] = field(factory=lambda: [0] * 1000)
    refused: list[int] = field(factory=lambda: [0] * 1000)
    _recent: deque[float] = field(factory=deque)
    _events: list[tuple[float, int, str, int, float]] = field(factory=list)
    _numbers: itertools.count[int] = field(factory=itertools.count)
    _dice: Random = field(factory=lambda: Random(1))
    _now: float = 0.0

    def run(self, until: float) -> None:
        """Let them send."""
        if not self._events:
            for nth in range(len(self.workers)):
                self.join(nth)
        while self._now < until:
            nth = min(range(len(self.workers)), key=lambda each: self.workers[each].wake)
            if self.workers[nth].wake < self._events[0][0]:
                self._now = self.workers[nth].wake
            else:
                self._now, _, what, nth, sent_at = heapq.heappop(self._events)
                self._happen(what, nth, sent_at)
            self._serve(nth)

    def join(self, nth: int) -> None:
        """One begins."""
        self._push(self._now, "want", nth)
        self._push(self._now + self._dice.random() * BEAT, "beat", nth)

    def _push(self, at: float, what: str, nth: int, sent_at: float = 0.0) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), what, nth, sent_at))

    def _happen(self, what: str, nth: int, sent_at: float) -> None:
        worker = self.workers[nth]
        if what == "want":
            worker.waiting = min(worker.waiting + 1, 1000)
            self._push(self._now + 1 / worker.demand, what, nth)
        elif what == "beat":
            self._beat(nth)
            self._push(self._now + BEAT, what, nth)
        elif what == "answered":
            worker.budget.answered(self._now, sent_at=sent_at)
        elif worker.budget.was_refused(self._now, sent_at=sent_at):
            self._beat(nth)

    def _beat(self, nth: int) -> None:
        """It hears what all have said; of the last cut the highest part, as from a store."""
        self._said[nth] = self.workers[nth].budget.throttle(self._now)
        last = max(throttle.cuts for throttle in self._said.values())
        parts = [throttle for throttle in self._said.values() if throttle.cuts == last]
        self.workers[nth].budget.take_over(self._now, max(parts, key=lambda each: (each.part or 0.0, each.allowed)))

    _said: dict[int, Throttle] = field(factory=dict)

    def _serve(self, nth: int) -> None:
        worker = self.workers[nth]
        worker.wake = math.inf
        while worker.waiting:
            if (ready_at := worker.budget.ready_at(queued=worker.queued)) > self._now:
                worker.queued, worker.wake = True, ready_at
                return
            worker.budget.take(self._now, queued=worker.queued)
            worker.waiting -= 1
            self._arrive(nth)
        worker.queued = False

    def _arrive(self, nth: int) -> None:
        while self._recent and self._recent[0] <= self._now - self.window:
            self._recent.popleft()
        accepted = len(self._recent) < self.limit * self.window and self._dice.random() >= self.accidents
        if accepted or self.counts_refused:
            self._recent.append(self._now)
        (self.answered if accepted else self.refused)[math.floor(self._now)] += 1
        back = self._now + 0.12 * self._dice.lognormvariate(0.0, 0.3)
        self._push(back, "answered" if accepted else "refused", nth, self._now)

    def used(self, begin: int, end: int) -> float:
        """Answered requests, as a share of what is allowed."""
        return sum(self.answered[begin:end]) / (end - begin) / self.limit

    def refusals(self, begin: int, end: int) -> float:
        """The share of the requests that were refused."""
        refused = sum(self.refused[begin:end])
        return refused / (refused + sum(self.answered[begin:end]))


KINDS = [(1.0, False), (1.0, True), (10.0, False), (10.0, True)]


@pytest.mark.unmeasured
@pytest.mark.parametrize(("window", "counts_refused"), KINDS)
def test_two_thirds_of_the_agreed_rate_are_found_together(window: float, counts_refused: bool) -> None:
    """After half a minute at most 3 % are refused, and what the provider allows is used; each has its part of it."""
    workers = [Worker(shared(20), 40.0) for _ in range(3)]
    world = World(40.0, window, workers, counts_refused=counts_refused)
    world.run(150)
    assert world.refusals(30, 150) <= 0.03
    assert world.used(30, 150) >= 0.85
    told = [worker.budget.throttle(150.0) for worker in workers]
    parts = [throttle.part or 0.0 for throttle in told if throttle.cuts == max(each.cuts for each in told)]
    assert max(parts) - min(parts) < 0.05
    assert max(throttle.cuts for throttle in told) <= 150 / 8


@pytest.mark.unmeasured
@pytest.mark.parametrize(("window", "counts_refused"), KINDS)
def test_without_an_agreed_rate_the_sum_is_what_the_provider_allows(window: float, counts_refused: bool) -> None:
    """Also where one has most of the logins."""
    workers = [Worker(shared(), demand) for demand in (100.0, 6.0, 6.0)]
    world = World(40.0, window, workers, counts_refused=counts_refused)
    world.run(150)
    assert world.refusals(30, 150) <= 0.04
    assert world.used(30, 150) >= 0.85


@pytest.mark.unmeasured
def test_who_joins_takes_over_what_is_known() -> None:
    """No second burst: it sends no more than the others from its first second on."""
    workers = [Worker(shared(20), 40.0) for _ in range(3)]
    world = World(40.0, 1.0, workers)
    world.run(60)
    for worker in workers:
        worker.budget.change(15, in_part=True)
    workers.append(Worker(shared(15), 40.0))
    world.join(3)
    world.run(90)
    assert world.refusals(60, 90) <= 0.03
    assert world.used(60, 90) >= 0.85


@pytest.mark.unmeasured
@pytest.mark.parametrize("share", [0.03, 0.05, 0.07, 0.1])
def test_accidents_do_not_starve_anybody(share: float) -> None:
    """Requests that are refused by the dice say nothing about the rate for long, also to several."""
    world = World(1000.0, 1.0, [Worker(shared(20), 15.0) for _ in range(3)], accidents=share)
    world.run(240)
    assert sum(world.answered[120:240]) >= 0.97 * 120 * 3 * 15 * (1 - share)
