// Limits: plans, and who comes close to them.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Limits"), empty("Nothing here yet", "This page is being built."));
}
