"""The provider over HTTP.

    transport        sends one request and returns its answer: the rules, and the choice between two carriers
    session          the documented carrier, through an aiohttp session
    pool             the cheaper carrier, which writes to aiohttp's connections directly
    exchange         what the two carriers have in common
    failures         why a request failed, in words of our own
    resolver         name lookups on threads of our own
    proxies          proxies from the environment
    delivery         sends through any transport, retries where that is safe, and inflates the answer
    provider         an issuer's endpoints, and which of them to trust
    backchannel      the two requests of CIBA: each signed anew and sent once
    capabilities     what the provider says it supports, compared with how the client is set
    encryption_keys  the provider's key that requests are encrypted for

May import aiohttp and tenacity, which no other room on the client's side imports, and `protocol`, `credentials` and
what lies below. Never imports `trust` or `transaction`: they decide what an answer means for a login.
"""
