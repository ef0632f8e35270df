// Audit: who changed what.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Audit"), empty("Nothing here yet", "This page is being built."));
}
