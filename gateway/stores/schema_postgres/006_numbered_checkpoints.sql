-- How many checkpoints of the audit trail there are up to each, under a signature: one that is missing leaves a gap.
-- 0 and nothing for those from before, and for those of a gateway that does not count them yet.

ALTER TABLE audit_checkpoints ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_checkpoints ADD COLUMN number_signature BYTEA NOT NULL DEFAULT '';
