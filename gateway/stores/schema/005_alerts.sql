-- Alerts, open and resolved, and what is yet to be told about them. No secret of a channel is ever stored.

CREATE TABLE alerts (
    seq                 INTEGER PRIMARY KEY NOT NULL,  -- in the order in which they began
    alert_id            TEXT NOT NULL UNIQUE,
    rule                TEXT NOT NULL,
    tenant_id           TEXT NOT NULL,  -- empty: the gateway's own
    key_id              TEXT NOT NULL,
    subject             TEXT NOT NULL,
    severity            TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    summary             TEXT NOT NULL,
    details             TEXT NOT NULL,  -- JSON object
    began_at            REAL NOT NULL,  -- all times: epoch seconds, UTC
    last_seen_at        REAL NOT NULL,
    fired_at            REAL,
    absent_since        REAL,
    resolved_at         REAL,
    acknowledged_at     REAL,
    acknowledged_by     TEXT NOT NULL,
    acknowledged_reason TEXT NOT NULL,
    occurrences         INTEGER NOT NULL CHECK (occurrences > 0)
) STRICT;

-- Of two evaluators, or after a mistake, one alert: whatever is open is open once.
CREATE UNIQUE INDEX alerts_open ON alerts (rule, tenant_id, key_id, subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_by_identity ON alerts (rule, tenant_id, key_id, subject);
CREATE INDEX alerts_by_tenant ON alerts (tenant_id, seq);
CREATE INDEX alerts_by_key ON alerts (key_id, seq);
CREATE INDEX alerts_by_end ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE alert_notices (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,  -- never used twice: a message is made of those up to a number
    channel TEXT NOT NULL,
    event   TEXT NOT NULL,
    rule    TEXT NOT NULL,
    content TEXT NOT NULL  -- JSON object
) STRICT;

CREATE INDEX alert_notices_by_channel ON alert_notices (channel, seq);

CREATE TABLE alert_messages (
    message_id TEXT PRIMARY KEY NOT NULL,
    channel    TEXT NOT NULL,
    content    TEXT NOT NULL,  -- JSON object
    created_at REAL NOT NULL,
    due_at     REAL NOT NULL,
    attempts   INTEGER NOT NULL CHECK (attempts >= 0),
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
    error      TEXT NOT NULL
) STRICT;

CREATE INDEX alert_messages_by_channel ON alert_messages (channel, state, due_at);
