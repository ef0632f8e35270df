-- A deleted tenant stays as a mark that its id was in use, and owns nothing that works: whoever writes at the same time
-- as somebody deletes is told so.

ALTER TABLE tenants ADD COLUMN deleted_at DOUBLE PRECISION;

CREATE FUNCTION require_deleted_last() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NULL THEN
        RAISE EXCEPTION 'is deleted for ever' USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM keys WHERE tenant_id = NEW.tenant_id AND state <> 'revoked')
        OR EXISTS (SELECT 1 FROM tenants WHERE parent_id = NEW.tenant_id AND deleted_at IS NULL)
        OR EXISTS (SELECT 1 FROM admin_tokens WHERE tenant_id = NEW.tenant_id AND revoked_at IS NULL)
    THEN
        RAISE EXCEPTION 'has something that still works' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER tenant_deleted_last BEFORE UPDATE OF deleted_at ON tenants FOR EACH ROW
WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
EXECUTE FUNCTION require_deleted_last();

CREATE FUNCTION require_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM tenants WHERE tenant_id = NEW.tenant_id AND deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'its tenant is deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION require_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM tenants WHERE tenant_id = NEW.parent_id AND deleted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'its tenant is deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER child_has_parent BEFORE INSERT OR UPDATE ON tenants FOR EACH ROW
WHEN (NEW.deleted_at IS NULL AND NEW.parent_id <> '') EXECUTE FUNCTION require_parent();

CREATE TRIGGER key_has_owner BEFORE INSERT OR UPDATE ON keys FOR EACH ROW
WHEN (NEW.state <> 'revoked') EXECUTE FUNCTION require_owner();

CREATE TRIGGER admin_token_has_owner BEFORE INSERT OR UPDATE ON admin_tokens FOR EACH ROW
WHEN (NEW.revoked_at IS NULL AND NEW.tenant_id <> '') EXECUTE FUNCTION require_owner();
