// Tenants: who owns keys.

import { all } from "../api.js";
import { h, morph } from "../dom.js";
import { day } from "../format.js";
import { createTenant } from "../tenants.js";
import { actButton, badge, card, empty, pageHead, tenantState } from "../ui/parts.js";
import { filterBar, input, select, settled } from "../ui/form.js";
import { table } from "../ui/table.js";
import { tenantPath } from "./index.js";

const SHOWN_MAX = 200;
const READ_MAX = 2000;

export default function page(ctx) {
  const bar = h("div");
  const body = h("div");
  const create = async () => {
    const made = await createTenant();
    if (made) ctx.navigate(`/tenants/${encodeURIComponent(made.tenant_id)}`);
  };
  ctx.show(
    pageHead("Tenants", {
      lead: "Who owns keys: a workspace, a company, an account. A partner's customers are its children.",
      actions: [
        actButton("Create tenant", {
          right: "administer",
          kind: "primary",
          pictured: "plus",
          onclick: create,
        }),
      ],
    }),
    bar,
    body,
  );
  const value = (name) => ctx.query.get(name) ?? "";
  const set = (changes) => {
    ctx.setQuery(changes);
    list.update();
  };
  const choose = (changes) => {
    ctx.setQuery(changes);
    list.refresh();
  };
  const typed = settled(set, 120);
  morph(bar, [
    filterBar(
      {
        name: "q",
        label: "Name or id",
        control: input({
          type: "search",
          value: value("q"),
          oninput: (event) => typed({ q: event.target.value.trim() }),
        }),
      },
      {
        name: "state",
        label: "State",
        control: select([["", "All"], "active", "suspended", "deleted"], {
          value: value("state"),
          onchange: (event) => choose({ state: event.target.value }),
        }),
      },
    ),
  ]);
  const list = ctx.live(
    {
      every: 15,
      load: (options) =>
        all(
          "/tenants",
          { parent_id: value("parent_id"), state: value("state") },
          { max: READ_MAX, ...options },
        ),
      render: (found) =>
        shown(
          found,
          found.filter((each) => fits(each, value("q").toLowerCase())),
          value("q") || value("state"),
          create,
        ),
    },
    body,
  );
  return list.first;
}

const fits = (tenant, text) =>
  [tenant.name, tenant.tenant_id].some((each) => each.toLowerCase().includes(text));

function shown(found, wanted, isFiltered, create) {
  const names = new Map(found.map((each) => [each.tenant_id, each.name]));
  const nothing = isFiltered
    ? empty("No tenant is like that", "Change the filters to see more.")
    : empty(
        "No tenants yet",
        "Keys belong to a tenant, so the first one comes before the first key.",
        actButton("Create the first tenant", {
          right: "administer",
          kind: "primary",
          onclick: create,
        }),
        "building",
      );
  return card(
    null,
    { class: "flush" },
    table({
      caption: "Tenants",
      rows: wanted.slice(0, SHOWN_MAX),
      key: (row) => row.tenant_id,
      href: (row) => tenantPath(row.tenant_id),
      empty: nothing,
      columns: [
        {
          title: "Name",
          isMain: true,
          cell: (row) => [row.name, h("span.cell-sub.mono", row.tenant_id)],
        },
        { title: "State", cell: (row) => tenantState(row.state) },
        { title: "Plan", cell: (row) => row.plan || h("span.muted", "none") },
        {
          title: "Default template",
          cell: (row) => row.default_template || h("span.muted", "of the gateway"),
        },
        { title: "Address list", cell: (row) => listState(row) },
        {
          title: "Parent",
          cell: (row) =>
            row.parent_id ? (names.get(row.parent_id) ?? row.parent_id) : h("span.muted", "none"),
        },
        {
          title: "Created",
          cell: (row) =>
            row.created_at ? h("time", { datetime: row.created_at }, day(row.created_at)) : "–",
        },
      ],
    }),
    wanted.length > SHOWN_MAX
      ? h("p.pager", `The first ${SHOWN_MAX} of ${wanted.length}: filter to see the others.`)
      : null,
  );
}

export function listState(tenant) {
  if (!tenant.ip_allowlist_enabled)
    return badge(tenant.ip_allowlist.length ? "off" : "none", "off");
  return tenant.ip_allowlist_mode === "shadow" ? badge("shadow", "info") : badge("on", "good");
}
