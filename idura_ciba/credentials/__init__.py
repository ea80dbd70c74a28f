"""How a client proves itself to the provider.

    client_auth     client authentication by a key or a secret
    tls_auth        client authentication by a certificate
    around          what stands around a client authentication
    dpop            beside any of them, a key that tokens are bound to
    environment     the same from environment variables, as deployments name them
    request_object  signed and encrypted authentication requests
    signing_key     the keys that they sign with
    signing_pool    the threads on which slow signatures are made
    decryption_key  the keys under which a provider may encrypt for this client

May import authlib, joserfc, cryptography, `aio` and what lies below. Never sends anything, and never reads a clock:
credentials are made from what they are handed.
"""
