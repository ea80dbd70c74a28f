"""Serving many transactions at once.

    scheduler  the two schedulers, a client's queue, and a snapshot of the state
    engine     one heap and one timer for all pending transactions, and the cap on requests in flight
    queues     the order of service under overload
    budget     the rate limit, as agreed and as learned from refusals
    meter      how many events there were in the last seconds

May import `explain`, `options` and what lies below. Never imports a transaction: it serves jobs, whatever they do.
"""
