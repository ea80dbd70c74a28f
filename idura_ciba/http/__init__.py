"""The provider as seen through HTTP.

    transport    carries one request and brings its answer back
    provider     where one issuer's endpoints are, and which of them may be trusted
    backchannel  the two requests of CIBA: each signed anew and sent once

May import aiohttp and tenacity, which on the client's side no other room imports, and `protocol`, `credentials` and
what lies below. Never imports `trust` or `transaction`: what an answer means for a login is decided there.
"""
