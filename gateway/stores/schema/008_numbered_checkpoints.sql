-- How many checkpoints of the audit trail there are up to each, under a signature: one that is missing leaves a gap.
-- 0 and nothing for those from before.

ALTER TABLE audit_checkpoints ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_checkpoints ADD COLUMN number_signature BLOB NOT NULL DEFAULT x'';
