"""How a client proves itself to the provider.

    client_auth     the four client authentications
    environment     the same from environment variables, as deployments name them
    signing_key     the keys that they sign with
    signing_pool    the threads on which slow signatures are made
    decryption_key  the keys under which a provider may encrypt for this client

May import authlib, joserfc, cryptography, `aio` and what lies below. Never sends anything, and never reads a clock:
credentials are made from what they are handed.
"""
