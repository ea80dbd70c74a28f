"""The eIDs of the simulated tenant, one file each."""

from __future__ import annotations

from idura_ciba.simulator.eid import SimulatedEid
from idura_ciba.simulator.frejaid import FREJAID
from idura_ciba.simulator.norwegian_bankid import NORWEGIAN_BANKID
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID

__all__ = ["EIDS"]

#: The default; `SimulatedIdura(eids=(*EIDS, MINE))` adds one.
EIDS: tuple[SimulatedEid, ...] = (SWEDISH_BANKID, NORWEGIAN_BANKID, FREJAID)
