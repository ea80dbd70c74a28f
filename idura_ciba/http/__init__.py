"""The provider as seen through HTTP.

    transport    carries one request and brings its answer back: the rules, and the choice between two ways
    session      the documented way, through a session of aiohttp
    pool         the cheaper way, onto aiohttp's own connections
    exchange     what the two ways have in common
    resolver     name look-ups on threads of our own
    proxies      which proxy the environment wants
    delivery     one request through anybody's transport, again where that is safe, and its answer inflated
    provider     where one issuer's endpoints are, and which of them may be trusted
    backchannel  the two requests of CIBA: each signed anew and sent once

May import aiohttp and tenacity, which on the client's side no other room imports, and `protocol`, `credentials` and
what lies below. Never imports `trust` or `transaction`: what an answer means for a login is decided there.
"""
