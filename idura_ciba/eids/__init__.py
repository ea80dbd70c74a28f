"""Whom to ask, through which eID, and what the answer must prove: one file per eID.

    request          `EidRequest`, which is plain data
    eid              `Eid`, which declares one eID for the client, the command, batches and the documentation
    swedish_bankid, norwegian_bankid, frejaid, raw
    registry         `EIDS`, the eIDs by name
    written_number   national numbers as people write them, read into one normal form
    written_contact  phone numbers and e-mail addresses, likewise
    written_text     what other programs have put into a text and around it
    identity_number  the rules of national numbers in normal form
    person           tags that identify a person without showing the number
    phase            how far a person is, and what to tell people about it

May import `protocol`, `options`, `aio` and what lies below. Never knows how a request is sent, or what time it is; it
looks up today's date only for a Swedish number without a century, and only if the caller does not pass the date.
"""

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.phase import Phase
from idura_ciba.eids.registry import EIDS, Eids
from idura_ciba.eids.request import EidOptions, EidRequest

__all__ = ["EIDS", "Eid", "EidOptions", "EidRequest", "Eids", "Option", "Phase"]
