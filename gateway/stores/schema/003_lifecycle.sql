-- The whole life of a key: rotations, incidents, deliveries, admin tokens, and the audit trail.

ALTER TABLE tenants ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN ip_allowlist_mode TEXT NOT NULL DEFAULT 'enforce';
ALTER TABLE tenants ADD COLUMN default_template TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN export_name TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN alerts TEXT NOT NULL DEFAULT '{}';  -- JSON object

CREATE INDEX tenants_by_parent ON tenants (parent_id, tenant_id);

ALTER TABLE keys ADD COLUMN template TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'regular' CHECK (kind IN ('regular', 'multi_tenant'));
ALTER TABLE keys ADD COLUMN tenants TEXT NOT NULL DEFAULT '[]';  -- JSON array of strings
ALTER TABLE keys ADD COLUMN ip_allowlist_mode TEXT NOT NULL DEFAULT 'enforce';
ALTER TABLE keys ADD COLUMN is_hidden INTEGER NOT NULL DEFAULT 0 CHECK (is_hidden IN (0, 1));
ALTER TABLE keys ADD COLUMN is_held INTEGER NOT NULL DEFAULT 0 CHECK (is_held IN (0, 1));
ALTER TABLE keys ADD COLUMN resume_at REAL;
ALTER TABLE keys ADD COLUMN retires_at REAL;

-- What time has done to keys and nobody has written down yet: whoever looks after them asks every second, so each index
-- holds only keys for which that can be.
CREATE INDEX keys_by_expiry ON keys (expires_at)
WHERE expires_at IS NOT NULL AND state IN ('active', 'suspended', 'rotating');
CREATE INDEX keys_by_resumption ON keys (resume_at) WHERE resume_at IS NOT NULL AND state = 'suspended';
CREATE INDEX keys_by_retirement ON keys (retires_at)
WHERE retires_at IS NOT NULL AND state IN ('active', 'suspended', 'rotating', 'expired');
CREATE INDEX keys_by_pepper ON keys (pepper_id, state);
CREATE INDEX keys_by_name ON keys (tenant_id, name, key_id);

CREATE TABLE rotations (
    rotation_id  TEXT PRIMARY KEY NOT NULL,
    lineage_id   TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    old_key_id   TEXT NOT NULL REFERENCES keys (key_id),
    new_key_id   TEXT NOT NULL REFERENCES keys (key_id),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'overlapping', 'completed', 'aborted')),
    started_at   REAL NOT NULL,
    deadline     REAL NOT NULL,
    idle_seconds REAL,
    reason       TEXT NOT NULL,
    ended_at     REAL,
    ended_by     TEXT NOT NULL,
    revision     INTEGER NOT NULL
) STRICT;

CREATE INDEX rotations_by_tenant ON rotations (tenant_id, rotation_id);
CREATE INDEX rotations_by_state ON rotations (state, rotation_id);
CREATE INDEX rotations_by_lineage ON rotations (lineage_id, rotation_id);

CREATE TABLE incidents (
    incident_id        TEXT PRIMARY KEY NOT NULL,
    tenant_id          TEXT NOT NULL,
    key_id             TEXT NOT NULL REFERENCES keys (key_id),
    lineage_id         TEXT NOT NULL,
    replacement_key_id TEXT NOT NULL,
    since              REAL NOT NULL,
    opened_at          REAL NOT NULL,
    opened_by          TEXT NOT NULL,
    reason             TEXT NOT NULL,
    revision           INTEGER NOT NULL
) STRICT;

CREATE INDEX incidents_by_tenant ON incidents (tenant_id, incident_id);
CREATE INDEX incidents_by_key ON incidents (key_id);

CREATE TABLE deliveries (
    delivery_id   TEXT PRIMARY KEY NOT NULL,
    digest        BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),  -- SHA-256 of what the link holds; never a secret
    key_id        TEXT NOT NULL REFERENCES keys (key_id),
    tenant_id     TEXT NOT NULL,
    created_at    REAL NOT NULL,
    expires_at    REAL NOT NULL,
    redeemed_at   REAL,
    redeemed_from TEXT NOT NULL,
    revision      INTEGER NOT NULL
) STRICT;

CREATE INDEX deliveries_by_key ON deliveries (key_id);

CREATE TABLE admin_tokens (
    token_id     TEXT PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'auditor')),
    tenant_id    TEXT NOT NULL,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),  -- HMAC-SHA256 under the pepper; never the token
    pepper_id    TEXT NOT NULL,
    display      TEXT NOT NULL,
    created_at   REAL NOT NULL,
    expires_at   REAL,
    revoked_at   REAL,
    last_used_at REAL,
    revision     INTEGER NOT NULL
) STRICT;

-- What was made for which Idempotency-Key: the id of the result, never the result.
CREATE TABLE idempotency (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    fingerprint     TEXT NOT NULL,
    result_id       TEXT NOT NULL,
    created_at      REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- The audit trail: a chain. It is appended to in the same transaction as the change that it tells of.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY NOT NULL,
    at        REAL NOT NULL,
    type      TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    key_id    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    body      TEXT NOT NULL,  -- canonical JSON, with the hash of the record before
    hash      BLOB NOT NULL CHECK (length(hash) = 32)  -- SHA-256 of the body
) STRICT;

CREATE INDEX audit_by_key ON audit (key_id, seq);
CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);
CREATE INDEX audit_by_type ON audit (type, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE audit_checkpoints (
    seq       INTEGER PRIMARY KEY NOT NULL,  -- of the last record that it covers
    at        REAL NOT NULL,
    hash      BLOB NOT NULL CHECK (length(hash) = 32),
    signature BLOB NOT NULL
) STRICT;

CREATE TRIGGER rotation_inserted AFTER INSERT ON rotations
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER rotation_updated AFTER UPDATE OF revision ON rotations
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER incident_inserted AFTER INSERT ON incidents
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER incident_updated AFTER UPDATE OF revision ON incidents
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER delivery_inserted AFTER INSERT ON deliveries
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER delivery_updated AFTER UPDATE OF revision ON deliveries
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER admin_token_inserted AFTER INSERT ON admin_tokens
BEGIN
    UPDATE store SET revision = NEW.revision;
END;

CREATE TRIGGER admin_token_updated AFTER UPDATE OF revision ON admin_tokens
BEGIN
    UPDATE store SET revision = NEW.revision;
END;
