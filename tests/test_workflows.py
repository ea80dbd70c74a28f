"""Tests of the workflows of `.github`: what they run exists, and they may do no more than they must."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pages import ROOT

try:
    import yaml
except ImportError:
    if "IDURA_CIBA_SITE" in os.environ:
        raise
    pytest.skip("pyyaml is not installed; the dependency group `docs` brings it", allow_module_level=True)

TEXTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")}
WORKFLOWS: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
#: What a job may do beside reading the source.
ALLOWED = {
    ("docs.yml", "publish"): {"id-token": "write", "pages": "write"},
    ("release.yml", "publish"): {"id-token": "write"},
}


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every step, with its workflow and its job."""
    for name, workflow in WORKFLOWS.items():
        for job, body in workflow["jobs"].items():
            for step in body["steps"]:
                yield name, job, step


def test_there_are_two_workflows() -> None:
    """One publishes the site, one publishes releases."""
    assert set(WORKFLOWS) == {"docs.yml", "release.yml"}


def test_what_they_run_exists() -> None:
    """Each session of nox, and each path."""
    sessions = set(re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    named = set[str]()
    for _, _, step in steps():
        words = shlex.split(step.get("run", ""))
        if words[:1] == ["nox"]:
            assert words[1] == "-s"
            named |= set(words[2:])
    assert named == {"docs", "lint", "types", "wheel"}
    assert named <= sessions
    uploaded = [step["with"]["path"] for _, _, step in steps() if "upload" in step.get("uses", "")]
    assert f"\nsite_dir: {uploaded[0]}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert uploaded[1:] == ["dist/"]


def test_they_may_do_no_more_than_they_must() -> None:
    """By default they read; only what publishes writes, and it runs no program of the repository."""
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}
        for job, body in workflow["jobs"].items():
            assert body.get("permissions", {}) == ALLOWED.get((name, job), {})
            assert body["timeout-minutes"] <= 40
            if (name, job) in ALLOWED:
                assert body["needs"] == "build"
                assert "environment" in body
                assert not any("run" in step or "checkout" in step.get("uses", "") for step in body["steps"])
    assert all(step["with"]["persist-credentials"] is False for _, _, step in steps() if "checkout" in str(step))


def test_no_secret_and_no_address_is_in_them() -> None:
    """Trusted publishing needs neither."""
    for text in TEXTS.values():
        assert "secrets." not in text
        assert "://" not in text


def test_actions_are_pinned() -> None:
    """To a major version, or to a commit."""
    used = [step["uses"] for _, _, step in steps() if "uses" in step]
    assert len(used) > 6
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+|[0-9a-f]{40})", each)] == []


def test_only_the_version_that_is_tagged_is_released() -> None:
    """The step that compares them finds the line, and no other version's."""
    (step,) = [step for _, _, step in steps() if "__version__" in step.get("run", "")]
    line = re.search(r"grep -qxF \"(.*)\" (\S+)$", step["run"])
    assert line
    wanted = line[1].replace('\\"', '"')
    source = (ROOT / line[2]) if (ROOT / line[2]).exists() else None
    if source is None:
        pytest.skip("the package is not beside its tests")
    found = re.search(r'^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert wanted.replace("${GITHUB_REF_NAME#v}", found[1]) == found[0]
