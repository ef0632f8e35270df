// Usage as series for charts: what the API counted, with zeros where nothing was.

import { get, optional } from "./api.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

// What can be looked back at, and how finely.
export const RANGES = [
  { id: "1h", label: "1 hour", seconds: HOUR, interval: "minute", step: MINUTE },
  { id: "24h", label: "24 hours", seconds: DAY, interval: "hour", step: HOUR },
  { id: "7d", label: "7 days", seconds: 7 * DAY, interval: "hour", step: HOUR },
  { id: "30d", label: "30 days", seconds: 30 * DAY, interval: "day", step: DAY },
];

export const rangeOf = (id) => RANGES.find((each) => each.id === id) ?? RANGES[1];

// From when until when a range goes now, in whole steps.
export function spanOf(range, now = Date.now()) {
  const until = Math.ceil(now / 1000 / range.step) * range.step;
  return { since: until - range.seconds, until };
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();
const bounds = ({ since, until }) => ({ since: iso(since), until: iso(until) });

// Rows grouped by something, such as `route`, the most used first; null where usage is not counted.
export async function top(groupBy, query, range, options) {
  const page = await optional(
    get(
      "/usage",
      {
        ...query,
        ...bounds(spanOf(range)),
        interval: "total",
        group_by: groupBy,
        sort: "-requests",
        limit: 10,
      },
      options,
    ),
  );
  return page?.data ?? null;
}

export async function facets(kind, query, range, options) {
  const page = await optional(
    get("/usage/facets", { ...query, ...bounds(spanOf(range)), kind }, options),
  );
  return page?.data ?? null;
}

const STEPS = { minute: MINUTE, hour: HOUR, day: DAY };
const secondsOf = (text) => Math.floor(new Date(text).getTime() / 1000);

// One row per step: `{times, rows, total, range}`; null where usage is not counted. What is no longer kept as finely as
// the range wants it comes in longer steps, which `range.step` says then.
export async function series(query, range, options) {
  const asked = { ...query, ...bounds(spanOf(range)) };
  const [page, whole] = await Promise.all([
    optional(
      get("/usage", { ...asked, interval: range.interval, group_by: "time", limit: 1000 }, options),
    ),
    optional(get("/usage", asked, options)),
  ]);
  if (!page || !whole) return null;
  const step = STEPS[page.interval];
  const found = new Map(page.data.map((row) => [secondsOf(row.start), row]));
  const times = [];
  const rows = [];
  for (let at = secondsOf(page.since); at < secondsOf(page.until); at += step) {
    times.push(new Date(at * 1000));
    rows.push(found.get(at) ?? null);
  }
  return { times, rows, total: whole.data[0] ?? totalOf([]), range: { ...range, step } };
}

const SUMS = [
  "requests",
  "errors",
  "denied",
  "failed",
  "upstream_4xx",
  "upstream_5xx",
  "request_bytes",
  "response_bytes",
  "from_browser",
];

export function totalOf(rows) {
  const sum = (name) => rows.reduce((all, row) => all + (row[name] ?? 0), 0);
  const total = Object.fromEntries(SUMS.map((name) => [name, sum(name)]));
  total.error_ratio = total.requests ? total.errors / total.requests : null;
  return total;
}

export const valuesOf = (rows, read, missing = 0) => rows.map((row) => (row ? read(row) : missing));

// Answers by who is to blame, as stacked series: together they are all requests.
export const outcomeSeries = (rows) => [
  {
    name: "Answered",
    kind: "requests",
    values: valuesOf(rows, (row) => row.requests - row.errors),
  },
  { name: "Denied by us", kind: "denied", values: valuesOf(rows, (row) => row.denied) },
  { name: "Upstream 4xx", kind: "client", values: valuesOf(rows, (row) => row.upstream_4xx) },
  {
    name: "Upstream 5xx, or failed",
    kind: "server",
    values: valuesOf(rows, (row) => row.upstream_5xx + row.failed),
  },
];

export const latencySeries = (rows) =>
  ["p50", "p95", "p99"].map((name, n) => ({
    name,
    kind: ["requests", "second", "client"][n],
    values: valuesOf(rows, (row) => row.duration_ms?.[name] ?? null, null),
  }));

export const outcomeParts = (total) => [
  { label: "Answered", value: total.requests - total.errors, kind: "requests" },
  { label: "Denied by us", value: total.denied, kind: "denied" },
  { label: "Upstream 4xx", value: total.upstream_4xx, kind: "client" },
  { label: "Upstream 5xx, or failed", value: total.upstream_5xx + total.failed, kind: "server" },
];
