"""`idura-ciba doctor`: what works and what does not, before anybody's phone rings."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from idura_ciba import AiohttpTransport
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.checks import Finding, check_client, check_provider
from idura_ciba.cli.config import (
    AlgOption,
    ClientIdOption,
    IssuerOption,
    KeyFileOption,
    MethodOption,
    SecretFileOption,
    Settings,
)
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.text import OUT, clean, say
from idura_ciba.protocol.http import Transport

__all__ = ["doctor", "examine"]

_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    *,
    issuer: IssuerOption = None,
    client_id: ClientIdOption = None,
    key_file: KeyFileOption = None,
    secret_file: SecretFileOption = None,
    client_auth: MethodOption = None,
    alg: AlgOption = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Send the credentials once, asking for a login that does not exist."),
    ] = False,
) -> None:
    """Check the configuration and the provider, without asking anybody.

    It looks at the key or secret, at the provider's discovery document and keys, and at the two clocks. Nobody's phone
    rings. Credentials are sent with --probe only.

    Exits with 0 when there is no problem, 1 otherwise; warnings are no problems.
    """
    settings = Settings(
        issuer=issuer, client_id=client_id, key_file=key_file, secret_file=secret_file, method=client_auth, alg=alg
    )
    raise typer.Exit(asyncio.run(_examine_over_http(settings, probe=probe)))


async def _examine_over_http(settings: Settings, *, probe: bool) -> ExitCode:
    async with AiohttpTransport() as transport:
        return await examine(settings, transport, Clock(), probe=probe, console=OUT)


async def examine(settings: Settings, transport: Transport, clock: Clock, *, probe: bool, console: Console) -> ExitCode:
    """Print a line for each finding, and say whether there was a problem."""
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        line = Text(f"{finding.level:<8} ", _STYLES[finding.level])
        line.append(clean(finding.text, limit=len(finding.text)), "none")
        console.print(line, soft_wrap=not console.is_terminal)

    for finding in check_client(settings):
        tell(finding)
    # Without a usable credential there is nothing to send, and one problem has been told already.
    sending = probe and all(finding.level != "problem" for finding in findings)
    async for finding in check_provider(settings, transport, clock, probe=sending):
        tell(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    say({0: "No problem found.", 1: "1 problem found."}.get(problems, f"{problems} problems found."), to=console)
    if not sending:
        say(f"No credentials were sent{'' if probe else '; --probe sends them once'}.", to=console)
    return ExitCode.FAILED if problems else ExitCode.OK
