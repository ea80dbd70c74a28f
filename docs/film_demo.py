"""Films `docs/demo-web.webp` and takes `docs/demo-web.png`, of `idura-ciba demo --web`: `python docs/film_demo.py`.

The pages as they are served, in the system's Chromium, with people who do not exist. It needs the extra `desk`, the
dependency group `browser`, and a Chromium on PATH, and takes half a minute.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from pathlib import Path
from typing import Final

from attrs import define, field
from PIL import Image, ImageDraw
from playwright.async_api import Locator, Page, async_playwright

from idura_ciba.cli.web_demo import staged

#: Size of the window, and of the pictures, which README shows at two thirds.
WINDOW: Final = {"width": 1280, "height": 800}
PICTURE: Final = (960, 600)
#: Milliseconds for which a moment is shown: one that is read, and one that is only seen.
LONG, SHORT = 2200, 120
SWEDE, NORWEGIAN = "209801011231", "01023990128"


@define
class Film:
    """Pictures of a page, and how long each is shown."""

    page: Page
    pictures: list[Image.Image] = field(factory=list)
    milliseconds: list[int] = field(factory=list)

    async def show(self, milliseconds: int, *, pointed_at: Locator | None = None) -> None:
        """Take a picture, with a mark at what is about to be pressed."""
        png = await self.page.screenshot(animations="disabled", caret="hide")
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        if pointed_at is not None:
            box = await pointed_at.bounding_box()
            assert box is not None
            x, y = box["x"] + min(box["width"] / 2, 120), box["y"] + box["height"] / 2
            ring = ImageDraw.Draw(picture, "RGBA")
            ring.ellipse((x - 20, y - 20, x + 20, y + 20), fill=(179, 38, 30, 70), outline=(179, 38, 30, 220), width=4)
        self.pictures.append(picture.resize(PICTURE, Image.Resampling.LANCZOS))
        self.milliseconds.append(milliseconds)

    async def press(self, target: Locator) -> None:
        """Show where the mouse is, and press."""
        await target.scroll_into_view_if_needed()
        await self.show(LONG // 2, pointed_at=target)
        await target.click()

    def save(self, path: Path) -> None:
        """Write the film."""
        first, *others = self.pictures
        first.save(path, save_all=True, append_images=others, duration=self.milliseconds, loop=0, quality=75, method=6)


async def film() -> None:
    """Play both sides, and take the pictures."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("this needs Chromium")
    async with async_playwright() as playwright, staged() as address:
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        page = await browser.new_page(viewport=WINDOW, color_scheme="light", locale="en-GB")
        await page.goto(address)
        desk, phones = page.frame_locator("iframe[title*=desk]"), page.frame_locator("iframe[title*=phones]")
        reel = Film(page)

        await desk.locator("#number").wait_for()
        await phones.get_by_text("No phone rings").wait_for()
        await reel.show(LONG)
        await reel.press(desk.get_by_text("They called us"))
        for digit in SWEDE:
            await desk.locator("#number").press(digit)
            await reel.show(SHORT)
        await reel.press(desk.get_by_role("button", name="Ask this person"))
        await phones.get_by_role("button", name="Open the app").wait_for()
        await desk.locator("article.call time").wait_for()
        await reel.show(LONG)
        for button, then in (
            ("Open the app", "The app is open"),
            ("Yes, I am", "Waiting for the security code"),
            ("Approve with fingerprint", "Confirmed"),
        ):
            await reel.press(phones.get_by_role("button", name=button))
            await desk.locator("article.call", has_text=then).wait_for()
            await reel.show(LONG)
        reel.milliseconds[-1] = 2 * LONG
        reel.save(Path(__file__).with_name("demo-web.webp"))

        await desk.get_by_role("button", name="Done").click()
        await phones.get_by_role("button", name="Put it away").click()
        await desk.get_by_role("link", name="Norwegian BankID").click()
        await desk.locator("#number").fill(NORWEGIAN)
        await desk.get_by_role("button", name="Ask this person").click()
        await phones.get_by_role("button", name="Open the app").click()
        await phones.locator(".pair").first.wait_for()
        await desk.locator("article.call", has_text="right words").wait_for()
        still = Film(page)
        await still.show(LONG)
        still.pictures[0].save(Path(__file__).with_name("demo-web.png"), optimize=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(film())
