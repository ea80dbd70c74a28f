"""How a client proves itself to the provider.

    client_auth     the four client authentications
    environment     the same from environment variables, as deployments name them
    request_object  signed and encrypted authentication requests
    signing_key     the keys that both sign with
    signing_pool    the threads on which slow signatures are made

May import authlib, joserfc, cryptography, `aio` and what lies below. Never sends anything, and never reads a clock:
credentials are made from what they are handed.
"""
