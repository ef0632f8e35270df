// One tenant: its keys, its usage, and what counts for all of them.

import { all, get } from "../api.js";
import { h, morph } from "../dom.js";
import { day, moment } from "../format.js";
import { createKey } from "../keys/create.js";
import { trailOf } from "../keys/trail.js";
import { usageOf } from "../keys/usage.js";
import { catalog, templates, tenants } from "../known.js";
import { can, ownTenant } from "../session.js";
import {
  changeTenant,
  createTenant,
  deleteTenant,
  editTenant,
  jsonOf,
  resumeTenant,
  suspendTenant,
} from "../tenants.js";
import { field } from "../ui/form.js";
import {
  actButton,
  card,
  copyable,
  empty,
  facts,
  metadata,
  notice,
  pageHead,
  problemBox,
  tabPanel,
  tabs,
  tenantState,
} from "../ui/parts.js";
import { table } from "../ui/table.js";
import { pathTo, tenantPath } from "./index.js";
import { keyList } from "./keys.js";
import { listState } from "./tenants.js";

const TABS = [
  { id: "keys", label: "Keys", part: keysPart },
  {
    id: "usage",
    label: "Usage",
    part: (root, tenant, more) => void usageOf(root, { tenant_id: tenant.tenant_id }, more),
  },
  { id: "children", label: "Children", part: childrenPart },
  { id: "alerts", label: "Alert settings", part: alertsPart },
  {
    id: "audit",
    label: "Audit",
    part: (root, tenant, { signal }) => trailOf(root, { tenant_id: tenant.tenant_id }, signal),
  },
];

export default function page(ctx) {
  const head = h("div.stack");
  const bar = h("div");
  const panel = h("div");
  ctx.show(head, bar, panel);
  let part;
  let leaving = new AbortController();
  ctx.signal.addEventListener("abort", () => leaving.abort());
  const run = async (act) => (await act(list.data)) && list.refresh();
  const runForAll = async (act) => {
    if (!(await act(list.data))) return;
    await list.refresh();
    choose(ctx.query.get("tab"));
  };
  const list = ctx.live(
    {
      every: 10,
      load: (options) => get(`/tenants/${encodeURIComponent(ctx.params.tenant_id)}`, {}, options),
      render: (tenant) => {
        ctx.title(tenant.name);
        part?.(tenant);
        return [
          heading(tenant, run, runForAll),
          stateNotice(tenant),
          about(tenant),
        ];
      },
    },
    head,
  );
  const choose = (id) => {
    const chosen = TABS.find((each) => each.id === id) ?? TABS[0];
    ctx.setQuery({ tab: chosen.id === TABS[0].id ? "" : chosen.id });
    morph(bar, [tabs("About this tenant", TABS, chosen.id, choose)]);
    leaving.abort();
    leaving = new AbortController();
    const inner = h("div.stack");
    panel.replaceChildren(tabPanel(chosen.id, inner));
    part = chosen.part(inner, list.data, { ctx, signal: leaving.signal, refresh: list.refresh });
  };
  return list.first.then(() => list.data && !ctx.signal.aborted && choose(ctx.query.get("tab")));
}

// `runForAll` does what changes more than the tenant itself, so that the part below is read again.
const heading = (tenant, run, runForAll) =>
  pageHead(tenant.name, {
    crumbs: [
      ["Tenants", pathTo("/tenants")],
      tenant.parent_id ? [tenant.parent_id, tenantPath(tenant.parent_id)] : null,
      [tenant.tenant_id],
    ].filter(Boolean),
    badge: tenantState(tenant.state),
    actions: tenant.state === "deleted" ? [] : acts(tenant, run, runForAll),
  });

function acts(tenant, run, runForAll) {
  const isOwn = tenant.tenant_id === ownTenant();
  return [
    actButton("Create key", {
      right: "operate",
      kind: "primary",
      pictured: "plus",
      onclick: () => run((each) => createKey({ tenantId: each.tenant_id })),
    }),
    actButton("Edit", { right: "administer", onclick: () => run(editTenant) }),
    tenant.state === "active"
      ? actButton("Suspend", {
          right: "administer",
          kind: "danger",
          pictured: "pause",
          onclick: () => run(suspendTenant),
        })
      : actButton("Resume", {
          right: "administer",
          pictured: "play",
          disabled: isOwn ? "A token cannot resume the tenant that it is bound to." : "",
          onclick: () => run(resumeTenant),
        }),
    actButton("Delete", {
      right: "administer",
      kind: "danger",
      pictured: "trash",
      disabled: isOwn ? "A token cannot delete the tenant that it is bound to." : "",
      onclick: () => runForAll(deleteTenant),
    }),
  ];
}

// What somebody should know before anything else.
function stateNotice(tenant) {
  const why = tenant.state_reason ? `: ${tenant.state_reason}` : "";
  if (tenant.state === "suspended")
    return notice(
      "warn",
      h("p", h("strong", "Suspended"), why, ". All of its keys are refused."),
    );
  if (tenant.state === "deleted")
    return notice(
      "bad",
      h(
        "p",
        h("strong", "Deleted"),
        [" ", moment(tenant.deleted_at)],
        why,
        ". Its keys are revoked; its usage and its audit trail are kept.",
      ),
    );
  return null;
}

const about = (tenant) =>
  card(
    null,
    { key: "about" },
    facts([
      ["Tenant id", copyable(tenant.tenant_id)],
      ["Plan", tenant.plan || h("span.muted", "none")],
      ["Default template", tenant.default_template || h("span.muted", "that of the gateway")],
      [
        "Variable",
        tenant.export_name ? h("code", tenant.export_name) : h("span.muted", "by the key's format"),
      ],
      [
        "Address list",
        h(
          "span.row",
          listState(tenant),
          tenant.state === "deleted"
            ? null
            : h(
                "a",
                {
                  href: pathTo("/settings/security/ip-whitelist", { tenant_id: tenant.tenant_id }),
                },
                "Change",
              ),
        ),
      ],
      [
        "Parent",
        tenant.parent_id
          ? h("a", { href: tenantPath(tenant.parent_id) }, tenant.parent_id)
          : h("span.muted", "none"),
      ],
      ["Created", tenant.created_at ? day(tenant.created_at) : "–"],
      Object.keys(tenant.metadata).length ? ["Metadata", metadata(tenant.metadata)] : null,
    ]),
  );

function keysPart(root, tenant, { ctx, signal }) {
  const inner = Object.create(ctx, { signal: { value: signal } });
  Promise.all([tenants(), catalog(), templates()]).then(
    (known) => {
      if (!signal.aborted) keyList(inner, root, known, { tenantId: tenant.tenant_id });
    },
    (error) => root.replaceChildren(problemBox(error)),
  );
}

function whyNoChildren(tenant) {
  if (tenant.state === "deleted") return "The tenant is deleted.";
  return tenant.parent_id ? "A child has no children." : "";
}

function childrenPart(root, tenant, { ctx, signal }) {
  const inner = Object.create(ctx, { signal: { value: signal } });
  inner.live(
    {
      every: 15,
      load: (options) => all("/tenants", { parent_id: tenant.tenant_id }, options),
      render: (found) =>
        card(
          "Children",
          {
            note: "A partner's customers: its keys for several tenants act for them.",
            actions: [
              actButton("Create child", {
                right: "administer",
                pictured: "plus",
                disabled: whyNoChildren(tenant),
                onclick: async () => {
                  const made = await createTenant(tenant.tenant_id);
                  if (made) ctx.navigate(`/tenants/${encodeURIComponent(made.tenant_id)}`);
                },
              }),
            ],
          },
          table({
            caption: "Children",
            rows: found,
            key: (row) => row.tenant_id,
            href: (row) => tenantPath(row.tenant_id),
            empty: empty(
              "No children",
              "Tenants that belong to this one stand here.",
              null,
              "building",
            ),
            columns: [
              {
                title: "Name",
                isMain: true,
                cell: (row) => [row.name, h("span.cell-sub.mono", row.tenant_id)],
              },
              { title: "State", cell: (row) => tenantState(row.state) },
              { title: "Plan", cell: (row) => row.plan || h("span.muted", "none") },
              { title: "Created", cell: (row) => (row.created_at ? day(row.created_at) : "–") },
            ],
          }),
        ),
    },
    root,
  );
}

function alertsPart(root, tenant, { refresh }) {
  let now = tenant;
  let [saved, problem, isBusy] = [JSON.stringify(tenant.alerts, null, 2), null, false];
  let text = saved;
  const save = async () => {
    [isBusy, problem] = [true, null];
    show();
    try {
      await changeTenant(now, { alerts: jsonOf(text) });
      saved = text;
      refresh();
    } catch (error) {
      problem = error;
    }
    isBusy = false;
    show();
  };
  const show = () => {
    const errors = problem?.about?.("/alerts") ?? [];
    morph(root, [
      card(
        "Alert settings",
        { note: "Thresholds and switches of this tenant's own; what is missing is as configured." },
        h(
          "div.stack",
          problem && !errors.length
            ? problemBox(problem, null, "The settings were not saved")
            : null,
          field(
            "Settings",
            (given) =>
              h("textarea.mono", {
                ...given,
                rows: 12,
                spellcheck: "false",
                readonly: !can("administer") || now.state === "deleted",
                value: text,
                oninput: (event) => {
                  [text, problem] = [event.target.value, null];
                  show();
                },
              }),
            {
              key: "alerts",
              errors,
              hint: "A JSON object, such as {\"rules\": {\"ApiKeyHighErrorRate\": {\"requests_min\": 500}}}.",
            },
          ),
          h(
            "div.row",
            actButton(isBusy ? "Saving …" : "Save settings", {
              name: "save",
              right: "administer",
              kind: "primary",
              disabled: text === saved ? "Nothing was changed." : "",
              onclick: save,
            }),
          ),
        ),
      ),
    ]);
  };
  show();
  return (fresh) => {
    const stored = JSON.stringify(fresh.alerts, null, 2);
    now = fresh;
    if (text === saved && stored !== saved) [text, saved] = [stored, stored];
    show();
  };
}
