-- A deleted tenant stays as a mark that its id was in use, and owns nothing that works: whoever writes at the same time
-- as somebody deletes is told so.

ALTER TABLE tenants ADD COLUMN deleted_at REAL;

CREATE TRIGGER tenant_deleted_for_ever BEFORE UPDATE OF deleted_at ON tenants
WHEN OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'is deleted for ever');
END;

CREATE TRIGGER tenant_deleted_last BEFORE UPDATE OF deleted_at ON tenants
WHEN NEW.deleted_at IS NOT NULL AND (
    EXISTS (SELECT 1 FROM keys WHERE tenant_id = NEW.tenant_id AND state <> 'revoked')
    OR EXISTS (SELECT 1 FROM tenants WHERE parent_id = NEW.tenant_id AND deleted_at IS NULL)
    OR EXISTS (SELECT 1 FROM admin_tokens WHERE tenant_id = NEW.tenant_id AND revoked_at IS NULL)
)
BEGIN
    SELECT RAISE(ABORT, 'has something that still works');
END;

-- These also run before an insert that becomes an update.
CREATE TRIGGER child_of_deleted_tenant BEFORE INSERT ON tenants
WHEN NEW.deleted_at IS NULL AND (SELECT deleted_at FROM tenants WHERE tenant_id = NEW.parent_id) IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'its tenant is deleted');
END;

CREATE TRIGGER key_of_deleted_tenant BEFORE INSERT ON keys
WHEN NEW.state <> 'revoked' AND (SELECT deleted_at FROM tenants WHERE tenant_id = NEW.tenant_id) IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'its tenant is deleted');
END;

CREATE TRIGGER admin_token_of_deleted_tenant BEFORE INSERT ON admin_tokens
WHEN NEW.revoked_at IS NULL AND (SELECT deleted_at FROM tenants WHERE tenant_id = NEW.tenant_id) IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'its tenant is deleted');
END;
