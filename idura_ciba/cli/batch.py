"""`idura-ciba batch`: ask everybody in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from idura_ciba import (
    CibaClient,
    FinalPoll,
    Fixed,
    HazardAware,
    IndexScheduler,
    PhaseAware,
    Proportional,
    Strategy,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.batch.reading import FIELDS, Format
from idura_ciba.cli.batch_files import BadRows, Files, column_names, count_lines, opened
from idura_ciba.cli.config import (
    AlgOption,
    ClientIdOption,
    IssuerOption,
    KeyFileOption,
    MethodOption,
    SecretFileOption,
    Settings,
)
from idura_ciba.cli.files import PUBLIC, replace_file
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.job import Job
from idura_ciba.cli.page import page
from idura_ciba.cli.people import Choices, People
from idura_ciba.cli.person import (
    LABELS,
    CallInitiatorOption,
    CountryOption,
    EidOption,
    MessageOption,
    RequirePersonOption,
    ScopeOption,
)
from idura_ciba.cli.progress import duration
from idura_ciba.cli.simulated import simulated_client
from idura_ciba.cli.text import say
from idura_ciba.simulator import SimulatedIdura

__all__ = ["batch"]

StrategyName = Literal["fixed", "proportional", "hazard", "phase"]
_STRATEGIES: Final[Mapping[StrategyName, Callable[[], Strategy]]] = {
    "fixed": Fixed,
    "proportional": Proportional,
    "hazard": HazardAware,
    "phase": PhaseAware,
}
#: Seconds between polls at Idura, by its own samples; the floor is what the provider says.
_INTERVAL: Final = 3.0
#: See `FairScheduler`: what a tenth of the requests for new logins leave of twice the interval.
_FILLING: Final = 1.8
_IN_FLIGHT: Final = 100
#: A simulated prompt lives shorter than a real one, so that a trial ends soon.
_SIMULATED_LIFE: Final = 30

_FILES, _LIMITS, _TRIAL = "Files", "Limits", "Trial without a tenant"


def batch(
    source: Annotated[str, typer.Argument(metavar="IN", help="CSV or JSON Lines; - for the standard input.")],
    *,
    out: Annotated[
        str | None, typer.Option(rich_help_panel=_FILES, help="Results: .csv or .jsonl; - for the standard output.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(rich_help_panel=_FILES, help="Remembers across runs; by default OUT.journal.")
    ] = None,
    bad_rows: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_FILES, help="Where rows are reported that cannot be used; default OUT.bad.csv."),
    ] = None,
    report: Annotated[Path | None, typer.Option(rich_help_panel=_FILES, help="A page with plots, as HTML.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_FILES,
            help=f"FIELD=NAME of a column that is named differently; fields are {', '.join(FIELDS)}. Repeatable.",
        ),
    ] = None,
    input_format: Annotated[
        Format | None, typer.Option("--format", rich_help_panel=_FILES, help="Of IN; else found out.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(rich_help_panel=_FILES, help="Of IN; else UTF-8, or by its byte order mark.")
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(rich_help_panel=_FILES, help="Tell this claim too, such as name; repeatable.")
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FILES, help="Norwegian BankID: a file to which the words to be read to each are added."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row; ask nobody.")] = False,
    retry_indeterminate: Annotated[
        bool,
        typer.Option("--retry-indeterminate", help="Ask those again of whom no answer is known; agree it with them."),
    ] = False,
    skip_duplicates: Annotated[
        bool, typer.Option("--skip-duplicates", help="Ask nobody twice, instead of one after the other.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=0.1, rich_help_panel=_LIMITS, help="Requests a second at most.")
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=_LIMITS,
            help=f"People asked at once; by default what the budget carries, without one {_IN_FLIGHT}.",
        ),
    ] = None,
    strategy: Annotated[StrategyName, typer.Option(rich_help_panel=_LIMITS, help="When to poll.")] = "hazard",
    eid: EidOption = None,
    call_initiator: CallInitiatorOption = None,
    message: MessageOption = None,
    country: CountryOption = "SE",
    scope: ScopeOption = "openid",
    require_person: RequirePersonOption = False,
    issuer: IssuerOption = None,
    client_id: ClientIdOption = None,
    key_file: KeyFileOption = None,
    secret_file: SecretFileOption = None,
    client_auth: MethodOption = None,
    alg: AlgOption = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", rich_help_panel=_TRIAL, help="Ask people made up, on this machine.")
    ] = False,
) -> None:
    r"""Ask everybody in a file to prove who they are, and write what came of it.

    IN has a column `ssn`, and may have `key`, `eid`, `message`, `call_initiator` and `country`, which go before the
    options. A key stands for a person in the results; without one it is the number of the line.

    Killed at any moment, the same command goes on where it was, and rings no phone twice. Ctrl-C finishes those who are
    being asked; a second one stops at once.

    Exits with 0 when everybody has answered or let it expire, 7 when some rows were bad or of some people no answer is
    known, 8 where the journal cannot be used, 1 any other failure, 2 wrong use, 130 Ctrl-C.

    Try it: idura-ciba batch people.csv --simulate --out results.csv --eid no
    """
    choices = Choices(
        eid=eid,
        call_initiator=call_initiator,
        message=message,
        country=country,
        scope=scope,
        require_person=require_person,
    )
    people = People(choices)
    with ExitStack() as stack:
        stack.callback(people.close)
        reader = stack.enter_context(
            opened(source, columns=column_names(column or ()), input_format=input_format, encoding=encoding)
        )
        rejected = stack.enter_context(BadRows(bad_rows or _beside(out, ".bad.csv", unless=dry_run)))
        if dry_run:
            for bad in people.check(iter(reader)):
                rejected.add(bad)
            say(f"{people.good} rows can be asked, {people.bad} cannot, {people.again} name somebody again.")
            raise typer.Exit(ExitCode.PARTLY if people.bad else ExitCode.OK)
        if out is None:
            raise UsageError("There is no place for the results", code="missing", advice="Pass --out, or --dry-run")
        if eid == "no" and words is None and not simulate:
            raise UsageError(
                "Norwegian BankID shows words that somebody has to read to each person, and nobody would have them",
                code="words",
                advice="Pass --words FILE, and have them read to the people as they appear in it",
            )
        places = max_in_flight or (_IN_FLIGHT if budget is None else max(1, round(_FILLING * budget * _INTERVAL)))
        scheduler = IndexScheduler(rate=budget)
        polling = FinalPoll(_STRATEGIES[strategy]())
        if simulate:
            idura = SimulatedIdura(interval=1, expires_in=_SIMULATED_LIFE)
            connection: AbstractAsyncContextManager[CibaClient] = simulated_client(
                idura, strategy=polling, scheduler=scheduler
            )
        else:
            settings = Settings(
                issuer=issuer,
                client_id=client_id,
                key_file=key_file,
                secret_file=secret_file,
                method=client_auth,
                alg=alg,
            )
            connection = settings.client(strategy=polling, scheduler=scheduler)
        job = Job(
            files=Files.of(out, journal=journal, words=words, keeps_journal=not simulate),
            reader=reader,
            people=people,
            rejected=rejected,
            claims=tuple(claim or ()),
            places=places,
            scheduler=scheduler,
            name=source,
            # A pipe with a name can be read once only.
            total=count_lines(Path(source)) - (reader.format == "csv") if Path(source).is_file() else None,
            skip_duplicates=skip_duplicates,
            retry=retry_indeterminate,
            clock=Clock(),
        )
        ending = asyncio.run(job.run(connection))
    for line in ending.lines():
        say(line, prose=True)
    if report is not None:
        facts = {
            "asked through": LABELS[eid] if eid else "several eIDs",
            "strategy": strategy,
            "at most": f"{places} people at once" + (f", {budget:g} requests/s" if budget else ""),
            "bad rows": str(people.bad),
            "this run took": duration(ending.seconds),
        }
        replace_file(report, page(f"Batch {Path(source).name}", facts, ending.whole), mode=PUBLIC)
        say(f"Report: {report}")
    if ending.error is not None:
        raise ending.error
    raise typer.Exit(ending.code)


def _beside(out: str | None, suffix: str, *, unless: bool) -> Path | None:
    """A file beside the results."""
    return None if unless or out in {None, "-"} else Path(f"{out}{suffix}")
