"""Whom to ask, through which eID, and what the answer must prove: one eID, one file.

    request          `EidRequest`, which is plain data
    eid              `Eid`, which declares one eID for the client, the command, batches and the documentation
    swedish_bankid, norwegian_bankid, frejaid, raw
    registry         `EIDS`, those that can be asked by name
    written_number   national numbers as they are written, brought into one form
    written_contact  phone numbers and e-mail addresses, likewise
    written_text     what others have put into a text and around it
    identity_number  the rules of national numbers in that form
    person           tags that stand for a person without showing the number

May import `protocol`, `options`, `aio` and what lies below. Never knows how a request travels, or what time it is; only
today's date is looked up, where a Swedish number without its century needs it and the caller does not say it.
"""

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.registry import EIDS, Eids
from idura_ciba.eids.request import EidOptions, EidRequest

__all__ = ["EIDS", "Eid", "EidOptions", "EidRequest", "Eids", "Option"]
