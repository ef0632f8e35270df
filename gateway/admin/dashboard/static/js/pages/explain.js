// Explain: what would become of a request.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Explain"), empty("Nothing here yet", "This page is being built."));
}
