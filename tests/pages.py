"""What the tests of the documentation share: its pages, their examples, and the scripts beside them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: README and every page of the folder. The names of their examples are unique, which `test_docs.py` holds.
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))])


def example(name: str) -> dict[str, Any]:
    """Run one of the examples and return what it defines."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGES, re.DOTALL)
    assert found, f"there is no example {name}"
    names: dict[str, Any] = {}
    exec(compile(found[1], f"example {name}", "exec"), names)  # noqa: S102 - our own pages
    return names


def program(path: str) -> ModuleType:
    """Import a program that stands beside the pages, by its path there."""
    file = DOCS / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
