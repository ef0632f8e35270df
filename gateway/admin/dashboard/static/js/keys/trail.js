// What the audit trail says about a key, or a tenant.

import { get } from "../api.js";
import { h } from "../dom.js";
import { exact, sentence } from "../format.js";
import { live } from "../live.js";
import { ownTenant, reasonAgainst } from "../session.js";
import { card, empty, notice } from "../ui/parts.js";
import { Pager } from "../ui/table.js";

const LIMIT = 50;

export function auditPart(root, key, { signal, keyId }) {
  trailOf(root, { key_id: keyId }, signal);
}

export function trailOf(root, query, signal) {
  const against = reasonAgainst("audit");
  if (against) {
    root.replaceChildren(notice("info", h("p", against)));
    return;
  }
  const pager = new Pager(() => list.refresh());
  const list = live(root, {
    signal,
    every: 10,
    load: async (options) => {
      try {
        return await get("/audit", { ...query, limit: LIMIT, cursor: pager.cursor }, options);
      } catch (error) {
        if (error.status === 403 && ownTenant()) return null;
        throw error;
      }
    },
    render: (page) =>
      page
        ? card(null, null, trail(page.data), pager.view(page, "records"))
        : notice("info", h("p", "The audit trail is shown to tokens for all tenants only.")),
  });
}

export const trail = (records) =>
  records.length
    ? h("ol.trail", records.map(record))
    : empty("Nothing was recorded", "Every change of a key leaves a record here.", null, "scroll");

const record = (each) =>
  h(
    "li",
    { key: each.id },
    h(
      "div.trail-head",
      h("strong", sentence(each.type)),
      h(
        "span.muted",
        "by ",
        each.actor.kind === "system" ? each.actor.name || "the gateway" : each.actor.name,
        each.actor.address ? ` from ${each.actor.address}` : "",
      ),
      h("time.muted", { datetime: each.ts }, exact(each.ts)),
    ),
    each.reason ? h("p.trail-reason", `“${each.reason}”`) : null,
    changesOf(each),
  );

function changesOf({ before, after }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter(
    (name) => !QUIET.includes(name),
  );
  const changed = names.filter(
    (name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]),
  );
  if (!changed.length || !Object.keys(before ?? {}).length) return null;
  return h(
    "dl.trail-changes",
    changed.map((name) =>
      h(
        "div",
        h("dt", h("code", name)),
        h(
          "dd",
          h("code.was", shownValue(before[name], name)),
          " → ",
          h("code", shownValue(after[name], name)),
        ),
      ),
    ),
  );
}

// Stands beside the change already.
const QUIET = ["revision", "state_reason"];

function shownValue(value, name) {
  if (typeof value === "number" && name.endsWith("_at")) return exact(value * 1000);
  if (value === null || value === undefined || value === "") return "none";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
