// All pages by their path. A page is a module whose default export takes a context (see `main.js`) and shows itself.
//
// `nav` puts it into the menu: under a heading, or under another entry (`under`). `needs` is the right without which
// the page shows nothing; what else a page cannot show, it says itself.

export const HOME = "/overview";

const route = (path, title, load, more = {}) => ({ path, title, load, ...more });

export const ROUTES = [
  route("/overview", "Overview", () => import("./overview.js"), { nav: "", icon: "gauge" }),
  route("/keys", "Keys", () => import("./keys.js"), { nav: "", icon: "key" }),
  route("/keys/:key_id", "Key", () => import("./key.js"), { parent: "/keys" }),
  route("/tenants", "Tenants", () => import("./tenants.js"), { nav: "", icon: "building" }),
  route("/tenants/:tenant_id", "Tenant", () => import("./tenant.js"), { parent: "/tenants" }),
  route("/upstreams", "Routes & Upstreams", () => import("./upstreams.js"), {
    nav: "Traffic",
    icon: "routes",
  }),
  route("/limits", "Limits", () => import("./limits.js"), { nav: "Traffic", icon: "limits" }),
  route("/explain", "Explain", () => import("./explain.js"), { nav: "Traffic", icon: "explain" }),
  route("/alerts", "Alerts", () => import("./alerts.js"), { nav: "Watch", icon: "bell" }),
  route("/audit", "Audit", () => import("./audit.js"), {
    nav: "Watch",
    icon: "scroll",
    needs: "audit",
  }),
  route("/hygiene", "Hygiene", () => import("./hygiene.js"), { nav: "Watch", icon: "broom" }),
  route("/settings/api-keys", "API Keys", () => import("./settings-api-keys.js"), {
    nav: "Settings",
    icon: "keyring",
  }),
  route(
    "/settings/security/ip-whitelist",
    "IP Whitelist",
    () => import("./settings-ip-whitelist.js"),
    {
      nav: "Settings",
      under: "Security",
      icon: "shield",
    },
  ),
];

const PATTERNS = ROUTES.map((each) => ({
  route: each,
  pattern: new RegExp(`^${each.path.replaceAll(/:(\w+)/g, "(?<$1>[^/]+)")}$`),
}));

// Returns the route of a path and what its variables are, or null.
export function find(path) {
  for (const { route: found, pattern } of PATTERNS) {
    const match = pattern.exec(path);
    if (!match) continue;
    const params = Object.entries(match.groups ?? {}).map(([name, value]) => [
      name,
      decodeURIComponent(value),
    ]);
    return { route: found, params: Object.fromEntries(params) };
  }
  return null;
}

// Addresses of records.
export const keyPath = (keyId) => `/dashboard/keys/${encodeURIComponent(keyId)}`;
export const tenantPath = (tenantId) => `/dashboard/tenants/${encodeURIComponent(tenantId)}`;
export const pathTo = (path, query = {}) => {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `/dashboard${path}${text ? `?${text}` : ""}`;
};

// How a page is written:
//
//     import { get } from "../api.js";
//     import { h } from "../dom.js";
//     import { pageHead, card } from "../ui/parts.js";
//
//     export default function page(ctx) {
//       const body = h("div.stack");
//       ctx.show(pageHead("Things", { lead: "What they are for." }), body);      // a heading at once
//       return ctx.live({                                                         // then what has to be loaded
//         every: 10,                                                              // seconds; 0 loads once
//         load: (options) => get("/things", { q: ctx.query.get("q") }, options),  // `options` carry the signal
//         render: (page) => card("All", null, ...),                               // nodes; text is text
//       }, body).first;
//     }
//
// `ui/parts.js` has cards, facts, badges, notices and buttons that know rights (`actButton`); `ui/table.js` tables and
// the pager; `ui/form.js` fields and filters; `ui/dialog.js` dialogs (`askAct` asks for a reason); `charts.js` charts.
// What the API lacks here (404, 409: not kept) becomes `null` with `optional(get(...))`. Rules of one page only stand
// in a style sheet of its own; colours come from `css/base.css` by name.
