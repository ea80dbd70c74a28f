r"""A workflow of DBOS that verifies somebody: whenever the process dies, it goes on, and the phone has rung once.

    IDURA_CIBA_ISSUER=... IDURA_CIBA_CLIENT_ID=... IDURA_CIBA_KEY_FILE=... \
    FLEET_STORE=fleet.db FLEET_SECRET=... python dbos_workflow.py 4711

DBOS runs a step again when the process died before its result was written down, however far it had come. A second
request would cancel both prompts, so a step that just asks is not good enough. `Fleet` writes down the intent under the
id of the workflow before anything is sent, and the step looks there first.

What passes between the steps is that id. DBOS keeps what workflows and steps take and return readable in its database,
so no number, name or token of a person is among it: `person_of` and `keep` are where your own records are.

With Python 3.12 and later, DBOS itself needs SQLite 3.42.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID

from idura_ciba import CibaClient, EidRequest, State, SwedishBankID
from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet, FleetOutcome

CONFIG: DBOSConfig = {"name": "verification", "system_database_url": "sqlite:///workflows.db", "log_level": "WARNING"}


class Desk:
    """What the steps share; there is one for each process."""

    fleet: Fleet


def person_of(case: str) -> EidRequest:
    """Whom a case is about; of your own database."""
    return SwedishBankID(Path(f"{case}.number").read_text(encoding="utf-8"), call_initiator="user", message="Acme")


def keep(case: str, outcome: FleetOutcome) -> None:
    """Keep who it was; in your own database."""
    Path(f"{case}.name").write_text(str(outcome.claims.get("name")), encoding="utf-8")


def is_away(error: BaseException) -> bool:
    """Whether it is worth trying again: the store is away for a moment."""
    return isinstance(error, StoreError) and error.code == "store_away"


@DBOS.step(retries_allowed=True, max_attempts=10, should_retry=is_away)
async def ask(case: str) -> str:
    """Ask, unless an earlier run of this step has, or was just about to."""
    fleet = Desk.fleet
    try:
        login = await fleet.get(case)
    except StoreError as error:
        if error.code != "login_unknown":
            raise
        login = await fleet.start(person_of(case), id=case)
    return login.id


@DBOS.step(retries_allowed=True, max_attempts=10, should_retry=is_away)
async def answer(login: str) -> str:
    """Wait for the end, and keep who it was."""
    outcome = await (await Desk.fleet.get(login)).outcome()
    if outcome.state is State.HANDED_OVER:
        # This process ends, and the login does not. DBOS would record an error, but runs a cancelled step again.
        raise asyncio.CancelledError
    if outcome.state is State.APPROVED and not outcome.delivered:
        keep(login, outcome)
    return outcome.state.value


@DBOS.workflow()
async def verify(case: str) -> str:
    """Verify the person of a case; returns how that ended."""
    return await answer(await ask(case))


async def main(case: str) -> None:
    """Begin the workflow of a case, or go on with it."""
    ciba = CibaClient.from_env(resume_secret=bytes.fromhex(os.environ["FLEET_SECRET"]))
    DBOS(config=CONFIG)
    try:
        async with Fleet(ciba, os.environ["FLEET_STORE"]) as Desk.fleet:
            # Not before: DBOS recovers at once what an earlier process has left, on the event loop that it finds here.
            DBOS.launch()
            with SetWorkflowID(case):
                handle = await DBOS.start_workflow_async(verify, case)
            print(await handle.get_result(), flush=True)  # noqa: T201 - what it is made for
    finally:
        # Last, and while this loop runs: answers that came while the fleet was closing are still recorded.
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=5)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
