// Overview: traffic, errors, latency, top keys and endpoints, alerts.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("Overview"), empty("Nothing here yet", "This page is being built."));
}
