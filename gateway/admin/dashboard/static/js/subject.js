// What a record or an alert is about: a key of a tenant, a tenant, or something else.

import { h } from "./dom.js";
import { keyPath, tenantPath } from "./pages/index.js";

const SHOWN = 12;

export function subject({ key_id: keyId, tenant_id: tenantId }, tenantText, otherwise) {
  if (keyId)
    return [
      h("a.mono", { href: keyPath(keyId), title: keyId }, keyId.slice(0, SHOWN)),
      tenantId ? h("span.cell-sub", tenantText) : null,
    ];
  return tenantId ? h("a", { href: tenantPath(tenantId) }, tenantText) : otherwise;
}
