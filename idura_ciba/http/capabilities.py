"""What a provider says that it supports, compared with how a client is set, before anybody is asked.

1. Silence is no mismatch. A member that is absent, empty or of the wrong type says nothing, whatever the default of the
   specification is: many documents leave out what works.
2. Refused is only what a list that is there rules out, and that would fail each login: the delivery mode; none of the
   accepted algorithms for ID tokens; the client's authentication, or its algorithm; the algorithm of signed requests,
   or of proofs of DPoP. The first two would fail after the phone has rung.
3. Everything else is a warning of `doctor`: acr values, the grant type, encryption of requests, DPoP and signed
   requests that the document does not mention, or signed requests that it seems to demand. There documents err: a list
   may be about logins in a browser.
4. At Idura nothing about client authentication is refused, but warned of. Nobody here has seen what its document says
   of that, and a request that fails for it rings no phone.
5. `EdDSA` and `Ed25519` are one algorithm by two names (RFC 9864).

Spec: CIBA Core 1.0 section 4; OpenID Connect Discovery 1.0 section 3; RFC 9101 section 10.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from attrs import frozen

from idura_ciba.credentials.around import innermost, layers
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.credentials.dpop import DPoP
from idura_ciba.credentials.request_object import RequestSigner
from idura_ciba.errors import StateError
from idura_ciba.protocol.documents import ProviderMetadata
from idura_ciba.protocol.requests import GRANT_TYPE
from idura_ciba.redaction import clean

__all__ = ["Mismatch", "Needs", "mentions", "mismatches"]

#: How many of a document's values an error shows; a document may list a hundred.
SHOWN = 8
_DELIVERY = "backchannel_token_delivery_modes_supported"
_ID_TOKENS = "id_token_signing_alg_values_supported"
_METHODS = "token_endpoint_auth_methods_supported"
#: RFC 8705 section 3.3.
_BOUND = "tls_client_certificate_bound_access_tokens"
_METHOD_ALGS = "token_endpoint_auth_signing_alg_values_supported"
_REQUESTS = "backchannel_authentication_request_signing_alg_values_supported"
_PROOFS = "dpop_signing_alg_values_supported"
_ENCRYPTION_ALGS = "request_object_encryption_alg_values_supported"
_ENCRYPTION_ENCS = "request_object_encryption_enc_values_supported"


@frozen(kw_only=True)
class Needs:
    """What a client needs of its provider.

    Attributes:
        delivery_mode: How it learns that a person has answered, as the metadata spells it.
        id_token_algorithms: The signature algorithms that it accepts; one of them must do.
        auth_method: How it authenticates, as the metadata spells it; None: in a way of the caller's own.
        auth_alg: What it signs assertions with, or None.
        proof_alg: What it signs proofs of DPoP with, or None.
        request_alg: What it signs requests with, or None.
        request_encryption: How it encrypts them, or None.
        binds_to_certificate: Whether its tokens are bound to a certificate.
    """

    delivery_mode: str = "poll"
    id_token_algorithms: frozenset[str] = frozenset({"RS256"})
    auth_method: str | None = None
    auth_alg: str | None = None
    proof_alg: str | None = None
    request_alg: str | None = None
    request_encryption: tuple[str, str] | None = None
    binds_to_certificate: bool = False

    @classmethod
    def of(
        cls,
        client_auth: ClientAuth,
        signer: RequestSigner | None,
        id_token_algorithms: Iterable[str],
        *,
        delivery_mode: str = "poll",
    ) -> Self:
        """Read them off a client's settings."""
        own = innermost(client_auth)
        method = getattr(own, "method", None)
        return cls(
            delivery_mode=delivery_mode,
            id_token_algorithms=frozenset(id_token_algorithms),
            auth_method=method if isinstance(method, str) else None,
            auth_alg=getattr(own, "alg", None) if method in {"private_key_jwt", "client_secret_jwt"} else None,
            proof_alg=next((layer.proof_alg for layer in layers(client_auth) if isinstance(layer, DPoP)), None),
            request_alg=signer.alg if signer else None,
            request_encryption=signer.encryption if signer else None,
            binds_to_certificate="x5t#S256" in getattr(client_auth, "confirmation", {}),
        )


@frozen
class Mismatch:
    """One thing that the document says and that does not fit.

    Attributes:
        code: Stable, as in an error.
        text: What does not fit.
        advice: What to do.
        is_certain: Whether it cannot work, so that nobody should be asked.
    """

    code: str
    text: str
    advice: str
    is_certain: bool = True

    def error(self) -> StateError:
        """The error of a login that is refused for it."""
        advice = f"{self.advice}; a document that is wrong is not read if all endpoints are given in Endpoints(...)"
        return StateError(self.text, code=self.code, phone="The phone has not rung", advice=advice)


def mismatches(
    metadata: ProviderMetadata, needs: Needs, *, is_idura: bool, acr_values: Iterable[str] = ()
) -> Iterator[Mismatch]:
    """Find what a provider's document and a client's settings disagree about.

    Args:
        metadata: What the provider says.
        needs: How the client is set.
        is_idura: Whether the provider is Idura (rule 4).
        acr_values: The values that people are to be asked with, if they are known.
    """
    modes = metadata.listed(_DELIVERY)
    if modes and needs.delivery_mode not in modes:
        yield Mismatch(
            "delivery_unsupported",
            f"the provider delivers tokens by {_shown(modes)} only, and this client is for {needs.delivery_mode}",
            f"ask the provider for {needs.delivery_mode} delivery",
        )
    algs = metadata.listed(_ID_TOKENS)
    if algs and not _same(algs) & _same(needs.id_token_algorithms):
        yield Mismatch(
            "id_token_algorithms_unsupported",
            f"the provider signs ID tokens by {_shown(algs)}, and this client accepts "
            f"{_shown(needs.id_token_algorithms)} only",
            "name what the provider uses for this client in id_token_algorithms",
        )
    yield from _authentication(metadata, needs, is_certain=not is_idura)
    yield from _proofs(metadata, needs)
    yield from _requests(metadata, needs)
    grants = metadata.listed("grant_types_supported")
    if grants and GRANT_TYPE not in grants:
        yield Mismatch(
            "grant_unsupported",
            "the document's list of grant types lacks that of CIBA",
            "see that CIBA is enabled for this client",
            is_certain=False,
        )
    known = metadata.listed("acr_values_supported")
    for value in acr_values:
        if known and not known.issuperset(value.split()):
            yield Mismatch(
                "acr_unsupported",
                f"the document does not list the acr value {clean(value)}",
                "see that this eID is enabled; some documents list the values of logins in a browser only",
                is_certain=False,
            )


def mentions(metadata: ProviderMetadata, needs: Needs) -> tuple[list[str], list[str]]:
    """Sort what a client needs: what the provider's document lists, and what it says nothing of. Each in words.

    What it contradicts is in neither; see `mismatches`.
    """
    wanted = (
        (_DELIVERY, f"{needs.delivery_mode} delivery", [needs.delivery_mode]),
        (_ID_TOKENS, f"ID tokens signed by {_shown(needs.id_token_algorithms)}", needs.id_token_algorithms),
        (_METHODS, f"client authentication by {needs.auth_method}", [needs.auth_method]),
        (_METHOD_ALGS, f"assertions signed by {needs.auth_alg}", [needs.auth_alg]),
        (_REQUESTS, f"requests signed by {needs.request_alg}", [needs.request_alg]),
        (_PROOFS, f"DPoP signed by {needs.proof_alg}", [needs.proof_alg]),
    )
    listed, unmentioned = [], []
    for member, words, values in wanted:
        found, needed = metadata.listed(member), [value for value in values if value is not None]
        if not needed:
            continue
        if not found:
            unmentioned.append(words)
        elif _same(found) & _same(needed):
            listed.append(words)
    if needs.binds_to_certificate:
        said = metadata.members.get(_BOUND) is True
        (listed if said else unmentioned).append("tokens bound to a certificate")
    return listed, unmentioned


def _authentication(metadata: ProviderMetadata, needs: Needs, *, is_certain: bool) -> Iterator[Mismatch]:
    methods, algs = metadata.listed(_METHODS), metadata.listed(_METHOD_ALGS)
    if methods and needs.auth_method and needs.auth_method not in methods:
        yield Mismatch(
            "client_auth_unsupported",
            f"the provider takes client authentication by {_shown(methods)}, and this client uses {needs.auth_method}",
            "authenticate by one of them, as registered for this client",
            is_certain,
        )
    elif algs and needs.auth_alg and not _same([needs.auth_alg]) & _same(algs):
        yield Mismatch(
            "client_auth_alg_unsupported",
            f"the provider takes assertions signed by {_shown(algs)}, and this client signs by {needs.auth_alg}",
            "choose one of them, with a key that fits",
            is_certain,
        )


def _proofs(metadata: ProviderMetadata, needs: Needs) -> Iterator[Mismatch]:
    algs = metadata.listed(_PROOFS)
    if needs.proof_alg is None:
        return
    if not algs:
        yield Mismatch(
            "dpop_unmentioned",
            "the document does not mention DPoP, and this client binds its tokens by it",
            "ask the provider whether it does; where it does not, each login ends with token_unbound",
            is_certain=False,
        )
    elif not _same([needs.proof_alg]) & _same(algs):
        yield Mismatch(
            "proof_alg_unsupported",
            f"the provider takes proofs of DPoP signed by {_shown(algs)}, and this client signs by {needs.proof_alg}",
            "name one of them in DPoP(alg=...), with a key that fits",
        )


def _requests(metadata: ProviderMetadata, needs: Needs) -> Iterator[Mismatch]:
    algs = metadata.listed(_REQUESTS)
    if needs.request_alg is None:
        if metadata.members.get("require_signed_request_object") is True:
            yield Mismatch(
                "signed_requests_required",
                "the provider says that it takes signed requests only, and this client does not sign",
                "if that goes for CIBA too, pass sign_requests",
                is_certain=False,
            )
        return
    if not algs:
        yield Mismatch(
            "signed_requests_unmentioned",
            "the document does not mention signed authentication requests, and this client signs",
            "ask the provider whether it takes them",
            is_certain=False,
        )
    elif not _same([needs.request_alg]) & _same(algs):
        yield Mismatch(
            "request_alg_unsupported",
            f"the provider takes requests signed by {_shown(algs)}, and this client signs by {needs.request_alg}",
            "name one of them in SignedRequests(alg=...), with a key that fits",
        )
    for name, wanted in zip((_ENCRYPTION_ALGS, _ENCRYPTION_ENCS), needs.request_encryption or (), strict=False):
        listed = metadata.listed(name)
        if listed and wanted not in listed:
            yield Mismatch(
                "request_encryption_unsupported",
                f"the provider's {name} are {_shown(listed)}, and this client uses {wanted}",
                "choose one of them in SignedRequests",
                is_certain=False,
            )


def _same(algs: Iterable[str]) -> frozenset[str]:
    return frozenset("EdDSA" if alg == "Ed25519" else alg for alg in algs)


def _shown(values: frozenset[str]) -> str:
    shown = [clean(value, limit=40) for value in sorted(values)[:SHOWN]]
    return ", ".join([*shown, "others"] if len(values) > SHOWN else shown)
