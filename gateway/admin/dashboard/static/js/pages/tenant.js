// Tenant: one tenant.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Tenant"), empty("Nothing here yet", "This page is being built."));
}
