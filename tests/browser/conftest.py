"""Opens pages in the system's Chromium, keeps a picture of each state, and looks for barriers and foreign requests.

Playwright drives it: unlike Selenium, it needs no second program whose version must match the browser's, it speaks
asyncio, so that a test's own event loop can serve the page, and it sets colour scheme, paper and reduced motion. It
downloads no browser unless it is told to, and nobody here tells it.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from attrs import define, field, frozen
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.tables import Table, print_tables, printer

#: The program of the browser, and a folder whose `node_modules` were installed from the lock file beside this one.
CHROMIUM, NODE_MODULES = "IDURA_CIBA_BROWSER", "IDURA_CIBA_BROWSER_NODE_MODULES"
#: Where pictures go, and what axe found.
PICTURES: Final = Path(__file__).with_name("pictures")
#: Sizes of the windows: a desk's, and that of a phone in a hand.
SIZES: Final = {1280: (1280, 800), 390: (390, 844)}
SCHEMES: Final = ("light", "dark")
#: What a user cannot work around, by axe's own grades; the lesser ones are printed.
SERIOUS: Final = frozenset({"serious", "critical"})
#: Rules of axe that another colour scheme can break.
COLOUR_RULES: Final = ["color-contrast", "link-in-text-block"]
#: A name of somebody else's that leads to this machine, as after DNS rebinding.
REBOUND: Final = "rebound.example"
#: Milliseconds until something that was to appear counts as missing.
PATIENCE: Final = 10_000


@frozen
class Finding:
    """A barrier that axe found.

    Attributes:
        state: The picture that shows it.
        rule: Axe's name of the rule.
        impact: Axe's grade.
        where: CSS selectors of the elements.
    """

    state: str
    rule: str
    impact: str
    where: str


@define
class Album:
    """What has been looked at in this session.

    Attributes:
        axe: The source of axe-core.
        rules: Rules that axe checked, by picture.
        findings: The barriers that it found.
    """

    axe: str = field(repr=False)
    rules: dict[str, int] = field(factory=dict)
    findings: list[Finding] = field(factory=list)

    async def search(self, page: Page, state: str, *, colours_only: bool) -> None:
        """Let axe search a page and the frames in it for barriers.

        Args:
            page: The page.
            state: The name of its picture.
            colours_only: Look at nothing that another colour scheme does not change.

        Raises:
            AssertionError: One is serious.
        """
        for frame in page.frames:
            # As a debugger's statement: the page's own policy allows no foreign script, and is not weakened for this.
            if not await frame.evaluate("typeof axe === 'object'"):
                await frame.evaluate(self.axe)
        rules = {"runOnly": {"type": "rule", "values": COLOUR_RULES}} if colours_only else {}
        found = await page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
        self.rules[state] = len(found["passes"]) + len(found["violations"])
        new = [
            Finding(state, each["id"], each["impact"], " ".join(str(node["target"]) for node in each["nodes"]))
            for each in found["violations"]
        ]
        self.findings.extend(new)
        assert [finding for finding in new if finding.impact in SERIOUS] == []


@define
class Window:
    """A window of a browser that has nothing from earlier ones.

    Attributes:
        page: What it shows.
        width: Of the window, in pixels.
        shows: What its pictures are called.
        album: Where they go.
        requests: The addresses of everything that it has asked for.
        complaints: What the browser has complained of: errors in scripts, and what the policy has blocked.
    """

    page: Page
    width: int
    shows: str
    album: Album
    requests: list[str] = field(factory=list)
    complaints: list[str] = field(factory=list)

    async def look(self, state: str) -> None:
        """Keep pictures of this state in both colour schemes; nothing is cut off, and nothing bars anybody."""
        assert await self.overflow() <= 0, f"{state} is too wide"
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            name = f"{self.shows}-{state}-{self.width}-{scheme}"
            # What comes in with a transition has come in, and the caret does not blink.
            await self.page.screenshot(
                path=PICTURES / f"{name}.png", full_page=True, animations="disabled", caret="hide"
            )
            await self.album.search(self.page, name, colours_only=scheme != SCHEMES[0])

    async def beside(self, shows: str) -> Window:
        """Open another window of the same browser."""
        page = await self.page.context.new_page()
        return Window(page, self.width, shows, self.album, self.requests, self.complaints)

    async def overflow(self) -> int:
        """By how many pixels the page, or one in a frame of it, is wider than its window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return max([int(await frame.evaluate(script)) for frame in self.page.frames])

    def foreign(self) -> list[str]:
        """Requests to other servers than that of the page."""
        own = urlsplit(self.page.url)[:2]
        return [url for url in self.requests if urlsplit(url)[:2] != own and not url.startswith(("data:", "about:"))]


#: Opens a window of this width, for pictures of this name; further options are those of a context.
OpenWindow = Callable[..., AbstractAsyncContextManager[Window]]


def _required(variable: str) -> Path:
    value = os.environ.get(variable)
    if value is None:
        pytest.fail(f"needs {variable}; run `nox -s browser`", pytrace=False)
    return Path(value)


@pytest.fixture(scope="session")
def album() -> Album:
    """The pictures of this session; those of the one before are gone."""
    PICTURES.mkdir(exist_ok=True)
    for path in PICTURES.glob("*.*"):
        path.unlink()
    return Album((_required(NODE_MODULES) / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The system's browser, without a screen."""
    program = _required(CHROMIUM)
    async with async_playwright() as playwright:
        # Root, who owns containers, gets no sandbox from Chromium; the pages are our own.
        browser = await playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=os.geteuid() != 0,
            args=[f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"],
        )
        yield browser
        await browser.close()


@pytest.fixture
def open_window(chromium: Browser, album: Album) -> OpenWindow:
    """Opens windows in which nothing fails, unless `complaining`, and that ask no other server, unless `straying`."""

    @asynccontextmanager
    async def opened(
        width: int, shows: str, *, complaining: bool = False, straying: bool = False, **options: Any
    ) -> AsyncIterator[Window]:
        size = SIZES[width]
        context = await chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        context.set_default_timeout(PATIENCE)
        window = Window(await context.new_page(), width, shows, album)
        _listen(context, window)
        try:
            yield window
            assert straying or window.foreign() == []
            assert complaining or window.complaints == []
        finally:
            await context.close()

    return opened


def _listen(context: BrowserContext, window: Window) -> None:
    def asked(request: Request) -> None:
        window.requests.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            window.complaints.append(message.text)

    context.on("request", asked)
    context.on("console", said)
    context.on("weberror", lambda error: window.complaints.append(str(error.error)))


@pytest.fixture(scope="session")
def print_at_end(pytestconfig: pytest.Config) -> Callable[[Table], None]:
    """Takes a table for the end of the log."""
    return printer(pytestconfig)


@pytest.fixture(scope="session", autouse=True)
def _account(album: Album, print_at_end: Callable[[Table], None]) -> Any:
    """Say at the end what was looked at, and what axe found."""
    yield
    found = [vars_of(finding) for finding in album.findings]
    (PICTURES / "axe.json").write_text(json.dumps({"rules": album.rules, "findings": found}, indent=1), "utf-8")
    checks = sum(album.rules.values())
    print_at_end([[f"{len(album.rules)} pictures in {PICTURES}; axe checked {checks} rules on them"]])
    print_at_end(
        [["impact", "rule", "picture", "where"]]
        + [[finding.impact, finding.rule, finding.state, finding.where] for finding in album.findings]
    )


def vars_of(finding: Finding) -> dict[str, str]:
    """A finding as JSON has it."""
    return {"state": finding.state, "rule": finding.rule, "impact": finding.impact, "where": finding.where}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables, where a test left any."""
    print_tables(terminalreporter, config, "pages in a browser")
