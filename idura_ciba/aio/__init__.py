"""Helpers for asyncio that know nothing of logins.

    cancellation   whose cancellation a `CancelledError` is
    single_flight  one piece of work, however many wait for it
    patience       a timeout that tells a late timer from a late answer
    threads        threads of our own, which the application cannot fill
    slices         heavy steps, a few in each turn of the event loop
    clock          monotonic time for waiting, wall-clock time for others to read

May import asyncio, `errors` and `redaction`. Never imports anything else of this package.
"""
