"""What a client does for a login that it has proved: it asks for userinfo, and refreshes the tokens.

1. An access token leaves only to the provider's own userinfo endpoint, with a proof of the client's key where it is
   bound to that. Refreshed tokens are bound as the first ones are.
2. One refresh at a time, sent once. An answer is issued once: whoever is cancelled does not lose it, and where the keys
   to verify it cannot be had, it is kept until they can.
3. A refresh token that was exchanged for another one is never sent again: providers take that for theft.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import CibaError, IdTokenRejected, ProviderError, RemoteProtocolError, StateError
from idura_ciba.protocol.answers import ErrorAnswer, Tokens, UnusableAnswer, parse_refresh_response
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.context import Context
from idura_ciba.trust.authentication import Authentication
from idura_ciba.trust.binding import check_binding
from idura_ciba.trust.expectation import Expectation
from idura_ciba.trust.jwks import is_for_want_of_keys
from idura_ciba.trust.later import refreshed, told

__all__ = ["ProvedLogin"]

#: RFC 6750 section 2.1. With other characters, one header could become two.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: RFC 6750 section 3: the code in a `WWW-Authenticate` header.
_CODE = re.compile(r'\berror="([a-z_]{1,64})"')
_UNHARMED = "The phone has not rung, and the login stays as it is"


@define(eq=False)
class ProvedLogin:
    """What one login needs of its client, from its end on."""

    context: Context = field(repr=False)
    expected: Expectation = field(repr=False)
    # The refresh under way, or one whose result nobody was left to take.
    _task: asyncio.Task[Authentication] | None = field(default=None, init=False, repr=False)
    # An answer that could not be verified yet, and its trace id.
    _received: tuple[Tokens, str | None] | None = field(default=None, init=False, repr=False)
    _spent: bool = field(default=False, init=False)

    async def userinfo(self, login: Authentication, *, require_signature: bool) -> Mapping[str, Any]:
        """See `Authentication.userinfo`."""
        self._check()
        failure: CibaError
        try:
            channel = self.context.backchannel
            response = await channel.userinfo(_access_token(login.tokens, channel.confirmation))
            if response.status != 200:  # noqa: PLR2004 - OIDC Core 5.3.2
                raise _no_access(response)
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            signed = kind == "application/jwt"
            if require_signature and not signed:
                raise _refused("it is not signed", response)
            try:
                return await told(self.context.verifier, response.body, signed=signed, before=login)
            except IdTokenRejected as error:
                raise _refused(f"{error.claim}, {error.reason}", response) from None
        except CibaError as error:
            failure = _unharmed(error)
        raise failure

    async def refresh(self, login: Authentication) -> Authentication:
        """See `Authentication.refresh`."""
        self._check()
        task = self._task
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._task = asyncio.get_running_loop().create_task(self._refresh(login))
            self.context.tasks.add(task)
            task.add_done_callback(self.context.forget)
        failure: CibaError
        try:
            fresh = await asyncio.shield(task)
        except CibaError as error:
            # Several may wait, and each gets an error of its own.
            failure = _unharmed(copy.copy(error))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            failure = explain.closed()
        else:
            self._task = None
            return fresh
        raise failure

    def _check(self) -> None:
        self.context.check_home()
        self.context.check_open()

    async def _refresh(self, login: Authentication) -> Authentication:
        if self._received is None:
            self._received = await self._ask(login.tokens)
        tokens, trace_id = self._received
        context, after = self.context, ProvedLogin(self.context, self.expected)
        try:
            fresh = await refreshed(
                context.verifier, tokens, before=login, expected=self.expected, trace_id=trace_id, after=after
            )
            if confirmation := context.backchannel.confirmation:
                check_binding(fresh.tokens, fresh.claims, confirmation)
        except CibaError as error:
            if not is_for_want_of_keys(error):
                self._received = None
            error.trace_id = error.trace_id or trace_id
            raise
        self._received = None
        return fresh

    async def _ask(self, before: Tokens) -> tuple[Tokens, str | None]:
        token = before.members.get("refresh_token")
        if not isinstance(token, str) or not token:
            raise StateError(
                "the provider has issued no refresh token for this login",
                code="no_refresh_token",
                advice="ask for it, at many providers with the scope offline_access, or ask the person again",
            )
        if self._spent:
            raise StateError(
                "this login was refreshed before, and its refresh token is spent",
                code="refreshed",
                advice="use the login that refresh returned",
            )
        response = await self.context.backchannel.refresh(token)
        answer = parse_refresh_response(response, wall=self.context.clock.wall(), before=before)
        if isinstance(answer, Tokens):
            self._spent = answer.members["refresh_token"] != token
            return answer, response.trace_id
        raise _not_refreshed(answer, response)


def _access_token(tokens: Tokens, confirmation: Mapping[str, str]) -> Redacted:
    wanted = "dpop" if "jkt" in confirmation else "bearer"
    if tokens.access_token is None or (tokens.token_type or wanted).lower() != wanted:
        raise StateError(
            "this login has no access token that this client may use",
            code="no_access_token",
            advice="have the provider issue bearer tokens for this client, or give it DPoP",
        )
    if not _BEARER.fullmatch(tokens.access_token):
        raise RemoteProtocolError(
            "the access token holds characters that no header can", advice="report it to the provider"
        )
    return tokens.access_token


def _no_access(response: HttpResponse) -> CibaError:
    if response.status not in {401, 403}:
        return RemoteProtocolError(
            f"the userinfo endpoint answered with HTTP {response.status}",
            code="bad_userinfo",
            advice="try again later; if it stays, see that userinfo_endpoint is the provider's",
        )
    error = ProviderError(
        f"the provider does not accept the access token (HTTP {response.status})",
        code="access_token_refused",
        advice="refresh the login, or see that its scope allows this",
    )
    found = _CODE.search(response.headers.get("www-authenticate", ""))
    error.error, error.status = (found[1] if found else None), response.status
    error.trace_id = response.trace_id
    return error


def _refused(why: str, response: HttpResponse) -> RemoteProtocolError:
    error = RemoteProtocolError(
        f"the userinfo was refused: {why}",
        code="userinfo_refused",
        advice="do not use it; report it to the provider with the trace id",
    )
    error.trace_id = response.trace_id
    return error


def _not_refreshed(answer: ErrorAnswer | UnusableAnswer, response: HttpResponse) -> CibaError:
    error: CibaError
    if isinstance(answer, ErrorAnswer):
        error = explain.provider_error(answer, begun=False)
        if answer.error == "invalid_grant":
            error.advice = "the refresh token is over, was revoked or was used before: ask the person again"
    else:
        error = explain.unusable(answer, begun=False)
    error.phone = _UNHARMED
    error.trace_id = response.trace_id
    return error


def _unharmed(error: CibaError) -> CibaError:
    error.phone = _UNHARMED
    return error.without_frames()
