// How the replacement of a key goes on: who has moved to the new one, who has not, and how to end it.

import { get, optional, post } from "../api.js";
import { h } from "../dom.js";
import { count, duration, moment, plural } from "../format.js";
import { live } from "../live.js";
import { keyPath } from "../pages/index.js";
import { can } from "../session.js";
import { askAct } from "../ui/dialog.js";
import { actButton, badge, card, empty, facts, keyState, notice } from "../ui/parts.js";
import { table } from "../ui/table.js";
import { rotate, told } from "./acts.js";

const OPEN = ["pending", "overlapping"];
const KINDS = { pending: "info", overlapping: "busy", completed: "good", aborted: "off" };

export function rotationPart(root, key, { ctx, signal, refresh }) {
  let now = key;
  const found = live(root, {
    signal,
    every: 5,
    load: async (options) => {
      const [rotations, lineage] = await Promise.all([
        get(
          "/rotations",
          { lineage_id: now.lineage_id, tenant_id: now.tenant_id, limit: 100 },
          options,
        ),
        get("/keys", { lineage_id: now.lineage_id, with_hidden: "true", limit: 100 }, options),
      ]);
      const open = rotations.data.find((each) => OPEN.includes(each.state));
      const [report, clients] = open
        ? await Promise.all([
            get(`/rotations/${open.rotation_id}`, {}, options),
            can("audit")
              ? optional(get(`/rotations/${open.rotation_id}/clients`, {}, options))
              : null,
          ])
        : [null, null];
      return { rotations: rotations.data, lineage: lineage.data, report, clients };
    },
    render: (data) => [
      data.report
        ? progress(data, act)
        : idle(now, async () => {
            const begun = await rotate(now);
            if (begun)
              ctx.navigate(`/keys/${encodeURIComponent(begun.new_key.key_id)}?tab=rotation`);
          }),
      lineageOf(data, now),
    ],
  });
  const act = async (verb, rotation) => {
    const done = await (verb === "complete" ? complete : abort)(rotation);
    if (!done) return;
    found.refresh();
    refresh();
  };
  return (fresh) => {
    now = fresh;
  };
}

const idle = (key, start) =>
  card(
    "No rotation under way",
    null,
    h(
      "p",
      key.rotation_due_at
        ? ["A policy wants this key replaced ", moment(key.rotation_due_at), "."]
        : "No policy demands one. A rotation makes a new key with the same settings; both work for a while.",
    ),
    h(
      "div.row",
      actButton("Rotate now", {
        right: "operate",
        pictured: "rotate",
        disabled: key.state === "active" ? "" : `The key is ${key.state}.`,
        onclick: start,
      }),
    ),
  );

function progress({ report, clients }, act) {
  const waiting = (clients?.data ?? []).filter((each) => !each.has_moved);
  return card(
    "Rotation under way",
    {
      actions: [
        actButton("Complete", {
          right: "operate",
          kind: "primary",
          pictured: "check",
          onclick: () => act("complete", report),
        }),
        actButton("Abort", {
          right: "operate",
          kind: "danger",
          onclick: () => act("abort", report),
        }),
      ],
    },
    facts([
      ["State", badge(report.state, KINDS[report.state])],
      [
        "New key has worked",
        report.has_new_key_worked ? badge("yes", "good") : badge("not yet", "warn"),
      ],
      ["New key last used", moment(report.new_key_last_used_at, { instead: "never" })],
      ["Old key last used", moment(report.old_key_last_used_at, { instead: "never" })],
      [
        "The old key stops",
        h(
          "span",
          moment(report.deadline),
          h("span.muted", ` (${duration(report.seconds_left)} left)`),
        ),
      ],
      ["Begun", moment(report.started_at)],
    ]),
    clients === null
      ? notice(
          "info",
          h(
            "p",
            "Who has moved is known only where requests are kept, and shown to auditors, operators and admins.",
          ),
        )
      : waiting.length
        ? notice(
            "warn",
            h(
              "p",
              h(
                "strong",
                `${plural(waiting.length, "client")} ${waiting.length === 1 ? "has" : "have"} `,
                "not moved to the new key.",
              ),
              " What uses the old key stops working when the rotation is completed.",
            ),
          )
        : notice(
            "good",
            h(
              "p",
              clients.data.length
                ? "Everybody who used the old key, since a day before the rotation began, uses the new one."
                : "Nobody has used the old key since a day before the rotation began.",
            ),
          ),
    clients?.data.length
      ? table({
          caption: "Who used the old key since a day before the rotation began",
          rows: [...waiting, ...clients.data.filter((each) => each.has_moved)],
          key: (row) => `${row.client_address} ${row.user_agent}`,
          columns: [
            {
              title: "Client",
              isMain: true,
              cell: (row) => [
                h("code", row.client_address),
                h("span.cell-sub", row.user_agent || "no user agent"),
              ],
            },
            {
              title: "Moved",
              cell: (row) => (row.has_moved ? badge("moved", "good") : badge("not yet", "warn")),
            },
            {
              title: "Requests with the old key",
              kind: "number",
              cell: (row) => count(row.requests),
            },
            { title: "Old key last", cell: (row) => moment(row.last_at) },
            {
              title: "New key last",
              cell: (row) => moment(row.new_key_last_at, { instead: "never" }),
            },
          ],
        })
      : null,
  );
}

const lineageOf = ({ lineage, rotations }, key) =>
  card(
    "Lineage",
    { note: "A key and those that replaced it; they share their limits." },
    table({
      caption: "Keys of this lineage",
      rows: [...lineage].sort((a, b) => (a.created_at < b.created_at ? 1 : -1)),
      key: (row) => row.key_id,
      href: (row) => keyPath(row.key_id),
      empty: empty("No other key", ""),
      columns: [
        {
          title: "Key",
          isMain: true,
          cell: (row) => [
            h("span.mono", row.display),
            row.key_id === key.key_id ? h("span.cell-sub", "this one") : null,
          ],
        },
        { title: "State", cell: (row) => keyState(row.state) },
        { title: "Created", cell: (row) => moment(row.created_at) },
        { title: "Last used", cell: (row) => moment(row.last_used_at, { instead: "never" }) },
        {
          title: "Replaced because",
          cell: (row) =>
            rotations.find((each) => each.old_key_id === row.key_id)?.reason ||
            h("span.muted", "–"),
        },
      ],
    }),
  );

const complete = (rotation) =>
  askAct({
    title: "Complete the rotation",
    label: "Stop the old key",
    danger: true,
    text: rotation.has_new_key_worked
      ? "The old key is revoked now. The new one has worked."
      : "The new key has never been used. The old one is revoked all the same.",
    act: async ({ reason }) => {
      const done = await post(`/rotations/${rotation.rotation_id}:complete`, { reason });
      told("The old key is revoked", done);
      return done;
    },
  });

const abort = (rotation) =>
  askAct({
    title: "Abort the rotation",
    label: "Go back to the old key",
    danger: true,
    text: "The new key is revoked now, and the old one goes on as if nothing had happened.",
    act: async ({ reason }) => {
      const done = await post(`/rotations/${rotation.rotation_id}:abort`, { reason });
      told("The new key is revoked", done);
      return done;
    },
  });
