"""Serving many transactions at once.

    scheduler  one heap and one timer for all pending transactions of a client, and the cap on polls in flight

What decides when a transaction wants to be served lives in `polling`; what it does when served, in `transaction`.
"""
