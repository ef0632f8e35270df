// Keys: all of them, searched and filtered, and the way to a new one.

import { get } from "../api.js";
import { h, morph } from "../dom.js";
import { day, moment, plural } from "../format.js";
import { catalog, templates, tenantName, tenantOptions, tenants } from "../known.js";
import { actButton, badge, card, empty, keyState, pageHead, tags } from "../ui/parts.js";
import { checkbox, filterBar, input, select, settled, suggest } from "../ui/form.js";
import { Pager, table } from "../ui/table.js";
import { keyPath } from "./index.js";
import { createKey } from "../keys/create.js";

const STATES = ["active", "suspended", "rotating", "expired", "revoked"];
const LIMIT = 50;

export default async function page(ctx) {
  const body = h("div.stack");
  const create = async () => {
    const key = await createKey({ tenantId: ctx.query.get("tenant_id") ?? "" });
    if (key) ctx.navigate(`/keys/${encodeURIComponent(key.key_id)}`);
  };
  ctx.show(
    pageHead("Keys", {
      actions: [
        actButton("Create key", {
          right: "operate",
          kind: "primary",
          pictured: "plus",
          onclick: create,
        }),
      ],
    }),
    body,
  );
  const known = await Promise.all([tenants(), catalog(), templates()]);
  return keyList(ctx, body, known, { create }).first;
}

// The list with its filters. With a `tenantId` it is that tenant's, and nobody else can be chosen.
export function keyList(
  ctx,
  root,
  [owners, offered, classes],
  { tenantId = "", create = null } = {},
) {
  const pager = new Pager(() => list.refresh());
  const value = (name) => ctx.query.get(name) ?? "";
  const choose = (changes) => {
    ctx.setQuery(changes);
    pager.reset();
    morph(bar, [filters()]);
    list.refresh();
  };
  const typed = settled(choose);
  const onchange = (name) => (event) => choose({ [name]: event.target.value });
  const oninput = (name) => (event) => typed({ [name]: event.target.value.trim() });
  const names = (list) => [["", "All"], ...list.map((each) => each.name)];

  const filters = () =>
    filterBar(
      {
        name: "q",
        label: "Name, id or display text",
        control: input({ type: "search", value: value("q"), oninput: oninput("q") }),
      },
      {
        name: "state",
        label: "State",
        control: select([["", "All"], ...STATES], {
          value: value("state"),
          onchange: onchange("state"),
        }),
      },
      {
        name: "environment",
        label: "Environment",
        control: select(names(offered.environments), {
          value: value("environment"),
          onchange: onchange("environment"),
        }),
      },
      {
        name: "template",
        label: "Template",
        control: select(names(classes), {
          value: value("template"),
          onchange: onchange("template"),
        }),
      },
      tenantId
        ? null
        : {
            name: "tenant_id",
            label: "Tenant",
            control: suggest(tenantOptions(owners), {
              type: "search",
              value: value("tenant_id"),
              oninput: oninput("tenant_id"),
            }),
          },
      {
        name: "tag",
        label: "Tag",
        control: input({ type: "search", value: value("tag"), oninput: oninput("tag") }),
      },
      {
        name: "with_hidden",
        label: "Deleted",
        control: (given) =>
          checkbox(
            "show",
            value("with_hidden") === "true",
            (isOn) => choose({ with_hidden: isOn ? "true" : "" }),
            given,
          ),
      },
    );

  const columns = [
    {
      title: "Name",
      sort: "name",
      isMain: true,
      cell: (key) => [key.name, h("span.cell-sub.mono", key.display)],
    },
    tenantId ? null : { title: "Tenant", cell: (key) => tenantName(owners, key.tenant_id) },
    {
      title: "State",
      cell: (key) =>
        h(
          "span.row",
          keyState(key.state),
          key.is_rotation_overdue ? badge("rotation overdue", "warn") : null,
          key.is_hidden ? badge("deleted") : null,
        ),
    },
    { title: "Environment", cell: (key) => key.environment },
    {
      title: "Permissions",
      cell: (key) =>
        key.template
          ? [key.template, h("span.cell-sub", plural(key.scopes.length, "scope"))]
          : tags(key.scopes.slice(0, 3), "none"),
    },
    {
      title: "Last used",
      sort: "last_used_at",
      cell: (key) => moment(key.last_used_at, { instead: "never" }),
    },
    {
      title: "Expires",
      sort: "expires_at",
      cell: (key) => (key.expires_at ? moment(key.expires_at) : h("span.muted", "never")),
    },
    {
      title: "Created",
      sort: "created_at",
      cell: (key) =>
        key.created_at ? h("time", { datetime: key.created_at }, day(key.created_at)) : "–",
    },
  ].filter(Boolean);

  const isFiltered = () =>
    ["q", "state", "environment", "template", "tag", "tenant_id"].some(value);
  const further = () =>
    empty("None among these keys", "There are many: the search goes on with the next page.");
  const nothing = () =>
    isFiltered()
      ? empty(
          "No key is like that",
          "Change the filters to see more.",
          h(
            "button",
            {
              type: "button",
              onclick: () =>
                choose({
                  q: "",
                  state: "",
                  environment: "",
                  template: "",
                  tag: "",
                  tenant_id: "",
                }),
            },
            "Remove all filters",
          ),
        )
      : empty(
          "No keys yet",
          "A key lets a program use what stands behind this gateway.",
          create
            ? actButton("Create the first key", {
                right: "operate",
                kind: "primary",
                onclick: create,
              })
            : null,
          "key",
        );

  const bar = h("div", filters());
  const rows = h("div");
  root.replaceChildren(bar, rows);
  const list = ctx.live(
    {
      every: 10,
      load: (options) =>
        get(
          "/keys",
          {
            q: value("q"),
            state: value("state"),
            environment: value("environment"),
            template: value("template"),
            tag: value("tag"),
            tenant_id: tenantId || value("tenant_id"),
            with_hidden: value("with_hidden"),
            sort: value("sort"),
            limit: LIMIT,
            cursor: pager.cursor,
          },
          options,
        ),
      render: (found) =>
        card(
          null,
          { class: "flush" },
          table({
            caption: "Keys",
            sorting: { by: value("sort"), choose: (by) => choose({ sort: by }) },
            columns,
            rows: found.data,
            key: (key) => key.key_id,
            href: (key) => keyPath(key.key_id),
            empty: found.has_more ? further() : nothing(),
          }),
          pager.view(found, "keys"),
        ),
    },
    rows,
  );
  return list;
}
