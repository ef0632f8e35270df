// Picks scopes: bundles, single permissions by what they are about, and whatever else the API understands.

import { h } from "../dom.js";
import { checkbox, chips, field } from "../ui/form.js";

// What a scope is about: of `jobs:read` and `jobs:write` the part that they share.
function groupsOf(scopes) {
  const parts = scopes.map((scope) => scope.split(":"));
  const distinct = (n) => new Set(parts.map((each) => each[n] ?? "")).size;
  const by = distinct(0) <= distinct(1) || parts.every((each) => each.length === 1) ? 0 : 1;
  const isActionFirst = parts.every((each) =>
    ["read", "write", "delete", "admin", "*"].includes(each[0]),
  );
  const groups = new Map();
  for (const scope of scopes) {
    const about = scope.split(":")[isActionFirst ? 1 : scope.includes(":") ? 0 : by] ?? "other";
    groups.set(about, [...(groups.get(about) ?? []), scope]);
  }
  return [...groups];
}

// `chosen` are names of scopes; `change` is told the new list.
export function scopePicker(offered, chosen, change, errors = []) {
  const has = (name) => chosen.includes(name);
  const put = (name) => (isOn) =>
    change(isOn ? [...chosen, name] : chosen.filter((each) => each !== name));
  const known = new Set([...offered.scopes, ...offered.bundles.map((each) => each.name)]);
  const others = chosen.filter((each) => !known.has(each));
  const keepKnown = chosen.filter((each) => known.has(each));
  return h(
    "fieldset.scopes",
    { key: "scopes" },
    h("legend", "Permissions"),
    errors.length
      ? h("p.field-error", { role: "alert" }, errors.map((each) => each.detail).join("; "))
      : null,
    offered.bundles.length
      ? h(
          "div.scope-group",
          h("h3", "Bundles"),
          h(
            "div.scope-list",
            offered.bundles.map((each) =>
              checkbox(
                [each.name, h("span.cell-sub", [...each.includes, ...each.add].join(", "))],
                has(each.name),
                put(each.name),
              ),
            ),
          ),
        )
      : null,
    h(
      "div.scope-columns",
      groupsOf(offered.scopes).map(([about, scopes]) =>
        h(
          "div.scope-group",
          { key: about },
          h("h3", about),
          h(
            "div.scope-list",
            scopes.map((scope) => checkbox(h("code", scope), has(scope), put(scope))),
          ),
        ),
      ),
    ),
    field(
      "Wildcards",
      chips(others, (list) => change([...keepKnown, ...list]), { placeholder: "*:read" }),
      {
        key: "wildcards",
        hint: "A * stands for one whole part, such as *:read; alone, for everything.",
      },
    ),
  );
}
