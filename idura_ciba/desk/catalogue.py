"""The texts of the desk, in four languages; the sentences about phases are those of `eids.phase`.

A text without a translation cannot be written: each has four members. Names in braces are filled in by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["CATALOGUE"]

#: By key: English, Swedish, Norwegian (bokmål), Danish.
CATALOGUE: Final[Mapping[str, tuple[str, str, str, str]]] = MappingProxyType(
    {
        "title": ("Verify a caller", "Verifiera den som ringer", "Bekreft hvem som ringer", "Bekræft, hvem der ringer"),
        "simulated": (
            "Trial: nobody is really asked, and every name is made up.",
            "Prov: ingen tillfrågas på riktigt, och alla namn är påhittade.",
            "Prøve: ingen blir spurt på ordentlig, og alle navn er oppdiktet.",
            "Prøve: ingen bliver spurgt i virkeligheden, og alle navne er opdigtede.",
        ),
        "phones": ("Play their phones", "Spela deras telefoner", "Spill telefonene deres", "Spil deres telefoner"),
        "skip": ("Skip to the calls", "Hoppa till samtalen", "Hopp til samtalene", "Gå til samtalerne"),
        # the form
        "new": ("New caller", "Ny person", "Ny person", "Ny person"),
        "choose_eid": ("Choose the eID", "Välj e-legitimation", "Velg eID", "Vælg eID"),
        "number": ("National number", "Personnummer", "Fødselsnummer", "Personnummer"),
        "number_freja": (
            "National number, e-mail address or phone number",
            "Personnummer, e-postadress eller telefonnummer",
            "Fødselsnummer, e-postadresse eller telefonnummer",
            "Personnummer, e-mailadresse eller telefonnummer",
        ),
        "number_help": (
            "Hidden while you type, and not kept.",
            "Visas inte när du skriver och sparas inte.",
            "Vises ikke mens du skriver, og lagres ikke.",
            "Vises ikke, mens du skriver, og gemmes ikke.",
        ),
        "show_number": ("Show what I type", "Visa det jag skriver", "Vis det jeg skriver", "Vis det, jeg skriver"),
        "message": (
            "Message shown in the app",
            "Meddelande som visas i appen",
            "Melding som vises i appen",
            "Besked, der vises i appen",
        ),
        "optional": ("optional", "frivilligt", "valgfritt", "valgfrit"),
        "note": (
            "Your note, such as a case number",
            "Din anteckning, till exempel ett ärendenummer",
            "Ditt notat, for eksempel et saksnummer",
            "Dit notat, for eksempel et sagsnummer",
        ),
        "note_help": (
            "Stays at this desk until the day is over.",
            "Finns kvar här tills dagen är slut.",
            "Blir her til dagen er over.",
            "Bliver her, til dagen er omme.",
        ),
        "option_call_initiator": ("Who called?", "Vem ringde?", "Hvem ringte?", "Hvem ringede?"),
        "option_call_initiator_user": ("They called us", "De ringde oss", "De ringte oss", "De ringede til os"),
        "option_call_initiator_RP": ("We called them", "Vi ringde dem", "Vi ringte dem", "Vi ringede til dem"),
        "option_country": ("Country of the number", "Numrets land", "Nummerets land", "Nummerets land"),
        "option_country_SE": ("Sweden", "Sverige", "Sverige", "Sverige"),
        "option_country_NO": ("Norway", "Norge", "Norge", "Norge"),
        "option_country_DK": ("Denmark", "Danmark", "Danmark", "Danmark"),
        "option_country_FI": ("Finland", "Finland", "Finland", "Finland"),
        "start": ("Ask this person", "Fråga personen", "Spør personen", "Spørg personen"),
        "starting": ("Asking …", "Frågar …", "Spør …", "Spørger …"),
        # while somebody is asked
        "open_calls": ("Calls", "Samtal", "Samtaler", "Samtaler"),
        "none_open": (
            "Nobody is being asked.",
            "Ingen tillfrågas just nu.",
            "Ingen blir spurt nå.",
            "Ingen bliver spurgt nu.",
        ),
        "call": ("Call {nth}", "Samtal {nth}", "Samtale {nth}", "Samtale {nth}"),
        "asked_at": ("asked at {time}", "tillfrågad {time}", "spurt kl. {time}", "spurgt kl. {time}"),
        "ended_at": ("ended at {time}", "slut {time}", "slutt kl. {time}", "slut kl. {time}"),
        "read_aloud": ("Read these words aloud", "Läs upp orden", "Les opp ordene", "Læs ordene op"),
        "read_aloud_help": (
            (
                "Say: “You are being asked to choose words in your app. Choose exactly these.” Read them until "
                "the person "
                "has found them."
            ),
            "Säg: ”Du ombeds välja ord i din app. Välj just de här.” Läs dem tills personen har hittat dem.",
            "Si: «Du blir bedt om å velge ord i appen. Velg akkurat disse.» Les dem til personen har funnet dem.",
            "Sig: »Du bliver bedt om at vælge ord i din app. Vælg netop disse.« Læs dem, til personen har fundet dem.",
        ),
        "sending": (
            "Sending the request. The phone is about to ring.",
            "Skickar förfrågan. Det ringer strax i telefonen.",
            "Sender forespørselen. Det ringer straks på telefonen.",
            "Sender anmodningen. Det ringer straks på telefonen.",
        ),
        "provider_says": (
            "The provider says: {hint}",
            "Leverantören: {hint}",
            "Leverandøren: {hint}",
            "Leverandøren: {hint}",
        ),
        "time_left": ("Time left", "Tid kvar", "Tid igjen", "Tid tilbage"),
        "cancel": ("Stop waiting", "Sluta vänta", "Slutt å vente", "Hold op med at vente"),
        "cancel_help": (
            "The request stays in the app until it expires. It cannot be withdrawn.",
            "Förfrågan finns kvar i appen tills den går ut. Den kan inte dras tillbaka.",
            "Forespørselen blir i appen til den utløper. Den kan ikke trekkes tilbake.",
            "Anmodningen bliver i appen, til den udløber. Den kan ikke trækkes tilbage.",
        ),
        "again": (
            "You wanted to ask this person again at {time}. Nobody was rung: this call is about the same person.",
            "Du ville fråga personen igen {time}. Det ringde inte: det här samtalet gäller samma person.",
            "Du ville spørre personen igjen kl. {time}. Det ringte ikke: denne samtalen gjelder samme person.",
            "Du ville spørge personen igen kl. {time}. Det ringede ikke: denne samtale gælder samme person.",
        ),
        "again_after": (
            "They can be asked again after {time}.",
            "Personen kan tillfrågas igen efter {time}.",
            "Personen kan spørres igjen etter kl. {time}.",
            "Personen kan spørges igen efter kl. {time}.",
        ),
        # how it ended
        "verdict_asking": ("Waiting", "Väntar", "Venter", "Venter"),
        "verdict_confirmed": ("Confirmed", "Bekräftad", "Bekreftet", "Bekræftet"),
        "verdict_unconfirmed": (
            "Approved, but not confirmed who",
            "Godkänd, men oklart av vem",
            "Godkjent, men uvisst av hvem",
            "Godkendt, men uvist af hvem",
        ),
        "verdict_no": ("Not confirmed", "Inte bekräftad", "Ikke bekreftet", "Ikke bekræftet"),
        "verdict_unknown": ("Unknown", "Okänt", "Ukjent", "Ukendt"),
        "verdict_stopped": ("Stopped", "Avbruten", "Stoppet", "Stoppet"),
        "verdict_trouble": ("It did not work", "Det gick inte", "Det gikk ikke", "Det lykkedes ikke"),
        "verdict_distrusted": ("Do not trust this", "Lita inte på detta", "Ikke stol på dette", "Stol ikke på dette"),
        "distrusted_text": (
            "The answer is about somebody else, or is not genuine.",
            "Svaret gäller någon annan eller är inte äkta.",
            "Svaret gjelder noen andre eller er ikke ekte.",
            "Svaret gælder en anden eller er ikke ægte.",
        ),
        "unconfirmed_text": (
            "Somebody has approved. The answer does not say that it was the person you asked for.",
            "Någon har godkänt. Svaret säger inte att det var personen du frågade efter.",
            "Noen har godkjent. Svaret sier ikke at det var personen du spurte etter.",
            "Nogen har godkendt. Svaret siger ikke, at det var personen, du spurgte efter.",
        ),
        "next": ("What to do now", "Gör så här nu", "Gjør dette nå", "Gør sådan nu"),
        "next_confirmed": (
            "Compare the name with what you were told, and go on with the call.",
            "Jämför namnet med det du har fått veta och fortsätt samtalet.",
            "Sammenlign navnet med det du har fått vite, og fortsett samtalen.",
            "Sammenlign navnet med det, du har fået at vide, og fortsæt samtalen.",
        ),
        "next_unconfirmed": (
            "Do not rely on it yet. Compare the name with your register, or ask something that only this person knows.",
            "Lita inte på det ännu. Jämför namnet med ert register, eller fråga något som bara personen vet.",
            "Ikke stol på det ennå. Sammenlign navnet med registeret, eller spør om noe bare personen vet.",
            "Stol ikke på det endnu. Sammenlign navnet med registret, eller spørg om noget, kun personen ved.",
        ),
        "next_denied": (
            (
                "Ask what happened. If they chose the wrong words by mistake, ask them again. If they did not "
                "expect this, "
                "somebody may be misusing their name: end the call."
            ),
            (
                "Fråga vad som hände. Blev det fel ord av misstag, fråga igen. Om personen inte väntade sig "
                "detta kan någon "
                "missbruka namnet: avsluta samtalet."
            ),
            (
                "Spør hva som skjedde. Ble det feil ord ved en feil, spør igjen. Hvis personen ikke ventet "
                "dette, kan noen "
                "misbruke navnet: avslutt samtalen."
            ),
            (
                "Spørg, hvad der skete. Blev det forkerte ord ved en fejl, så spørg igen. Hvis personen ikke "
                "ventede dette, "
                "kan nogen misbruge navnet: afslut samtalen."
            ),
        ),
        "next_expired": (
            "See that the phone is at hand and has a connection, then ask again.",
            "Se till att telefonen är till hands och har täckning, och fråga igen.",
            "Se til at telefonen er for hånden og har dekning, og spør igjen.",
            "Sørg for, at telefonen er ved hånden og har forbindelse, og spørg igen.",
        ),
        "next_unknown": (
            (
                "It counts as neither yes nor no. Ask the person what the app shows, and ask again only when it shows "
                "nothing any more."
            ),
            "Det räknas varken som ja eller nej. Fråga vad appen visar, och fråga igen först när den inte visar något.",
            "Det teller verken som ja eller nei. Spør hva appen viser, og spør igjen først når den ikke viser noe.",
            "Det tæller hverken som ja eller nej. Spørg, hvad appen viser, og spørg først igen, når den intet viser.",
        ),
        "next_start_unknown": (
            (
                "The phone may have rung. Ask again only when the app shows nothing any more: a second request would "
                "cancel both."
            ),
            (
                "Det kan ha ringt i telefonen. Fråga igen först när appen inte visar något: en andra förfrågan "
                "avbryter "
                "båda."
            ),
            (
                "Det kan ha ringt på telefonen. Spør igjen først når appen ikke viser noe: en ny forespørsel "
                "avbryter begge."
            ),
            (
                "Det kan have ringet på telefonen. Spørg først igen, når appen intet viser: en ny anmodning "
                "afbryder begge."
            ),
        ),
        "next_details_lost": (
            "Somebody approved, but the desk stopped before it could note who. Ask again with the person's agreement.",
            "Någon godkände, men programmet stannade innan det noterade vem. Fråga igen om personen samtycker.",
            "Noen godkjente, men programmet stoppet før det noterte hvem. Spør igjen hvis personen samtykker.",
            "Nogen godkendte, men programmet standsede, før det noterede hvem. Spørg igen, hvis personen samtykker.",
        ),
        "next_abandoned": (
            "Tell the person to decline the request in the app. It stays there until it expires.",
            "Be personen avböja förfrågan i appen. Den finns kvar där tills den går ut.",
            "Be personen avvise forespørselen i appen. Den blir der til den utløper.",
            "Bed personen afvise anmodningen i appen. Den bliver der, til den udløber.",
        ),
        "next_rejected": (
            (
                "Check the number, and that the person has this eID. If it happens with everybody, tell your IT "
                "department."
            ),
            (
                "Kontrollera numret och att personen har denna e-legitimation. Händer det med alla, kontakta "
                "it-avdelningen."
            ),
            "Sjekk nummeret og at personen har denne eID-en. Hvis det skjer med alle, kontakt IT-avdelingen.",
            "Tjek nummeret, og at personen har dette eID. Sker det med alle, så kontakt it-afdelingen.",
        ),
        "next_never_connected": (
            "The phone has not rung. Check the connection of this computer, then ask again.",
            "Det har inte ringt i telefonen. Kontrollera datorns uppkoppling och fråga igen.",
            "Det har ikke ringt på telefonen. Sjekk forbindelsen til denne datamaskinen, og spør igjen.",
            "Det har ikke ringet på telefonen. Tjek computerens forbindelse, og spørg igen.",
        ),
        "next_invalid_client": (
            (
                "Nobody can be asked until your IT department has corrected the desk's credentials. The phone has "
                "not rung."
            ),
            "Ingen kan tillfrågas förrän it-avdelningen har rättat programmets behörighet. Det har inte ringt.",
            "Ingen kan spørres før IT-avdelingen har rettet programmets tilgang. Det har ikke ringt.",
            "Ingen kan spørges, før it-afdelingen har rettet programmets adgang. Det har ikke ringet.",
        ),
        "next_distrusted": (
            "End the call, and tell your IT department at once.",
            "Avsluta samtalet och kontakta it-avdelningen genast.",
            "Avslutt samtalen, og kontakt IT-avdelingen med en gang.",
            "Afslut samtalen, og kontakt straks it-afdelingen.",
        ),
        "next_failed": (
            "Nobody is verified. Tell your IT department what stands under “Details”.",
            "Ingen är verifierad. Berätta för it-avdelningen vad som står under ”Detaljer”.",
            "Ingen er bekreftet. Fortell IT-avdelingen hva som står under «Detaljer».",
            "Ingen er bekræftet. Fortæl it-afdelingen, hvad der står under »Detaljer«.",
        ),
        "done": ("Done", "Klar", "Ferdig", "Færdig"),
        # details
        "no_name": (
            "No name was delivered",
            "Inget namn levererades",
            "Ingen navn ble levert",
            "Intet navn blev leveret",
        ),
        "eid": ("eID", "E-legitimation", "eID", "eID"),
        "level": ("Level", "Nivå", "Nivå", "Niveau"),
        "person": ("Person", "Person", "Person", "Person"),
        "person_confirmed": (
            "confirmed by number",
            "bekräftad med nummer",
            "bekreftet med nummer",
            "bekræftet med nummer",
        ),
        "person_unconfirmed": ("not confirmed", "inte bekräftad", "ikke bekreftet", "ikke bekræftet"),
        "trace": ("Trace id", "Spårnings-id", "Sporings-id", "Sporings-id"),
        "details": ("Details", "Detaljer", "Detaljer", "Detaljer"),
        # the day
        "today": ("Today", "I dag", "I dag", "I dag"),
        "none_today": (
            "No call has ended today.",
            "Inget samtal har avslutats i dag.",
            "Ingen samtale er avsluttet i dag.",
            "Ingen samtale er afsluttet i dag.",
        ),
        "export": ("Download as CSV", "Ladda ner som CSV", "Last ned som CSV", "Hent som CSV"),
        "today_help": (
            "Without numbers. Kept here until the day is over.",
            "Utan nummer. Sparas här tills dagen är slut.",
            "Uten nummer. Lagres her til dagen er over.",
            "Uden numre. Gemmes her, til dagen er omme.",
        ),
        "time": ("Time", "Tid", "Tid", "Tid"),
        # what cannot work
        "error_form": ("Nobody was asked.", "Ingen har tillfrågats.", "Ingen er spurt.", "Ingen er blevet spurgt."),
        "error_number": (
            "This is not a valid number for {eid}. Check the digits with the person.",
            "Det här är inget giltigt nummer för {eid}. Kontrollera siffrorna med personen.",
            "Dette er ikke et gyldig nummer for {eid}. Sjekk sifrene med personen.",
            "Dette er ikke et gyldigt nummer for {eid}. Tjek cifrene med personen.",
        ),
        "error_message_required": (
            "{eid} needs a message for the person to read in the app.",
            "{eid} behöver ett meddelande som personen läser i appen.",
            "{eid} trenger en melding som personen leser i appen.",
            "{eid} kræver en besked, som personen læser i appen.",
        ),
        "error_message_too_long": (
            "The message is too long for {eid}. Shorten it.",
            "Meddelandet är för långt för {eid}. Förkorta det.",
            "Meldingen er for lang for {eid}. Gjør den kortere.",
            "Beskeden er for lang til {eid}. Gør den kortere.",
        ),
        "error_note": (
            "Leave the person's number out of your note, and keep it short.",
            "Skriv inte personens nummer i anteckningen, och håll den kort.",
            "Ikke skriv personens nummer i notatet, og hold det kort.",
            "Skriv ikke personens nummer i notatet, og hold det kort.",
        ),
        "error_option": (
            "Choose an answer for each question of {eid}.",
            "Svara på varje fråga för {eid}.",
            "Svar på hvert spørsmål for {eid}.",
            "Svar på hvert spørgsmål for {eid}.",
        ),
        "error_already_pending": (
            "This person is already being asked, or a request is still on their phone. Nobody was rung.",
            "Personen tillfrågas redan, eller så ligger en förfrågan kvar i telefonen. Det ringde inte.",
            "Personen blir allerede spurt, eller en forespørsel ligger fortsatt på telefonen. Det ringte ikke.",
            "Personen bliver allerede spurgt, eller en anmodning ligger stadig på telefonen. Det ringede ikke.",
        ),
        "error_form_used": (
            "This form was sent before. Type the number once more: this is a new form.",
            "Formuläret har redan skickats. Skriv numret en gång till: det här är ett nytt formulär.",
            "Skjemaet er sendt før. Skriv nummeret en gang til: dette er et nytt skjema.",
            "Formularen er sendt før. Skriv nummeret én gang til: dette er en ny formular.",
        ),
        "error_stopping": (
            "The desk is being stopped. Nobody was asked.",
            "Programmet stoppas. Ingen har tillfrågats.",
            "Programmet stoppes. Ingen er spurt.",
            "Programmet stoppes. Ingen er blevet spurgt.",
        ),
        "error_other": (
            "This cannot work as it is. Nobody was asked.",
            "Det går inte så här. Ingen har tillfrågats.",
            "Dette kan ikke fungere slik. Ingen er spurt.",
            "Det kan ikke fungere sådan. Ingen er blevet spurgt.",
        ),
        "page_missing": ("There is nothing here", "Här finns inget", "Her er det ingenting", "Her er ingenting"),
        "page_missing_advice": (
            "Go back to the desk.",
            "Gå tillbaka till skrivbordet.",
            "Gå tilbake til skrivebordet.",
            "Gå tilbage til skrivebordet.",
        ),
        "page_broken": ("This did not work", "Det gick inte", "Det gikk ikke", "Det lykkedes ikke"),
        "page_broken_advice": (
            "Go back and look at the list of calls before you try again: the phone may have rung.",
            "Gå tillbaka och titta på samtalen innan du försöker igen: det kan ha ringt i telefonen.",
            "Gå tilbake og se på samtalene før du prøver igjen: det kan ha ringt på telefonen.",
            "Gå tilbage, og se på samtalerne, før du prøver igen: det kan have ringet på telefonen.",
        ),
        "back": (
            "Back to the desk",
            "Tillbaka till skrivbordet",
            "Tilbake til skrivebordet",
            "Tilbage til skrivebordet",
        ),
        # the connection between page and desk
        "stopping": (
            (
                "The desk is stopping. Requests stay on the phones and can be answered; they go on when it is "
                "started again."
            ),
            "Programmet stoppas. Förfrågningar finns kvar i telefonerna och fortsätter när det startas igen.",
            "Programmet stoppes. Forespørsler blir på telefonene og fortsetter når det startes igjen.",
            "Programmet stoppes. Anmodninger bliver på telefonerne og fortsætter, når det startes igen.",
        ),
        "offline": (
            "No connection to the desk. What you see may be old; trying again …",
            "Ingen kontakt med programmet. Det du ser kan vara gammalt; försöker igen …",
            "Ingen kontakt med programmet. Det du ser kan være gammelt; prøver igjen …",
            "Ingen forbindelse til programmet. Det, du ser, kan være gammelt; prøver igen …",
        ),
        "reload": (
            "Without JavaScript this page does not follow by itself.",
            "Utan JavaScript uppdateras sidan inte av sig själv.",
            "Uten JavaScript oppdateres ikke siden av seg selv.",
            "Uden JavaScript opdateres siden ikke af sig selv.",
        ),
        "reload_now": ("Load it again", "Läs in den igen", "Last den inn igjen", "Genindlæs den"),
    }
)
