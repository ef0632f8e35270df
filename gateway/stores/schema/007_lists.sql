-- A list goes on where it ended, in whichever order: each order has an index that holds it, so that its thousandth page
-- costs what its first one does, and what ends or begins between two moments is found without looking at all keys.

CREATE INDEX keys_in_order_of_name ON keys (name, key_id);
CREATE INDEX keys_in_order_of_creation ON keys (created_at, key_id);
CREATE INDEX keys_in_order_of_end ON keys (expires_at, key_id, state);  -- with the state, to count those in use
CREATE INDEX keys_in_order_of_use ON keys (last_used_at, key_id);
CREATE INDEX keys_by_creation ON keys (tenant_id, created_at, key_id);
CREATE INDEX keys_by_end ON keys (tenant_id, expires_at, key_id);
CREATE INDEX keys_by_use ON keys (tenant_id, last_used_at, key_id);

CREATE INDEX tenants_in_order_of_name ON tenants (name, tenant_id);
CREATE INDEX tenants_in_order_of_creation ON tenants (created_at, tenant_id);
