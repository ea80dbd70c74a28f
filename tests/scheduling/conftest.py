"""What the tests of the schedulers share."""

from __future__ import annotations

import pytest

from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler
from tests.jobs import Log, MakeQueue


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


@pytest.fixture(params=[FairScheduler, IndexScheduler])
def make_queue(request: pytest.FixtureRequest) -> MakeQueue:
    """Makes the only queue of a scheduler; jobs without a price are served alike by both kinds."""
    return lambda **limits: request.param(**limits).queue()
