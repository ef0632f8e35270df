// How a key is used: requests by outcome, how fast, which routes, from where.

import { h, morph } from "../dom.js";
import { barList, shareBar, timeChart } from "../charts.js";
import { bytes, count, milliseconds, moment, percent, short } from "../format.js";
import { live } from "../live.js";
import {
  facets,
  latencySeries,
  outcomeParts,
  outcomeSeries,
  RANGES,
  rangeOf,
  series,
  top,
} from "../usage.js";
import { card, empty, stat } from "../ui/parts.js";

// Shows the usage of whatever `query` says: of a key, a tenant, a route.
export function usageOf(root, query, { ctx, signal, extra = () => null }) {
  let range = rangeOf(ctx.query.get("range"));
  const bar = h("div");
  const body = h("div.stack");
  root.replaceChildren(bar, body);
  const found = live(body, {
    signal,
    every: 15,
    load: async (options) => {
      const asked = range;
      const [counted, routes, networks, agents] = await Promise.all([
        series(query, asked, options),
        top("route", query, asked, options),
        facets("network", query, asked, options),
        facets("user_agent", query, asked, options),
      ]);
      return { counted, routes, networks, agents };
    },
    render: (data) => (data.counted ? shown(data, extra()) : notCounted()),
  });
  const choose = (next) => {
    range = next;
    ctx.setQuery({ range: next.id === "24h" ? "" : next.id });
    morph(bar, [rangeBar(range, choose)]);
    found.refresh();
  };
  morph(bar, [rangeBar(range, choose)]);
  return found;
}

export const rangeBar = (chosen, choose) =>
  h(
    "div.segments",
    { role: "group", "aria-label": "Time" },
    RANGES.map((range) =>
      h(
        "button",
        {
          type: "button",
          key: range.id,
          "aria-pressed": range.id === chosen.id,
          onclick: () => choose(range),
        },
        range.label,
      ),
    ),
  );

const notCounted = () =>
  empty(
    "Usage is not counted here",
    "This gateway keeps no usage figures. The request log and the metrics still have them.",
    null,
    "gauge",
  );

function shown({ counted, routes, networks, agents }, extra) {
  const { times, rows, total, range } = counted;
  if (!total.requests)
    return empty(
      "Not used in this time",
      "When requests come, they are counted here within a minute.",
      null,
      "gauge",
    );
  return [
    h(
      "div.stats",
      stat("Requests", short(total.requests), { note: extra }),
      stat("Error rate", percent(total.error_ratio), {
        note: `${count(total.errors)} of them failed`,
        kind: total.error_ratio > 0.05 ? "bad" : "",
      }),
      stat("Response time", milliseconds(total.duration_ms?.p50), {
        note: `median; 95 % within ${milliseconds(total.duration_ms?.p95)}`,
      }),
      stat("Sent to clients", bytes(total.response_bytes), {
        note: `${bytes(total.request_bytes)} received`,
      }),
    ),
    card(
      null,
      null,
      timeChart({
        isHeading: true,
        title: "Requests by outcome",
        times,
        series: outcomeSeries(rows),
        isColumns: true,
        stepSeconds: range.step,
      }),
      shareBar({ title: "Outcomes", parts: outcomeParts(total) }),
    ),
    h(
      "div.columns",
      card(
        null,
        null,
        timeChart({
          isHeading: true,
          title: "Response time",
          times,
          series: latencySeries(rows),
          format: milliseconds,
          stepSeconds: range.step,
        }),
      ),
      card(
        "Top endpoints",
        null,
        barList({
          title: "Requests by route",
          rows: (routes ?? []).map((row) => ({
            label: row.route,
            value: row.requests,
            note: row.errors ? `${percent(row.error_ratio)} errors` : "",
          })),
        }),
      ),
    ),
    h(
      "div.columns",
      card("From where", null, facetList("Requests by network", networks)),
      card("With what", null, facetList("Requests by user agent", agents)),
    ),
  ];
}

// Whole hours of who and from where, added up.
export function facetList(title, rows, shownMax = 8) {
  const sums = new Map();
  for (const row of rows ?? []) {
    const known = sums.get(row.value) ?? { value: 0, last: "" };
    sums.set(row.value, {
      value: known.value + row.requests,
      last: row.last_at > known.last ? row.last_at : known.last,
    });
  }
  const total = [...sums.values()].reduce((sum, each) => sum + each.value, 0);
  const sorted = [...sums].sort((a, b) => b[1].value - a[1].value).slice(0, shownMax);
  return barList({
    title,
    total,
    rows: sorted.map(([name, { value, last }]) => ({
      label: name === "__other__" ? "others" : name || "unknown",
      value,
      kind: "second",
      note: last ? h("span", "last ", moment(last)) : "",
    })),
  });
}

export function usagePart(root, key, { ctx, signal, keyId }) {
  usageOf(root, { key_id: keyId }, { ctx, signal });
}
