// The choice of a time to look back at: a row of buttons, kept in the address.

import { h } from "./dom.js";
import { RANGES, rangeOf } from "./usage.js";

export const rangeFrom = (ctx) => rangeOf(ctx.query.get("range") ?? "24h");

export const rangeSwitch = (ctx, change) => h("div.range", { role: "group", "aria-label": "Time to look back at" },
  RANGES.map((each) => h("button", {
    type: "button", key: each.id, "aria-pressed": each.id === rangeFrom(ctx).id,
    onclick: () => {
      ctx.setQuery({ range: each.id === "24h" ? null : each.id });
      change();
    },
  }, each.label)));
