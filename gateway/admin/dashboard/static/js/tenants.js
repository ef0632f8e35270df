// What may be done to a tenant: made, changed, stopped, let go on, and deleted.

import { idempotencyKey, patch, post, remove } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { catalog, forgetKnown, templates, tenantOptions, tenants } from "./known.js";
import { told } from "./keys/acts.js";
import { mergePatch } from "./keys/edit.js";
import { ownTenant } from "./session.js";
import { askAct } from "./ui/dialog.js";
import { checkbox, field, input, select, suggest } from "./ui/form.js";
import { toast } from "./ui/toast.js";

const path = (tenantId, verb = "") => `/tenants/${encodeURIComponent(tenantId)}${verb}`;

// Changes some fields of a tenant; `what` is said when it is done.
export async function changeTenant(tenant, changes, what = "Saved") {
  const changed = await patch(path(tenant.tenant_id), changes, {
    headers: { "If-Match": `"${tenant.revision}"` },
  });
  forgetKnown();
  told(what, changed);
  return changed;
}

export async function createTenant(parentId = ownTenant() ?? "") {
  const [known, offered, classes] = await Promise.all([tenants(), catalog(), templates()]);
  const options = { headers: { "Idempotency-Key": idempotencyKey() } };
  const made = await askAct({
    title: "Create tenant",
    label: "Create tenant",
    needsReason: false,
    text: "A tenant owns keys: a workspace, a company, an account.",
    values: {
      name: "",
      tenant_id: "",
      parent_id: parentId,
      plan: "",
      default_template: "",
      export_name: "",
    },
    fields: (state, set, problem) => {
      const about = (name) => problem?.about?.(`/${name}`) ?? [];
      const bind = (name) => ({
        value: state[name],
        oninput: (event) => set({ [name]: event.target.value }),
      });
      return [
        field("Name", input({ ...bind("name"), maxlength: 100, autofocus: true }), {
          required: true,
          errors: about("name"),
        }),
        h(
          "div.field-grid",
          ownTenant()
            ? null
            : field(
                "Id",
                input({ ...bind("tenant_id"), class: "mono", placeholder: "made for you" }),
                {
                  errors: about("tenant_id"),
                  hint: "Letters, digits, _ . and -. It cannot be changed later.",
                },
              ),
          field(
            "Parent",
            suggest(tenantOptions(known), { ...bind("parent_id"), readonly: Boolean(ownTenant()) }),
            { errors: about("parent_id"), hint: "The partner whose customer this is." },
          ),
          field(
            "Plan",
            select([["", "None"], ...offered.plans.map((each) => each.name)], bind("plan")),
            {
              errors: about("plan"),
            },
          ),
          field(
            "Default template",
            select(
              [["", "That of the gateway"], ...classes.map((each) => each.name)],
              bind("default_template"),
            ),
            { errors: about("default_template"), hint: "For keys that say nothing else." },
          ),
          field(
            "Variable",
            input({ ...bind("export_name"), class: "mono", placeholder: "ACME_API_KEY" }),
            {
              errors: about("export_name"),
              key: "export_name",
              hint: "What its people keep a key in.",
            },
          ),
        ),
      ];
    },
    act: (state) =>
      post(
        "/tenants",
        Object.fromEntries(
          Object.entries(state).filter(([name, value]) => name !== "reason" && value !== ""),
        ),
        options,
      ),
  });
  if (made) forgetKnown();
  return made;
}

export async function editTenant(tenant) {
  const [offered, classes] = await Promise.all([catalog(), templates()]);
  const isOwn = tenant.tenant_id === ownTenant();
  return askAct({
    title: `Change “${tenant.name}”`,
    label: "Save",
    needsReason: false,
    text: null,
    values: {
      name: tenant.name,
      plan: tenant.plan,
      default_template: tenant.default_template,
      export_name: tenant.export_name,
      metadata: JSON.stringify(tenant.metadata, null, 2),
    },
    fields: (state, set, problem) => {
      const about = (name) => problem?.about?.(`/${name}`) ?? [];
      const bind = (name) => ({
        value: state[name],
        oninput: (event) => set({ [name]: event.target.value }),
      });
      return [
        field("Name", input({ ...bind("name"), maxlength: 100 }), {
          required: true,
          errors: about("name"),
        }),
        h(
          "div.field-grid",
          isOwn
            ? null
            : field(
                "Plan",
                select([["", "None"], ...offered.plans.map((each) => each.name)], bind("plan")),
                {
                  errors: about("plan"),
                  hint: "Limits the tenant as a whole, and its keys that have none.",
                },
              ),
          field(
            "Default template",
            select(
              [["", "That of the gateway"], ...classes.map((each) => each.name)],
              bind("default_template"),
            ),
            { errors: about("default_template") },
          ),
          field("Variable", input({ ...bind("export_name"), class: "mono" }), {
            errors: about("export_name"),
            key: "export_name",
            hint: "What its people keep a key in.",
          }),
        ),
        field(
          "Metadata",
          (given) =>
            h("textarea.mono", { ...given, rows: 4, spellcheck: "false", ...bind("metadata") }),
          { errors: about("metadata"), hint: "A JSON object." },
        ),
      ];
    },
    act: (state) =>
      changeTenant(tenant, {
        name: state.name,
        default_template: state.default_template || null,
        export_name: state.export_name || null,
        ...(isOwn ? {} : { plan: state.plan || null }),
        metadata: mergePatch(tenant.metadata, jsonOf(state.metadata)),
      }),
  });
}

export function jsonOf(text) {
  try {
    return text.trim() ? JSON.parse(text) : {};
  } catch {
    return text; // the API says that it is no object
  }
}

const stateAct = (verb, title, label, text, what, danger) => (tenant) =>
  askAct({
    title: `${title} “${tenant.name}”`,
    label,
    danger,
    text,
    act: async ({ reason }) => {
      const changed = await post(path(tenant.tenant_id, verb), { reason });
      forgetKnown();
      told(what, changed);
      return changed;
    },
  });

export const suspendTenant = stateAct(
  ":suspend",
  "Suspend",
  "Suspend",
  "All keys of this tenant are refused from now on, and their open streams are ended. Nothing is lost.",
  "Suspended",
  true,
);
export const resumeTenant = stateAct(
  ":resume",
  "Resume",
  "Resume",
  "The keys of this tenant work again, as far as they did by themselves.",
  "Resumed",
  false,
);

// Says what would go with the tenant before it asks: what has not ended goes only where that is wanted.
export async function deleteTenant(tenant) {
  let would;
  try {
    const everything = { reason: "What would go?", revoke_keys: true, delete_children: true };
    would = await remove(path(tenant.tenant_id), everything, { query: { dry_run: "true" } });
  } catch (error) {
    toast(`${tenant.name} cannot be deleted: ${error.message}`, "bad");
    return null;
  }
  const [keys, children] = [would.keys_revoked, would.children_deleted];
  const tokens = would.admin_tokens_revoked;
  return askAct({
    title: `Delete “${tenant.name}”`,
    label: "Delete for ever",
    danger: true,
    confirm: tenant.tenant_id,
    text: h(
      "div.stack",
      h("p", "The tenant is gone for ever, and its id is not used again. This cannot be undone."),
      h("p", "Its usage and what the audit trail says of it stay; its settings go."),
      tokens ? h("p", `${plural(tokens, "admin token")} bound to it will be revoked.`) : null,
    ),
    values: { revoke_keys: false, delete_children: false },
    fields: (state, set) => [
      keys
        ? checkbox(
            `Revoke ${plural(keys, "key")}, and end ${keys === 1 ? "its" : "their"} open streams`,
            state.revoke_keys,
            (isOn) => set({ revoke_keys: isOn }),
          )
        : null,
      children
        ? checkbox(
            `Delete ${plural(children, "child", "children")} with all that they own`,
            state.delete_children,
            (isOn) => set({ delete_children: isOn }),
          )
        : null,
    ],
    act: async (state) => {
      const gone = await remove(path(tenant.tenant_id), state, {
        headers: { "If-Match": `"${tenant.revision}"` },
      });
      forgetKnown();
      told("Deleted", gone);
      return gone;
    },
  });
}
