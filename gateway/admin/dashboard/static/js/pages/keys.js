// Keys: all keys.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Keys"), empty("Nothing here yet", "This page is being built."));
}
