// Tenants: all tenants.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Tenants"), empty("Nothing here yet", "This page is being built."));
}
