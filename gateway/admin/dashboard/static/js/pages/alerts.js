// Alerts: what fires, and what became of it.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Alerts"), empty("Nothing here yet", "This page is being built."));
}
