"""A desk and the phones of the people whom it asks, served for one test; and what a person does at either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

from attrs import frozen
from playwright.async_api import Locator, Page, expect

from idura_ciba import CibaClient
from idura_ciba.cli.simulated import simulated_client
from idura_ciba.desk.app import desk_app
from idura_ciba.desk.book import DeskBook
from idura_ciba.phone.app import phone_app
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.web.guard import Guard
from idura_ciba.web.serving import serving
from tests.browser.conftest import Window

#: Whom to ask; their numbers belong to nobody.
SWEDE, OTHER_SWEDE, NORWEGIAN, FREJA = "209801011231", "209712310011", "01023990128", "209602294564"
_LABELS: Final = {
    SWEDE: "Swedish BankID", OTHER_SWEDE: "Swedish BankID", NORWEGIAN: "Norwegian BankID", FREJA: "FrejaID",
}  # fmt: skip
#: Presses of the tab key within which everything on a page is reached.
_TABS: Final = 60


@frozen
class Scene:
    """What is served.

    Attributes:
        address: The page to open, with the secret in it.
        idura: Has the people whose phones ring.
        book: The desk.
    """

    address: Redacted
    idura: SimulatedIdura
    book: DeskBook

    @property
    def origin(self) -> str:
        """The server's origin."""
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    async def enter(self, window: Window) -> tuple[Desk, Phones]:
        """Open the desk, and the phones beside it."""
        await window.page.goto(self.address)
        phones = await window.beside("phone")
        await phones.page.goto(at(window.page, "phone/"))
        return Desk(window), Phones(phones)


@asynccontextmanager
async def staged(idura: SimulatedIdura | None = None) -> AsyncIterator[Scene]:
    """Serve a desk whose people are played by hand, at a provider that can be asked each second, or at another one."""
    if idura is None:
        idura = SimulatedIdura(interval=1, people=lambda _dice: Script.by_hand())
    async with simulated_client(idura, name="Acme Insurance") as client, served(idura, client) as scene:
        yield scene


@asynccontextmanager
async def served(idura: SimulatedIdura, client: CibaClient, store: Path | None = None) -> AsyncIterator[Scene]:
    """Serve a desk and phones.

    Args:
        idura: The provider.
        client: A client of it.
        store: As for `DeskBook`.
    """
    async with DeskBook(client, store) as book:
        guard = Guard("browser")
        app = guard.application()
        app.add_subapp("/desk/", desk_app(book, guard, message="Your call", simulated=True))
        app.add_subapp("/phone/", phone_app(idura, guard))
        async with serving(app, guard, path="/desk/") as address:
            yield Scene(address, idura, book)


@frozen
class Desk:
    """The agent's page."""

    window: Window

    @property
    def page(self) -> Page:
        """The page."""
        return self.window.page

    async def ask(self, number: str, *, before: int | None = None) -> Locator:
        """Ask for a person, and return the place where the call is shown; `before`: the calls that are shown so far."""
        calls = self.page.locator("article.call")
        before = await calls.count() if before is None else before
        await self.page.get_by_role("link", name=_LABELS[number]).click()
        if number in {SWEDE, OTHER_SWEDE}:
            await self.page.get_by_label("They called us").check()
        await self.page.locator("#number").fill(number)
        await self.page.get_by_role("button", name="Ask this person").click()
        await expect(calls).to_have_count(before + 1)
        return calls.first

    async def see(self, call: Locator, words: str) -> None:
        """Wait until a call shows these words."""
        await expect(call).to_contain_text(words)


@frozen
class Phones:
    """The page with the phones."""

    window: Window

    @property
    def page(self) -> Page:
        """The page."""
        return self.window.page

    async def press(self, name: str, *, phone: int = 0) -> None:
        """Press a button on a phone."""
        await self.page.locator(".handset").nth(phone).get_by_role("button", name=name).click()

    async def see(self, words: str) -> None:
        """Wait until a phone shows these words."""
        await expect(self.page.locator(".handset", has_text=words).first).to_be_visible()


def at(page: Page, path: str) -> str:
    """The address of another page of the server; what comes before the path is drawn when it starts."""
    return urljoin(page.url, f"../{path}")


async def reach(page: Page, target: Locator) -> None:
    """Go to an element with the tab key alone.

    Raises:
        AssertionError: It is not among what the key reaches.
    """
    for _ in range(_TABS):
        if await target.evaluate("element => element === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")
