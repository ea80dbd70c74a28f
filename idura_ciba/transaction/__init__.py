"""One person being asked: what a caller holds, and what drives it.

    transaction  the handle that callers await and watch
    driver       what drives it behind the handle: polls, answers, ends
    watchers     those who await it, and those who watch its progress
    starter      how a login begins: the authentication request, or a resume token
    pending      the transactions of one client that have not ended
    context      what all transactions of one client share
    history      what the polls have brought so far
    holds        who must not be asked again yet
    resume       a pending transaction as sealed text
    outcome      how it ended, as a value
    after_login  what a client does for a login that it has proved: userinfo, refresh

May import `trust`, `scheduling`, `http` and what lies below. Never imports `client`, `batch` or anything else that has
many logins to look after.
"""
