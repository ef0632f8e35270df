// Settings → API Keys: the keys of one tenant, and how new ones are made.

import { get } from "../api.js";
import { h } from "../dom.js";
import { duration } from "../format.js";
import { createKey } from "../keys/create.js";
import { catalog, templates, tenants } from "../known.js";
import { live } from "../live.js";
import { tenantChoice } from "../settings.js";
import { changeTenant, createTenant } from "../tenants.js";
import { can } from "../session.js";
import { field, input, select } from "../ui/form.js";
import { actButton, badge, card, empty, pageHead, tags } from "../ui/parts.js";
import { table } from "../ui/table.js";
import { toastProblem } from "../ui/toast.js";
import { keyList } from "./keys.js";

export default async function page(ctx) {
  const choice = h("div");
  const body = h("div.stack");
  let tenantId = "";
  let shown = null;
  const generate = async () => {
    const key = await createKey({ tenantId, heading: "Generate new API key" });
    if (key) shown?.refresh();
  };
  ctx.show(
    pageHead("API Keys", {
      crumbs: [["Settings"], ["API Keys"]],
      lead: "Keys let programs use the API. Each is shown once, when it is made; keep it where secrets are kept.",
      actions: [
        actButton("Generate New API Key", {
          right: "operate",
          kind: "primary",
          pictured: "plus",
          onclick: generate,
        }),
      ],
    }),
    choice,
    body,
  );
  const show = async (id) => {
    tenantId = id;
    const [known, keys, defaults] = [
      await Promise.all([tenants(), catalog(), templates()]),
      h("div.stack"),
      h("div"),
    ];
    body.replaceChildren(keys, defaults, classesOf(known[2]));
    shown = keyList(ctx, keys, known, { tenantId, create: generate });
    defaultsOf(ctx, defaults, tenantId, known);
  };
  const chosen = await tenantChoice(ctx, choice, show);
  if (chosen) return show(chosen);
  body.replaceChildren(
    empty(
      "No tenants yet",
      "Keys belong to a tenant.",
      actButton("Create the first tenant", {
        right: "administer",
        kind: "primary",
        onclick: async () => (await createTenant()) && ctx.navigate("/settings/api-keys"),
      }),
      "building",
    ),
  );
  return undefined;
}

// What new keys of the tenant get when nothing else is said, and where its people keep them.
function defaultsOf(ctx, root, tenantId, [, , classes]) {
  const save = async (tenant, changes) => {
    try {
      await changeTenant(tenant, changes);
    } catch (error) {
      toastProblem(error);
    }
    found.refresh();
  };
  const found = live(root, {
    signal: ctx.signal,
    every: 30,
    load: (options) => get(`/tenants/${encodeURIComponent(tenantId)}`, {}, options),
    render: (tenant) =>
      card(
        "New keys",
        { note: "What they get when nothing else is said." },
        h(
          "div.field-grid",
          field(
            "Default template",
            select([["", "That of the gateway"], ...classes.map((each) => each.name)], {
              value: tenant.default_template,
              disabled: !can("administer"),
              onchange: (event) => save(tenant, { default_template: event.target.value || null }),
            }),
            { key: "default_template" },
          ),
          field(
            "Variable",
            input({
              value: tenant.export_name,
              class: "mono",
              readonly: !can("administer"),
              placeholder: "by the key's format",
              onchange: (event) => save(tenant, { export_name: event.target.value.trim() || null }),
            }),
            {
              key: "export_name",
              hint: "Name of the variable in the line that is shown with a new key.",
            },
          ),
        ),
      ),
  });
}

const classesOf = (classes) =>
  card(
    "Templates",
    { note: "Kinds of key, as they are configured." },
    table({
      caption: "Templates",
      rows: classes,
      key: (row) => row.name,
      empty: empty(
        "No templates",
        "They stand under `templates` in the configuration.",
        null,
        "key",
      ),
      columns: [
        {
          title: "Name",
          isMain: true,
          cell: (row) => h("span.row", row.name, row.is_default ? badge("default", "info") : null),
        },
        { title: "Permissions", cell: (row) => tags(row.granted_scopes, "none") },
        {
          title: "Environment",
          cell: (row) => row.environment || h("span.muted", "chosen when made"),
        },
        { title: "Plan", cell: (row) => row.plan || h("span.muted", "of the tenant") },
        {
          title: "Lives",
          cell: (row) =>
            row.expires_after_seconds ? duration(row.expires_after_seconds) : "for ever",
        },
      ],
    }),
  );
