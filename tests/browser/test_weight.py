"""What the desk costs a browser: bytes, requests, and the time to the first paint."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from tests.browser.conftest import OpenWindow
from tests.browser.scene import at, staged
from tests.tables import Table

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

#: Bytes of a page with everything that it loads, headers included.
MOST_BYTES = 100_000
#: Loads, each in a browser without a cache.
LOADS = 5
_WEIGHED = """async () => {
  const paint = await new Promise((painted) => {
    const observer = new PerformanceObserver((list) => {
      const first = list.getEntriesByName("first-contentful-paint")[0];
      if (first) painted(first.startTime);
    });
    observer.observe({ type: "paint", buffered: true });
  });
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return {
    bytes: loaded.reduce((sum, each) => sum + each.transferSize, 0),
    files: loaded.length,
    paint,
  };
}"""


@pytest.mark.parametrize("page", ["desk", "phone"])
async def test_a_page_is_light_and_asks_nobody_else(
    page: str, open_window: OpenWindow, print_at_end: Callable[[Table], None]
) -> None:
    """Under 100 kB, from this server alone; how soon it is there depends on the machine, and is printed."""
    weights = []
    async with staged() as scene:
        for _ in range(LOADS):
            async with open_window(1280, page) as window:
                await window.page.goto(scene.address)  # lets it in
                await window.page.goto(at(window.page, f"{page}/"), wait_until="load")
                weights.append(await window.page.evaluate(_WEIGHED))
                assert window.foreign() == []
    bytes_, paints = max(each["bytes"] for each in weights), [each["paint"] for each in weights]
    assert 0 < bytes_ < MOST_BYTES
    print_at_end(
        [
            ["page", "bytes", "files", "requests to others", "first paint, median", "slowest"],
            [page, bytes_, weights[0]["files"], 0, f"{statistics.median(paints):.0f} ms", f"{max(paints):.0f} ms"],
        ]
    )
