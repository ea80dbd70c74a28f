"""Many replicas of a service as one client: one prompt for each person, and no login lost with a machine.

    fleet             `Fleet`, one of the replicas
    login             `FleetLogin`, a login on whichever replica it is asked for
    own, writing      a login that this worker asks for, and what it writes of it
    listening         what others want of it
    pings             passes pings on to the replica that asks
    worker            this worker among the others
    takeover          goes on with what others have left
    lease             whether this replica may act, or others may have taken what it had
    budget            its share of the rate that all have together
    signs             its signs of life: what it has learned from refusals, and what the others have
    learning          what its strategy learns, and those of the others
    events            what happens among them, for observers
    tasks             what runs beside
    shared_batch      this replica's part of a batch
    batch_rows        the people of a batch, in slices
    batch_asking      asks them as logins of the fleet
    store             `Store`, what every store promises; `batch_store`, for batches
    stores            which one an address names
    sqlite            in a file or in memory, for a service of one process; `sqlite_batches`, `sqlite_signs`
    postgres          for any number of processes; the extra `fleet`; `postgres_batches`, `postgres_signs`,
                      `postgres_changes`
    silence           hangs up on a store that says nothing
    sealing           what hides people in the store

May import everything below the command. Never writes anything of a person but what is keyed, sealed or encrypted, and
never acts on a login whose lease is over.
"""

from __future__ import annotations

from idura_ciba.fleet.fleet import Fleet
from idura_ciba.fleet.login import FleetLogin, FleetOutcome, FleetUpdate

__all__ = ["Fleet", "FleetLogin", "FleetOutcome", "FleetUpdate"]
