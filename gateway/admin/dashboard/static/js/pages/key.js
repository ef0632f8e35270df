// Key: one key.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Key"), empty("Nothing here yet", "This page is being built."));
}
