// Alerts: what fires, what did, who has seen it; the rules, and whether each channel gets through.

import { get, optional, post } from "../api.js";
import { h, morph } from "../dom.js";
import { count, duration, moment, sentence } from "../format.js";
import { tenantName, tenants } from "../known.js";
import { can, ownTenant, reasonIfBound } from "../session.js";
import { subject } from "../subject.js";
import { tabbed } from "../tabbed.js";
import { askAct, dialog } from "../ui/dialog.js";
import { filterBar, select } from "../ui/form.js";
import {
  actButton,
  badge,
  card,
  copyable,
  empty,
  facts,
  pageHead,
  problemBox,
} from "../ui/parts.js";
import { Pager, table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const STATES = [
  ["", "All"],
  ["firing", "Firing"],
  ["acknowledged", "Acknowledged"],
  ["resolved", "Resolved"],
];
const SEVERITIES = { critical: "bad", warning: "warn", info: "info" };
const LIMIT = 50;

export const alertBadge = (alert) =>
  alert.state === "resolved"
    ? badge(`${alert.rule} resolved`, "good")
    : badge(
        alert.rule,
        SEVERITIES[alert.severity] ?? "warn",
        `${sentence(alert.severity ?? "warning")}, ${alert.state}`,
      );

// What an alert says, without the id of the key: that stands beside it, as a link.
export const gist = ({ summary, key_id: keyId }) => summary.replace(` (${keyId})`, "");

const PARTS = [
  { id: "alerts", label: "Alerts", part: alertList },
  { id: "rules", label: "Rules", part: ruleList },
  { id: "deliveries", label: "Not delivered", part: deliveryList, right: "operate" },
];

export default async function page(ctx) {
  const [bar, body] = [h("div"), h("div.stack")];
  ctx.show(pageHead("Alerts"), bar, body);
  const parts = PARTS.filter((each) => !each.right || (can(each.right) && !ownTenant()));
  return tabbed(ctx, bar, body, parts, { owners: await tenants() });
}

const off = () =>
  empty(
    "Alerts are not kept here",
    "Switch them on with `alerts` in the configuration.",
    null,
    "bell",
  );

// ---- what fires and what did

function alertList(ctx, root, { signal, owners }) {
  const value = (name) => ctx.query.get(name) ?? "";
  const pager = new Pager(() => list.refresh());
  const onchange = (name) => (event) => {
    ctx.setQuery({ [name]: event.target.value });
    pager.reset();
    list.refresh();
  };
  const [bar, rows] = [h("div"), h("div")];
  morph(bar, [
    filterBar({
      name: "state",
      label: "State",
      control: select(STATES, { value: value("state"), onchange: onchange("state") }),
    }),
  ]);
  root.replaceChildren(bar, rows);
  const list = ctx.live(
    {
      every: 5,
      signal,
      load: (options) =>
        optional(
          get(
            "/alerts",
            {
              state: value("state"),
              rule: value("rule"),
              tenant_id: value("tenant_id"),
              key_id: value("key_id"),
              limit: LIMIT,
              cursor: pager.cursor,
            },
            options,
          ),
        ),
      render: (found) =>
        found
          ? card(
              null,
              { class: "flush" },
              table({
                caption: "Alerts",
                rows: found.data,
                key: (alert) => alert.alert_id,
                columns: columns(
                  owners,
                  (alert) => show(alert, owners, list),
                  (alert) => acknowledge(alert, list),
                ),
                empty: empty(
                  value("state") ? "No alert is like that" : "No alert yet",
                  "Nothing has crossed a threshold.",
                  null,
                  "bell",
                ),
              }),
              pager.view(found, "alerts"),
            )
          : off(),
    },
    rows,
  );
  return list;
}

const columns = (owners, show, acknowledge) => [
  {
    title: "Alert",
    isMain: true,
    cell: (alert) => [alertBadge(alert), h("span.cell-sub", gist(alert))],
  },
  {
    title: "State",
    cell: (alert) => (alert.acknowledged_at ? `seen by ${alert.acknowledged_by}` : alert.state),
  },
  { title: "About", cell: (alert) => about(alert, owners) },
  { title: "Since", cell: (alert) => moment(alert.fired_at) },
  { title: "Last seen", cell: (alert) => moment(alert.last_seen_at) },
  { title: "Times", kind: "number", cell: (alert) => count(alert.occurrences) },
  {
    title: "Acts",
    isQuiet: true,
    kind: "fit",
    cell: (alert) =>
      h(
        "span.row",
        h(
          "button",
          { type: "button", "aria-label": `Details of ${alert.rule}`, onclick: () => show(alert) },
          "Details",
        ),
        alert.state === "firing" && !alert.acknowledged_at
          ? actButton("Acknowledge", { right: "operate", onclick: () => acknowledge(alert) })
          : null,
      ),
  },
];

const about = (alert, owners) =>
  subject(alert, tenantName(owners, alert.tenant_id), h("span.muted", "the gateway"));

async function acknowledge(alert, list) {
  const done = await askAct({
    title: `Acknowledge ${alert.rule}`,
    label: "Acknowledge",
    text: alert.summary,
    act: ({ reason }) =>
      post(`/alerts/${encodeURIComponent(alert.alert_id)}:acknowledge`, { reason }),
  });
  if (done) {
    toast("Acknowledged.", "good");
    await list.refresh();
  }
}

function shown(value) {
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) return value.map(shown).join(", ") || "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const show = (alert, owners) =>
  dialog(alert.rule, () => [
    h("p", alert.summary),
    facts([
      ["Alert", alert.state],
      ["Severity", alert.severity],
      ["About", about(alert, owners)],
      ["Fired", moment(alert.fired_at, { absolute: true })],
      ["Last seen", moment(alert.last_seen_at, { absolute: true })],
      ["Resolved", moment(alert.resolved_at, { absolute: true })],
      alert.acknowledged_at
        ? [
            "Acknowledged",
            [moment(alert.acknowledged_at, { absolute: true }), ` by ${alert.acknowledged_by}`],
          ]
        : null,
      ["Id", copyable(alert.alert_id)],
      ...Object.entries(alert.details ?? {}).map(([name, value]) => [sentence(name), shown(value)]),
    ]),
    alert.runbook_url
      ? h(
          "p",
          h(
            "a",
            { href: alert.runbook_url, target: "_blank", rel: "noreferrer" },
            "What to do about it",
          ),
        )
      : null,
  ]);

// ---- the rules

function ruleList(ctx, root, { signal }) {
  return ctx.live(
    {
      every: 30,
      signal,
      load: (options) => optional(get("/alerts/rules", {}, options)),
      render: (found) =>
        found
          ? card(
              null,
              { class: "flush" },
              table({
                caption: "Rules",
                rows: found.data,
                key: (rule) => rule.rule,
                columns: [
                  {
                    title: "Rule",
                    isMain: true,
                    cell: (rule) => [rule.rule, h("span.cell-sub", coded(rule.description ?? ""))],
                  },
                  {
                    title: "State",
                    cell: (rule) =>
                      badge(rule.enabled ? "on" : "off", rule.enabled ? "good" : "off"),
                  },
                  {
                    title: "Severity",
                    cell: (rule) => badge(rule.severity, SEVERITIES[rule.severity] ?? "info"),
                  },
                  { title: "Thresholds", cell: (rule) => thresholds(rule.thresholds ?? {}) },
                  {
                    title: "Tells",
                    cell: (rule) => (rule.channels ?? []).join(", ") || h("span.muted", "nobody"),
                  },
                  {
                    title: "Acts",
                    isQuiet: true,
                    kind: "fit",
                    cell: (rule) =>
                      actButton("Send a sample", {
                        right: "operate",
                        disabled: reasonIfBound(),
                        onclick: () => sample({ rule: rule.rule }),
                      }),
                  },
                ],
              }),
            )
          : off(),
    },
    root,
  );
}

const thresholds = (all) =>
  Object.entries(all).map(([name, value]) =>
    h(
      "div",
      `${sentence(name.replace(/_seconds$/, ""))}: `,
      h("strong", name.endsWith("_seconds") ? duration(value) : shown(value)),
    ),
  );

// What stands between backticks is a name of the configuration.
const coded = (text) =>
  text.split("`").map((part, number) => (number % 2 ? h("code", part) : part));

async function sample(what) {
  let tried;
  try {
    tried = (await post("/alerts:test", what)).channels;
  } catch (error) {
    await dialog("The sample was not sent", () => problemBox(error));
    return;
  }
  const names = tried.map((each) => each.channel).join(", ");
  if (!tried.length) {
    toast("Nobody is told of this rule: it has no channel.", "bad");
  } else if (tried.every((each) => each.delivered)) {
    toast(`A sample was delivered: ${names}.`, "good");
  } else {
    await dialog("The sample was not delivered everywhere", () =>
      facts(tried.map((each) => [each.channel, each.error ?? "delivered"])),
    );
  }
}

// ---- what did not get through

function deliveryList(ctx, root, { signal }) {
  const retry = async (delivery) => {
    try {
      await post(`/alerts/deliveries/${encodeURIComponent(delivery.delivery_id)}:retry`);
      toast("It is tried again.", "good");
    } catch (error) {
      toast(error.detail, "bad");
    }
    await list.refresh();
  };
  const list = ctx.live(
    {
      every: 10,
      signal,
      load: (options) => optional(get("/alerts/deliveries", {}, options)),
      render: (found) =>
        found
          ? card(
              null,
              { class: "flush" },
              table({
                caption: "Notifications that were not delivered",
                rows: found.data,
                key: (delivery) => delivery.delivery_id,
                columns: [
                  { title: "Channel", isMain: true, cell: (delivery) => delivery.channel },
                  {
                    title: "State",
                    cell: (delivery) =>
                      badge(delivery.state, delivery.state === "dead" ? "bad" : "warn"),
                  },
                  { title: "Tried", kind: "number", cell: (delivery) => count(delivery.attempts) },
                  { title: "Why not", cell: (delivery) => delivery.last_error },
                  { title: "Since", cell: (delivery) => moment(delivery.created_at) },
                  {
                    title: "Acts",
                    isQuiet: true,
                    kind: "fit",
                    cell: (delivery) =>
                      actButton("Try again", { right: "operate", onclick: () => retry(delivery) }),
                  },
                ],
                empty: empty(
                  "Everything was delivered",
                  "What a channel does not take, however often it is tried, is kept here.",
                  null,
                  "check",
                ),
              }),
            )
          : off(),
    },
    root,
  );
  return list;
}
