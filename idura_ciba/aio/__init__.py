"""Helpers for asyncio that know nothing of logins.

    cancellation   whose cancellation a `CancelledError` is
    single_flight  one run of some work, shared by all who wait for it
    patience       a timeout that tells a late timer from a late answer
    pulse          when the event loop last ran
    threads        threads of our own, which the application cannot use up
    home           the event loop that something belongs to
    portal         an event loop in a thread, for programs that have none
    slices         heavy steps, a few per turn of the event loop
    clock          monotonic time for waiting, wall-clock time for others to read

May import asyncio, `errors` and `redaction`. Never imports anything else of this package.
"""
