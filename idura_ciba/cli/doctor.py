"""`idura-ciba doctor`: check the configuration and the provider before any phone rings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from idura_ciba.aio.clock import Clock
from idura_ciba.checks import Finding
from idura_ciba.cli.checks import check_at_provider, check_client
from idura_ciba.cli.config import Settings
from idura_ciba.cli.connection import takes_settings
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.text import OUT, say
from idura_ciba.protocol.http import Transport
from idura_ciba.redaction import clean

__all__ = ["doctor", "examine"]

_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@takes_settings
def doctor(
    *,
    settings: Settings,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Send the credentials once, in a poll for a login that does not exist."),
    ] = False,
    acr: Annotated[
        list[str] | None,
        typer.Option("--acr", help="An acr value that people are to be asked with; compared with the provider's."),
    ] = None,
) -> None:
    """Check the configuration and the provider; no phone rings.

    It checks the key or secret, the provider's discovery document and keys, whether the document contradicts how this
    client is set, and the difference between the clocks. Credentials are sent only with --probe.

    Exit codes: 0 no problem, 1 at least one problem. Warnings do not count.
    """
    raise typer.Exit(asyncio.run(_examine_over_http(settings, probe=probe, acr_values=acr or ())))


async def _examine_over_http(settings: Settings, *, probe: bool, acr_values: Sequence[str]) -> ExitCode:
    async with settings.transport() as transport:
        return await examine(settings, transport, Clock(), probe=probe, acr_values=acr_values, console=OUT)


async def examine(
    settings: Settings,
    transport: Transport,
    clock: Clock,
    *,
    probe: bool,
    console: Console,
    acr_values: Sequence[str] = (),
) -> ExitCode:
    """Print a line for each finding, and return the exit code."""
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        line = Text(f"{finding.level:<8} ", _STYLES[finding.level])
        line.append(clean(finding.text, limit=len(finding.text)), "none")
        console.print(line, soft_wrap=not console.is_terminal)

    for finding in check_client(settings):
        tell(finding)
    # Without a usable credential there is nothing to send, and the problem has been reported already.
    sending = probe and all(finding.level != "problem" for finding in findings)
    async for finding in check_at_provider(settings, transport, clock, probe=sending, acr_values=acr_values):
        tell(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    say({0: "No problem found.", 1: "1 problem found."}.get(problems, f"{problems} problems found."), to=console)
    if not sending:
        say(f"No credentials were sent{'' if probe else '; --probe sends them once'}.", to=console)
    return ExitCode.FAILED if problems else ExitCode.OK
