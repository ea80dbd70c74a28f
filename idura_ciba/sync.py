"""The client for programs without an event loop: Django, Flask, scripts.

The names and rules are those of `idura_ciba.CibaClient` and `idura_ciba.Transaction`; every call waits for its result.
All logins of a client run on one event loop in a thread of its own, which begins with the first call. Any thread may
call.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from idura_ciba.aio.portal import Portal
from idura_ciba.checks import Finding
from idura_ciba.client import CibaClient as AsyncClient
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.credentials.environment import from_environment, options_from
from idura_ciba.eids.request import EidRequest
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.outcome import Handover, Outcome, Update
from idura_ciba.transaction.transaction import Transaction as AsyncTransaction
from idura_ciba.trust.authentication import Authentication

__all__ = ["CibaClient", "Transaction"]


class CibaClient:
    """Asks people to prove who they are, many at once.

    Args:
        issuer: As for `idura_ciba.CibaClient`.
        client_auth: The same.
        options: Any other argument of `idura_ciba.CibaClient`. What it calls, such as observers, is called in the
            client's thread and must not call the client.

    Raises:
        UsageError: An argument cannot work.

    Example:
        >>> def log_in(ssn: str) -> str:
        ...     with CibaClient.from_env() as ciba:
        ...         login = ciba.authenticate(SwedishBankID(ssn, call_initiator="user", message="Log in"))
        ...     return login.subject
    """

    def __init__(self, issuer: str, client_auth: ClientAuth, **options: Any) -> None:
        self._client = AsyncClient(issuer, client_auth, **options)
        self._portal = Portal("idura-ciba")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """Create a client from environment variables; see `idura_ciba.CibaClient.from_env`.

        Raises:
            UsageError: A variable is missing or unusable, or an option cannot work.
        """
        environ = os.environ if environ is None else environ
        return cls(*from_environment(environ), **(options_from(environ) | options))

    def __repr__(self) -> str:
        """As that of the client inside."""
        return repr(self._client)

    def __enter__(self) -> Self:
        """Nothing happens yet; the first request opens the first connection."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close. Pending logins go to `on_close`; without it they are lost, which the log says."""
        try:
            self._portal.call(self._client.__aexit__)
        finally:
            self._portal.stop()

    @property
    def pending(self) -> tuple[Transaction, ...]:
        """The logins that have not ended, oldest first."""
        return tuple(map(self._begun, self._portal.ask(lambda: self._client.pending)))

    def snapshot(self) -> dict[str, object]:
        """The present state as plain data; see `idura_ciba.CibaClient.snapshot`."""
        return self._client.snapshot()

    def check(self, *, probe: bool = False, acr_values: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Look whether people could be asked now; see `idura_ciba.CibaClient.check`.

        Raises:
            StateError: The client is closed.
        """
        return self._portal.call(lambda: self._client.check(probe=probe, acr_values=acr_values))

    def start(
        self,
        request: EidRequest,
        *,
        timeout: float | None = None,
        reference: str | None = None,
        even_if_pending: bool = False,
    ) -> Transaction:
        """Ask the provider to ask the person; see `idura_ciba.CibaClient.start`.

        Raises:
            CibaError: As there.
            StateError: As there, or the client's thread cannot be used from here: `forked`, `own_thread`.
        """
        return self._begun(
            self._portal.call(
                lambda: self._client.start(
                    request, timeout=timeout, reference=reference, even_if_pending=even_if_pending
                )
            )
        )

    def authenticate(
        self,
        request: EidRequest,
        *,
        timeout: float | None = None,
        reference: str | None = None,
        even_if_pending: bool = False,
    ) -> Authentication:
        """Start, and wait for the login; see `idura_ciba.CibaClient.authenticate`.

        Ctrl-C abandons the login; the prompt stays on the phone until it expires.

        Raises:
            CibaError: As there.
        """
        return self._portal.call(
            lambda: self._client.authenticate(
                request, timeout=timeout, reference=reference, even_if_pending=even_if_pending
            )
        )

    def resume(self, token: str | Handover, *, timeout: float | None = None, doubt: bool | None = None) -> Transaction:
        """Resume a login; see `idura_ciba.CibaClient.resume`.

        Raises:
            CibaError: As there.
        """
        secret = Redacted(token.token if isinstance(token, Handover) else token)
        return self._begun(self._portal.call(lambda: self._client.resume(secret, timeout=timeout, doubt=doubt)))

    def rejoin(self, request: EidRequest, *, timeout: float | None = None) -> Transaction:
        """Go on with a prompt that was given up on; see `idura_ciba.CibaClient.rejoin`.

        Raises:
            CibaError: As there.
        """
        return self._begun(self._portal.call(lambda: self._client.rejoin(request, timeout=timeout)))

    def userinfo(self, login: Authentication, *, require_signature: bool = False) -> Mapping[str, Any]:
        """Ask the provider what else it knows of this person; see `idura_ciba.Authentication.userinfo`.

        Raises:
            CibaError: As there.
        """
        return self._portal.call(lambda: login.userinfo(require_signature=require_signature))

    def refresh(self, login: Authentication) -> Authentication:
        """Ask for new tokens; see `idura_ciba.Authentication.refresh`.

        Raises:
            CibaError: As there.
        """
        return self._portal.call(login.refresh)

    def close(self, *, patience: float = 5.0) -> list[Handover]:
        """Stop asking and release everything; see `idura_ciba.CibaClient.close`."""
        left = self._portal.call(lambda: self._client.close(patience=patience))
        self._portal.stop()
        return left

    def _begun(self, transaction: AsyncTransaction) -> Transaction:
        return Transaction(transaction, self._portal)


class Transaction:
    """A person being asked; see `idura_ciba.Transaction`. Made by `CibaClient.start`, `resume` and `rejoin`."""

    def __init__(self, transaction: AsyncTransaction, portal: Portal) -> None:
        self._transaction = transaction
        self._portal = portal

    def __repr__(self) -> str:
        """The random name and the state; nothing of the person."""
        return repr(self._transaction)

    @property
    def id(self) -> str:
        """A random name for logs."""
        return self._transaction.id

    @property
    def reference(self) -> str | None:
        """The caller's own name for it."""
        return self._transaction.reference

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._transaction.state

    @property
    def spoken_words(self) -> Redacted | None:
        """Words to read to the person before anything else happens (Norwegian BankID), or None."""
        return self._transaction.spoken_words

    @property
    def members(self) -> Mapping[str, Any]:
        """What else the provider said when it accepted the request; empty after resuming."""
        return self._transaction.members

    @property
    def prompt_until(self) -> float | None:
        """Seconds since the epoch at which the prompt is gone from the phone at the latest; None once it is."""
        return self._portal.ask(lambda: self._transaction.prompt_until)

    @property
    def trace_id(self) -> str | None:
        """The provider's trace id of its latest answer."""
        return self._transaction.trace_id

    @property
    def resume_token(self) -> Redacted | None:
        """Resumes it in `CibaClient.resume`; a secret."""
        return self._portal.ask(lambda: self._transaction.resume_token)

    def updates(self, *, polls: bool = False) -> Iterator[Update]:
        """Progress: the present state at once, then each change once, the final state last.

        Leaving the iteration early leaves the login as it is.

        Args:
            polls: As for `idura_ciba.Transaction.updates`.
        """
        source = self._transaction.updates(polls=polls)

        async def following() -> Update | None:
            return await anext(source, None)

        while (update := self._portal.call(following)) is not None:
            yield update

    def outcome(self, *, timeout: float | None = None) -> Outcome:
        """Wait for the end and return it as a value.

        Args:
            timeout: Seconds to wait at most; the login goes on.

        Raises:
            TimeoutError: They are over.
        """
        return self._portal.call(self._transaction.outcome, timeout=timeout)

    def result(self, *, timeout: float | None = None) -> Authentication:
        """Wait for the login.

        Args:
            timeout: As for `outcome`.

        Raises:
            TimeoutError: As for `outcome`.
            CibaError: What ended it instead, as for `await` on `idura_ciba.Transaction`.
        """
        return self.outcome(timeout=timeout).result()

    def abandon(self) -> None:
        """Stop asking. The prompt stays on the person's phone until it expires: CIBA has no cancel endpoint."""

        async def stop() -> None:
            self._transaction.abandon()

        self._portal.call(stop)
