// Fields of forms, each with its label, what it is for, and what is wrong with it.

import { h } from "../dom.js";
import { icon } from "./icons.js";

let prefix = "field-";

// Gives the fields that `make` makes ids of their own: a dialog may ask for what the page behind it asks for, too.
export function within(name, make) {
  const before = prefix;
  prefix = `${name}-`;
  try {
    return make();
  } finally {
    prefix = before;
  }
}

// A field around a control that `make(props)` makes. `errors` are those of a `Problem`.
export function field(
  label,
  make,
  { hint = "", errors = [], required = false, optional = false, key = label, wide = false } = {},
) {
  const id = `${prefix}${key.replaceAll(/[^A-Za-z0-9]+/g, "-").toLowerCase()}`;
  const described = [hint ? `${id}-hint` : "", errors.length ? `${id}-error` : ""]
    .filter(Boolean)
    .join(" ");
  const props = {
    id,
    "aria-describedby": described || null,
    "aria-invalid": errors.length ? "true" : null,
    required,
  };
  return h(
    "div.field",
    { key: `field-${key}`, class: wide ? "wide" : "" },
    h("label", { for: id }, label, optional ? h("span.optional", " optional") : null),
    make(props),
    hint ? h("p.hint", { id: `${id}-hint` }, hint) : null,
    errors.length
      ? h(
          "p.field-error",
          { id: `${id}-error` },
          icon("warning"),
          h("span", errors.map((each) => each.detail).join("; ")),
        )
      : null,
  );
}

export const input = (props) => (given) =>
  h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...props, ...given });
export const area = (props) => (given) =>
  h("textarea", { rows: 3, spellcheck: "false", ...props, ...given });

// `options` are texts, or pairs of a value and a text.
export const select = (options, props) => (given) =>
  h(
    "select",
    { ...props, ...given },
    options
      .map((each) => (Array.isArray(each) ? each : [each, each]))
      .map(([value, text]) => h("option", { value, key: `o-${value}` }, text)),
  );

// A text that may be one of many that are known.
export const suggest = (options, props) => (given) => {
  const list = `${given.id}-list`;
  return h(
    "div.suggest",
    h("input", {
      type: "text",
      autocomplete: "off",
      spellcheck: "false",
      list,
      ...props,
      ...given,
    }),
    h(
      "datalist",
      { id: list },
      options.map(([value, text]) => h("option", { value }, text)),
    ),
  );
};

// On or off, at once.
export function toggle(label, isOn, change, { disabled = false, title = null } = {}) {
  return h(
    "label.switch",
    { title, class: disabled ? "is-off" : "" },
    h("input", {
      type: "checkbox",
      role: "switch",
      checked: isOn,
      "aria-disabled": disabled ? "true" : null,
      onclick: (event) => disabled && event.preventDefault(),
      onchange: (event) => !disabled && change(event.target.checked),
    }),
    h("span.track", { "aria-hidden": "true" }),
    h("span", label),
  );
}

export const checkbox = (label, isOn, change, props = {}) =>
  h(
    "label.check",
    h("input", {
      type: "checkbox",
      checked: isOn,
      onchange: (event) => change(event.target.checked),
      ...props,
    }),
    h("span", label),
  );

// A choice among few, each explained: `{value, title, text, extra}`.
export function choices(legend, list, chosen, choose, { hint = "" } = {}) {
  const name = `choice-${legend.replaceAll(/\W+/g, "-").toLowerCase()}`;
  return h(
    "fieldset.choices",
    { key: name },
    h("legend", legend),
    hint ? h("p.hint", hint) : null,
    h(
      "div.choice-grid",
      list.map((each) =>
        h(
          "label.choice",
          { key: each.value, class: each.value === chosen ? "is-chosen" : "" },
          h("input", {
            type: "radio",
            name,
            value: each.value,
            checked: each.value === chosen,
            onchange: () => choose(each.value),
          }),
          h(
            "span.choice-body",
            h("span.choice-title", each.title),
            each.text ? h("span.choice-text", each.text) : null,
            each.extra ?? null,
          ),
        ),
      ),
    ),
  );
}

// Several words: Enter, a comma or leaving the field adds one; Backspace in the empty field takes the last.
export function chips(
  list,
  change,
  { placeholder = "", suggestions = [], complain = () => "" } = {},
) {
  return (given) => {
    const listId = `${given.id}-list`;
    const add = (input) => {
      const words = input.value
        .split(/[,\n]/)
        .map((word) => word.trim())
        .filter(Boolean);
      const wrong = words.map(complain).find(Boolean) ?? "";
      input.setCustomValidity(wrong);
      if (wrong) return input.reportValidity();
      input.value = "";
      if (words.length) change([...new Set([...list, ...words])]);
      return true;
    };
    const keydown = (event) => {
      if (event.key === "Enter" || event.key === ",") {
        event.preventDefault();
        add(event.currentTarget);
      } else if (event.key === "Backspace" && !event.currentTarget.value && list.length)
        change(list.slice(0, -1));
    };
    return h(
      "div.chips",
      list.map((word) =>
        h(
          "span.chip",
          { key: `chip-${word}` },
          word,
          h(
            "button",
            {
              type: "button",
              "aria-label": `Remove ${word}`,
              onclick: () => change(list.filter((each) => each !== word)),
            },
            icon("cross"),
          ),
        ),
      ),
      h("input", {
        ...given,
        key: "entry",
        required: false,
        type: "text",
        autocomplete: "off",
        spellcheck: "false",
        list: suggestions.length ? listId : null,
        placeholder: list.length ? "" : placeholder,
        onkeydown: keydown,
        oninput: (event) => event.target.setCustomValidity(""),
        onblur: (event) => event.target.value && add(event.target),
      }),
      suggestions.length
        ? h(
            "datalist",
            { id: listId },
            suggestions.map((each) => h("option", { value: each })),
          )
        : null,
    );
  };
}

// Durations as the API takes them, for a person to choose from.
export const PERIODS = [
  ["1h", "1 hour"],
  ["1d", "1 day"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
  ["180d", "180 days"],
  ["365d", "1 year"],
];

export const isDuration = (text) => /^[0-9]{1,9}[smhdw]$/.test(text);

// The local time of an input of kind `datetime-local`, as the API takes it.
export const toInstant = (local) => (local ? new Date(local).toISOString() : null);

// Filters over a list: each `{name, label, control}` with a control of `select`, `input` or `suggest`.
export const filterBar = (...filters) =>
  h(
    "form.filters",
    {
      key: "filters",
      role: "search",
      "aria-label": "Filter",
      onsubmit: (event) => event.preventDefault(),
    },
    filters.filter(Boolean).map(({ name, label, control }) => {
      const id = `filter-${name}`;
      return h(
        "div.filter",
        { key: name, class: `filter-${name}` },
        h("label", { for: id }, label),
        control({ id, name }),
      );
    }),
  );

// Calls `act` when nobody has typed for a moment, with all changes since then together.
export function settled(act, milliseconds = 250) {
  let timer = 0;
  let changes = {};
  return (more = {}) => {
    clearTimeout(timer);
    changes = { ...changes, ...more };
    timer = setTimeout(() => {
      const all = changes;
      changes = {};
      act(all);
    }, milliseconds);
  };
}
