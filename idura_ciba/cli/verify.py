"""`idura-ciba verify`: ask one person, show how it goes, tell what came of it."""

from __future__ import annotations

import asyncio
import secrets
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from idura_ciba import ArgumentError, EidRequest
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.config import Settings
from idura_ciba.cli.connection import takes_settings
from idura_ciba.cli.eids import (
    PANEL,
    EidModuleOption,
    EidOption,
    EidOptionOption,
    MessageOption,
    RequirePersonOption,
    ScopeOption,
    fitting,
    known_eids,
    read_options,
    request_fields,
    require_options,
    takes_eid_options,
)
from idura_ciba.cli.files import read_secret, refuse_existing
from idura_ciba.cli.login import Begin, Ending, keep, log_in
from idura_ciba.cli.person import person_for
from idura_ciba.cli.report import Report
from idura_ciba.cli.simulated import known_phones, require_phone, simulated_client
from idura_ciba.cli.stopping import stoppable
from idura_ciba.cli.text import ERR, OUT, say
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedEid, SimulatedIdura

__all__ = ["SimulatedAnswer", "verify"]

SimulatedAnswer = Literal["approve", "deny", "never"]
#: Seconds that a simulated person takes.
_SIMULATED_AFTER = 4.0

_RESULT, _TRIAL = "Result", "Trial without a tenant"


@takes_settings
@takes_eid_options
def verify(
    *,
    eid: EidOption = None,
    ssn: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PANEL,
            help="National number; for FrejaID also an e-mail address or a phone number (+46...). The shell's history "
            "and the process list show it: better to type it at the prompt.",
        ),
    ] = None,
    ssn_file: Annotated[
        str | None,
        typer.Option(rich_help_panel=PANEL, help="File with the national number; - for standard input."),
    ] = None,
    message: MessageOption = None,
    scope: ScopeOption = None,
    require_person: RequirePersonOption = False,
    eid_module: EidModuleOption = None,
    eid_option: EidOptionOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=_RESULT, help="Print the result as one JSON object.")
    ] = False,
    claim: Annotated[
        list[str] | None, typer.Option(rich_help_panel=_RESULT, help="Also show this claim, such as name. Repeatable.")
    ] = None,
    all_claims: Annotated[
        bool, typer.Option("--all-claims", rich_help_panel=_RESULT, help="Show all claims of the ID token.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, rich_help_panel=_RESULT, help="Stop waiting after this many seconds.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(rich_help_panel=_RESULT, help="Resume a login that Ctrl-C or --timeout stopped.")
    ] = None,
    resume_file: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_RESULT, help="Where such a login is saved; default idura-ciba-resume-ID.json here."
        ),
    ] = None,
    settings: Settings,
    simulate: Annotated[
        bool, typer.Option("--simulate", rich_help_panel=_TRIAL, help="Ask a made-up person on this machine.")
    ] = False,
    simulate_answer: Annotated[
        SimulatedAnswer, typer.Option(rich_help_panel=_TRIAL, help="What that person does.")
    ] = "approve",
    **given: Any,
) -> None:
    r"""Ask one person to prove who they are, and wait for the answer.

    The national number comes from --ssn-file, from IDURA_CIBA_SSN, or from a prompt that does not show it. Progress
    goes to standard error, the result to standard output. The result shows a pseudonym, whether the ID token confirms
    the person, and the assurance level; --claim and --all-claims show more.

    Ctrl-C, SIGTERM and SIGHUP stop polling and save a file for --resume. The prompt stays on the phone until it
    expires: CIBA has no way to cancel it.

    Exit codes: 0 approved, 3 denied, 4 expired, 5 answer unknown, 6 --timeout passed, 1 any other failure, 2 wrong
    usage, 130 Ctrl-C or another signal, 141 output pipe closed.

    Try it: idura-ciba verify --simulate --eid no
    """
    eids, phones = known_eids(eid_module), known_phones(eid_module)
    chosen = None if eid is None else eids.find(eid)
    # A configuration that cannot work is found before anybody is asked for a number.
    connection = simulated_client(_simulated(simulate_answer, phones)) if simulate else settings.client()
    save_to = resume_file or Path(f"idura-ciba-resume-{secrets.token_hex(4)}.json")
    if resume is not None and chosen is None and not simulate:
        save_to, label = resume, "resumed login"
        begin = _resuming(read_secret(str(resume), what="resume token"), timeout)
    elif chosen is not None and resume is None:
        refuse_existing(save_to)
        label = chosen.label
        options = read_options(given, eid_option, eids, message=message)
        require_options(chosen, options)
        asked, rest = chosen.resolve(fitting(chosen, options, eids))
        person = person_for(asked, ssn, ssn_file, simulate=simulate)
        request = asked.ask(person, **rest, **request_fields(scope=scope, require_person=require_person))
        if simulate:
            require_phone(request.acr_values, phones)
        begin = _starting(request, timeout)
    else:
        raise ArgumentError(
            "Exactly one of --eid and --resume is needed",
            code="one_login",
            advice="Pass --eid for a new login, with or without --simulate, or --resume for a saved one",
        )

    async def run() -> tuple[Ending, Path | None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for type checkers: a coroutine runs in a task
        with stoppable(task.cancel):
            ending = await log_in(connection, begin, label=label, console=ERR, clock=Clock())
            # A simulated provider is gone by now, and nobody can go on with what it knew.
            return ending, None if simulate else keep(ending, save_to, resumed=resume is not None)

    ending, saved = asyncio.run(run())
    report = Report.of(ending.outcome, claims=None if all_claims else claim or (), resume_file=saved)
    if as_json:
        OUT.out(report.json(), highlight=False)
    else:
        for line in report.lines():
            say(line, to=OUT)
    if saved:
        say(f"Saved, readable only by you: {saved}", whole=True)
        say(f"Resume with: idura-ciba verify --resume {shlex.quote(str(saved))}", whole=True)
    elif simulate and ending.token:
        say("Nothing was saved, because the simulated provider has stopped too.")
    raise typer.Exit(ending.code)


def _simulated(answer: SimulatedAnswer, phones: tuple[SimulatedEid, ...]) -> SimulatedIdura:
    """A provider where everybody does the same, soon."""
    scripts = {
        "approve": Script.approve(_SIMULATED_AFTER),
        "deny": Script.deny(_SIMULATED_AFTER),
        "never": Script.never(),
    }
    return SimulatedIdura(eids=phones, people=lambda _dice: scripts[answer], interval=1)


def _starting(request: EidRequest, timeout: float | None) -> Begin:
    return lambda client: client.start(request, timeout=timeout)


def _resuming(token: Redacted, timeout: float | None) -> Begin:
    return lambda client: client.resume(token, timeout=timeout)
