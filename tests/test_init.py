"""What `import idura_ciba` loads, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import idura_ciba

#: The server half of aiohttp, the command's libraries, the simulator, and authlib's bindings to HTTP clients.
UNWANTED = ("aiohttp.web", "authlib.integrations", "authlib.jose", "idura_ciba.simulator", "pytest", "rich", "typer")


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has imported after a statement."""
    program = [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(program, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_that_a_login_does_not_need() -> None:
    """Each of these would cost every service time at start, and some would ask for an extra."""
    loaded = loaded_by("from idura_ciba import *")
    assert "idura_ciba.client" in loaded
    assert not [name for name in loaded if name in UNWANTED or name.startswith(tuple(f"{bad}." for bad in UNWANTED))]


def test_importing_the_package_alone_loads_no_library() -> None:
    """Nor does the name of an error."""
    for statement in ("import idura_ciba", "from idura_ciba import Denied, UsageError"):
        assert not {"aiohttp", "cryptography", "tenacity"} & loaded_by(statement)


def test_each_public_name_is_there() -> None:
    """The list for readers, the table for loading and what is loaded are the same."""
    assert sorted(idura_ciba.__all__) == sorted(idura_ciba._HOMES)
    for name in idura_ciba.__all__:
        assert getattr(idura_ciba, name).__name__.removesuffix("Like")
        assert name in dir(idura_ciba)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        idura_ciba.Nothing  # noqa: B018 - looked up, which fails


def test_the_version_is_that_of_the_distribution() -> None:
    """It stands in one place, and is known without asking for the distribution's metadata."""
    assert idura_ciba.__version__ == metadata.version("idura_ciba")
    assert "importlib.metadata" not in loaded_by("from idura_ciba import __version__")


def test_the_search_finds_what_is_there() -> None:
    """The simulator's server is where the web half belongs."""
    assert "aiohttp.web" in loaded_by("import idura_ciba.simulator.server")
