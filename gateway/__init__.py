"""Tollhouse: an API gateway that authenticates keys, enforces scopes, address rules and limits, and forwards.

The life of a request, one file per step:

    head       listeners/connection.py, http1/request_head.py   bytes -> RequestHead        or 400 / 408 / 414 / 431
    route      pipeline/route.py, domain/routes.py              -> Match                    or 404 / 405
    authenticate  pipeline/authenticate.py                      -> Principal                or 401 / 503
    authorize  pipeline/authorize.py                            -> Permit                   or 403
    limit      pipeline/limit.py, limiters/                     -> Admission                or 429
    forward    pipeline/forward.py, upstreams/                  -> Reply                    or 502 / 503 / 504
    record     pipeline/record.py, telemetry/                   always, last

The whole in one place: pipeline/handle.py. Header fields cross the gateway in domain/passage.py and nowhere else.

Glossary: a *downstream* connection is a client's, an *upstream* one leads to a backend. A *route* says which requests
are let through to which upstream. A *principal* is who asks, a *permit* what may be done, an *admission* what the
limits let through. A *claim* is one rule applied to one owner, drawn from one *bucket*. A *denial* is a "no" as a
value; a *dialect* how it looks on the wire. A *lineage* is a key with its rotated successors, a *pepper* the
server-side secret under which keys are hashed. A *generation* is one configuration, running. To *drain* is to end
without cutting anybody off.
"""

__version__ = "0.1.0"
