// Limits: what each plan allows, and who comes close to it.

import { get, optional } from "../api.js";
import { barList } from "../charts.js";
import { h, view } from "../dom.js";
import { count, duration, percent, plural } from "../format.js";
import { catalog, tenantName, tenants } from "../known.js";
import { namesOf } from "../keys/names.js";
import { rangeFrom, rangeSwitch } from "../ranges.js";
import { badge, card, empty, pageHead, tags } from "../ui/parts.js";
import { table } from "../ui/table.js";
import { spanOf } from "../usage.js";
import { keyPath } from "./index.js";

const OWNERS = {
  lineage: "each key",
  tenant: "each tenant",
  lineage_tenant: "each key and tenant that it acts for",
  route: "each route",
};
const REFUSALS = ["rate_limited", "quota_exceeded", "concurrency_limited"];
const ROWS_MAX = 15;
const NAMED_MAX = 60;

export default async function page(ctx) {
  const [head, body, plans] = [h("div"), h("div.stack"), h("div.stack")];
  const showHead = view(head, () =>
    pageHead("Limits", {
      lead: "Every limit of a request is drawn in one act, or none is. Plans stand in the configuration.",
      actions: [
        rangeSwitch(ctx, () => {
          showHead();
          use.refresh();
        }),
      ],
    }),
  );
  ctx.show(head, body, plans);
  const owners = await tenants();
  const use = ctx.live(
    { every: 15, load: (options) => load(ctx, options), render: (found) => render(found, owners) },
    body,
  );
  const offered = ctx.live({ every: 0, load: catalog, render: planCards }, plans);
  return Promise.all([use.first, offered.first]);
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();

async function load(ctx, options) {
  const { since, until } = spanOf(rangeFrom(ctx));
  const asked = { since: iso(since), until: iso(until), interval: "total" };
  const by = (sort) =>
    optional(get("/usage", { ...asked, group_by: "key,tenant", sort, limit: ROWS_MAX }, options));
  const [rates, quotas, refused] = await Promise.all([
    by("-limit_used_max"),
    by("-quota_used_max"),
    optional(
      get("/usage", { ...asked, group_by: "reason,key", sort: "-requests", limit: 200 }, options),
    ),
  ]);
  const rows = [rates, quotas, refused].flatMap((page) => page?.data ?? []);
  return { rates, quotas, refused, names: await namesOf(rows.slice(0, NAMED_MAX), options) };
}

function render({ rates, quotas, refused, names }, owners) {
  if (!rates)
    return empty(
      "Usage is not counted here",
      "Switch it on with `usage` in the configuration to see who comes close to a limit.",
      null,
      "limits",
    );
  const close = (page, field) =>
    page.data
      .filter((row) => row.key_id && row[field] > 0)
      .map((row) => ({
        key: row.key_id + row.tenant_id,
        label: names.get(row.key_id) ?? row.key_id,
        note: tenantName(owners, row.tenant_id),
        href: keyPath(row.key_id),
        value: row[field],
        kind: row[field] >= 1 ? "server" : row[field] >= 0.8 ? "denied" : "requests",
      }));
  const hits = refused.data.filter((row) => REFUSALS.includes(row.reason));
  const share = (title, note, rows, instead) =>
    card(title, { note }, barList({ title, rows, format: percent, total: 0, instead }));
  return [
    h(
      "div.columns",
      share(
        "Closest to a rate",
        "highest share used at once",
        close(rates, "limit_used_max"),
        "No key has a rate, or none was used.",
      ),
      share(
        "Closest to a quota",
        "share of the period used",
        close(quotas, "quota_used_max"),
        "No key has a quota, or none was used.",
      ),
    ),
    card(
      "Refused for a limit",
      { note: "429, by key and reason" },
      barList({
        title: "Refused for a limit",
        instead: "Nobody was refused for a limit in this time.",
        rows: hits.slice(0, ROWS_MAX).map((row) => ({
          key: row.reason + row.key_id,
          label: names.get(row.key_id) ?? (row.key_id || "Without a known key"),
          note: row.reason,
          href: row.key_id ? keyPath(row.key_id) : null,
          value: row.requests,
          kind: "denied",
        })),
      }),
    ),
  ];
}

function planCards(offered) {
  if (!offered.plans.length)
    return card(
      "Plans",
      null,
      empty(
        "No plan",
        "Without one, nothing limits a key: add `plans` to the configuration.",
        null,
        "limits",
      ),
    );
  return card(
    "Plans",
    null,
    table({
      caption: "Plans",
      rows: offered.plans,
      key: (plan) => plan.name,
      columns: [
        { title: "Plan", isMain: true, cell: (plan) => plan.name },
        {
          title: "Rate",
          cell: (plan) =>
            plan.rates.length
              ? plan.rates.map((rate) => h("div", rateText(rate)))
              : h("span.muted", "none"),
        },
        {
          title: "Quota",
          cell: (plan) =>
            plan.quotas.length
              ? plan.quotas.map((quota) =>
                  h("div", `${count(quota.limit)} per ${quota.period} (UTC)`),
                )
              : h("span.muted", "none"),
        },
        {
          title: "At the same time",
          kind: "number",
          cell: (plan) =>
            plan.concurrency === null ? h("span.muted", "any") : count(plan.concurrency),
        },
        {
          title: "Counted for",
          cell: (plan) => tags(plan.owners.map((owner) => OWNERS[owner] ?? owner)),
        },
        {
          title: "Mode",
          cell: (plan) =>
            plan.mode === "shadow"
              ? badge("shadow: refuses nothing", "warn")
              : badge("enforced", "good"),
        },
      ],
    }),
  );
}

const rateText = ({ limit, window_seconds: window, burst }) => {
  const per = { 1: "second", 60: "minute", 3600: "hour", 86400: "day" }[window] ?? duration(window);
  return `${count(limit)} per ${per}${burst === limit ? "" : `, ${plural(burst, "request")} at once`}`;
};
