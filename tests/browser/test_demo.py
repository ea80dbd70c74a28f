"""`idura-ciba demo --web`: desk and phones beside each other, and behind each other on a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import FrameLocator, expect

from idura_ciba.cli.web_demo import staged
from tests.browser.conftest import SIZES, OpenWindow, Window
from tests.browser.scene import NORWEGIAN

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("width", SIZES)
async def test_one_plays_the_agent_and_the_person(width: int, open_window: OpenWindow) -> None:
    """From the first look to the answer; where only one of both is seen, the other one says that it rings."""
    async with staged() as address, open_window(width, "demo") as window:
        await window.page.goto(address)
        desk = window.page.frame_locator("iframe[title*=desk]")
        phones = window.page.frame_locator("iframe[title*=phones]")
        await expect(phones.get_by_text("No phone rings")).to_be_attached()
        await window.look("begin")
        await desk.get_by_role("link", name="Norwegian BankID").click()
        await desk.locator("#number").fill(NORWEGIAN)
        await desk.get_by_role("button", name="Ask this person").click()
        words = await desk.locator(".words").inner_text()
        await expect(phones.get_by_text("wants to know who you are")).to_be_attached()
        await window.look("rings")
        await _turn(window, "Phones")
        await phones.get_by_role("button", name="Open the app").click()
        await expect(phones.get_by_role("button", name=words)).to_be_visible()
        await window.look("words")
        await phones.get_by_role("button", name=words).click()
        await phones.get_by_role("button", name="Approve with fingerprint").click()
        await _turn(window, "Desk")
        await expect(desk.locator(".who")).to_be_visible()
        await window.look("end")
        assert await _rings(phones) == 0


async def _turn(window: Window, side: str) -> None:
    """Look at the other page, where there is room for one only."""
    tab = window.page.get_by_role("radio", name=side)
    if not await tab.is_visible():
        return
    if side == "Phones":
        await expect(window.page.get_by_role("status")).to_have_text("1 ringing")
    # As with the arrow keys: they go on from the one that is chosen.
    await window.page.locator("input[name=shown]:checked").press("ArrowRight")
    await expect(tab).to_be_checked()


async def _rings(phones: FrameLocator) -> int:
    return await phones.locator("[data-rings]").count()
