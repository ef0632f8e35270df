// Routes & Upstreams: where requests go, what it takes to get there, and how those are that answer.

import { get, optional } from "../api.js";
import { h, morph } from "../dom.js";
import { bytes, count, moment, plural, sentence } from "../format.js";
import { ownTenant } from "../session.js";
import { filterBar, input, settled } from "../ui/form.js";
import { badge, card, empty, pageHead, tags } from "../ui/parts.js";
import { table } from "../ui/table.js";
import { pathTo } from "./index.js";

const TARGET_STATES = {
  up: "good",
  warming: "busy",
  draining: "held",
  probation: "warn",
  ejected: "bad",
  down: "bad",
};
const BREAKERS = { closed: "good", half_open: "warn", open: "bad" };

export default function page(ctx) {
  const [upstreams, routes, workers] = [h("div.stack"), h("div.stack"), h("div.stack")];
  if (ownTenant()) {
    // Where requests go concerns whoever operates the gateway; what they need, everybody.
    ctx.show(
      pageHead("Routes", { lead: "What can be asked for, and what a key needs for it." }),
      routes,
    );
    return routeList(ctx, routes);
  }
  ctx.show(
    pageHead("Routes & Upstreams", {
      lead: "Both come from the configuration; their state is what is seen now.",
    }),
    upstreams,
    routes,
    workers,
  );
  return Promise.all([
    ctx.live(
      {
        every: 3,
        load: (options) => get("/upstreams", {}, options),
        render: ({ data }) => upstreamCards(data),
      },
      upstreams,
    ).first,
    routeList(ctx, routes),
    ctx.live(
      { every: 5, load: (options) => optional(get("/workers", {}, options)), render: workerCard },
      workers,
    ).first,
  ]);
}

// ---- upstreams

const upstreamCards = (list) =>
  list.length
    ? h(
        "div.stack",
        list.map((each) => h("div", { key: each.name }, upstreamCard(each))),
      )
    : card(
        "Upstreams",
        null,
        empty("No upstream", "The gateway answers every route itself.", null, "routes"),
      );

function upstreamCard(each) {
  const state = each.is_up ? badge("takes requests", "good") : badge("takes none", "bad");
  return card(
    each.name,
    {
      note: [
        [
          each.balance.replaceAll("_", " "),
          plural(each.requests, "request"),
          `${count(each.retries)} sent again`,
          plural(each.ejections, "ejection"),
        ].join(" · "),
      ],
      actions: [
        state,
        each.is_panicking ? badge("all targets are used, healthy or not", "warn") : null,
        each.breaker
          ? badge(`breaker ${each.breaker.replaceAll("_", " ")}`, BREAKERS[each.breaker])
          : null,
      ].filter(Boolean),
    },
    table({
      caption: `Targets of ${each.name}`,
      rows: each.targets,
      key: (target) => target.target,
      columns: [
        { title: "Target", isMain: true, cell: (target) => h("code", target.target) },
        {
          title: "State",
          cell: (target) => [
            badge(target.state, TARGET_STATES[target.state]),
            target.why ? h("span.cell-sub", target.why) : null,
          ],
        },
        { title: "Since", cell: (target) => moment(target.since) },
        { title: "Weight", kind: "number", cell: (target) => count(target.weight) },
        { title: "In flight", kind: "number", cell: (target) => count(target.outstanding) },
        { title: "Idle connections", kind: "number", cell: (target) => count(target.idle) },
        { title: "Waiting", kind: "number", cell: (target) => count(target.waiting) },
      ],
    }),
  );
}

// ---- routes

function routeList(ctx, root) {
  const value = () => (ctx.query.get("q") ?? "").toLowerCase();
  const rows = h("div");
  const typed = settled((text) => {
    ctx.setQuery({ q: text });
    list.update();
  });
  const bar = h("div");
  morph(bar, [
    filterBar({
      name: "q",
      label: "Route, path, scope or upstream",
      control: input({
        type: "search",
        value: ctx.query.get("q") ?? "",
        oninput: (event) => typed(event.target.value.trim()),
      }),
    }),
  ]);
  root.replaceChildren(bar, rows);
  const isWanted = (route) =>
    [route.name, route.pattern, route.upstream, route.plan, ...route.scopes, ...route.hosts].some(
      (text) => text.toLowerCase().includes(value()),
    );
  const list = ctx.live(
    {
      every: 30,
      load: (options) => get("/routes", {}, options),
      render: ({ data }) => {
        const wanted = data.filter(isWanted);
        return card(
          "Routes",
          { note: `${count(wanted.length)} of ${count(data.length)}` },
          table({
            caption: "Routes",
            columns: ROUTE_COLUMNS,
            rows: wanted,
            key: (route) => route.name,
            empty: data.length
              ? empty("No route is like that", "Search for something else.")
              : empty("No route", "What no route lists does not exist: every request gets 404."),
          }),
        );
      },
    },
    rows,
  );
  return list.first;
}

const ROUTE_COLUMNS = [
  { title: "Route", isMain: true, cell: (route) => route.name },
  {
    title: "Requests",
    cell: (route) => [
      h("code", `${route.methods.join(", ")} ${route.pattern}`),
      h(
        "span.cell-sub",
        [route.kind === "path" ? "" : route.kind, ...route.hosts].filter(Boolean).join(" · "),
      ),
    ],
  },
  {
    title: "Needs",
    cell: (route) => [
      route.needs_key ? needed(route) : badge("no key", "warn"),
      route.scopes_mode === "shadow" ? h("span.cell-sub", "scopes in shadow mode") : null,
    ],
  },
  {
    title: "Goes to",
    cell: (route) =>
      route.handler === "introspect" ? h("span.muted", "answered here") : route.upstream,
  },
  {
    title: "Limits",
    cell: (route) =>
      route.plan ? h("a", { href: pathTo("/limits") }, route.plan) : h("span.muted", "of the key"),
  },
  {
    title: "Addresses",
    cell: (route) =>
      route.ip_allowlist.length
        ? [
            plural(route.ip_allowlist.length, "network"),
            route.ip_allowlist_mode === "shadow" ? h("span.cell-sub", "in shadow mode") : null,
          ]
        : h("span.muted", "all"),
  },
  { title: "Body up to", kind: "number", cell: (route) => bytes(route.body_bytes_max) },
];

const needed = (route) => [
  route.scopes.length ? tags(route.scopes) : h("span.muted", "any key"),
  route.environments.length ? h("span.cell-sub", `of ${route.environments.join(", ")}`) : null,
];

// ---- workers

const WORKER_STATES = { serving: "good", starting: "busy", draining: "held", gone: "bad" };

function workerCard(found) {
  if (!found?.data.length) return null;
  return card(
    "Workers",
    null,
    table({
      caption: "Workers",
      rows: found.data,
      key: (each) => each.pid,
      columns: [
        { title: "Worker", isMain: true, cell: (each) => `Worker ${each.worker}` },
        {
          title: "State",
          cell: (each) =>
            badge(sentence(each.state).toLowerCase(), WORKER_STATES[each.state] ?? "off"),
        },
        { title: "Since", cell: (each) => moment(each.since) },
        { title: "Generation", kind: "number", cell: (each) => count(each.generation) },
        { title: "Connections", kind: "number", cell: (each) => count(each.connections) },
        { title: "In flight", kind: "number", cell: (each) => count(each.in_flight) },
        { title: "Restarts", kind: "number", cell: (each) => count(each.restarts) },
      ],
    }),
  );
}
