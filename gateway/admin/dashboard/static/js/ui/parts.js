// The parts that pages are made of.

import { h, spoken, uid } from "../dom.js";
import { reasonAgainst } from "../session.js";
import { icon } from "./icons.js";
import { toast } from "./toast.js";

// The heading of a page. `crumbs` are pairs of a text and an address; `actions` stand at its end.
export function pageHead(title, { lead, crumbs = [], actions = [], badge = null } = {}) {
  return h(
    "header.page-head",
    { key: "page-head" },
    crumbs.length
      ? h(
          "nav.crumbs",
          { "aria-label": "Breadcrumb" },
          h(
            "ol",
            crumbs.map(([text, href]) => h("li", href ? h("a", { href }, text) : text)),
          ),
        )
      : null,
    h("div.page-title", h("h1", title), badge, h("div.actions", actions)),
    lead ? h("p.lead", lead) : null,
  );
}

export function card(title, props, ...children) {
  const { actions = [], note = null, level = 2, ...rest } = props ?? {};
  const id = uid("card");
  return h(
    "section.card",
    { ...rest, "aria-labelledby": title ? id : null },
    title
      ? h(
          "div.card-head",
          h(`h${level}`, { id }, title),
          note ? h("p.card-note", note) : null,
          h("div.actions", actions),
        )
      : null,
    children,
  );
}

// One number that matters. `trend` may be a small chart.
export const stat = (label, value, { note = null, trend = null, kind = "", href = null } = {}) =>
  h(
    "div.stat",
    { class: kind, key: `stat-${label}` },
    h("p.stat-label", href ? h("a", { href }, label) : label),
    h("p.stat-value", value),
    trend,
    note ? h("p.stat-note", note) : null,
  );

// States and kinds: shape and words say the same as the colour.
const MARKS = {
  good: "check",
  warn: "alert",
  bad: "cross",
  info: "info",
  held: "pause",
  off: "minus",
  busy: "rotate",
};

export const badge = (text, kind = "off", title = null) =>
  h("span.badge", { class: kind, title }, icon(MARKS[kind] ?? "minus"), text);

const KEY_STATES = {
  active: "good",
  suspended: "held",
  rotating: "busy",
  expired: "warn",
  revoked: "bad",
};
export const keyState = (state) => badge(state, KEY_STATES[state] ?? "off");
const TENANT_STATES = { active: "good", suspended: "held" };
export const tenantState = (state) => badge(state, TENANT_STATES[state] ?? "off");

export const tag = (text) => h("span.tag", text);
export const tags = (list, instead = "–") =>
  list.length ? h("span.tags", list.map(tag)) : h("span.muted", instead);

// Pairs of a name and a value.
export const facts = (pairs) =>
  h(
    "dl.facts",
    pairs.filter(Boolean).map(([name, value]) => h("div", h("dt", name), h("dd", value))),
  );

export const empty = (title, text = "", action = null, pictured = "search") =>
  h("div.empty", icon(pictured), h("p.empty-title", title), text ? h("p", text) : null, action);

export const skeleton = (lines = 4) =>
  h(
    "div.skeleton",
    { key: "skeleton", role: "status" },
    spoken("Loading …"),
    Array.from({ length: lines }, (_, n) =>
      h("div.bar", { "aria-hidden": "true", vars: { "--n": String(n) } }),
    ),
  );

const titleOf = (error) =>
  ({ 403: "This is not for your role", 404: "Not found" })[error.status] ??
  "This could not be loaded";

// What went wrong, with what to ask about it.
export function problemBox(error, retry = null, title = titleOf(error)) {
  return h(
    "div.notice.bad",
    { key: "problem", role: "alert" },
    icon("warning"),
    h(
      "div",
      h("h2", title),
      h("p", error.detail ?? error.message),
      error.errors?.length
        ? h(
            "ul",
            error.errors.map((each) => h("li", h("code", each.pointer), " ", each.detail)),
          )
        : null,
      error.requestId ? h("p.muted", "Request ", copyable(error.requestId)) : null,
      retry ? h("button", { type: "button", onclick: retry }, icon("refresh"), "Try again") : null,
    ),
  );
}

export const staleNote = (error, retry) =>
  h(
    "div.notice.warn.slim",
    { key: "stale", role: "status" },
    icon("alert"),
    h("p", "Not refreshed: ", error.detail ?? error.message),
    h("button", { type: "button", onclick: retry }, "Try again"),
  );

export const notice = (kind, ...children) =>
  h(
    "div.notice",
    { class: kind },
    icon({ warn: "alert", bad: "warning", good: "check", info: "info" }[kind] ?? "info"),
    h("div", children),
  );

export async function copyText(text, what = "Copied.") {
  const isCopied = await copied(text);
  if (isCopied) toast(what, "good");
  else toast("The browser did not allow copying: select the text and copy it.", "bad");
  return isCopied;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text);
  }
}

// Without TLS browsers have no clipboard for pages, but still copy what is selected.
function copiedByHand(text) {
  const area = h("textarea.visually-hidden", {
    value: text,
    readonly: true,
    "aria-hidden": "true",
  });
  const before = document.activeElement;
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    before?.focus();
  }
}

// An id that can be copied with one press.
export const copyable = (text, shown = text) =>
  h(
    "span.copyable",
    h("code", { title: text }, shown),
    h(
      "button.icon",
      {
        type: "button",
        "aria-label": `Copy ${text}`,
        title: "Copy",
        onclick: () => copyText(text),
      },
      icon("copy"),
    ),
  );

// A button for an act; `name` tells it from others when its label changes. Without the right that it needs it is there,
// switched off, and says why.
export function actButton(
  label,
  { right = null, onclick, kind = "", pictured = null, disabled = "", name = label } = {},
) {
  const against = reasonAgainst(right) || disabled;
  return h(
    "button",
    {
      type: "button",
      key: `act-${name}`,
      class: kind,
      "aria-disabled": against ? "true" : null,
      title: against || null,
      onclick: against
        ? (event) => {
            event.preventDefault();
            toast(against);
          }
        : onclick,
    },
    pictured ? icon(pictured) : null,
    label,
    against ? spoken(` (${against})`) : null,
  );
}

// Tabs over panels: `tabs` are `{id, label, panel}`; arrows move between them.
export function tabs(label, list, chosen, choose) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const now = list.findIndex((each) => each.id === chosen);
    const next =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? list.length - 1
          : step
            ? (now + step + list.length) % list.length
            : -1;
    if (next < 0) return;
    event.preventDefault();
    const bar = event.currentTarget;
    choose(list[next].id);
    bar.querySelectorAll("[role=tab]")[next].focus();
  };
  return h(
    "div.tabs",
    { role: "tablist", "aria-label": label, onkeydown: move },
    list.map((each) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${each.id}`,
          key: each.id,
          "aria-selected": each.id === chosen,
          "aria-controls": `panel-${each.id}`,
          tabindex: each.id === chosen ? "0" : "-1",
          onclick: () => choose(each.id),
        },
        each.label,
      ),
    ),
  );
}

export const tabPanel = (id, ...children) =>
  h(
    "div.tab-panel",
    {
      role: "tabpanel",
      id: `panel-${id}`,
      key: `panel-${id}`,
      "aria-labelledby": `tab-${id}`,
      tabindex: "0",
    },
    children,
  );

// A JSON object of free content, flat as far as it is.
export const metadata = (object) =>
  h(
    "span.tags",
    Object.entries(object).map(([name, value]) =>
      tag(`${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`),
    ),
  );
