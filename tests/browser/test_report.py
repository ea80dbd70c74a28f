"""The report of a batch, on a screen, on a phone and on paper."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from idura_ciba.batch.tally import Tally
from idura_ciba.cli.page import BadRowsLink, page
from tests.browser.conftest import PICTURES, SIZES, OpenWindow

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(name="report")
def _report(tmp_path: Path) -> Path:
    """The report of a large batch, with everything that one can have."""
    tally = Tally(
        states=Counter(approved=81_204, denied=7310, expired=10_022, failed=31, indeterminate=2, rejected=12),
        codes=Counter({"person_not_found_at_the_provider": 31, "lost_answer": 2, "login_required": 12}),
        seconds=Counter({second: 4000 // (1 + abs(second - 17)) for second in range(4, 118)}),
        asked=98_581,
        first_at=1_772_300_000.0,
        last_at=1_772_370_000.0,
        requests=612_001,
        polls=Counter({count: 9000 // count for count in range(1, 40)}),
        slow_downs=17,
    )
    facts: dict[str, str | BadRowsLink] = {
        "eID": "Swedish BankID",
        "strategy": "hazard",
        "limits": "250 people at once, 100 requests/s",
        "duration of this run": "19 h 26 min",
        "invalid rows": "12",
        "listed in": BadRowsLink(tmp_path / "results-2026-03.csv.bad.csv", tmp_path / "report.html"),
    }
    path = tmp_path / "report.html"
    title = "Batch customers-of-the-whole-municipality-2026-03.csv"
    path.write_text(page(title, facts, tally, written_at=datetime(2026, 3, 2, 7, tzinfo=UTC)), "utf-8")
    (tmp_path / "results-2026-03.csv.bad.csv").write_text("line,key\n", "utf-8")
    return path


@pytest.mark.parametrize("width", SIZES)
async def test_a_report_fits_its_window(report: Path, width: int, open_window: OpenWindow) -> None:
    """It leads to the invalid rows; on a desk also with text twice as large, and on the smallest of phones."""
    async with open_window(width, "report") as window:
        await window.page.goto(report.as_uri())
        await window.look("whole")
        if width == 390:
            await window.page.set_viewport_size({"width": 320, "height": 568})
            await window.look("smallest")
        else:
            await window.page.evaluate("document.documentElement.style.fontSize = '200%'")
            await window.look("large-text")
        href = await window.page.get_by_role("link", name="results-2026-03.csv.bad.csv").evaluate("link => link.href")
        assert href == (report.parent / "results-2026-03.csv.bad.csv").as_uri()


async def test_a_report_prints_on_two_sheets_of_paper(report: Path, open_window: OpenWindow) -> None:
    """A4, in dark ink whatever the screen is like; poppler, if there, makes pictures of what a printer gets."""
    async with open_window(1280, "report", color_scheme="dark") as window:
        await window.page.goto(report.as_uri())
        paper = PICTURES / "report-paper.pdf"
        await window.page.pdf(path=paper, prefer_css_page_size=True)
    printed = paper.read_bytes()
    assert printed.startswith(b"%PDF")
    # A4 in points, give or take one.
    sizes = re.findall(rb"/MediaBox \[0 0 (\d+)\S* (\d+)\S*\]", printed)
    assert sizes == [(b"594", b"841")] * 2
    if poppler := shutil.which("pdftoppm"):
        await (await asyncio.create_subprocess_exec(poppler, "-r", "80", "-png", paper, paper.with_suffix(""))).wait()
