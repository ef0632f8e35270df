// IP Whitelist: where keys of a tenant may be used from.

import { empty, pageHead } from "../ui/parts.js";

export default function page(ctx) {
  ctx.show(pageHead("IP Whitelist"), empty("Nothing here yet", "This page is being built."));
}
