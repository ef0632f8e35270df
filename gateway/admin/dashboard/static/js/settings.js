// What the pages under Settings share: they are about one tenant, which is chosen at their top.

import { h, morph } from "./dom.js";
import { tenantOptions, tenants } from "./known.js";
import { ownTenant } from "./session.js";
import { field, select, suggest } from "./ui/form.js";

const LISTED_MAX = 100;

// Lets somebody choose a tenant; `change(tenantId)` is told. Returns which one is chosen now, empty for none.
export async function tenantChoice(ctx, root, change) {
  const known = await tenants();
  const options = tenantOptions(known);
  const wanted = ctx.query.get("tenant_id") || ownTenant() || (options.length ? options[0][0] : "");
  const choose = (tenantId) => {
    if (!known.has(tenantId)) return;
    ctx.setQuery({ tenant_id: tenantId });
    change(tenantId);
  };
  const control =
    options.length <= LISTED_MAX
      ? select(options, { value: wanted, onchange: (event) => choose(event.target.value) })
      : suggest(options, { value: wanted, onchange: (event) => choose(event.target.value.trim()) });
  if (options.length > 1)
    morph(root, [h("div.tenant-choice", field("Tenant", control, { required: true }))]);
  return wanted;
}
