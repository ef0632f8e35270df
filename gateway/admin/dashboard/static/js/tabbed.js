// A page of several parts, of which one is shown; which one, its address says.

import { h, morph } from "./dom.js";
import { tabPanel, tabs } from "./ui/parts.js";

// `parts` are `{id, label, part}`, the first one is shown at once; `part(ctx, root, {signal, ...given})` shows itself
// in `root` and returns what `live` does. The signal ends when another part is shown. Returns a promise of the first.
export function tabbed(ctx, bar, body, parts, given) {
  const first = parts[0].id;
  let leaving = new AbortController();
  const choose = (id) => {
    ctx.setQuery({ tab: id === first ? null : id });
    return show();
  };
  const show = () => {
    leaving.abort();
    leaving = new AbortController();
    ctx.signal.addEventListener("abort", () => leaving.abort(), { once: true });
    const chosen = parts.find((each) => each.id === ctx.query.get("tab")) ?? parts[0];
    morph(bar, [tabs("Parts of this page", parts, chosen.id, choose)]);
    const root = h("div.stack");
    body.replaceChildren(tabPanel(chosen.id, root));
    return chosen.part(ctx, root, { ...given, signal: leaving.signal }).first;
  };
  return show();
}
