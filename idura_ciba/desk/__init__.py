"""An agent's desk: who is on the phone? A page on this machine that asks, follows and remembers the day.

    book        `DeskBook`: starts logins, follows them, goes on after a restart; knows nothing of pages
    entry       a login as the desk knows it
    diary       the logins of the day, sealed, in a file
    catalogue   what the desk says, in four languages
    texts       says it in the one that the agent reads
    listing     the day as a table for a spreadsheet
    view        what a page shows of all that
    app         `desk_app`: the pages

May import everything below the command. Never keeps, logs or shows a number, and never starts a login without the
guard of `web`.
"""
