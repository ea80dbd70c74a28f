"""Tests of what `idura_ciba.ping` exports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from idura_ciba import ping


def test_a_program_on_asgi_loads_no_aiohttp_web() -> None:
    """It is loaded with the handler that needs it."""
    program = "import sys, idura_ciba.ping as p; p.PingReceiver(); a = 'aiohttp.web' in sys.modules; p.aiohttp_handler"
    program += "; print(a, 'aiohttp.web' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_each_name_is_there() -> None:
    """And no other."""
    assert [getattr(ping, name).__name__ for name in ping.__all__] == ping.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        ping.Nothing  # noqa: B018 - looked up, which fails
