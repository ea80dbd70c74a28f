"""Tests of the simulator's front door."""

from __future__ import annotations

import subprocess
import sys

import pytest

from idura_ciba import simulator


def test_all_public_names_exist() -> None:
    """Also the one that is loaded when it is asked for."""
    assert all(getattr(simulator, name) is not None for name in simulator.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Lazy loading hides no typing error."""
    with pytest.raises(AttributeError, match="SimulatedBankID"):
        _ = simulator.SimulatedBankID


def test_no_web_server_is_loaded_before_somebody_wants_one() -> None:
    """`aiohttp.web` costs time that most programs need not spend."""
    code = (
        "import sys; from idura_ciba.simulator import SimulatedIdura; early = 'aiohttp.web' in sys.modules; "
        "from idura_ciba.simulator import SimulatorServer; print(early, 'aiohttp.web' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
