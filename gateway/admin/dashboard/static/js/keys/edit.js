// What can be changed about a key at any time: its name, limits, end, tags, metadata, permissions.

import { patch } from "../api.js";
import { h } from "../dom.js";
import { exact } from "../format.js";
import { catalog } from "../known.js";
import { askAct } from "../ui/dialog.js";
import { chips, field, input, select } from "../ui/form.js";
import { moment, path, told, until } from "./acts.js";
import { scopePicker } from "./scopes.js";

const match = (key) => ({ headers: { "If-Match": `"${key.revision}"` } });

export async function edit(key) {
  const offered = await catalog();
  return askAct({
    title: `Change “${key.name}”`,
    label: "Save",
    needsReason: false,
    text: null,
    values: {
      name: key.name,
      plan: key.plan,
      period: "",
      at: "",
      tags: [...key.tags],
      metadata: JSON.stringify(key.metadata, null, 2),
    },
    fields: (state, set, problem) => [
      field(
        "Name",
        input({
          value: state.name,
          maxlength: 100,
          oninput: (event) => set({ name: event.target.value }),
        }),
        { required: true, errors: problem?.about?.("/name") ?? [] },
      ),
      field(
        "Plan",
        select([["", "Of the tenant"], ...offered.plans.map((each) => each.name)], {
          value: state.plan,
          onchange: (event) => set({ plan: event.target.value }),
        }),
        { errors: problem?.about?.("/plan") ?? [] },
      ),
      until(state, set, problem, {
        name: "expires",
        label: "Expires",
        none: key.expires_at ? `As now (${exact(key.expires_at)})` : "Never, as now",
        more: key.expires_at ? [["never", "Never"]] : [],
      }),
      field(
        "Tags",
        chips(state.tags, (tags) => set({ tags })),
        { errors: problem?.about?.("/tags") ?? [] },
      ),
      field(
        "Metadata",
        (given) =>
          h("textarea.mono", {
            ...given,
            rows: 5,
            spellcheck: "false",
            value: state.metadata,
            oninput: (event) => set({ metadata: event.target.value }),
          }),
        { errors: problem?.about?.("/metadata") ?? [] },
      ),
    ],
    act: async (state) => {
      const changed = await patch(
        path(key),
        {
          name: state.name,
          plan: state.plan || null,
          ...(state.period === "never" ? { expires_at: null } : moment(state, "expires")),
          tags: state.tags,
          metadata: mergePatch(key.metadata, objectOf(state.metadata)),
        },
        match(key),
      );
      told("Saved", changed);
      return changed;
    },
  });
}

function objectOf(text) {
  try {
    return text.trim() ? JSON.parse(text) : {};
  } catch {
    return text;
  }
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// What makes `before` into `after` (RFC 7396): what is gone becomes null.
export function mergePatch(before, after) {
  if (!isObject(before) || !isObject(after)) return after;
  const gone = Object.keys(before).filter((name) => !(name in after));
  return {
    ...Object.fromEntries(gone.map((name) => [name, null])),
    ...Object.fromEntries(
      Object.entries(after).map(([name, value]) => [name, mergePatch(before[name], value)]),
    ),
  };
}

export async function editScopes(key) {
  const offered = await catalog();
  return askAct({
    title: `Permissions of “${key.name}”`,
    label: "Save",
    needsReason: false,
    text: "What is taken away is refused from the next request on, and streams that needed it are ended.",
    values: { scopes: [...key.scopes] },
    fields: (state, set, problem) =>
      scopePicker(
        offered,
        state.scopes,
        (scopes) => set({ scopes }),
        problem?.about?.("/scopes") ?? [],
      ),
    act: async ({ scopes }) => {
      const changed = await patch(path(key), { scopes }, match(key));
      told("Saved", changed);
      return changed;
    },
  });
}
