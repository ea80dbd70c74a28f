"""The protocol as data: instants come in as numbers, messages as bytes.

    http         HTTP messages as plain values, and the port through which they travel
    requests     what is sent: the two requests of CIBA
    answers      what comes back, as values
    documents    what a provider publishes about itself
    machine      the states of a transaction and the one table that changes them
    timing       the earliest instant of the next poll, and the ends
    strict_json  the only JSON reader that foreign bytes meet

May import attrs, `errors` and `redaction`. Never waits, sends, draws a random number or reads a clock.
"""
