// API Keys: the keys of a tenant.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("API Keys"), empty("Nothing here yet", "This page is being built."));
}
