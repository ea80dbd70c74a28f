"""Who is it? The only maker of an `Authentication`.

    id_token        the rules that an ID token has to pass
    encryption      how an encrypted one is opened
    compact         the parts that both consist of
    binding         whether tokens are bound to this client's key
    expectation     what it must say for one login
    authentication  what comes of it: a person who has proved who they are
    later           refreshed ID tokens and userinfo, held to the login that they belong to
    jwks            the provider's keys, fetched and kept
    replay          the ID tokens that have proved a login already

May import joserfc, authlib, `http`, `eids` and what lies below. Never imports a transaction or a scheduler, and never
has a switch that turns a check off.
"""
