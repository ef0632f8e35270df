-- A list goes on where it ended, in whichever order: each order has an index that holds it, so that its thousandth page
-- costs what its first one does, and what ends or begins between two moments is found without looking at all keys.

CREATE INDEX keys_in_order_of_name ON keys (name, key_id);
CREATE INDEX keys_in_order_of_creation ON keys (created_at, key_id);
CREATE INDEX keys_in_order_of_end ON keys (expires_at, key_id);
CREATE INDEX last_uses_in_order ON last_uses (used_at, used_id);
CREATE INDEX keys_by_name ON keys (tenant_id, name, key_id);
CREATE INDEX keys_by_creation ON keys (tenant_id, created_at, key_id);
CREATE INDEX keys_by_end ON keys (tenant_id, expires_at, key_id);

CREATE INDEX tenants_in_order_of_name ON tenants (name COLLATE "C", tenant_id);
CREATE INDEX tenants_in_order_of_creation ON tenants (created_at, tenant_id);
