"""Tests of the report of a batch."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import State
from idura_ciba.batch import Result
from idura_ciba.batch.tally import LONGEST, Tally
from idura_ciba.cli.page import BadRowsLink, page
from tests.fakes import swedish_number

HOSTILE = "</title><script>alert('x')</script> & \"q\""


@define(eq=False)
class Read(HTMLParser):
    """A page as a browser reads it.

    Attributes:
        rows: The cells of all tables.
        bars: What each bar says.
        marks: What stands beside them.
        drawn: The attributes of each bar.
        median: Where the line of the median stands, in hundredths of the plot; None without one.
        links: Where links lead.
    """

    open: list[str] = field(factory=list)
    tags: set[str] = field(factory=set)
    names: set[str] = field(factory=set)
    headings: list[str] = field(factory=list)
    rows: list[list[str]] = field(factory=list)
    bars: list[str] = field(factory=list)
    drawn: list[dict[str, str]] = field(factory=list)
    marks: list[str] = field(factory=list)
    median: float | None = None
    links: list[str] = field(factory=list)
    paragraphs: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Begin."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what is open."""
        if tag != "meta":
            self.open.append(tag)
        self.tags.add(tag)
        self.names.update(name for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        values = {name: value or "" for name, value in attrs}
        if tag == "rect" and "x" in values:
            self.drawn.append(values)
        elif tag == "line" and values.get("class") == "median":
            self.median = float(values["x1"].removesuffix("%"))
        elif tag == "a":
            self.links.append(values["href"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open and close it."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Everything is closed in the order in which it was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Put text where it belongs."""
        place = self.open[-1] if self.open else ""
        if place in {"td", "th"} or (place == "a" and "td" in self.open):
            self.rows[-1].append(data)
        elif place == "title" and "rect" in self.open:
            self.bars.append(data)
        elif place in {"h1", "h2", "title"}:
            self.headings.append(data)
        elif place == "text":
            self.marks.append(data)
        elif place == "p":
            self.paragraphs.append(data)


#: When the reports of these tests are written.
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def read(tally: Tally, title: str = "Batch", *, written_at: datetime = NOW, **facts: str | BadRowsLink) -> Read:
    """The page, read."""
    found = Read()
    found.feed(page(title, facts, tally, written_at=written_at))
    found.close()
    assert found.open == []
    return found


def result(state: State, took: float, polls: int, **members: Any) -> Result:
    """What came of somebody with a name and a key."""
    return Result(
        key="customer-4711",
        state=state,
        subject="{pseudonym}",
        explanation="The person said a thing",
        trace_id="0123456789abcdef",
        claims={"name": "Dummy Testvik", "ssn": swedish_number(1)},
        asked_at=1000.0,
        ended_at=1000.0 + took,
        polls=polls,
        **members,
    )


@pytest.fixture(name="tally")
def _tally() -> Tally:
    """What came of some people."""
    tally = Tally()
    for each in (
        result(State.APPROVED, 5.0, 2),
        result(State.APPROVED, 5.9, 2),
        result(State.DENIED, 9.0, 4, code="denied", slow_downs=3),
        result(State.FAILED, 1.0, 0, code="<b>"),
    ):
        tally.add(each)
    return tally


def test_a_page_counts(tally: Tally) -> None:
    """Outcomes with their shares, answers by seconds, logins by requests, errors by their words."""
    found = read(tally, "Batch people.csv", strategy="hazard")
    assert found.headings == [
        "Batch people.csv",
        "Batch people.csv",
        "Outcomes",
        "Time to answer",
        "Requests per login",
        "Errors",
    ]
    assert found.rows == [
        ["report of", "2026-03-01 12:30 UTC"],
        ["asked", "1970-01-01 00:16 to 00:16 UTC"],
        ["strategy", "hazard"],
        ["approved", "2", "50.0%"],
        ["denied", "1", "25.0%"],
        ["failed", "1", "25.0%"],
        ["mean", "3.00"],
        ["total", "12"],
        ["slow_down answers", "3"],
        ["<b>", "1"],
    ]
    assert found.bars == ["5: 2", "9: 1", "1: 1", "3: 2", "5: 1"]
    assert found.paragraphs[0] == "Median time to answer: 5.8 s; expired logins count as longer."


def test_a_page_needs_nothing_else_and_does_nothing(tally: Tally) -> None:
    """It can be mailed and opened anywhere, also by a program that obeys no policy."""
    text, found = page("Batch", {}, tally, written_at=NOW), read(tally)
    assert not re.search(r"https?:|//|url\(|@import|javascript", text)
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "a", "use", "image"})
    assert not [name for name in found.names if "src" in name or "href" in name or name.startswith("on")]
    assert "default-src 'none'" in text
    assert text.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in text


def test_a_page_says_nothing_of_anybody(tally: Tally) -> None:
    """Whoever may see how it went need not be somebody who may see who it was."""
    text = page("Batch", {"strategy": "hazard"}, tally, written_at=NOW)
    for word in ("4711", "pseudonym", "said a thing", "0123456789abcdef", "Testvik", swedish_number(1)):
        assert word not in text


def test_what_is_put_into_a_page_stays_text(tally: Tally) -> None:
    """A file's name, a fact and an error's word cannot become markup."""
    found = read(tally, HOSTILE, **{HOSTILE: HOSTILE})
    assert found.headings[:2] == [HOSTILE] * 2
    assert found.rows[2] == [HOSTILE] * 2
    assert "script" not in found.tags
    assert "b" not in found.tags


def test_a_page_of_nobody() -> None:
    """Says so, instead of drawing nothing."""
    found = read(Tally())
    assert found.rows == [
        ["report of", "2026-03-01 12:30 UTC"],
        ["asked", "nobody"],
        ["total", "0"],
        ["slow_down answers", "0"],
    ]
    assert found.paragraphs[:5] == [
        "Nobody was asked.",
        "None.",
        "No median: fewer than half of the people have answered.",
        "None.",
        "None.",
    ]


def test_the_median_stands_where_half_have_answered() -> None:
    """Over the bar of its second, on whichever side there is room for its name."""
    early, late = Tally(seconds=Counter({2: 3, 9: 2})), Tally(seconds=Counter({2: 2, 9: 3}))
    assert read(early).median == pytest.approx(100 * 2.83 / 10, abs=0.1)
    assert read(late).median == pytest.approx(100 * 9.17 / 10, abs=0.1)
    assert "median 2.8 s" in read(early).marks
    assert 'text-anchor="start">median 2.8 s' in page("Batch", {}, early, written_at=NOW)
    assert 'text-anchor="end">median 9.2 s' in page("Batch", {}, late, written_at=NOW)
    assert read(Tally(seconds=Counter({2: 1}), states=Counter({"expired": 5}))).median is None


def test_times_are_said_with_their_zone() -> None:
    """Whoever is mailed the report may live elsewhere; a night between two runs is told."""
    oslo = timezone(timedelta(hours=1))
    tally = Tally(first_at=NOW.timestamp() - 86400, last_at=NOW.timestamp())
    assert read(tally, written_at=NOW.astimezone(oslo)).rows[:2] == [
        ["report of", "2026-03-01 13:30 UTC+01:00"],
        ["asked", "2026-02-28 13:30 to 2026-03-01 13:30 UTC+01:00"],
    ]


@pytest.mark.parametrize(
    ("path", "report", "link"),
    [
        ("out.bad.csv", "report.html", "./out.bad.csv"),
        ("results/out.bad.csv", "reports/a.html", "./../results/out.bad.csv"),
        ("javascript:alert(1)", "a.html", "./javascript%3Aalert%281%29"),
        ('"><b>å', "a.html", "./%22%3E%3Cb%3E%C3%A5"),
    ],
)
def test_a_page_leads_to_the_invalid_rows(tally: Tally, path: str, report: str, link: str) -> None:
    """From where it stands itself, and to nothing but a file."""
    found = read(tally, listed=BadRowsLink(Path(path), Path(report)))
    assert found.links == [link]
    assert found.rows[2] == ["listed", Path(path).name]


def test_many_seconds_share_a_bar() -> None:
    """At most sixty bars are told apart, and each says what it is of."""
    tally = Tally(seconds=Counter({0: 1, 59: 2, 60: 4, 119: 1}))
    assert read(tally).bars == ["0 to 1: 1", "58 to 59: 2", "60 to 61: 4", "118 to 119: 1"]
    assert read(tally).marks == [*map(str, range(0, 120, 16)), "4", "0", "seconds since the request", "median 60.2 s"]
    assert read(Tally(seconds=Counter({0: 1, 59: 2}))).bars == ["0: 1", "59: 2"]


@pytest.mark.unmeasured
@given(st.dictionaries(st.integers(0, LONGEST), st.integers(1, 10**6), min_size=1, max_size=20))
def test_every_answer_is_in_one_bar_of_the_drawing(seconds: dict[int, int]) -> None:
    """The highest one fills it, none leaves it, and none is too thin to be seen."""
    tally = Tally(seconds=Counter(seconds))
    found = read(tally)
    assert sum(int(bar.split(": ")[1].replace(",", "")) for bar in found.bars) == sum(seconds.values())
    drawn = [
        {name: float(bar[name].removesuffix("%")) for name in ("x", "y", "width", "height")} for bar in found.drawn
    ]
    assert max(bar["height"] for bar in drawn) == 100
    assert all(abs(bar["y"] + bar["height"] - 100) < 0.02 for bar in drawn)
    assert all(bar["x"] >= 0 and bar["x"] + bar["width"] <= 100.02 and bar["width"] > 1.6 for bar in drawn)
    assert found.median is not None
    assert 0 <= found.median <= 100


def test_each_end_has_its_colour_and_share() -> None:
    """Those that are rare too."""
    tally = Tally(states=Counter(dict.fromkeys((state.value for state in State if state.is_final), 1)))
    text = page("Batch", {}, tally, written_at=NOW)
    assert [row[0] for row in read(tally).rows[2:10]] == [
        "approved", "denied", "expired", "rejected", "failed", "indeterminate", "abandoned", "handed_over",
    ]  # fmt: skip
    assert text.count('width="12.50%"') == 8
    colours = re.findall(r'<rect class="(\w+)" width', text)
    assert colours == ["approved", "denied", "expired", *["other"] * 5]
    assert all(f".{colour} {{ fill: var(--{colour}); }}" in text for colour in colours)
