"""Strategies: each one says *when* to poll next, and nothing else.

    strategy    what a strategy is and what it may know
    basic       Fixed, Proportional, Backoff
    hazard      HazardAware, which learns how long people take
    phase       PhaseAware, which learns from the provider's progress hints too
    life_table  how long people take: counts, and the survival curve fitted to them
    experience  the life tables: bounded in number, stored, and shared between processes
    final_poll  the wrapper that places the last poll before the end
    early_end   how far from the end that is, at providers that end early

May import tenacity's waits, `options` and what lies below. Never sleeps, sends or ends a login. Never polls faster than
the provider's interval: `protocol.timing` enforces it.
"""
