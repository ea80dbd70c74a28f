"""One issuer: its endpoints, and which of them may be trusted with credentials.

Rules:
1. The discovery document must name the issuer it was fetched for, character by character.
2. Endpoints that the document omits are at Idura's paths, where the issuer is Idura by its name, or because the caller
   says so, or is this machine; elsewhere they are missing, because credentials do not go to a guessed path at somebody
   else's server. Endpoints that the caller passes win over both.
3. Credentials and tokens travel over HTTPS only, except to this machine.
4. A discovered endpoint must have the issuer's origin, or one in `trusted_origins`: a document must not be able to send
   credentials elsewhere. An endpoint that the caller passes is itself trusted; its origin is not.
5. A client that presents a certificate goes to `mtls_endpoint_aliases` where the document has them (RFC 8705 section
   5). Rules 3 and 4 hold for them, too; an endpoint that the caller passes has no alias.
6. What the document rules out for this client is told before anybody is asked; see `capabilities`.
7. The document is read again once a day, and when an endpoint seems to have moved: it answers 404, 410 or a redirect,
   or cannot be connected to. Until then the known endpoints stay in use.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from functools import partial
from urllib.parse import SplitResult, urlsplit

from attrs import evolve, field, frozen

from idura_ciba.aio.single_flight import SingleFlight
from idura_ciba.errors import ArgumentError, RemoteProtocolError
from idura_ciba.http.capabilities import Mismatch, Needs, mismatches
from idura_ciba.http.delivery import fetch, is_served
from idura_ciba.observe import Observers
from idura_ciba.options import texts
from idura_ciba.protocol.documents import ProviderMetadata, build_discovery_url, parse_discovery
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport

__all__ = ["IDURA_PATHS", "Endpoints", "Found", "Provider", "is_idura"]

#: From Idura's "Caller Authentication" and "Okta" guides; used for endpoints that discovery omits, as it does for CIBA.
IDURA_PATHS = {
    "backchannel_authentication_endpoint": "/ciba/bc-authorize",
    "token_endpoint": "/oauth2/token",
    "jwks_uri": "/.well-known/jwks",
}
#: Where Idura's tenants are (Idura "Production" and "Glossary"): `NAME.idura.broker`, formerly `NAME.criipto.id`, and
#: `NAME.criipto.io`. Domains of a customer's own exist too, and cannot be told by their names.
IDURA_DOMAINS = (".idura.broker", ".criipto.id", ".criipto.io")
#: Most bytes of a discovery document or key set.
MAX_DOCUMENT = 256 * 1024
DOCUMENT_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

#: Seconds after which the document is read again.
MAX_AGE = 86_400.0
#: Least seconds between two readings when endpoints seem to have moved: in an outage, they do with each request.
COOL_DOWN = 30.0

#: Characters of a URL (RFC 3986 appendix A). With others, above all backslashes and line breaks, the parser that checks
#: the host here and the one that connects may disagree about it.
_URL = re.compile(r"[!-\[\]-~]+")


def _origins(value: Iterable[str]) -> tuple[str, ...]:
    return texts("trusted_origins", value)


@frozen(kw_only=True)
class Endpoints:
    """Endpoints that discovery omits or gets wrong, as absolute URLs. With all three there is no discovery.

    Attributes:
        backchannel_authentication_endpoint: Where authentication requests go. None: as discovered, else Idura's path.
        token_endpoint: Where polls go. None: the same.
        jwks_uri: Where the provider's keys are. None: the same.
        userinfo_endpoint: Where `Authentication.userinfo` asks. None: as discovered; it is not guessed.
        trusted_origins: Further origins that discovered endpoints may have, such as `https://keys.example.com`.
        idura_paths: Whether endpoints that discovery omits are at Idura's paths. None: at `NAME.idura.broker` and the
            other domains of Idura's, and on this machine. Pass True for a domain of your own at Idura.

    Raises:
        UsageError: `trusted_origins` is not a list of strings.
    """

    backchannel_authentication_endpoint: str | None = None
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    trusted_origins: tuple[str, ...] = field(default=(), converter=_origins)
    idura_paths: bool | None = None


@frozen
class Found:
    """The endpoints of one issuer, as absolute URLs.

    `aliases` are those for client certificates, by name; they have not been judged by rule 4.
    """

    issuer: str
    backchannel_authentication_endpoint: str
    token_endpoint: str
    jwks_uri: str
    aliases: Mapping[str, str] = field(factory=dict, repr=False)


class Provider:
    """Finds an issuer's endpoints, and finds them again when they have moved.

    Args:
        issuer: Exactly as the provider spells it; for Idura `https://NAME.idura.broker`, without a trailing slash.
        transport: Carries the request for the discovery document.
        endpoints: Override discovery.
        observers: Told of each request.
        needs: What the client needs of the provider; None: nothing is compared.

    Raises:
        UsageError: A URL is not absolute, or is neither HTTPS nor on this machine.
    """

    def __init__(
        self,
        issuer: str,
        *,
        transport: Transport,
        endpoints: Endpoints | None = None,
        observers: Observers | None = None,
        needs: Needs | None = None,
    ) -> None:
        if not isinstance(endpoints, Endpoints | None):
            raise ArgumentError("endpoints is not an Endpoints", code="endpoints", advice="pass Endpoints(...) or None")
        self.issuer = issuer
        self._transport = transport
        self.observers: Observers = observers or Observers()
        self._overrides = endpoints or Endpoints()
        origins = [_origin(issuer), *map(_origin, self._overrides.trusted_origins)]
        names = (*IDURA_PATHS, "userinfo_endpoint")
        named = [_origin(url) for name in names if (url := getattr(self._overrides, name))]
        # Discovery 1.0 section 3: an issuer has no query; a path appended to it would become part of the query.
        if None in origins or None in named or "?" in issuer:
            raise ArgumentError(
                "the issuer, an endpoint or a trusted origin is not an absolute https URL",
                code="insecure_url",
                advice="use https://; http is accepted for this machine only",
            )
        self._trusted = frozenset(origins)
        guess = self._overrides.idura_paths
        self._may_guess = is_idura(issuer) or _is_loopback(urlsplit(issuer)) if guess is None else guess is True
        self._is_discovered = not all(getattr(self._overrides, name) for name in IDURA_PATHS)
        self._needs = needs
        self._unmet: Mismatch | None = None
        self._found: Found | None = None
        # The same with its aliases, once somebody wants them.
        self._aliased: tuple[Found, Found] | None = None
        self._userinfo: str | None = self._overrides.userinfo_endpoint
        self._asked_at = -math.inf
        self._discovery = SingleFlight(self._discover)

    async def endpoints(self, *, mtls: bool = False) -> Found:
        """Return the endpoints; discovered on first use, then cached and kept up to date.

        Args:
            mtls: Return those for clients that present a certificate.

        Raises:
            TransportError: The discovery document could not be fetched, even after several tries.
            RemoteProtocolError: It is unreadable, also after several tries, or names another issuer or an endpoint that
                is not trusted.
        """
        if self._found is None:
            found = await self._discovery.run()
            return self._with_aliases(found) if mtls and found.aliases else found
        if self._is_discovered and asyncio.get_running_loop().time() - self._asked_at >= MAX_AGE:
            self._discovery.begin()
        return self._with_aliases(self._found) if mtls and self._found.aliases else self._found

    def check(self) -> None:
        """Make sure that the document rules out nothing that this client needs; `endpoints` comes before it.

        Raises:
            StateError: It does. It is read again beside this, because somebody may be setting it right.
        """
        if self._unmet is not None:
            self.doubt()
            raise self._unmet.error()

    async def userinfo_endpoint(self, *, mtls: bool = False) -> str:
        """Return where the provider tells more of a person; judged only here, because most logins do not need it.

        Args:
            mtls: As for `endpoints`.

        Raises:
            TransportError: As for `endpoints`.
            RemoteProtocolError: As for `endpoints`, or the provider names no such endpoint, or one that is not trusted.
        """
        found = await self.endpoints()
        if self._overrides.userinfo_endpoint:
            return self._overrides.userinfo_endpoint
        if mtls and (alias := self._alias(found, "userinfo_endpoint")):
            return alias
        if self._userinfo is None:
            raise RemoteProtocolError(
                "the provider names no userinfo endpoint",
                code="no_userinfo",
                advice="if it has one, pass Endpoints(userinfo_endpoint=...)",
            )
        return self._judge("userinfo_endpoint", self._userinfo)

    def doubt(self) -> None:
        """An endpoint did not answer as one does: look whether it has moved, beside whatever goes on."""
        if self._is_discovered and asyncio.get_running_loop().time() - self._asked_at >= COOL_DOWN:
            self._discovery.begin()

    async def aclose(self) -> None:
        """Cancel a running discovery."""
        await self._discovery.aclose()

    async def _discover(self) -> Found:
        found: ProviderMetadata | None = None
        self._asked_at = asyncio.get_running_loop().time()
        if self._is_discovered:
            request = HttpRequest("GET", build_discovery_url(self.issuer), DOCUMENT_HEADERS, max_body=MAX_DOCUMENT)
            told = partial(self.observers.document, "openid-configuration", None)
            response = await fetch(self._transport, request, is_answer=self._is_document, told=told)
            found = parse_discovery(response, issuer=self.issuer)
            self._userinfo = found.userinfo_endpoint
            if self._needs is not None:
                unmet = mismatches(found, self._needs, is_idura=is_idura(self.issuer))
                self._unmet = next((each for each in unmet if each.is_certain), None)
        located = {name: self._locate(name, path, found) for name, path in IDURA_PATHS.items()}
        self._found = Found(self.issuer, **located, aliases=self._find_aliases(found))
        return self._found

    def _is_document(self, response: HttpResponse) -> bool:
        """Whether to go on with this answer; a page with 200 is of something before the provider, which is away."""
        if response.status >= 300:  # noqa: PLR2004 - the class of status codes
            return is_served(response)
        try:
            parse_discovery(response, issuer=self.issuer)
        except RemoteProtocolError as error:
            # That it names another issuer is an answer, and will not change within seconds.
            return error.code == "issuer_mismatch"
        return True

    def _find_aliases(self, found: ProviderMetadata | None) -> Mapping[str, str]:
        named = None if found is None else found.members.get("mtls_endpoint_aliases")
        aliases = named if isinstance(named, Mapping) else {}
        return {
            name: url
            for name in ("backchannel_authentication_endpoint", "token_endpoint", "userinfo_endpoint")
            if isinstance(url := aliases.get(name), str) and url.strip() and not getattr(self._overrides, name)
        }

    def _with_aliases(self, found: Found) -> Found:
        if self._aliased is None or self._aliased[0] is not found:
            start = (
                self._alias(found, "backchannel_authentication_endpoint") or found.backchannel_authentication_endpoint
            )
            token = self._alias(found, "token_endpoint") or found.token_endpoint
            self._aliased = found, evolve(found, backchannel_authentication_endpoint=start, token_endpoint=token)
        return self._aliased[1]

    def _alias(self, found: Found, name: str) -> str | None:
        url = found.aliases.get(name)
        return None if url is None else self._judge(name, url, "for client certificates ")

    def _locate(self, name: str, default_path: str, found: ProviderMetadata | None) -> str:
        override: str | None = getattr(self._overrides, name)
        if override:
            return override
        named: str | None = getattr(found, name, None)
        if named is None and not self._may_guess:
            raise RemoteProtocolError(
                f"the discovery document names no {name}",
                code="endpoint_missing",
                advice=f"pass Endpoints({name}=...); for a domain of your own at Idura, Endpoints(idura_paths=True)",
            )
        return self._judge(name, named or self.issuer.removesuffix("/") + default_path)

    def _judge(self, name: str, url: str, purpose: str = "") -> str:
        """Rules 3 and 4."""
        origin = _origin(url)
        if origin not in self._trusted:
            where = "outside the issuer's origin" if origin else "that is not an absolute https URL"
            raise RemoteProtocolError(
                f"the discovery document names a {name} {purpose}{where}",
                code="foreign_endpoint",
                advice="if that is right, pass its origin in Endpoints(trusted_origins=...)"
                if origin
                else f"report it to the provider; until it is fixed, pass Endpoints({name}=...)",
            )
        return url


def is_idura(issuer: str) -> bool:
    """Whether an issuer is a tenant of Idura's, as far as its name says so."""
    return f".{urlsplit(issuer).hostname or ''}".endswith(IDURA_DOMAINS)


def _origin(url: str) -> str | None:
    """Scheme, host and port of an acceptable URL; None for any other URL (rule 3)."""
    try:
        legible, parts = _URL.fullmatch(url), urlsplit(url)
        port = parts.port
    except (ValueError, TypeError):
        return None
    if not legible or not parts.hostname or parts.username is not None or "#" in url:
        return None
    if "%" in parts.hostname:
        # Some readers decode it, and some tell upper case from lower case there.
        return None
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts)):
        return None
    default_port = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{parts.hostname}:{default_port if port is None else port}"


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
