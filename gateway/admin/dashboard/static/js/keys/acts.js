// What may be done to a key, and when: each act asks for its reason and says what it does.

import { idempotencyKey, post, remove } from "../api.js";
import { h } from "../dom.js";
import { plural, timeExact } from "../format.js";
import { askAct } from "../ui/dialog.js";
import { field, input, PERIODS, select, toInstant } from "../ui/form.js";
import { toast } from "../ui/toast.js";
import { showSecret } from "./secret.js";

export const path = (key, verb = "") => `/keys/${encodeURIComponent(key.key_id)}${verb}`;
const retried = () => ({ headers: { "Idempotency-Key": idempotencyKey() } });

// Says how far a change has reached.
export function told(what, changed) {
  const reached = changed.enforcement;
  if (!reached) return toast(`${what}.`, "good");
  const streams = reached.streams_closed
    ? `; ${plural(reached.streams_closed, "open stream")} ended`
    : "";
  if (reached.silent.length)
    return toast(
      `${what}, but ${reached.silent.join(", ")} has not answered yet${streams}.`,
      "bad",
    );
  const where = reached.of > 1 ? ` in all ${reached.of} processes` : "";
  return toast(
    `${what}. In force${where} since ${timeExact(reached.effective_at)}${streams}.`,
    "good",
  );
}

// When something shall happen: in so long, or at a time.
export const until = (state, set, problem, { name, label, none, more = [] }) => [
  field(
    label,
    select(
      [
        ["", none],
        ...more,
        ...PERIODS.map(([value, text]) => [value, `In ${text}`]),
        ["at", "At a time …"],
      ],
      { value: state.period, onchange: (event) => set({ period: event.target.value }) },
    ),
    {
      key: "period",
      errors: ["at", "in"].flatMap((end) => problem?.about?.(`/${name}_${end}`) ?? []),
    },
  ),
  state.period === "at"
    ? field(
        "Time",
        input({
          type: "datetime-local",
          value: state.at,
          oninput: (event) => set({ at: event.target.value }),
        }),
        { required: true },
      )
    : null,
];

export const moment = (state, name) =>
  state.period === "at"
    ? { [`${name}_at`]: toInstant(state.at) }
    : state.period
      ? { [`${name}_in`]: state.period }
      : {};

export const suspend = (key) =>
  askAct({
    title: `Suspend “${key.name}”`,
    label: "Suspend",
    text: "Requests with this key are refused from now on. Nothing is lost: it can be resumed.",
    values: { period: "", at: "" },
    fields: (state, set, problem) =>
      until(state, set, problem, {
        name: "resume",
        label: "Works again",
        none: "When it is resumed",
      }),
    act: async (state) => {
      const changed = await post(path(key, ":suspend"), {
        reason: state.reason,
        ...moment(state, "resume"),
      });
      told("Suspended", changed);
      return changed;
    },
  });

export const resume = (key) =>
  askAct({
    title: `Resume “${key.name}”`,
    label: "Resume",
    text: "Requests with this key are let through again.",
    act: async ({ reason }) => {
      const changed = await post(path(key, ":resume"), { reason });
      told("Resumed", changed);
      return changed;
    },
  });

export const extend = (key) =>
  askAct({
    title: `Extend “${key.name}”`,
    label: "Extend",
    text:
      key.state === "expired"
        ? "The key has expired. With a new end it works again."
        : "The key gets a new end.",
    values: { period: "90d", at: "" },
    fields: (state, set, problem) =>
      until(state, set, problem, { name: "expires", label: "Expires", none: "Choose …" }),
    act: async (state) => {
      const changed = await post(path(key, ":extend"), {
        reason: state.reason,
        ...moment(state, "expires"),
      });
      told("Extended", changed);
      return changed;
    },
  });

export const revoke = (key) =>
  askAct({
    title: `Revoke “${key.name}”`,
    label: "Revoke for ever",
    danger: true,
    confirm: "revoke",
    text: "The key stops at once and for ever. Open streams under it are ended. This cannot be undone.",
    act: async ({ reason }) => {
      const changed = await post(path(key, ":revoke"), { reason });
      told("Revoked", changed);
      return changed;
    },
  });

export const deleteKey = (key) =>
  askAct({
    title: `Delete “${key.name}”`,
    label: "Delete",
    danger: true,
    confirm: "delete",
    text: "The key is revoked and leaves the lists. Its history and what the audit trail says of it stay.",
    act: async ({ reason }) => {
      const changed = await remove(path(key), { reason });
      told("Deleted", changed);
      return changed;
    },
  });

// `tighter` are scopes and an allowlist that give the new key less than the old one has; null keeps what it has.
export async function rotate(key, tighter = {}) {
  const options = retried();
  const less = Object.fromEntries(Object.entries(tighter).filter(([, value]) => value));
  const same = Object.keys(less).length ? "fewer rights" : "the same settings";
  const begun = await askAct({
    title: `Rotate “${key.name}”`,
    label: "Rotate",
    text: `A new key with ${same} is made. Both work until the rotation is completed or its time is over.`,
    values: { grace: "", deliver_in: "" },
    fields: (state, set, problem) =>
      h(
        "div.field-grid",
        field(
          "The old key works for",
          select([["", "As configured"], ["0s", "Not at all"], ...PERIODS], {
            value: state.grace,
            onchange: (event) => set({ grace: event.target.value }),
          }),
          { errors: problem?.about?.("/grace") ?? [] },
        ),
        field(
          "New secret",
          select(
            [
              ["", "Show it here"],
              ["1d", "Link for 1 day"],
              ["7d", "Link for 7 days"],
            ],
            {
              value: state.deliver_in,
              onchange: (event) => set({ deliver_in: event.target.value }),
            },
          ),
          { errors: problem?.about?.("/deliver_in") ?? [] },
        ),
      ),
    act: ({ reason, grace, deliver_in: deliverIn }) =>
      post(
        path(key, ":rotate"),
        {
          reason,
          ...less,
          ...(grace ? { grace } : {}),
          ...(deliverIn ? { deliver_in: deliverIn } : {}),
        },
        options,
      ),
  });
  if (begun)
    await showSecret(`New key for “${key.name}”`, begun, {
      lead: "The old key goes on working for a while.",
    });
  return begun;
}

export async function compromise(key) {
  const options = retried();
  const opened = await askAct({
    title: `“${key.name}” may be known to others`,
    label: "Revoke and open an incident",
    danger: true,
    confirm: "compromised",
    text: "The key is revoked at once. An incident is opened that lists what was done with it.",
    values: { since: "", replacement: "yes" },
    fields: (state, set, problem) =>
      h(
        "div.field-grid",
        field(
          "Known since",
          input({
            type: "datetime-local",
            value: state.since,
            oninput: (event) => set({ since: event.target.value }),
          }),
          { hint: "Empty: since it was made.", errors: problem?.about?.("/since") ?? [] },
        ),
        field(
          "Replacement",
          select(
            [
              ["yes", "Make a new key with the same settings"],
              ["no", "None"],
            ],
            {
              value: state.replacement,
              onchange: (event) => set({ replacement: event.target.value }),
            },
          ),
        ),
      ),
    act: ({ reason, since, replacement }) =>
      post(
        path(key, ":compromise"),
        {
          reason,
          with_replacement: replacement === "yes",
          ...(since ? { since: toInstant(since) } : {}),
        },
        options,
      ),
  });
  if (!opened) return undefined;
  told("Revoked; an incident is open", opened);
  if (opened.secret) await showSecret(`Replacement for “${key.name}”`, opened);
  return opened;
}

// The acts that a state allows, in the order of how often they are wanted.
export function actsFor({ state, expires_at: expiresAt }) {
  const isInUse = state === "active" || state === "rotating";
  return [
    state === "active" ? { label: "Rotate", pictured: "rotate", run: rotate } : null,
    state === "suspended" ? { label: "Resume", pictured: "play", run: resume } : null,
    isInUse ? { label: "Suspend", pictured: "pause", run: suspend } : null,
    state === "revoked" || !expiresAt ? null : { label: "Extend", pictured: "clock", run: extend },
    state === "revoked"
      ? null
      : { label: "Compromised", pictured: "alert", kind: "danger", run: compromise },
    state === "revoked"
      ? { label: "Delete", pictured: "trash", kind: "danger", run: deleteKey }
      : { label: "Revoke", pictured: "stop", kind: "danger", run: revoke },
  ].filter(Boolean);
}
