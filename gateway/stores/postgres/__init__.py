"""Everything in one PostgreSQL database, shared by several gateways.

    access.py      how the database is reached: address, TLS, settings of a session
    connections.py    a few connections, lent one by one
    database.py    statements and transactions with their deadlines, and what an error of the driver means
    silence.py     that requests do not wait, one after the other, for a database that says nothing
    migrations.py  the schema, step by step (`../schema_postgres/`)
    store.py       `KeyStore`; its SQL is in statements.py
    audit.py       `AuditTrail`
    usage.py       `UsageStore`; what it is asked is put together in `../usage_queries.py`
    alerts.py      `AlertStore` and `Outbox`
    nodes.py       `Nodes`: the gateways that share the database
    session.py     the one connection that listens, and holds the lock of the leader
    moving.py      a SQLite file becomes a database, with every record

Whatever else comes to be kept follows the same pattern: its tables are the next numbered step of the schema, its port
is implemented by a class over `Database` in a file of its own, `PostgresStore` has it, `moving.py` names its tables.
"""
