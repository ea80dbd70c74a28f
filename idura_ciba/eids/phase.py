"""How far a person is: one enumeration over all eIDs, and what to tell people about it.

Each eID declares in its own file what the provider's words mean (`Eid.phases`). The texts are ours, in the manner of
those that BankID recommends: short, neutral, and true for an agent at a desk and for the person with the phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from idura_ciba.errors import ArgumentError
from idura_ciba.protocol.machine import State

__all__ = ["LANGUAGES", "Phase", "PhaseTable", "phase_of", "phase_table"]

#: The languages of the texts, by the first part of their BCP 47 tags; `nb` and `nn` are read as `no`.
LANGUAGES: Final = ("en", "sv", "no", "da")

#: What a provider's words mean, as pairs: small, immutable, and shared by all logins through one eID.
PhaseTable = tuple[tuple[str, "Phase"], ...]


class Phase(StrEnum):
    """How far a person is, over all eIDs: while they are asked, and how it ended.

    The provider's words are for showing progress only. Nothing depends on them, and new ones may appear at any time:
    they are `UNKNOWN`.
    """

    # while the person is being asked
    WAITING = "waiting"
    OPENED = "opened"
    IDENTIFYING = "identifying"
    CHOOSING = "choosing"
    UNKNOWN = "unknown"
    # the ends, called as the states are
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    ABANDONED = "abandoned"
    HANDED_OVER = "handed_over"

    def text(self, language: str = "en") -> str:
        """What to tell people, in one sentence or two.

        Args:
            language: A BCP 47 tag such as `sv`, `sv-SE` or `nb`: English, Swedish, Norwegian or Danish.

        Raises:
            UsageError: There are no texts in this language.
        """
        spoken = language.partition("-")[0].lower() if isinstance(language, str) else ""
        spoken = "no" if spoken in {"nb", "nn"} else spoken
        if spoken not in LANGUAGES:
            raise ArgumentError(
                "there are no texts in this language",
                code="language",
                advice=f"pass one of {', '.join(LANGUAGES)}, or use texts of your own",
            )
        return _TEXTS[self][LANGUAGES.index(spoken)]


@lru_cache(maxsize=64)
def _shared(table: PhaseTable) -> PhaseTable:
    return table


def phase_of(state: State, hint: str | None, table: PhaseTable) -> Phase:
    """The phase of a login: what the provider's latest word means, or how it ended."""
    return Phase(state) if state.is_final else dict(table).get(hint or "", Phase.UNKNOWN)


def phase_table(phases: Mapping[str, Phase]) -> PhaseTable:
    """A table as pairs; the same object for all equal ones, because so many logins may wait."""
    return _shared(tuple(phases.items()))


#: By phase: English, Swedish, Norwegian (bokmål), Danish.
_TEXTS: Final[Mapping[Phase, tuple[str, str, str, str]]] = MappingProxyType(
    {
        Phase.WAITING: (
            "The request is on its way to the app. Open the app on the phone.",
            "Förfrågan är på väg till appen. Öppna appen i telefonen.",
            "Forespørselen er på vei til appen. Åpne appen på telefonen.",
            "Anmodningen er på vej til appen. Åbn appen på telefonen.",
        ),
        Phase.OPENED: (
            "The app is open. Confirm in the app that you are talking to us.",
            "Appen är öppen. Bekräfta i appen att samtalet är med oss.",
            "Appen er åpen. Bekreft i appen at samtalen er med oss.",
            "Appen er åben. Bekræft i appen, at samtalen er med os.",
        ),
        Phase.IDENTIFYING: (
            "Waiting for the security code, fingerprint or face in the app.",
            "Väntar på säkerhetskod, fingeravtryck eller ansikte i appen.",
            "Venter på kode, fingeravtrykk eller ansikt i appen.",
            "Venter på kode, fingeraftryk eller ansigt i appen.",
        ),
        Phase.CHOOSING: (
            "Waiting for the right words to be chosen in the app.",
            "Väntar på att rätt ord väljs i appen.",
            "Venter på at de riktige ordene velges i appen.",
            "Venter på, at de rigtige ord vælges i appen.",
        ),
        Phase.UNKNOWN: (
            "Waiting for an answer from the phone.",
            "Väntar på svar från telefonen.",
            "Venter på svar fra telefonen.",
            "Venter på svar fra telefonen.",
        ),
        Phase.APPROVED: (
            "The identity is confirmed.",
            "Identiteten är bekräftad.",
            "Identiteten er bekreftet.",
            "Identiteten er bekræftet.",
        ),
        Phase.DENIED: (
            "The request was declined or cancelled in the app.",
            "Förfrågan nekades eller avbröts i appen.",
            "Forespørselen ble avvist eller avbrutt i appen.",
            "Anmodningen blev afvist eller afbrudt i appen.",
        ),
        Phase.EXPIRED: (
            "Nobody answered in time. Try again when the phone is at hand.",
            "Ingen svarade i tid. Försök igen när telefonen är till hands.",
            "Ingen svarte i tide. Prøv igjen når telefonen er for hånden.",
            "Ingen svarede i tide. Prøv igen, når telefonen er ved hånden.",
        ),
        Phase.REJECTED: (
            "The request could not be sent. The phone has not rung.",
            "Förfrågan kunde inte skickas. Telefonen har inte ringt.",
            "Forespørselen kunne ikke sendes. Telefonen har ikke ringt.",
            "Anmodningen kunne ikke sendes. Telefonen har ikke ringet.",
        ),
        Phase.FAILED: (
            "The identity could not be confirmed because of a technical problem.",
            "Identiteten kunde inte bekräftas på grund av ett tekniskt fel.",
            "Identiteten kunne ikke bekreftes på grunn av en teknisk feil.",
            "Identiteten kunne ikke bekræftes på grund af en teknisk fejl.",
        ),
        Phase.INDETERMINATE: (
            "It is not known whether the request was answered. Agree on it before you try again.",
            "Det är inte känt om förfrågan besvarades. Kom överens innan ni försöker igen.",
            "Det er ikke kjent om forespørselen ble besvart. Bli enige før dere prøver igjen.",
            "Det vides ikke, om anmodningen blev besvaret. Bliv enige, før I prøver igen.",
        ),
        Phase.ABANDONED: (
            "We stopped waiting. The request may stay in the app until it expires.",
            "Vi har slutat vänta. Förfrågan kan ligga kvar i appen tills den går ut.",
            "Vi har sluttet å vente. Forespørselen kan bli liggende i appen til den utløper.",
            "Vi er holdt op med at vente. Anmodningen kan blive i appen, til den udløber.",
        ),
        Phase.HANDED_OVER: (
            "One moment. The request is still in the app and can be answered.",
            "Ett ögonblick. Förfrågan finns kvar i appen och kan besvaras.",
            "Et øyeblikk. Forespørselen er fortsatt i appen og kan besvares.",
            "Et øjeblik. Anmodningen er stadig i appen og kan besvares.",
        ),
    }
)
