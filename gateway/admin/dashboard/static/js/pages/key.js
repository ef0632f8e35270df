// One key: what it is, what it may do, who uses it, and everything that can be done to it.

import { get } from "../api.js";
import { h, morph } from "../dom.js";
import { day, moment } from "../format.js";
import { tenants, tenantName } from "../known.js";
import {
  actButton,
  badge,
  card,
  copyable,
  facts,
  keyState,
  metadata,
  notice,
  pageHead,
  tabPanel,
  tabs,
  tags,
} from "../ui/parts.js";
import { actsFor } from "../keys/acts.js";
import { edit } from "../keys/edit.js";
import { accessPart } from "../keys/access.js";
import { auditPart } from "../keys/trail.js";
import { requestsPart } from "../keys/requests.js";
import { rotationPart } from "../keys/rotation.js";
import { usagePart } from "../keys/usage.js";
import { pathTo, tenantPath } from "./index.js";

const TABS = [
  { id: "usage", label: "Usage", part: usagePart },
  { id: "access", label: "Access", part: accessPart },
  { id: "rotation", label: "Rotation", part: rotationPart },
  { id: "requests", label: "Requests", part: requestsPart },
  { id: "audit", label: "Audit", part: auditPart },
];

export default async function page(ctx) {
  const keyId = ctx.params.key_id;
  const head = h("div.stack");
  const bar = h("div");
  const panel = h("div");
  ctx.show(head, bar, panel);
  const owners = await tenants();

  const list = ctx.live(
    {
      every: 5,
      load: (options) => get(`/keys/${encodeURIComponent(keyId)}`, {}, options),
      render: (key) => {
        ctx.title(key.name);
        part?.(key);
        return [heading(key, owners, run), stateNotice(key), about(key, owners)];
      },
    },
    head,
  );

  const run = async (act) => {
    const done = await act(list.data);
    if (!done) return;
    if (done.new_key) ctx.navigate(`/keys/${encodeURIComponent(done.new_key.key_id)}?tab=rotation`);
    else list.refresh();
  };

  let part = null;
  let leaving = new AbortController();
  ctx.signal.addEventListener("abort", () => leaving.abort());
  const choose = (id) => {
    const chosen = TABS.find((each) => each.id === id) ?? TABS[0];
    ctx.setQuery({ tab: chosen.id === TABS[0].id ? "" : chosen.id });
    morph(bar, [tabs("About this key", TABS, chosen.id, choose)]);
    leaving.abort();
    leaving = new AbortController();
    const inner = h("div.stack");
    panel.replaceChildren(tabPanel(chosen.id, inner));
    part = chosen.part(inner, list.data, {
      ctx,
      signal: leaving.signal,
      refresh: list.refresh,
      keyId,
    });
  };
  await list.first;
  if (list.data && !ctx.signal.aborted) choose(ctx.query.get("tab"));
}

function heading(key, owners, run) {
  return pageHead(key.name, {
    crumbs: [
      ["Keys", pathTo("/keys")],
      [tenantName(owners, key.tenant_id), tenantPath(key.tenant_id)],
      [key.display],
    ],
    badge: h(
      "span.row",
      keyState(key.state),
      key.kind === "multi_tenant" ? badge("several tenants", "info") : null,
      key.is_rotation_overdue ? badge("rotation overdue", "warn") : null,
      key.is_hidden ? badge("deleted") : null,
    ),
    actions: [
      ...actsFor(key)
        .filter((each) => !(key.is_hidden && each.label === "Delete"))
        .map((each) =>
          actButton(each.label, {
            right: "operate",
            kind: each.kind ?? "",
            pictured: each.pictured,
            onclick: () => run(each.run),
          }),
        ),
      key.state === "revoked"
        ? null
        : actButton("Edit", { right: "operate", onclick: () => run(edit) }),
    ],
  });
}

// What somebody should know before anything else.
function stateNotice(key) {
  const why = key.state_reason ? `: ${key.state_reason}` : "";
  if (key.state === "suspended")
    return notice(
      "warn",
      h(
        "p",
        h("strong", "Suspended"),
        why,
        key.resume_at ? [". It works again ", moment(key.resume_at)] : "",
        ".",
      ),
    );
  if (key.state === "rotating")
    return notice(
      "info",
      h(
        "p",
        h("strong", "Being rotated"),
        ": it works until ",
        moment(key.retires_at, { absolute: true }),
        " at the latest. ",
        h("a", { href: "?tab=rotation" }, "Who has not moved?"),
      ),
    );
  if (key.state === "revoked")
    return notice(
      "bad",
      h("p", h("strong", "Revoked"), key.revoked_at ? [" ", moment(key.revoked_at)] : "", why, "."),
    );
  if (key.state === "expired")
    return notice(
      "warn",
      h(
        "p",
        h("strong", "Expired"),
        " ",
        moment(key.expires_at),
        ". It works again only when it is extended.",
      ),
    );
  return null;
}

const about = (key, owners) =>
  card(
    null,
    { key: "about" },
    facts([
      ["Key id", copyable(key.key_id, `${key.key_id.slice(0, 12)}…`)],
      ["Looks like", h("code", key.display)],
      ["Tenant", h("a", { href: tenantPath(key.tenant_id) }, tenantName(owners, key.tenant_id))],
      ["Environment", key.environment],
      ["Template", key.template || h("span.muted", "none")],
      ["Plan", key.plan || h("span.muted", "of the tenant")],
      ["Created", key.created_at ? `${day(key.created_at)}` : "–"],
      ["Last used", moment(key.last_used_at, { instead: "never" })],
      ["Expires", key.expires_at ? moment(key.expires_at) : "never"],
      key.rotation_due_at ? ["Rotation due", moment(key.rotation_due_at)] : null,
      ["Tags", tags(key.tags, "none")],
      ["Format, pepper", h("code", `${key.format}, ${key.pepper_id}`)],
      key.kind === "multi_tenant" ? ["Acts for", tags(key.tenants, "its tenant's children")] : null,
      Object.keys(key.metadata).length ? ["Metadata", metadata(key.metadata)] : null,
    ]),
  );
