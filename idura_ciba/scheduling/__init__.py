"""Serving many transactions at once.

    scheduler  the two schedulers, what a client holds of one, and how it stands
    engine     one heap and one timer for all pending transactions, the cap on polls in flight, the orders that wait
    queues     who comes first where not all can be served
    budget     how many requests may leave, and what refusals teach about that

What decides when a transaction wants to be served lives in `polling`; what it does when served, in `transaction`.
"""
