"""Strategies: each one says *when* to poll next, and nothing else.

    strategy    what a strategy is and what it may know
    basic       Fixed, Proportional, Backoff
    hazard      HazardAware, which learns how long people take
    phase       PhaseAware, which learns from the provider's word on progress, too
    life_table  how long people take: counted, and read as a curve
    experience  what was counted, kept within bounds, stored and shared
    final_poll  the wrapper that places the last poll before the end

May import tenacity's waits, `options` and what lies below. Never sleeps, sends, ends a login or goes below the
provider's interval; `protocol.timing` sees to the last.
"""
