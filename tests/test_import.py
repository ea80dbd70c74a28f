"""What `import idura_ciba` loads, and what it must not."""

from __future__ import annotations

import subprocess
import sys

#: The server half of aiohttp, the command's libraries, the simulator, and authlib's bindings to HTTP clients.
UNWANTED = ("aiohttp.web", "authlib.integrations", "authlib.jose", "idura_ciba.simulator", "pytest", "rich", "typer")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has imported after a statement."""
    program = [sys.executable, "-X", "importtime", "-c", statement]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stderr
    return {line.rsplit("|", 1)[1].strip() for line in told.splitlines() if line.startswith("import time:")}


def test_importing_the_package_loads_nothing_that_a_login_does_not_need() -> None:
    """Each of these would cost every service time at start, and some would ask for an extra."""
    loaded = loaded_by("import idura_ciba")
    assert "idura_ciba.client" in loaded
    assert not [name for name in loaded if name in UNWANTED or name.startswith(tuple(f"{bad}." for bad in UNWANTED))]


def test_the_search_finds_what_is_there() -> None:
    """The simulator's server is where the web half belongs."""
    assert "aiohttp.web" in loaded_by("import idura_ciba.simulator.server")
