"""The protocol as data: no clock, no socket, no randomness.

    messages     what goes over the wire, both ways
    documents    what a provider publishes about itself
    machine      the states of a transaction and the one table that changes them
    timing       the floor under every poll
    strict_json  the only JSON reader that foreign bytes meet

Nothing in here waits, sends, or asks what time it is; instants come in as numbers.
"""
