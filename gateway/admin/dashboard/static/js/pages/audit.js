// Audit: who did what and why, whether the trail is whole, and a copy of it to keep elsewhere.

import { blob, get, post } from "../api.js";
import { h, morph } from "../dom.js";
import { abridged, exact, moment, plural, sentence } from "../format.js";
import { subject } from "../subject.js";
import { dialog } from "../ui/dialog.js";
import { reasonIfBound } from "../session.js";
import { filterBar, input, select, settled, toInstant } from "../ui/form.js";
import {
  actButton,
  card,
  copyable,
  empty,
  facts,
  notice,
  pageHead,
  problemBox,
} from "../ui/parts.js";
import { Pager, table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const FAMILIES = [
  ["", "All events"],
  ["key.*", "Keys"],
  ["tenant.*", "Tenants"],
  ["admin.*", "Sign-ins and tokens"],
  ["config.*", "Configuration"],
  ["alert.*", "Alerts"],
  ["audit.*", "The trail itself"],
];
const LIMIT = 50;

export default function page(ctx) {
  const [verdict, bar, rows] = [h("div"), h("div"), h("div")];
  ctx.show(
    pageHead("Audit", {
      lead: "Every record holds the hash of the one before, and signatures cover them: a change, a gap or a cut shows.",
      actions: [
        actButton("Verify", {
          right: "audit",
          disabled: reasonIfBound(),
          kind: "primary",
          pictured: "check",
          onclick: () => verify(verdict),
        }),
        actButton("Export", {
          right: "audit",
          disabled: reasonIfBound(),
          pictured: "download",
          onclick: download,
        }),
      ],
    }),
    verdict,
    bar,
    rows,
  );
  return auditList(ctx, bar, rows).first;
}

function auditList(ctx, bar, root) {
  const value = (name) => ctx.query.get(name) ?? "";
  const pager = new Pager(() => list.refresh());
  const choose = (changes) => {
    ctx.setQuery(changes);
    pager.reset();
    list.refresh();
  };
  const typed = settled((name, text) => choose({ [name]: text }));
  const text = (name, label) => ({
    name,
    label,
    control: input({
      type: "search",
      value: value(name),
      oninput: (event) => typed(name, event.target.value.trim()),
    }),
  });
  const day = (name, label) => ({
    name,
    label,
    control: input({
      type: "datetime-local",
      value: value(name),
      onchange: (event) => choose({ [name]: event.target.value }),
    }),
  });
  morph(bar, [
    filterBar(
      {
        name: "type",
        label: "Events",
        control: select(FAMILIES, {
          value: value("type"),
          onchange: (event) => choose({ type: event.target.value }),
        }),
      },
      text("key_id", "Key id"),
      text("tenant_id", "Tenant id"),
      text("actor", "Who"),
      day("since", "From"),
      day("until", "Until"),
    ),
  ]);
  const list = ctx.live(
    {
      every: 10,
      load: (options) =>
        get(
          "/audit",
          {
            type: value("type"),
            key_id: value("key_id"),
            tenant_id: value("tenant_id"),
            actor: value("actor"),
            since: toInstant(value("since")),
            until: toInstant(value("until")),
            limit: LIMIT,
            cursor: pager.cursor,
          },
          options,
        ),
      render: (found) =>
        card(
          null,
          { class: "flush" },
          table({
            caption: "Audit records",
            columns: COLUMNS,
            rows: found.data,
            key: (record) => record.id,
            empty: empty(
              "No record is like that",
              "Change the filters to see more.",
              null,
              "scroll",
            ),
          }),
          pager.view(found, "records"),
        ),
    },
    root,
  );
  return list;
}

const COLUMNS = [
  {
    title: "Event",
    isMain: true,
    cell: (record) => [
      h("code", record.type),
      record.reason ? h("span.cell-sub", record.reason) : null,
    ],
  },
  { title: "When", kind: "fit", cell: (record) => moment(record.ts) },
  {
    title: "Who",
    cell: (record) => [
      abridged(record.actor.name || record.actor.kind),
      h("span.cell-sub", record.actor.address),
    ],
  },
  {
    title: "About",
    cell: (record) =>
      subject(
        record,
        record.tenant_id,
        record.subject_id
          ? h("code", { title: record.subject_id }, abridged(record.subject_id))
          : h("span.muted", "–"),
      ),
  },
  {
    title: "Acts",
    isQuiet: true,
    kind: "fit",
    cell: (record) =>
      h(
        "button",
        {
          type: "button",
          "aria-label": `Details of record ${record.seq}`,
          onclick: () => show(record),
        },
        "Details",
      ),
  },
];

const show = (record) =>
  dialog(record.type, () => [
    facts([
      ["When", exact(record.ts)],
      ["Who", `${record.actor.name || record.actor.kind} (${record.actor.kind})`],
      ["From", record.actor.address || "–"],
      ["With", record.actor.user_agent || "–"],
      ["Reason", record.reason || "–"],
      record.key_id ? ["Key", copyable(record.key_id)] : null,
      record.tenant_id ? ["Tenant", copyable(record.tenant_id)] : null,
      record.request_id ? ["Request", copyable(record.request_id)] : null,
      ["Record", copyable(record.id)],
      ["Hash", copyable(record.hash, `${record.hash.slice(0, 16)}…`)],
      ["Hash before", h("code", `${record.prev_hash.slice(0, 16)}…`)],
    ]),
    changes(record),
  ]);

function changes({ before, after }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  if (!names.length) return null;
  const text = (value) =>
    value === undefined
      ? h("span.muted", "–")
      : h("code", typeof value === "string" ? value : JSON.stringify(value));
  return table({
    caption: "What it changed",
    compact: true,
    rows: names,
    key: (name) => name,
    columns: [
      { title: "Field", isMain: true, cell: sentence },
      { title: "Before", cell: (name) => text(before[name]) },
      { title: "After", cell: (name) => text(after[name]) },
    ],
  });
}

async function verify(root) {
  morph(root, [notice("info", h("p", "Every record and every signature is being checked …"))]);
  try {
    const found = await post("/audit:verify");
    const range = `${found.first_seq} to ${found.last_seq}`;
    const signed = `${plural(found.records, "record")}, ${range}; signed up to ${found.signed_seq}.`;
    morph(root, [
      found.fault
        ? notice(
            "bad",
            h("h2", "The trail was changed"),
            h(
              "p",
              `${sentence(found.fault.kind)} at record ${found.fault.seq}: ${found.fault.detail}`,
            ),
          )
        : notice(
            "good",
            h("h2", "The trail is whole"),
            h("p", signed),
            found.fingerprints.length
              ? h(
                  "p.muted",
                  "Signed by ",
                  found.fingerprints.map((each) => copyable(each)),
                )
              : null,
          ),
    ]);
  } catch (error) {
    morph(root, [problemBox(error, () => verify(root))]);
  }
}

async function download() {
  try {
    const url = URL.createObjectURL(await blob("/audit/export", {}));
    h("a", { href: url, download: "audit.jsonl" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    toast("Exported. `tollhouse audit verify FILE` checks it anywhere.", "good");
  } catch (error) {
    toast(error.detail ?? error.message, "bad");
  }
}
