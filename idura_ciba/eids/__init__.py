"""Whom to ask, through which eID, and what the answer must prove.

    request          `EidRequest`, which is plain data, and the eIDs that fill it in
    identity_number  the rules of national numbers
    person           tags that stand for a person without showing the number

May import `protocol`, `options` and what lies below. Never knows how a request travels, or what time it is.
"""
