"""Views for Django, which has no event loop: they wait, on the synchronous client.

    urlpatterns = [path("logins", start), path("logins/<str:call>", show)]

One client serves all threads of a process. It is made with the first request, and so after the server has forked its
workers.
"""

from __future__ import annotations

import atexit
import json
from functools import cache

from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from idura_ciba import CibaError, SwedishBankID
from idura_ciba.sync import CibaClient, Transaction

LOGINS: dict[str, Transaction] = {}


@cache
def ciba() -> CibaClient:
    """The client of this process."""
    client = CibaClient.from_env()
    atexit.register(client.close)
    return client


@csrf_exempt  # your own pages send a token; this is for the example's test
@require_POST
def start(request: HttpRequest) -> JsonResponse:
    """Ask somebody, and answer as soon as the phone rings."""
    asked = json.loads(request.body)
    person = SwedishBankID(asked["number"], call_initiator="user", message="You are talking to Acme")
    try:
        login = ciba().start(person, reference=asked["call"])
    except CibaError as error:
        return JsonResponse({"failed": error.code, "what": str(error)}, status=409)
    LOGINS[asked["call"]] = login
    return JsonResponse({"call": login.reference}, status=201)


@require_GET
def show(request: HttpRequest, call: str) -> JsonResponse:
    """Tell how far a login is, without waiting; at the end, who it was."""
    if call not in LOGINS:
        raise Http404
    login = LOGINS[call]
    if not login.state.is_final:
        update = next(iter(login.updates()))
        return JsonResponse({"phase": update.phase.value, "text": update.phase.text(request.GET.get("language", "en"))})
    outcome = login.outcome()
    if outcome.authentication is None:
        return JsonResponse({"phase": outcome.state.value, "failed": outcome.error.code if outcome.error else ""})
    return JsonResponse({"phase": "approved", "name": outcome.authentication.claims.get("name")})
