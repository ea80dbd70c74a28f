"""What the pages of a local tool share; it knows nothing of logins. It needs the extra `desk`.

    guard    who may see a page and act on it: the one who has its address, in a browser on this machine
    pages    templates and static files, which come from nowhere else
    stream   server-sent events for whoever has a page open
    serving  a server on loopback, and the address to open

Each page is an `aiohttp.web.Application` without a guard of its own, so that one server can hold several of them:

    guard = Guard("desk")
    app = guard.application()
    app.add_subapp("/desk/", desk_app(..., guard))
    async with serving(app, guard, path="/desk/") as address:
        ...

May import aiohttp.web, aiohttp_sse, jinja2 and `aio`, `errors` and `redaction`. Never imports anything else of this
package, and never a file, a font or a script from another server.
"""
