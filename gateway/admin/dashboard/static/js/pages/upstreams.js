// Routes & Upstreams: what is reachable, and how what stands behind it is doing.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Routes & Upstreams"), empty("Nothing here yet", "This page is being built."));
}
