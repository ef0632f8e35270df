// Hygiene: keys that need care, and keys that may do more than they do.

import { get, optional } from "../api.js";
import { sparkline } from "../charts.js";
import { h, morph } from "../dom.js";
import { count, moment, percent, plural } from "../format.js";
import { tenantName, tenants } from "../known.js";
import { rotate } from "../keys/acts.js";
import { tabbed } from "../tabbed.js";
import { filterBar, select } from "../ui/form.js";
import { actButton, badge, card, empty, keyState, notice, pageHead, tags } from "../ui/parts.js";
import { Pager, table } from "../ui/table.js";
import { keyPath } from "./index.js";

const FLAWS = {
  idle: ["Idle", "warn", "Not used for 30 days: does anybody need it?"],
  never_expires: ["Never expires", "info", "It works until somebody ends it."],
  unlimited: ["Unlimited", "warn", "No plan limits it."],
  rotation_overdue: ["Rotation overdue", "bad", "Older than its policy allows."],
  many_networks: ["From many networks", "warn", "Shared, or its user moves about."],
  client_side_use: ["Used in browsers", "bad", "Whoever opens the page can read it."],
  old_pepper: ["Old pepper", "info", "Still hashed under a pepper that is being left."],
};

const flaw = (name) => FLAWS[name] ?? [name.replaceAll("_", " "), "warn", ""];
const PARTS = [
  { id: "care", label: "Keys that need care", part: careList },
  { id: "rights", label: "Granted against used", part: rightsList },
];
const LIMIT = 50;

export default async function page(ctx) {
  const [bar, body] = [h("div"), h("div.stack")];
  ctx.show(
    pageHead("Hygiene", {
      lead: "What is only noticed too late: idle, eternal, unlimited and overdue keys, and rights that nobody uses.",
    }),
    bar,
    body,
  );
  return tabbed(ctx, bar, body, PARTS, { owners: await tenants() });
}

const keyCell = (key) => [key.name, h("span.cell-sub.mono", key.display ?? key.key_id)];

// ---- keys that need care

function careList(ctx, root, { signal, owners }) {
  const value = () => ctx.query.get("finding") ?? "";
  const pager = new Pager(() => list.refresh());
  const [bar, rows] = [h("div"), h("div")];
  morph(bar, [
    filterBar({
      name: "finding",
      label: "What is found",
      control: select(
        [["", "Everything"], ...Object.entries(FLAWS).map(([name, [text]]) => [name, text])],
        {
          value: value(),
          onchange: (event) => {
            ctx.setQuery({ finding: event.target.value });
            pager.reset();
            list.refresh();
          },
        },
      ),
    }),
  ]);
  root.replaceChildren(bar, rows);
  const list = ctx.live(
    {
      every: 60,
      signal,
      load: (options) =>
        optional(
          get(
            "/reports/hygiene",
            { finding: value(), limit: LIMIT, cursor: pager.cursor },
            options,
          ),
        ),
      render: (found) =>
        found
          ? card(
              null,
              { class: "flush" },
              table({
                caption: "Keys that need care",
                rows: found.data,
                key: (key) => key.key_id,
                href: (key) => keyPath(key.key_id),
                columns: [
                  { title: "Key", isMain: true, cell: keyCell },
                  { title: "Tenant", cell: (key) => tenantName(owners, key.tenant_id) },
                  { title: "State", cell: (key) => keyState(key.state) },
                  { title: "Found", cell: (key) => h("span.tags", key.findings.map(findingBadge)) },
                  {
                    title: "Last used",
                    cell: (key) => moment(key.last_used_at, { instead: "never" }),
                  },
                  { title: "Expires", cell: (key) => moment(key.expires_at, { instead: "never" }) },
                ],
                empty: found.has_more
                  ? empty("Nothing on this page", "Go on to the next one.", null, "check")
                  : empty("Nothing to do", "No key needs care.", null, "check"),
              }),
              pager.view(found, "keys"),
            )
          : missing(),
    },
    rows,
  );
  return list;
}

function findingBadge({ finding, count: many, since }) {
  const [text, kind, why] = flaw(finding);
  return badge(
    many === null ? text : `${text}: ${count(many)}`,
    kind,
    [why, since ? `Since ${since}.` : ""].filter(Boolean).join(" "),
  );
}

const missing = () =>
  empty(
    "There is no such report here",
    "It needs usage to be counted: switch `usage` on in the configuration.",
    null,
    "broom",
  );

// ---- granted against used

function rightsList(ctx, root, { signal, owners }) {
  const pager = new Pager(() => list.refresh());
  const apply = async (row) => {
    const key = await get(`/keys/${encodeURIComponent(row.key_id)}`);
    const done = await rotate(key, row.proposal);
    if (done) await list.refresh();
  };
  const list = ctx.live(
    {
      every: 60,
      signal,
      load: (options) =>
        optional(
          get(
            "/reports/least-privilege",
            { since: "30d", limit: LIMIT, cursor: pager.cursor },
            options,
          ),
        ),
      render: (found) =>
        found
          ? [
              notice(
                "info",
                h(
                  "p",
                  "Of the last 30 days. A rotation makes a tighter key; the old one goes on until its user has moved.",
                ),
              ),
              found.data.length
                ? h(
                    "div.findings",
                    found.data.map((row) => rightsCard(row, owners, apply)),
                  )
                : empty(
                    "No key in use",
                    "Once keys are used, this tells what they could do without.",
                    null,
                    "broom",
                  ),
              pager.view(found, "keys"),
            ]
          : missing(),
    },
    root,
  );
  return list;
}

function rightsCard(row, owners, apply) {
  const { granted, used, unused } = row.scopes;
  const share = granted.length ? percent(used.length / granted.length) : "–";
  return h(
    "div",
    { key: row.key_id },
    card(
      row.name,
      {
        note: `${tenantName(owners, row.tenant_id)} · ${row.environment} · ${plural(row.requests, "request")}`,
        actions: [
          h("a", { href: keyPath(row.key_id) }, "Open the key"),
          row.proposal
            ? actButton("Make it tighter", {
                right: "operate",
                pictured: "rotate",
                onclick: () => apply(row),
              })
            : row.requests
              ? badge("as tight as it can be", "good")
              : badge("not used", "held"),
        ],
      },
      h(
        "dl.facts",
        h("div", h("dt", `Scopes used: ${share}`), h("dd", tags(used, "none"))),
        h("div", h("dt", "Granted and not used"), h("dd", tags(unused, "none"))),
        h(
          "div",
          h("dt", "Networks"),
          h(
            "dd",
            row.networks.length
              ? [
                  row.networks
                    .slice(0, 6)
                    .map((each) =>
                      h(
                        "div",
                        h("code", each.network),
                        h("span.muted", ` ${plural(each.requests, "request")}`),
                      ),
                    ),
                  row.networks.length > 6
                    ? h(
                        "span.muted",
                        `and ${row.has_more_networks ? "many" : row.networks.length - 6} more`,
                      )
                    : null,
                ]
              : h("span.muted", "none seen"),
          ),
        ),
        h(
          "div",
          h("dt", "Hours of the day (UTC)"),
          h("dd", sparkline(row.hours_utc, { text: hoursText(row.hours_utc) })),
        ),
        row.proposal
          ? h(
              "div",
              h("dt", "Proposed"),
              h(
                "dd",
                row.proposal.scopes
                  ? h("div", "Scopes: ", tags(row.proposal.scopes, "none"))
                  : null,
                row.proposal.ip_allowlist
                  ? h("div", "Addresses: ", tags(row.proposal.ip_allowlist))
                  : null,
              ),
            )
          : null,
      ),
    ),
  );
}

function hoursText(hours) {
  const busy = hours
    .map((n, hour) => [n, hour])
    .filter(([n]) => n)
    .map(([, hour]) => hour);
  return busy.length ? `Used in the hours ${busy.join(", ")}` : "Not used";
}
