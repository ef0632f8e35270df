// The time to look back at, kept in the address of a page.

import { rangeBar } from "./keys/usage.js";
import { rangeOf } from "./usage.js";

export const rangeFrom = (ctx) => rangeOf(ctx.query.get("range"));

// The choice; `change` is called once another one is made.
export const rangeSwitch = (ctx, change) =>
  rangeBar(rangeFrom(ctx), (next) => {
    ctx.setQuery({ range: next.id === "24h" ? "" : next.id });
    change();
  });
