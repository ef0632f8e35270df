// Hygiene: keys that want attention.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Hygiene"), empty("Nothing here yet", "This page is being built."));
}
