// Overview: traffic, errors, latency, who and what is used most, from where, and what needs a look now.

import { get, optional } from "../api.js";
import { barList, shareBar, sparkline, timeChart } from "../charts.js";
import { h, view } from "../dom.js";
import { bytes, count, milliseconds, moment, percent, plural, short } from "../format.js";
import { tenantName, tenants } from "../known.js";
import { namesOf } from "../keys/names.js";
import { rangeFrom, rangeSwitch } from "../ranges.js";
import { ownTenant } from "../session.js";
import { badge, card, empty, notice, pageHead, stat } from "../ui/parts.js";
import {
  facets,
  latencySeries,
  outcomeParts,
  outcomeSeries,
  series,
  top,
  valuesOf,
} from "../usage.js";
import { alertBadge, gist } from "./alerts.js";
import { keyPath, pathTo } from "./index.js";

const ALERTS_SHOWN = 5;

export default async function page(ctx) {
  const body = h("div.stack");
  const head = h("div");
  const showHead = view(head, () =>
    pageHead("Overview", {
      actions: [
        rangeSwitch(ctx, () => {
          showHead();
          traffic.refresh();
        }),
      ],
    }),
  );
  ctx.show(head, body);
  const owners = await tenants();
  const traffic = ctx.live(
    { every: 15, load: (options) => load(ctx, options), render: (found) => render(found, owners) },
    body,
  );
  return traffic.first;
}

async function load(ctx, options) {
  const range = rangeFrom(ctx);
  const [usage, whole, routes, keys, networks, countries, alerts, upstreams] = await Promise.all([
    series({}, range, options),
    top("", {}, range, options),
    top("route", {}, range, options),
    top("key,tenant", {}, range, options),
    facets("network", {}, range, options),
    facets("country", {}, range, options),
    optional(get("/alerts", { state: "firing", limit: ALERTS_SHOWN }, options)),
    ownTenant() ? null : optional(get("/upstreams", {}, options)),
  ]);
  const names = await namesOf(keys, options);
  return {
    range,
    usage,
    whole: whole?.[0] ?? null,
    routes,
    keys,
    names,
    networks,
    countries,
    alerts,
    upstreams: upstreams?.data ?? [],
  };
}

function render(found, owners) {
  if (!found.usage)
    return [
      attention(found),
      empty(
        "Usage is not counted here",
        "Switch it on with `usage` in the configuration to see traffic.",
        null,
        "gauge",
      ),
    ];
  const { rows, times, total, range } = found.usage;
  const step = { times, stepSeconds: range.step };
  return [
    attention(found),
    numbers(found, rows, total),
    card(
      "Requests",
      null,
      timeChart({
        title: "Requests by what became of them",
        ...step,
        series: outcomeSeries(rows),
        isColumns: true,
        height: 220,
      }),
    ),
    h(
      "div.columns",
      card(
        "What became of them",
        null,
        shareBar({ title: "Requests by what became of them, in all", parts: outcomeParts(total) }),
      ),
      card(
        "Response times",
        null,
        timeChart({
          title: "Response times",
          ...step,
          series: latencySeries(rows),
          format: milliseconds,
        }),
      ),
    ),
    h(
      "div.columns",
      card(
        "Top endpoints",
        { note: "by requests" },
        barList({
          title: "Top endpoints",
          total: total.requests,
          rows: ranked(found.routes, (row) => ({
            label: row.route,
            href: pathTo("/upstreams", { q: row.route }),
          })),
        }),
      ),
      card(
        "Top keys",
        { note: "by requests" },
        barList({
          title: "Top keys",
          total: total.requests,
          rows: ranked(found.keys, (row) => keyRow(row, found.names, owners)),
        }),
      ),
    ),
    places(found),
  ];
}

const keyRow = (row, names, owners) =>
  row.key_id
    ? {
        key: row.key_id + row.tenant_id,
        label: names.get(row.key_id) ?? row.key_id,
        note: tenantName(owners, row.tenant_id),
        href: keyPath(row.key_id),
      }
    : { key: "none", label: "Without a known key", kind: "quiet" };

const ranked = (rows, show) =>
  (rows ?? []).map((row) => ({
    value: row.requests,
    kind: row.errors > row.requests / 2 ? "server" : "requests",
    ...show(row),
  }));

function numbers({ whole, range }, rows, total) {
  const latency = whole?.duration_ms ?? {};
  return h(
    "div.stats",
    stat("Requests", short(total.requests), {
      note: rateText(total.requests, range.seconds),
      trend: sparkline(valuesOf(rows, (row) => row.requests)),
    }),
    stat("Errors", percent(total.error_ratio), {
      note: `${count(total.errors)}, of them ${count(total.denied)} denied by us`,
      kind: total.error_ratio > 0.05 ? "warn" : "",
      trend: sparkline(
        valuesOf(rows, (row) => row.errors),
        { kind: "denied" },
      ),
    }),
    stat(
      "Failed upstream",
      percent(total.requests ? (total.upstream_5xx + total.failed) / total.requests : null),
      {
        note: plural(total.upstream_5xx + total.failed, "request"),
        kind: total.upstream_5xx + total.failed > 0 ? "bad" : "",
        trend: sparkline(
          valuesOf(rows, (row) => row.upstream_5xx + row.failed),
          { kind: "server" },
        ),
      },
    ),
    stat("Response time, p95", milliseconds(latency.p95), {
      note: `half within ${milliseconds(latency.p50)}, p99 ${milliseconds(latency.p99)}`,
      trend: sparkline(
        valuesOf(rows, (row) => row.duration_ms?.p95 ?? 0),
        { kind: "second" },
      ),
    }),
    stat("Sent to clients", bytes(total.response_bytes), {
      note: `${bytes(total.request_bytes)} received`,
    }),
  );
}

function rateText(requests, seconds) {
  if (requests >= seconds) return `${(requests / seconds).toFixed(1)} a second on average`;
  const hourly = (requests * 3600) / seconds;
  return requests && hourly < 1
    ? "less than one an hour"
    : `${short(Math.round(hourly))} an hour on average`;
}

function places({ countries, networks }) {
  const known = (countries ?? []).filter((row) => row.value && row.value !== "__other__");
  const byNetwork = card(
    "Networks",
    { note: "by requests" },
    barList({
      title: "Networks",
      rows: (networks ?? []).slice(0, 10).map((row) => ({
        label: row.value === "__other__" ? "Others" : row.value,
        value: row.requests,
        kind: "second",
      })),
    }),
  );
  if (!known.length) return byNetwork;
  const rows = countries.slice(0, 10).map((row) => ({
    key: row.value || "none",
    label: countryName(row.value),
    value: row.requests,
    kind: "second",
  }));
  return h(
    "div.columns",
    card("Countries", { note: "by requests" }, barList({ title: "Countries", rows })),
    byNetwork,
  );
}

const regions = new Intl.DisplayNames(["en"], { type: "region" });

function countryName(code) {
  if (!code) return "Not known";
  if (!/^[A-Z]{2}$/.test(code)) return "Others";
  return `${regions.of(code) ?? code} (${code})`;
}

// What somebody should look at before anything else.
function attention({ alerts, upstreams }) {
  const down = upstreams.filter((each) => !each.is_up);
  const firing = alerts?.data ?? [];
  if (!down.length && !firing.length) return null;
  return h(
    "div.stack",
    { key: "attention" },
    down.map((each) =>
      notice(
        "bad",
        h("h2", `Upstream ${each.name} takes no requests`),
        h(
          "p",
          each.targets
            .map((target) => `${target.target}: ${target.why || target.state}`)
            .join("; "),
        ),
        h("p", h("a", { href: pathTo("/upstreams") }, "Look at it")),
      ),
    ),
    firing.length
      ? card(
          "Alerts",
          {
            note: alerts.has_more ? `the latest ${ALERTS_SHOWN}` : "",
            actions: [h("a", { href: pathTo("/alerts") }, "All alerts")],
          },
          h(
            "ul.lines",
            firing.map((each) =>
              h(
                "li",
                { key: each.alert_id },
                alertBadge(each),
                h(
                  "span.grow",
                  each.key_id ? h("a", { href: keyPath(each.key_id) }, gist(each)) : gist(each),
                ),
                each.state === "acknowledged" ? badge("acknowledged") : null,
                h("span.muted", moment(each.fired_at)),
              ),
            ),
          ),
        )
      : null,
  );
}
