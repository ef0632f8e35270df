-- Keys, tenants, quota counters.
-- A write is one statement: it takes the next revision, and the triggers below commit that revision with it. So a write
-- can be neither half done nor left open by a caller that goes away.

CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO store (only_row, revision) VALUES (1, 0);

CREATE TABLE tenants (
    tenant_id            TEXT PRIMARY KEY NOT NULL,
    name                 TEXT NOT NULL,
    is_suspended         INTEGER NOT NULL CHECK (is_suspended IN (0, 1)),
    state_reason         TEXT NOT NULL,
    ip_allowlist         TEXT NOT NULL,  -- JSON array of strings
    ip_allowlist_enabled INTEGER NOT NULL CHECK (ip_allowlist_enabled IN (0, 1)),
    plan                 TEXT NOT NULL,
    metadata             TEXT NOT NULL,  -- JSON object
    created_at           REAL NOT NULL,  -- all times: epoch seconds, UTC
    revision             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tenants_by_revision ON tenants (revision);

CREATE TABLE keys (
    key_id       TEXT PRIMARY KEY NOT NULL,
    lineage_id   TEXT NOT NULL,
    tenant_id    TEXT NOT NULL REFERENCES tenants (tenant_id),
    name         TEXT NOT NULL,
    format       TEXT NOT NULL,
    environment  TEXT NOT NULL,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),  -- HMAC-SHA256 under the pepper; never the token
    pepper_id    TEXT NOT NULL,
    display      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'rotating', 'expired', 'revoked')),
    state_reason TEXT NOT NULL,
    scopes       TEXT NOT NULL,  -- JSON array of strings
    ip_allowlist TEXT NOT NULL,  -- JSON array of strings
    plan         TEXT NOT NULL,
    tags         TEXT NOT NULL,  -- JSON array of strings
    metadata     TEXT NOT NULL,  -- JSON object
    created_at   REAL NOT NULL,
    expires_at   REAL,
    revoked_at   REAL,
    last_used_at REAL,
    revision     INTEGER NOT NULL
) STRICT;

CREATE INDEX keys_by_tenant ON keys (tenant_id, key_id);
CREATE INDEX keys_by_state ON keys (state, key_id);
CREATE INDEX keys_by_lineage ON keys (lineage_id);
CREATE INDEX keys_by_revision ON keys (revision);

CREATE TABLE quota_counts (
    bucket       TEXT PRIMARY KEY NOT NULL,
    period_start INTEGER NOT NULL,
    count        INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER key_inserted AFTER INSERT ON keys
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER key_updated AFTER UPDATE OF revision ON keys
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER tenant_inserted AFTER INSERT ON tenants
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER tenant_updated AFTER UPDATE OF revision ON tenants
BEGIN
    UPDATE store SET revision = NEW.revision;
END;
