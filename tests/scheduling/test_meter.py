"""Tests of what counts the last seconds."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.scheduling.meter import Meter


@given(st.lists(st.floats(0.0, 3.0), max_size=80), st.floats(0.0, 30.0), st.floats(-50.0, 50.0))
def test_a_meter_counts_the_last_ten_seconds(steps: list[float], after: float, start: float) -> None:
    """And the one that is running; longer ago is forgotten, also where nothing happened for a long time."""
    meter, times = Meter(), list(itertools.accumulate(steps, initial=start))
    for at in times:
        meter.add(at)
    now = times[-1] + after
    lived = max(1.0, now - times[0])
    counts = [sum(math.floor(at) >= math.floor(now) - back for at in times) for back in range(11)]
    assert meter.rate(now) == pytest.approx(counts[10] / min(10 + now % 1.0, lived))
    spans = [max(1.0, min(back + now % 1.0, lived)) for back in range(1, 11)]
    assert meter.best(now) == pytest.approx(max(c / span for c, span in zip(counts[1:], spans, strict=True)))
