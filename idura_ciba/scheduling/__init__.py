"""Serving many transactions at once.

    scheduler  the two schedulers, what a client holds of one, and a snapshot of how it stands
    engine     one heap and one timer for all pending transactions, and the cap on requests in flight
    queues     who comes first where not all can be served
    budget     how many requests may leave, and what refusals teach about that

May import `explain`, `options` and what lies below. Never imports a transaction: it serves jobs, whatever they do.
"""
