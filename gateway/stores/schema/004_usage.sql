-- Usage: what was counted of requests, by minute, hour and day, and who made them.
-- Cells of one moment lie beside each other, so that writing down a second touches few pages. Minutes are added to their
-- hours later, and hours to their days, in the order of (start, dimension_id): `usage_state` says how far that went.

CREATE TABLE usage_dimensions (
    dimension_id INTEGER PRIMARY KEY NOT NULL,
    key_id       TEXT NOT NULL,  -- empty: requests without a known key
    route        TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    owner_id     TEXT NOT NULL,
    lineage_id   TEXT NOT NULL,
    environment  TEXT NOT NULL,
    is_billable  INTEGER NOT NULL CHECK (is_billable IN (0, 1)),
    last_day     INTEGER NOT NULL,  -- the latest day that was counted: who is not referred to any more can leave
    UNIQUE (key_id, route, tenant_id, owner_id, lineage_id, environment, is_billable)
) STRICT;

CREATE INDEX usage_dimensions_by_lineage ON usage_dimensions (lineage_id);
CREATE INDEX usage_dimensions_by_age ON usage_dimensions (last_day);

CREATE TABLE usage_cells (
    seconds        INTEGER NOT NULL CHECK (seconds IN (60, 3600, 86400)),
    start          INTEGER NOT NULL,  -- epoch seconds, UTC
    dimension_id   INTEGER NOT NULL,
    requests       INTEGER NOT NULL,
    denied         INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    upstream_4xx   INTEGER NOT NULL,
    upstream_5xx   INTEGER NOT NULL,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    duration_total REAL NOT NULL,
    from_browser   INTEGER NOT NULL,
    limit_used_max REAL NOT NULL,
    quota_used_max REAL NOT NULL,
    PRIMARY KEY (seconds, start, dimension_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_durations (
    seconds      INTEGER NOT NULL,
    start        INTEGER NOT NULL,
    dimension_id INTEGER NOT NULL,
    bin          INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    PRIMARY KEY (seconds, start, dimension_id, bin)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_reasons (
    seconds      INTEGER NOT NULL,
    start        INTEGER NOT NULL,
    dimension_id INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    count        INTEGER NOT NULL,
    PRIMARY KEY (seconds, start, dimension_id, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_facets (
    start     INTEGER NOT NULL,  -- of an hour
    key_id    TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('network', 'country', 'user_agent')),
    value     TEXT NOT NULL,
    requests  INTEGER NOT NULL,
    first_at  REAL NOT NULL,
    last_at   REAL NOT NULL,
    PRIMARY KEY (start, key_id, tenant_id, kind, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_state (
    only_row         INTEGER PRIMARY KEY CHECK (only_row = 1),
    batch            TEXT NOT NULL,     -- what was added last, so that it is not added twice
    minute_start     INTEGER NOT NULL,  -- the last cell of a minute that its hour holds
    minute_dimension INTEGER NOT NULL,
    hour_start       INTEGER NOT NULL,  -- the last cell of an hour that its day holds
    hour_dimension   INTEGER NOT NULL
) STRICT;

INSERT INTO usage_state VALUES (1, '', -1, 0, -1, 0);
