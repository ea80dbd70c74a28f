"""Draws `docs/demo.svg`, the picture of `idura-ciba demo`: `python docs/draw_demo.py`.

The demo's own people and its own table, under a virtual clock: one look in the middle and one at the end.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from rich.console import Console

from idura_ciba import CibaClient, ClientSecretPost, Outcome
from idura_ciba.cli.board import Board, Row, follow
from idura_ciba.cli.demo import scenes, simulated, verdict_on
from idura_ciba.simulator import MemoryTransport
from idura_ciba.testing import run_virtual, virtual_clock

#: Seconds after the start at which most of the five are in the middle of something.
MIDDLE = 6.5


async def picture() -> str:
    """The picture as SVG."""
    paper = Console(record=True, width=112, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    cast, clock = scenes(), virtual_clock()
    idura = simulated(cast)
    idura.register_client("urn:demo", secret="known to both")  # noqa: S106 - opens nothing
    transport = MemoryTransport(idura, clock=clock)
    rows = [Row(scene.label, began_at=clock.wall()) for scene in cast]
    paper.print("[bold]$ idura-ciba demo[/]")
    async with CibaClient(
        idura.issuer, ClientSecretPost("urn:demo", "known to both"), transport=transport, clock=clock, observers=()
    ) as ciba:

        async def ask(index: int) -> Outcome:
            transaction = await ciba.start(cast[index].request)
            return await follow(transaction, rows[index], lambda _: None, clock=clock, verdict=verdict_on)

        asking = [asyncio.create_task(ask(index)) for index in range(len(cast))]
        await asyncio.sleep(MIDDLE)
        paper.print(f"\n[dim]after {MIDDLE} seconds[/]", highlight=False)
        paper.print(Board(rows, clock.wall()))
        await asyncio.gather(*asking)
        paper.print("\n[dim]at the end[/]")
        paper.print(Board(rows, clock.wall()))
    return paper.export_svg(title="idura-ciba demo", unique_id="demo")


if __name__ == "__main__":
    Path(__file__).with_name("demo.svg").write_text(run_virtual(picture()), encoding="utf-8")
