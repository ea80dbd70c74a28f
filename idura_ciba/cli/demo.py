"""`idura-ciba demo`: five people at once, over real HTTP, at a provider that is not one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from attrs import frozen
from rich.console import Console

from idura_ciba import CibaClient, CibaError, EidRequest, Outcome, State
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.board import Row, Show, follow, showing
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.phones import needs_extra
from idura_ciba.cli.simulated import simulated_client
from idura_ciba.cli.text import OUT, say
from idura_ciba.eids import EIDS, Eid
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedIdura

__all__ = ["Scene", "demo", "perform", "play", "scenes", "simulated", "verdict_on"]

#: Seconds between polls; Idura says 3, and nobody likes to wait.
INTERVAL: Final = 1
#: Seconds for which the prompt of the one who never answers lives.
PATIENCE: Final = 12
#: What the five do, counted.
EXPECTED: Final[Mapping[State, int]] = {State.APPROVED: 3, State.DENIED: 1, State.EXPIRED: 1}


@frozen
class Scene:
    """One person of the demonstration: a label, a number that is nobody's, what is asked and what the person does."""

    label: str
    number: Redacted
    request: EidRequest
    script: Script


def scenes() -> tuple[Scene, ...]:
    """Return the five of the demonstration."""
    swedish, norwegian, freja = EIDS["se"], EIDS["no"], EIDS["freja"]
    hello = "Demonstration of idura_ciba"
    return (
        _scene(swedish, 1, "209801011231", Script.approve(after=7), call_initiator="user", message=hello),
        _scene(norwegian, 1, "01023990128", Script.approve(after=9)),
        _scene(freja, 1, "209602294564", Script.approve(after=5)),
        _scene(norwegian, 2, "31123990199", Script.wrong_words(after=6)),
        _scene(
            *(swedish, 2, "209712310011", Script.never()),
            call_initiator="RP",
            message=hello,
            requested_expiry=PATIENCE,
        ),
    )


def _scene(eid: Eid, nth: int, number: str, script: Script, **options: Any) -> Scene:
    return Scene(f"{eid.label} {nth}", Redacted(number), eid.ask(number, **options), script)


def simulated(cast: Sequence[Scene]) -> SimulatedIdura:
    """Return a provider whose people keep to the script."""
    idura = SimulatedIdura(interval=INTERVAL)
    for scene in cast:
        idura.script(scene.number, scene.script)
    return idura


def demo(
    *,
    in_browser: Annotated[
        bool, typer.Option("--web", help="Play it yourself: an agent's desk and the people's phones in a browser.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="With --web: open the page in this machine's browser.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --web: TCP port; 0 for any free one.")] = 0,
) -> None:
    """Watch five logins through three eIDs, at a simulated Idura on this machine.

    Three people approve, one picks the wrong words, and one never answers. The demo takes about 13 seconds and needs
    neither credentials nor a network. Exit codes: 0 if all logins ended as planned, else 1.

    With --web, you play both the agent and the people, until Ctrl-C.
    """
    if not in_browser:
        raise typer.Exit(asyncio.run(play(scenes(), OUT)))
    asyncio.run(_load_web()(OUT, port=port, open_browser=open_browser))


def _load_web() -> Callable[..., Coroutine[Any, Any, None]]:
    with needs_extra():
        from idura_ciba.cli.web_demo import play_web  # noqa: PLC0415 - the extra may not be installed
    return play_web


async def play(cast: Sequence[Scene], console: Console) -> ExitCode:
    """Run the demonstration from the server to the summary."""
    idura, clock = simulated(cast), Clock()
    async with simulated_client(idura) as client:
        say(f"Asking {len(cast)} people at once at a simulated Idura on this machine: {idura.issuer}", to=console)
        began_at = clock.wall()
        outcomes = await perform(client, cast, console, clock)
        took = clock.wall() - began_at
    counted = {state: [outcome.state for outcome in outcomes].count(state) for state in EXPECTED}
    books = idura.ledger.summary()
    counts = ", ".join(f"{count} {state.value}" for state, count in counted.items())
    say(f"{counts} in {took:.1f} s", to=console, style="bold")
    say(f"The provider counted {books['polls']} polls, {books['slow_downs']} of them too early.", to=console)
    say("Nobody was really asked: the provider, the people and their names are made up.", to=console, style="dim")
    return ExitCode.OK if counted == EXPECTED else ExitCode.FAILED


async def perform(client: CibaClient, cast: Sequence[Scene], console: Console, clock: Clock) -> list[Outcome]:
    """Ask everybody at once, show how it goes, and return what came of each."""
    rows = [Row(scene.label) for scene in cast]
    async with showing(rows, console, clock) as show, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_ask(client, scene.request, row, show, clock))
            for scene, row in zip(cast, rows, strict=True)
        ]
    return [task.result() for task in tasks]


async def _ask(client: CibaClient, request: EidRequest, row: Row, show: Show, clock: Clock) -> Outcome:
    row.began_at = clock.wall()
    try:
        transaction = await client.start(request)
    except CibaError as error:
        outcome = Outcome.not_begun(error)
        row.state, row.note = outcome.state, str(error)
        show(row)
        return outcome
    return await follow(transaction, row, show, clock=clock, verdict=verdict_on)


def verdict_on(outcome: Outcome) -> str:
    """What the last column says of how a login ended; only the names of made-up people are told like this."""
    login, error = outcome.authentication, outcome.error
    if login is not None:
        return f"{login.claims.get('name')}, {'confirmed' if login.person_confirmed else 'not confirmed'}"
    said = {State.DENIED: "declined, or picked the wrong words", State.EXPIRED: "never answered"}
    return said.get(outcome.state) or (error.what if error else "")
