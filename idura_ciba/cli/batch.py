"""`idura-ciba batch`: ask everybody in a file."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from attrs import evolve

from idura_ciba import (
    ArgumentError,
    CibaClient,
    Fixed,
    HazardAware,
    IndexScheduler,
    PhaseAware,
    Proportional,
    Strategy,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.batch import Journal
from idura_ciba.batch.reading import FIELDS, Format, RowReader
from idura_ciba.cli.batch_files import BadRows, Files, column_names, opened, rows_in
from idura_ciba.cli.config import Settings, resume_secret
from idura_ciba.cli.connection import ResumeSecretOption, takes_settings
from idura_ciba.cli.eids import (
    EidModuleOption,
    EidOption,
    EidOptionOption,
    MessageOption,
    RequirePersonOption,
    ScopeOption,
    known_eids,
    labels,
    read_options,
    refuse_descriptions,
    request_fields,
    takes_eid_options,
)
from idura_ciba.cli.files import refuse_shared, refuse_unrelated
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.job import INBOUND_ONLY, Job, is_inbound_only, kept
from idura_ciba.cli.page import BEGIN, write_report
from idura_ciba.cli.people import Choices, People
from idura_ciba.cli.progress import duration
from idura_ciba.cli.rehearsal import find_or_start
from idura_ciba.cli.shared import SharedJob
from idura_ciba.cli.simulated import Elsewhere, known_phones, require_phone_of, simulated_client
from idura_ciba.cli.text import counted, say
from idura_ciba.eids import Eid, Eids
from idura_ciba.simulator import SimulatedEid, SimulatedIdura

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

_FILES, _LIMITS, _SHARED, _TRIAL = "Files", "Limits", "Several machines", "Trial without a tenant"


@takes_settings
@takes_eid_options
def batch(
    source: Annotated[str, typer.Argument(metavar="IN", help="CSV, JSON or Excel file; - for standard input.")],
    *,
    out: Annotated[
        str | None, typer.Option(rich_help_panel=_FILES, help="Results, a .csv or .jsonl file; - for standard output.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(rich_help_panel=_FILES, help="Journal for resuming a run; default OUT.journal.")
    ] = None,
    bad_rows: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_FILES, help="Invalid rows with the reasons; default OUT.bad.csv."),
    ] = None,
    report: Annotated[Path | None, typer.Option(rich_help_panel=_FILES, help="HTML report with plots.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_FILES,
            help=f"FIELD=NAME for a column with another name; fields: {', '.join(FIELDS)}. Repeatable.",
        ),
    ] = None,
    ignore_column: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_FILES,
            help="A column to ignore; '*' ignores all but those that resemble a known one. Repeatable.",
        ),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(rich_help_panel=_FILES, help="Sheet of an Excel workbook; the first by default.")
    ] = None,
    input_format: Annotated[
        Format | None, typer.Option("--format", rich_help_panel=_FILES, help="Format of IN; detected by default.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(rich_help_panel=_FILES, help="Encoding of IN; default UTF-8, or by byte order mark.")
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(rich_help_panel=_FILES, help="Also write this claim, such as name. Repeatable.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(rich_help_panel=_FILES, help="Also write this column of IN into the results. Repeatable."),
    ] = None,
    excel: Annotated[
        bool,
        typer.Option("--excel", rich_help_panel=_FILES, help="Write a .csv for Excel: semicolons, byte order mark."),
    ] = False,
    words: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FILES,
            help=f"{labels(lambda eid: eid.spoken_words)}: append the words to read to each person to this file.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all rows; ask nobody.")] = False,
    retry_indeterminate: Annotated[
        bool,
        typer.Option(
            "--retry-indeterminate", help="Ask people again if their answer is unknown. Get their agreement first."
        ),
    ] = False,
    skip_duplicates: Annotated[
        bool, typer.Option("--skip-duplicates", help="Ask each person once; by default, a duplicate is asked later.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=0.1, rich_help_panel=_LIMITS, help="Maximum requests per second.")
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=_LIMITS,
            help=f"Maximum people asked at once; by default as many as --budget allows, else {_IN_FLIGHT}.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_SHARED,
            help="Share the batch with every machine that runs this command with the same store: postgresql://...",
        ),
    ] = None,
    batch_name: Annotated[
        str | None,
        typer.Option("--batch", rich_help_panel=_SHARED, help="Name of the shared batch; by default that of IN."),
    ] = None,
    resume_secret_file: ResumeSecretOption = None,
    strategy: Annotated[StrategyName, typer.Option(rich_help_panel=_LIMITS, help="Polling strategy.")] = "hazard",
    eid: EidOption = None,
    message: MessageOption = None,
    scope: ScopeOption = None,
    require_person: RequirePersonOption = False,
    eid_module: EidModuleOption = None,
    eid_option: EidOptionOption = None,
    settings: Settings,
    simulate: Annotated[
        bool, typer.Option("--simulate", rich_help_panel=_TRIAL, help="Ask made-up people on this machine.")
    ] = False,
    **given: Any,
) -> None:
    r"""Ask everyone in a file to prove who they are, and write the results.

    IN needs a column `ssn`. The columns `key`, `eid`, `message`, `call_initiator` and `country` are optional and
    override the options. The key identifies a row in the results; the default is its line number.

    With --eid raw, --login-hint 'cpr:{ssn}' makes a hint of each `ssn`; a column `login_hint` has complete hints.

    If the run is killed, run the same command again: it resumes, and rings no phone twice. Ctrl-C stops new logins and
    waits for pending ones; a second Ctrl-C stops at once, and so do SIGTERM and SIGHUP.

    With --store, several machines work on the file together: run the same command on each. One of them writes the
    results of all.

    Exit codes: 0 everyone answered or let the prompt expire, 7 some rows are invalid, or some logins failed or have an
    unknown answer, 8 the journal cannot be used, 1 any other failure, 2 wrong usage, 130 Ctrl-C or another signal,
    141 output pipe closed.

    Try it: idura-ciba batch people.csv --simulate --out results.csv --eid no
    """
    eids, phones = known_eids(eid_module), known_phones(eid_module)
    chosen = None if eid is None else eids.find(eid)
    options = read_options(given, eid_option, eids, message=message)
    refuse_descriptions(chosen, options)
    fields = request_fields(scope=scope, require_person=require_person)
    choices, columns = Choices(eid=eid, options=options, fields=fields), eids.columns(eid)
    named = column_names(column or (), columns) | {kept(name): name for name in keep or ()}
    columns = (*columns, *(kept(name) for name in keep or ()))

    is_file = Path(source).is_file()
    given_too = {"--journal": journal, "--retry-indeterminate": retry_indeterminate, "--simulate": simulate}
    _require_shareable(store, [name for name, value in given_too.items() if value], is_file=is_file)
    again = partial(
        _reading,
        source,
        choices,
        eids,
        columns=named,
        input_format=input_format,
        encoding=encoding,
        fields=columns,
        ignored=ignore_column or (),
        sheet=sheet,
    )
    with ExitStack() as stack:
        reader, people = stack.enter_context(again())
        bad_rows = bad_rows or _beside(source if dry_run else out, ".bad.csv")
        files = (
            None
            if out is None
            else Files.of(
                out, journal=journal, words=words, keeps_journal=store is None and (not simulate or out != "-")
            )
        )
        _require_own_files(source, files, bad_rows, report, settings.files())
        rejected = stack.enter_context(BadRows(bad_rows))
        people.repeated = rejected.add
        if dry_run:
            raise typer.Exit(_dry_run(reader, people, rejected, chosen))
        if files is None:
            raise ArgumentError("No output file given", code="missing", advice="Pass --out FILE, or --dry-run")
        _require_fitting(files, chosen, excel=excel, simulate=simulate)
        places = max_in_flight or (_IN_FLIGHT if budget is None else max(1, round(_FILLING * budget * _INTERVAL)))
        scheduler = IndexScheduler(rate=budget)
        polling = settings.final_poll(_STRATEGIES[strategy]())
        if simulate:
            require_phone_of(chosen, options, phones)
            connection: AbstractAsyncContextManager[CibaClient] = simulated_client(
                _trial(files.journal, phones, eid_module), strategy=polling, scheduler=scheduler
            )
        else:
            settings = evolve(settings, resume_secret=resume_secret(resume_secret_file))
            connection = settings.client(strategy=polling, scheduler=scheduler)
        make: Callable[..., Job] = Job
        if store is not None:
            agreed = [eid, options, fields, named, input_format, encoding, sheet, skip_duplicates]
            make = partial(
                SharedJob,
                store=store,
                batch=batch_name or Path(source).name,
                rate=budget,
                agreed=json.dumps(agreed, sort_keys=True, default=str),
            )
        job = make(
            files=files,
            reader=reader,
            people=people,
            rejected=rejected,
            claims=tuple(claim or ()),
            places=places,
            scheduler=scheduler,
            name=source,
            # A pipe with a name can be read once only.
            total=rows_in(Path(source), reader),
            again=again if is_file else None,
            keep=tuple(keep or ()),
            excel=excel,
            skip_duplicates=skip_duplicates,
            retry=retry_indeterminate,
            clock=Clock(),
        )
        ending = asyncio.run(job.run(connection))
        if simulate and ending.is_complete and files.journal is not None:
            # Nothing of a trial is worth keeping but its results.
            for path in _journal_files(files.journal):
                path.unlink(missing_ok=True)
    for line in ending.lines():
        say(line)
    if report is not None:
        facts = {
            "eID": chosen.label if chosen else "as each row says",
            "strategy": strategy,
            "limits": f"{places:,} people at once" + (f", {budget:g} requests/s" if budget else ""),
            "duration of this run": duration(ending.seconds),
            "invalid rows": f"{people.bad:,}",
        }
        write_report(report, f"Batch {Path(source).name}", facts, ending.whole, bad_rows if people.bad else None)
    if ending.error is not None:
        raise ending.error
    raise typer.Exit(ending.code)


def _beside(path: str | None, suffix: str) -> Path | None:
    """A file beside another one; none beside a pipe."""
    return None if path is None or path == "-" or _is_device(Path(path)) else Path(f"{path}{suffix}")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _require_own_files(
    source: str, files: Files | None, bad_rows: Path | None, report: Path | None, keys: Mapping[str, Path | str | None]
) -> None:
    """Make sure that no file has two roles, and that none is overwritten which this command did not write.

    Raises:
        UsageError: One does, or would be.
    """
    roles: dict[str, Path | int | None] = {"IN": 0 if source == "-" else Path(source)}
    if files is not None:
        roles |= {"--out": files.out or 1, "--journal": files.journal, "--words": files.words}
        if files.journal is not None:
            roles |= {f"{path.name} of the journal": path for path in _journal_files(files.journal)[1:]}
    roles |= {"--bad-rows": bad_rows, "--report": report}
    roles |= {name: Path(path) for name, path in keys.items() if path is not None and path != "-"}
    refuse_shared(roles)
    for path, role, begins in (
        (bad_rows, "--bad-rows", (b"line", codecs.BOM_UTF8 + b"line")),
        (report, "--report", (BEGIN.encode(),)),
        (None if files is None else files.words, "--words", (b'{"key"',)),
    ):
        if path is not None:
            refuse_unrelated(path, role, begins)


@contextmanager
def _reading(source: str, choices: Choices, eids: Eids, **options: Any) -> Iterator[tuple[RowReader, People]]:
    """Open the input, with people of its own: a second look must not find all keys twice."""
    if any(name.startswith(kept("")) for name in options["columns"]) and not Path(source).is_file():
        raise ArgumentError("--keep needs a file that can be read twice", code="keep", advice="Save IN to a file")
    people = People(choices, eids)
    try:
        with opened(source, **options) as reader:
            yield reader, people
    except UsageError as error:
        if kept("") in error.advice:
            error.advice = "Pass --keep with a name that is in the header line"
        raise
    finally:
        people.close()


def _dry_run(reader: RowReader, people: People, rejected: BadRows, chosen: Eid | None) -> ExitCode:
    """Check all rows."""
    if chosen is not None and is_inbound_only(chosen.fields.get("acr_values")):
        say(INBOUND_ONLY, style="yellow")
    for bad in people.check(iter(reader)):
        rejected.add(bad)
    say(f"{counted(people.good, 'valid row')}, {people.bad:,} invalid, {counted(people.again, 'duplicate')}.")
    return ExitCode.PARTLY if people.bad else ExitCode.OK


def _require_fitting(files: Files, chosen: Eid | None, *, excel: bool, simulate: bool) -> None:
    """Make sure that the options fit each other.

    Raises:
        UsageError: Two of them do not.
    """
    if excel and files.output_format != "csv":
        raise ArgumentError("--excel writes CSV", code="excel", advice="Pass --out FILE.csv")
    if chosen is not None and chosen.spoken_words and files.words is None and not simulate:
        raise ArgumentError(
            f"{chosen.label} requires that each person hears a pair of words, but no file for them is given",
            code="words",
            advice="Pass --words FILE, and read each person their words as soon as they appear there",
        )


def _require_shareable(store: str | None, given: Sequence[str], *, is_file: bool) -> None:
    """Make sure that machines can work on a batch together, if they are to.

    Raises:
        UsageError: They cannot.
    """
    if store is None:
        return
    if not is_file:
        raise ArgumentError(
            "--store needs a file that can be read more than once", code="store", advice="Save IN to a file"
        )
    if given:
        raise ArgumentError(
            f"{given[0]} is for a batch of one machine, and --store for several",
            code="store",
            advice="Leave one of them out; to try several machines, run idura-ciba simulate",
        )


def _journal_files(journal: Path) -> list[Path]:
    """Return the journal and all that is kept beside it; SQLite keeps its files beside the target of a link."""
    where = journal.resolve()
    return [where, *(where.with_name(f"{where.name}-{end}") for end in Journal.ENDINGS), _beside_journal(journal)]


def _beside_journal(journal: Path) -> Path:
    """Return the file that tells where the simulated provider of a trial is."""
    where = journal.resolve()
    return where.with_name(f"{where.name}-simulated")


def _trial(journal: Path | None, phones: tuple[SimulatedEid, ...], modules: list[str] | None) -> SimulatedIdura:
    """Return the provider of a trial: one that survives a kill, if the batch can be resumed."""
    if journal is None:
        return SimulatedIdura(eids=phones, interval=1, expires_in=_SIMULATED_LIFE)
    idura = Elsewhere(eids=phones, interval=1, expires_in=_SIMULATED_LIFE)
    settings = {"interval": 1, "expires_in": _SIMULATED_LIFE, "modules": modules}
    idura.connect = partial(find_or_start, _beside_journal(journal), settings)
    return idura
