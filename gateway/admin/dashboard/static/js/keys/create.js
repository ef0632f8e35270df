// The dialog that makes a key: for whom, what for, for how long, and from where.

import { idempotencyKey, post } from "../api.js";
import { h } from "../dom.js";
import { catalog, templates, tenantOptions, tenants } from "../known.js";
import { can, ownTenant } from "../session.js";
import { dialog } from "../ui/dialog.js";
import {
  area,
  chips,
  choices,
  field,
  input,
  PERIODS,
  select,
  suggest,
  toInstant,
} from "../ui/form.js";
import { plural, duration } from "../format.js";
import { notice, problemBox } from "../ui/parts.js";
import { scopePicker } from "./scopes.js";
import { showSecret } from "./secret.js";

const CUSTOM = "custom";
const TENANTS_LISTED_MAX = 50;

// Resolves with the key that was made, or undefined.
export async function createKey({ tenantId = "", heading = "Create key" } = {}) {
  const [owners, offered, classes] = await Promise.all([tenants(), catalog(), templates()]);
  const wish = startingWith(
    tenantId || ownTenant() || (owners.size === 1 ? [...owners.keys()][0] : ""),
    classes,
  );
  let [problem, warnings, isBusy, key] = [null, null, false, idempotencyKey()];

  const made = await dialog(heading, ({ close, update, element }) => {
    const set = (changes) => {
      Object.assign(wish, changes);
      [warnings, key] = [null, idempotencyKey()];
      update();
    };
    const submit = async (event) => {
      event.preventDefault();
      if (isBusy) return;
      [isBusy, problem] = [true, null];
      update();
      try {
        const body = bodyOf(wish);
        // What there is to be said about the key, before it is made.
        if (!warnings)
          warnings = (await post("/keys", body, { query: { dry_run: "true" } })).warnings;
        if (!warnings.length || wish.isWarned)
          close(await post("/keys", body, { headers: { "Idempotency-Key": key } }));
        wish.isWarned = warnings.length > 0;
      } catch (error) {
        problem = error;
      }
      isBusy = false;
      update();
      element.querySelector(".notice")?.scrollIntoView({ block: "center" });
    };
    return formOf({
      wish,
      set,
      submit,
      close,
      problem,
      warnings: wish.isWarned ? warnings : null,
      isBusy,
      owners,
      offered,
      classes,
    });
  });
  if (!made) return undefined;
  await showSecret(`Key “${made.key.name}”`, made);
  return made.key;
}

function startingWith(tenantId, classes) {
  return {
    tenant_id: tenantId,
    name: "",
    template: classes.find((each) => each.is_default)?.name ?? classes[0]?.name ?? CUSTOM,
    scopes: [],
    environment: "",
    expiry: "",
    expires_at: "",
    allowlist: "",
    mode: "enforce",
    plan: "",
    tags: [],
    format: "",
    kind: "",
    tenants: [],
    metadata: "",
    deliver_in: "",
    isWarned: false,
  };
}

// The form as the API takes it: what is not said is left to the template.
function bodyOf(wish) {
  const body = { tenant_id: wish.tenant_id.trim(), name: wish.name.trim() };
  if (wish.template === CUSTOM) body.scopes = wish.scopes;
  else body.template = wish.template;
  for (const name of ["environment", "plan", "format", "kind", "deliver_in"])
    if (wish[name]) body[name] = wish[name];
  const entries = wish.allowlist
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  if (entries.length) Object.assign(body, { ip_allowlist: entries, ip_allowlist_mode: wish.mode });
  if (wish.expiry === "at") body.expires_at = toInstant(wish.expires_at);
  else if (wish.expiry) body.expires_in = wish.expiry;
  if (wish.tags.length) body.tags = wish.tags;
  if (wish.kind === "multi_tenant" && wish.tenants.length) body.tenants = wish.tenants;
  if (wish.metadata.trim()) body.metadata = parsed(wish.metadata);
  return body;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // the API says what is wrong with it, and where
  }
}

function formOf({ wish, set, submit, close, problem, warnings, isBusy, owners, offered, classes }) {
  const about = (pointer) => problem?.about?.(pointer) ?? [];
  const bind = (name) => ({
    value: wish[name],
    oninput: (event) => set({ [name]: event.target.value }),
  });
  const options = tenantOptions(owners);
  const isListed = options.length && options.length <= TENANTS_LISTED_MAX;
  const chosen = classes.find((each) => each.name === wish.template);
  const known = [
    "/tenant_id",
    "/name",
    "/scopes",
    "/environment",
    "/ip_allowlist",
    "/expires_at",
    "/expires_in",
    "/plan",
    "/tags",
    "/metadata",
    "/tenants",
    "/deliver_in",
    "/format",
  ];
  const isElsewhere =
    problem &&
    !problem.errors?.some((each) => known.some((pointer) => each.pointer.startsWith(pointer)));
  return h(
    "form",
    { onsubmit: submit, novalidate: true },
    isElsewhere ? problemBox(problem, null, "The key was not made") : null,
    problem && !isElsewhere
      ? notice("bad", h("p", "Some fields cannot be accepted; they say why."))
      : null,
    h(
      "div.field-grid",
      field(
        "Name",
        input({ ...bind("name"), maxlength: 100, autofocus: true, placeholder: "Nightly export" }),
        { required: true, errors: about("/name"), hint: "What the key is for." },
      ),
      field(
        "Tenant",
        isListed
          ? select([["", "Choose …"], ...options], bind("tenant_id"))
          : suggest(options, bind("tenant_id")),
        { required: true, errors: about("/tenant_id"), hint: "Whom it belongs to." },
      ),
    ),
    choices(
      "Template",
      [
        ...classes.map((each) => ({ value: each.name, title: each.name, text: textOf(each) })),
        { value: CUSTOM, title: "Custom permissions", text: "Pick exactly what the key may do." },
      ],
      wish.template,
      (template) => set({ template }),
    ),
    wish.template === CUSTOM
      ? scopePicker(offered, wish.scopes, (scopes) => set({ scopes }), about("/scopes"))
      : grantedBy(chosen),
    h(
      "div.field-grid",
      field(
        "Environment",
        select(
          [
            ["", chosen?.environment ? `Of the template (${chosen.environment})` : "Choose …"],
            ...offered.environments.map((each) => each.name),
          ],
          bind("environment"),
        ),
        { required: !chosen?.environment, errors: about("/environment") },
      ),
      field(
        "Expires",
        select(
          [
            [
              "",
              chosen?.expires_after_seconds
                ? `Of the template (${duration(chosen.expires_after_seconds)})`
                : "Never",
            ],
            ...PERIODS.map(([value, text]) => [value, `In ${text}`]),
            ["at", "At a time …"],
          ],
          bind("expiry"),
        ),
        {
          errors: [...about("/expires_in"), ...(wish.expiry === "at" ? [] : about("/expires_at"))],
        },
      ),
      wish.expiry === "at"
        ? field("Until", input({ ...bind("expires_at"), type: "datetime-local" }), {
            required: true,
            errors: about("/expires_at"),
          })
        : null,
      field(
        "Plan",
        select(
          [
            ["", chosen?.plan ? `Of the template (${chosen.plan})` : "Of the tenant"],
            ...offered.plans.map((each) => each.name),
          ],
          bind("plan"),
        ),
        { errors: about("/plan"), hint: "Limits of the key." },
      ),
    ),
    field(
      "Addresses that may use it",
      area({
        ...bind("allowlist"),
        rows: 3,
        class: "mono",
        placeholder: "203.0.113.7\n198.51.100.0/24 # office",
      }),
      {
        key: "allowlist",
        errors: about("/ip_allowlist"),
        hint: "Addresses or CIDR ranges, one per line; what follows # is a comment. Empty allows every address.",
      },
    ),
    wish.allowlist.trim()
      ? field(
          "How strictly",
          select(
            [
              ["enforce", "Refuse other addresses"],
              ["shadow", "Only count them (shadow mode)"],
            ],
            bind("mode"),
          ),
        )
      : null,
    field(
      "Tags",
      chips(wish.tags, (tags) => set({ tags })),
      { errors: about("/tags"), hint: "For finding it. Enter adds one." },
    ),
    further({ wish, set, bind, about, offered, options }),
    warnings?.length
      ? notice(
          "warn",
          h("p", h("strong", "Before you go on:")),
          h(
            "ul",
            warnings.map((text) => h("li", text)),
          ),
        )
      : null,
    h(
      "div.dialog-foot",
      h("button", { type: "button", onclick: () => close() }, "Cancel"),
      h(
        "button.primary",
        { type: "submit", "aria-disabled": isBusy ? "true" : null },
        isBusy ? "Creating …" : warnings?.length ? "Create anyway" : "Create key",
      ),
    ),
  );
}

const textOf = (each) =>
  [
    plural(each.granted_scopes.length, "permission"),
    each.environment,
    each.kind === "multi_tenant" ? "several tenants" : "",
    each.expires_after_seconds ? `for ${duration(each.expires_after_seconds)}` : "",
  ]
    .filter(Boolean)
    .join(" · ");

const grantedBy = (chosen) =>
  chosen
    ? h(
        "details.granted",
        { key: "granted" },
        h("summary", `What “${chosen.name}” may do`),
        chosen.granted_scopes.length
          ? h(
              "ul.scope-tags",
              chosen.granted_scopes.map((each) => h("li", h("code.tag", each))),
            )
          : h("p.muted", "Nothing yet: its scopes grant no permission."),
      )
    : null;

function further({ wish, set, bind, about, offered, options }) {
  const isBarred = !can("administer");
  return h(
    "details.further",
    { key: "further" },
    h("summary", "More"),
    h(
      "div.stack",
      h(
        "div.field-grid",
        field(
          "Hand over by link",
          select(
            [
              ["", "No: show the secret here"],
              ...PERIODS.slice(0, 3).map(([value, text]) => [value, `Link that works for ${text}`]),
            ],
            bind("deliver_in"),
          ),
          {
            errors: about("/deliver_in"),
            hint: "Whoever opens the link first sees the key, once.",
          },
        ),
        offered.formats.length > 1
          ? field(
              "Format",
              select(
                [
                  ["", "Of the template"],
                  ...offered.formats.map((each) => [
                    each.name,
                    `${each.name} (${each.prefix || "no prefix"})`,
                  ]),
                ],
                bind("format"),
              ),
              { errors: about("/format") },
            )
          : null,
        field(
          "Acts for",
          select(
            [
              ["", "Of the template"],
              ["regular", "Its own tenant"],
              ["multi_tenant", "Several tenants"],
            ],
            { ...bind("kind"), disabled: isBarred },
          ),
          {
            errors: about("/kind"),
            hint: isBarred ? "Only administrators make keys for several tenants." : "",
          },
        ),
      ),
      wish.kind === "multi_tenant"
        ? field(
            "Tenants",
            chips(wish.tenants, (tenants) => set({ tenants }), {
              suggestions: options.map(([value]) => value),
            }),
            { errors: about("/tenants"), hint: "Beside the children of its own." },
          )
        : null,
      field(
        "Metadata",
        area({ ...bind("metadata"), class: "mono", placeholder: '{"team": "data"}' }),
        {
          errors: about("/metadata"),
          hint: "A JSON object.",
        },
      ),
    ),
  );
}
