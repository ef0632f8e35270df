"""The conformance suite: the same cases, the same judge, for Tollhouse, nginx and HAProxy.

`case` is the shape of the data: a `Case` says which bytes a client sends, how the scripted backend answers, and which
stories are an accepted outcome. A story is a tuple of steps, one for each request that the client's bytes contain:

    Passed(...)     the backend saw exactly this request, and the client got the backend's whole answer
    Refused(...)    the proxy answered by itself; the backend saw nothing, or (`partial`) no whole request
    Cut(...)        the backend saw the request; the client got a broken-off answer, and can tell that it is
    Failed(...)     the backend saw the request; the client got an error of the proxy's own (502, 504)
    Answered(...)   the client got such a status, whoever gave it and whatever the backend saw of it
    Dropped()       the connection ended without an answer
    Silent()        nothing happens: the proxy waits for the rest

A case belongs to a group; `cases/` has one module per family of groups, each with `GROUPS`, a tuple of `Group`.
To add cases: write a module like the others there and name it in `corpus.MODULES`.

After its own bytes, a client sends a probe: one ordinary request that asks to close the connection. Whoever read the
end of the case's bytes as we do answers it and closes; who did not is found out. `probe=False` leaves it away.

Always true, whatever a case expects (`judge.always`): every byte that reached the backend belongs to a request that a
strict reader understands, responses come in the order of the requests, and every response is well-formed.

    reading     strict readers of requests and responses, sharing nothing with the gateway
    backend     the scripted backend, which records every byte
    driver      the client: one run of one case, and what was seen of it
    judge       what was seen against the stories
    subjects    how Tollhouse, nginx and HAProxy are started
    report      the table in docs/conformance.md (`python -m tests.conformance`)
"""
