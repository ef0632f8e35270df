-- Keys, tenants, and the whole life of keys; the audit trail; the gateways that share all of it.
-- Everybody who writes records takes the row of `store` first, and keeps it to the end of the transaction. So revisions
-- become visible in their order, one after the other: whoever sees a revision sees every one before it.
-- Ids compare byte by byte (collation C), as they do everywhere else. Lists and objects are JSON text, because JSONB
-- would not give back every number and text as it was told.

CREATE TABLE store (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    revision BIGINT NOT NULL
);

INSERT INTO store (revision) VALUES (0);

CREATE TABLE tenants (
    tenant_id            TEXT COLLATE "C" PRIMARY KEY,
    name                 TEXT NOT NULL,
    is_suspended         BOOLEAN NOT NULL,
    state_reason         TEXT NOT NULL,
    ip_allowlist         TEXT NOT NULL,  -- JSON array of strings
    ip_allowlist_enabled BOOLEAN NOT NULL,
    plan                 TEXT NOT NULL,
    metadata             TEXT NOT NULL,  -- JSON object
    created_at           DOUBLE PRECISION NOT NULL,  -- all times: epoch seconds, UTC
    parent_id            TEXT COLLATE "C" NOT NULL,
    ip_allowlist_mode    TEXT NOT NULL,
    default_template     TEXT NOT NULL,
    export_name          TEXT NOT NULL,
    alerts               TEXT NOT NULL,  -- JSON object
    revision             BIGINT NOT NULL
);

CREATE INDEX tenants_by_revision ON tenants (revision);
CREATE INDEX tenants_by_parent ON tenants (parent_id, tenant_id);

CREATE TABLE keys (
    key_id            TEXT COLLATE "C" PRIMARY KEY,
    lineage_id        TEXT COLLATE "C" NOT NULL,
    tenant_id         TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    name              TEXT COLLATE "C" NOT NULL,
    format            TEXT NOT NULL,
    environment       TEXT NOT NULL,
    digest            BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),  -- HMAC-SHA256 under the pepper
    pepper_id         TEXT NOT NULL,
    display           TEXT NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'rotating', 'expired', 'revoked')),
    state_reason      TEXT NOT NULL,
    scopes            TEXT NOT NULL,  -- JSON array of strings
    ip_allowlist      TEXT NOT NULL,  -- JSON array of strings
    plan              TEXT NOT NULL,
    tags              TEXT NOT NULL,  -- JSON array of strings
    metadata          TEXT NOT NULL,  -- JSON object
    created_at        DOUBLE PRECISION NOT NULL,
    expires_at        DOUBLE PRECISION,
    revoked_at        DOUBLE PRECISION,
    template          TEXT NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('regular', 'multi_tenant')),
    tenants           TEXT NOT NULL,  -- JSON array of strings
    ip_allowlist_mode TEXT NOT NULL,
    is_hidden         BOOLEAN NOT NULL,
    is_held           BOOLEAN NOT NULL,
    resume_at         DOUBLE PRECISION,
    retires_at        DOUBLE PRECISION,
    revision          BIGINT NOT NULL
);

CREATE INDEX keys_by_tenant ON keys (tenant_id, key_id);
CREATE INDEX keys_by_state ON keys (state, key_id);
CREATE INDEX keys_by_lineage ON keys (lineage_id);
CREATE INDEX keys_by_revision ON keys (revision);
CREATE INDEX keys_by_pepper ON keys (pepper_id, state);

-- What time has done to keys and nobody has written down yet: whoever looks after them asks every second, so each index
-- holds only keys for which that can be.
CREATE INDEX keys_by_expiry ON keys (expires_at)
WHERE expires_at IS NOT NULL AND state IN ('active', 'suspended', 'rotating');
CREATE INDEX keys_by_resumption ON keys (resume_at) WHERE resume_at IS NOT NULL AND state = 'suspended';
CREATE INDEX keys_by_retirement ON keys (retires_at)
WHERE retires_at IS NOT NULL AND state IN ('active', 'suspended', 'rotating', 'expired');

-- When keys and admin tokens were last used. A table of its own: that is written every second, and a row of `keys` is
-- wide and has ten indexes.
CREATE TABLE last_uses (
    used_id TEXT COLLATE "C" PRIMARY KEY,
    used_at DOUBLE PRECISION NOT NULL
) WITH (fillfactor = 70);

-- How many keys there are, kept by the writes themselves: counting a million rows for a gauge takes a second each time.
CREATE TABLE key_counts (
    state       TEXT NOT NULL,
    environment TEXT NOT NULL,
    count       BIGINT NOT NULL CHECK (count >= 0),
    PRIMARY KEY (state, environment)
);

CREATE FUNCTION count_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = NEW.state AND OLD.environment = NEW.environment THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE key_counts SET count = count - 1 WHERE state = OLD.state AND environment = OLD.environment;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO key_counts AS known (state, environment, count) VALUES (NEW.state, NEW.environment, 1)
        ON CONFLICT (state, environment) DO UPDATE SET count = known.count + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER key_counted AFTER INSERT OR UPDATE OR DELETE ON keys FOR EACH ROW EXECUTE FUNCTION count_key();

CREATE TABLE quota_counts (
    bucket       TEXT COLLATE "C" PRIMARY KEY,
    period_start BIGINT NOT NULL,
    count        BIGINT NOT NULL CHECK (count >= 0)
) WITH (fillfactor = 70);

CREATE TABLE rotations (
    rotation_id  TEXT COLLATE "C" PRIMARY KEY,
    lineage_id   TEXT COLLATE "C" NOT NULL,
    tenant_id    TEXT COLLATE "C" NOT NULL,
    old_key_id   TEXT COLLATE "C" NOT NULL REFERENCES keys (key_id),
    new_key_id   TEXT COLLATE "C" NOT NULL REFERENCES keys (key_id),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'overlapping', 'completed', 'aborted')),
    started_at   DOUBLE PRECISION NOT NULL,
    deadline     DOUBLE PRECISION NOT NULL,
    idle_seconds DOUBLE PRECISION,
    reason       TEXT NOT NULL,
    ended_at     DOUBLE PRECISION,
    ended_by     TEXT NOT NULL,
    revision     BIGINT NOT NULL
);

CREATE INDEX rotations_by_tenant ON rotations (tenant_id, rotation_id);
CREATE INDEX rotations_by_state ON rotations (state, rotation_id);
CREATE INDEX rotations_by_lineage ON rotations (lineage_id, rotation_id);

CREATE TABLE incidents (
    incident_id        TEXT COLLATE "C" PRIMARY KEY,
    tenant_id          TEXT COLLATE "C" NOT NULL,
    key_id             TEXT COLLATE "C" NOT NULL REFERENCES keys (key_id),
    lineage_id         TEXT COLLATE "C" NOT NULL,
    replacement_key_id TEXT COLLATE "C" NOT NULL,
    since              DOUBLE PRECISION NOT NULL,
    opened_at          DOUBLE PRECISION NOT NULL,
    opened_by          TEXT NOT NULL,
    reason             TEXT NOT NULL,
    revision           BIGINT NOT NULL
);

CREATE INDEX incidents_by_tenant ON incidents (tenant_id, incident_id);
CREATE INDEX incidents_by_key ON incidents (key_id);

CREATE TABLE deliveries (
    delivery_id   TEXT COLLATE "C" PRIMARY KEY,
    digest        BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),  -- SHA-256 of what the link holds; never a secret
    key_id        TEXT COLLATE "C" NOT NULL REFERENCES keys (key_id),
    tenant_id     TEXT COLLATE "C" NOT NULL,
    created_at    DOUBLE PRECISION NOT NULL,
    expires_at    DOUBLE PRECISION NOT NULL,
    redeemed_at   DOUBLE PRECISION,
    redeemed_from TEXT NOT NULL,
    revision      BIGINT NOT NULL
);

CREATE INDEX deliveries_by_key ON deliveries (key_id);

CREATE TABLE admin_tokens (
    token_id   TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'auditor')),
    tenant_id  TEXT COLLATE "C" NOT NULL,
    digest     BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),  -- HMAC-SHA256 under the pepper; never the token
    pepper_id  TEXT NOT NULL,
    display    TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    revision   BIGINT NOT NULL
);

-- What was made for which Idempotency-Key: the id of the result, never the result.
CREATE TABLE idempotency (
    idempotency_key TEXT COLLATE "C" PRIMARY KEY,
    fingerprint     TEXT NOT NULL,
    result_id       TEXT NOT NULL,
    created_at      DOUBLE PRECISION NOT NULL
);

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- The audit trail: one chain for all gateways. It is appended to in the same transaction as the change that it tells
-- of, by whoever holds the row of `store`.
CREATE TABLE audit (
    seq       BIGINT PRIMARY KEY,
    at        DOUBLE PRECISION NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    tenant_id TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    actor     TEXT NOT NULL,
    body      TEXT NOT NULL,  -- canonical JSON, with the hash of the record before
    hash      BYTEA NOT NULL CHECK (length(hash) = 32)  -- SHA-256 of the body
);

CREATE INDEX audit_by_key ON audit (key_id, seq);
CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);
CREATE INDEX audit_by_type ON audit (type, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE audit_checkpoints (
    seq       BIGINT PRIMARY KEY,  -- of the last record that it covers
    at        DOUBLE PRECISION NOT NULL,
    hash      BYTEA NOT NULL CHECK (length(hash) = 32),
    signature BYTEA NOT NULL
);

-- The gateways. `beat` changes with each sign of life, for as long as `lease_seconds` after which a gateway may serve
-- what it has in memory; `cuts` is JSON: what the latest changes have ended there.
CREATE TABLE nodes (
    node_id               TEXT COLLATE "C" PRIMARY KEY,
    name                  TEXT NOT NULL,
    address               TEXT NOT NULL,
    version               TEXT NOT NULL,
    audit_key             TEXT NOT NULL,  -- fingerprint of the public key with which it signs
    started_at            DOUBLE PRECISION NOT NULL,
    beat                  BIGINT NOT NULL,
    heartbeat_at          DOUBLE PRECISION NOT NULL,  -- by the clock of the database; shown, never compared
    lease_seconds         DOUBLE PRECISION NOT NULL,
    acknowledged_revision BIGINT NOT NULL,
    is_leader             BOOLEAN NOT NULL,
    cuts                  TEXT NOT NULL
) WITH (fillfactor = 50);

-- Whoever listens hears of a revision when it can be read, and not before: notifications come with the commit.
CREATE FUNCTION tell_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tollhouse_revision', NEW.revision::text);
    RETURN NULL;
END $$;

CREATE TRIGGER revision_told AFTER UPDATE OF revision ON store FOR EACH ROW EXECUTE FUNCTION tell_revision();

CREATE FUNCTION tell_acknowledgement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tollhouse_acknowledged', NEW.node_id);
    RETURN NULL;
END $$;

CREATE TRIGGER acknowledgement_told AFTER UPDATE OF acknowledged_revision ON nodes FOR EACH ROW
WHEN (OLD.acknowledged_revision IS DISTINCT FROM NEW.acknowledged_revision)
EXECUTE FUNCTION tell_acknowledgement();
