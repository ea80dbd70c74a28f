"""Who may see a local tool's pages and act on them: whoever was given the address, in a browser on this machine.

A port on loopback is open to every program and every user of the machine, and to every web page that any browser on it
shows. So each request must pass, in this order:

1. `Host` is loopback with this very port. A page elsewhere whose name was rebound to 127.0.0.1 has another one.
2. `Sec-Fetch-Site` and `Origin`, if there, are this origin's; only a person who follows a link may come from elsewhere.
   `SameSite` alone is not enough: all ports of a host are one site.
3. The cookie, which one gets for the secret in the address. The answer redirects to the page, below a path that nobody
   can guess, and the cookie is for that path: a browser sends a cookie to all ports of its host (RFC 6265 section 8.5),
   so it would give that of `/` to whatever else it visits on this machine.
4. What changes anything is a short form with this origin's `Origin` and a CSRF token.

The secret in the address that is printed may be used again, in another browser. One that a program is started with can
be read by other users of the machine (`ps`), so `once=True` makes one that works a single time. Whoever was faster than
the browser has come in by it; so when it comes again, all who are in are shut out, and have to open what is printed.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Iterator
from hashlib import sha256
from hmac import compare_digest
from html import escape
from typing import Final

from aiohttp import web
from attrs import frozen

from idura_ciba.redaction import Redacted

__all__ = ["HEADERS", "MAX_BODY", "Guard"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Bytes of a form, at most; those of these pages have a few hundred.
MAX_BODY: Final = 16_384
#: Bytes of randomness in each secret.
_ENTROPY = 32
#: Bytes of randomness in the path of the pages, which people see.
_PATH_ENTROPY = 16
_HTTP_PORT = 80
_FORM = "application/x-www-form-urlencoded"
_OWN_SITES = frozenset({None, "same-origin", "none"})  # absent in old browsers and other programs; `none`: typed in

#: Of the guard's own pages: whoever is refused gets no stylesheet, so the policy knows this one by its hash.
_STYLE: Final = (
    "body{max-width:36rem;margin:15vh auto;padding:0 1.25rem;font:1.125rem/1.5 system-ui,sans-serif}"
    "h1{font-size:1.5rem;line-height:1.25}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()

#: On every answer. `'self'` may frame, because `demo --web` shows two pages of one server side by side.
#: With the policy `no-referrer`, browsers would send `Origin: null` with a form, which no check can tell from an attack
#: (Fetch, "serializing a request origin"); with `same-origin`, nothing leaves either.
HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            *("default-src 'none'", "script-src 'self'", f"style-src 'self' 'sha256-{_STYLE_HASH}'"),
            *("img-src 'self'", "connect-src 'self'"),
            *("frame-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'self'"),
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{what}</title>
<style>{style}</style></head>
<body><main><h1>{what}</h1><p>{advice}</p></main></body>
</html>
"""
_PRINTED = "Open the address that the command has printed."
_STALE = "Go back, reload the page and try again."


@frozen
class _Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """Why a request is not answered, and what its sender can do; both become a page."""

    status: int
    what: str
    advice: str

    def answer(self) -> web.Response:
        text = _PAGE.format(style=_STYLE, what=escape(self.what), advice=escape(self.advice))
        response = web.Response(status=self.status, text=text, content_type="text/html")
        # Whoever is refused may not have sent all yet, and nobody will read it.
        response.force_close()
        return response


def _outside() -> _Refusal:
    return _Refusal(403, "This browser has not been let in", _PRINTED)


class Guard:
    """The guard of one server; the module says what it checks.

    Args:
        name: What it guards, in one word; part of the cookie's name.
        unsafe_hosts: Values of `Host` besides loopback's under which it may be reached, such as `desk.example:8701`.
            Whoever can reach them can read everything that is sent, unless something in front speaks TLS.

    Attributes:
        csrf: What a form must have in its field `csrf`.
        unsafe_hosts: As given, in lower case.
    """

    def __init__(self, name: str, *, unsafe_hosts: Collection[str] = ()) -> None:
        self.csrf: Redacted = _secret()
        self.unsafe_hosts: frozenset[str] = frozenset(host.lower() for host in unsafe_hosts)
        self._cookie = f"idura_ciba_{name}"
        self._root = Redacted("/" + secrets.token_urlsafe(_PATH_ENTROPY))
        self._key, self._session = _secret(), _secret()
        self._tickets: set[str] = set()
        self._spent: set[str] = set()

    def address(self, origin: str, path: str = "/", *, once: bool = False) -> Redacted:
        """The address to open in a browser.

        Args:
            origin: The server's own, such as `http://127.0.0.1:8701`.
            path: Of the page.
            once: Whether it works a single time, because other users may see it.
        """
        key = self._key
        if once:
            key = _secret()
            self._tickets.add(key)
        return Redacted(f"{origin}{path}?key={key}")

    def application(self) -> web.Application:
        """A guarded application, to which pages are added by `add_subapp`; `entrance` leads to it."""
        return web.Application(middlewares=[self._check_inside])

    def entrance(self, app: web.Application) -> web.Application:
        """What is served: the way in, and below a path of its own what `application` has made."""
        outside = web.Application(middlewares=[self._check_origin], client_max_size=MAX_BODY)
        outside.on_response_prepare.append(_add_headers)
        outside.add_subapp(self._root, app)
        outside.router.add_route("*", "/{page:.*}", self._enter)
        return outside

    @web.middleware
    async def _check_origin(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse what was not sent from here; and answer why, whoever has refused."""
        try:
            self._check_site(request, self._check_host(request))
            return await handler(request)
        except _Refusal as refusal:
            return refusal.answer()

    @web.middleware
    async def _check_inside(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse who has not been let in, and what changes anything and is no form of the page."""
        if not _equal(request.cookies.get(self._cookie, ""), self._session):
            raise _outside()
        if request.method not in {"GET", "HEAD"}:
            await self._check_form(request)
        return await handler(request)

    def _check_host(self, request: web.Request) -> str:
        hosts = [host.lower() for host in request.headers.getall("Host", [])]
        if len(hosts) != 1 or hosts[0] not in {*_loopback(_local_port(request)), *self.unsafe_hosts}:
            raise _Refusal(403, "This page has another address", _PRINTED)
        return hosts[0]

    def _check_site(self, request: web.Request, host: str) -> None:
        """Refuse what a page of another origin has sent, unless a person has followed a link there."""
        fetch = {name: request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest")}
        followed = request.method == "GET" and fetch["Mode"] == "navigate" and fetch["Dest"] == "document"
        origins = request.headers.getall("Origin", [])
        own = {f"http://{host}", *({f"https://{host}"} if host in self.unsafe_hosts else ())}
        if not (fetch["Site"] in _OWN_SITES or followed) or not own.issuperset(origins):
            raise _Refusal(403, "Another page has sent this", "Nothing was done. Use the page's own buttons.")
        if request.method not in {"GET", "HEAD"} and not origins:
            raise _Refusal(403, "Nothing says which page has sent this", "Nothing was done. Use a current browser.")

    async def _enter(self, request: web.Request) -> web.Response:
        """Exchange the secret in the address for the cookie, and lead to the page."""
        key = request.query.get("key") if request.method == "GET" else None
        if key is None:
            raise _outside()
        if not self._accept(key):
            raise _Refusal(403, "This address is no longer valid", "Open the one that the command has printed last.")
        response = web.Response(status=303, headers={"Location": f"{self._root}{request.rel_url.raw_path}"})
        response.set_cookie(self._cookie, self._session, path=f"{self._root}/", httponly=True, samesite="Strict")
        return response

    def _accept(self, key: str) -> bool:
        if _equal(key, self._key):
            return True
        if _take(self._spent, key):  # and forget it: who sees it in `ps` later shuts nobody out a second time
            self._session = _secret()
        elif _take(self._tickets, key):
            self._spent.add(key)
            return True
        return False

    async def _check_form(self, request: web.Request) -> None:
        is_plain = (request.charset or "utf-8").lower() == "utf-8" and "Content-Encoding" not in request.headers
        if request.content_type != _FORM or not is_plain:
            raise _Refusal(415, "This is not a form", "Nothing was done. Use the page's own buttons.")
        form, refusal = None, _Refusal(400, "This form cannot be read", f"Nothing was done. {_STALE}")
        try:
            form = await request.post()
        except web.HTTPRequestEntityTooLarge:
            refusal = _Refusal(413, "This is too long", f"Nothing was done. A form has at most {MAX_BODY} bytes.")
        except ValueError:
            pass  # bytes that are no text, all of which the error holds
        if form is None:
            raise refusal
        if not _equal(str(form.get("csrf", "")), self.csrf):
            raise _Refusal(403, "This page is out of date", f"Nothing was done. {_STALE}")


def _secret() -> Redacted:
    return Redacted(secrets.token_urlsafe(_ENTROPY))


def _equal(given: str, secret: str) -> bool:
    """Compare in constant time, also what is not ASCII."""
    return compare_digest(given.encode(errors="replace"), secret.encode())


def _take(tickets: set[str], key: str) -> bool:
    """Take a ticket away; whether it was there."""
    found = [ticket for ticket in tickets if _equal(key, ticket)]
    tickets.difference_update(found)
    return bool(found)


def _local_port(request: web.Request) -> int:
    """The port at which the request has arrived; 0, which no `Host` has, where the connection is gone."""
    name = request.get_extra_info("sockname")
    return int(name[1]) if isinstance(name, tuple) else 0


def _loopback(port: int) -> Iterator[str]:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        yield f"{name}:{port}"
        if port == _HTTP_PORT:
            yield name


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
