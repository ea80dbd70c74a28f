"""The simulated phone: a page on which the people of a simulated provider are played by hand.

    app     the page: phones side by side, what can be done on each, and what changes
    board   which phones are shown
    hands   whether people act by themselves or are played
    people  made-up people to ask

`phone_app(idura, guard)` in `app` is a part of an aiohttp application, for a guarded server with or without other
pages. It needs the extra `desk`; `hands` and `people` do not.

May import `simulator`, `eids`, `web` and what is below them. Never asks anybody, and never imports the client.
"""
