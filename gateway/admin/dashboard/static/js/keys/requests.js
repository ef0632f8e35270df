// What was done with a key: its requests, the newest first.

import { blob, get, optional } from "../api.js";
import { h, morph } from "../dom.js";
import { milliseconds, exact, NONE } from "../format.js";
import { live } from "../live.js";
import { reasonAgainst } from "../session.js";
import { badge, card, empty, notice } from "../ui/parts.js";
import { filterBar, input, select, settled } from "../ui/form.js";
import { Pager, table } from "../ui/table.js";
import { toastProblem } from "../ui/toast.js";
import { icon } from "../ui/icons.js";

const LIMIT = 50;

const KIND = (status) =>
  status >= 500 ? "bad" : status >= 400 ? "warn" : status >= 300 ? "info" : "good";

export function requestsPart(root, key, { signal, keyId }) {
  const against = reasonAgainst("audit");
  if (against) {
    root.replaceChildren(notice("info", h("p", against)));
    return;
  }
  requestList(root, `/keys/${encodeURIComponent(keyId)}/requests`, signal);
}

export function requestList(root, path, signal, fixed = {}) {
  const wanted = { status: "", route: "", client_address: "" };
  const pager = new Pager(() => list.refresh());
  const set = (changes) => {
    Object.assign(wanted, changes);
    pager.reset();
    list.refresh();
  };
  const typed = settled(set);
  const oninput = (name) => (event) => typed({ [name]: event.target.value.trim() });
  const bar = h("div");
  const rows = h("div");
  root.replaceChildren(bar, rows);
  morph(bar, [
    h(
      "div.row.spread",
      filterBar(
        {
          name: "status",
          label: "Status",
          control: select([["", "All"], "2xx", "3xx", "4xx", "5xx", "401", "403", "429"], {
            onchange: (event) => set({ status: event.target.value }),
          }),
        },
        {
          name: "route",
          label: "Route",
          control: input({ type: "search", oninput: oninput("route") }),
        },
        {
          name: "client_address",
          label: "Client address",
          control: input({ type: "search", oninput: oninput("client_address") }),
        },
      ),
      h(
        "button",
        { type: "button", onclick: () => download(path, { ...fixed, ...wanted }) },
        icon("download"),
        "CSV",
      ),
    ),
  ]);
  const list = live(rows, {
    signal,
    every: 10,
    load: (options) =>
      optional(get(path, { ...fixed, ...wanted, limit: LIMIT, cursor: pager.cursor }, options)),
    render: (page) =>
      page
        ? card(null, { class: "flush" }, requestTable(page.data), pager.view(page, "requests"))
        : empty(
            "No requests are kept here",
            "Switch on request_log.path to keep every request for a while.",
            null,
            "scroll",
          ),
  });
  return list;
}

export const requestTable = (rows) =>
  table({
    caption: "Requests",
    rows,
    key: (row) => row.request_id,
    empty: empty(
      "No requests",
      "None that is like that was made in the time that requests are kept.",
      null,
      "scroll",
    ),
    columns: [
      {
        title: "Request",
        isMain: true,
        cell: (row) => [
          h("span.mono.target", `${row.method} ${row.target}`),
          h("span.cell-sub", row.route === "__unmatched__" ? "no route" : row.route),
        ],
      },
      {
        title: "Answer",
        cell: (row) => [
          badge(String(row.status || "none"), KIND(row.status)),
          row.reason ? h("span.cell-sub", row.reason) : null,
        ],
      },
      {
        title: "Time",
        cell: (row) => [
          h("time", { datetime: row.ts }, exact(row.ts)),
          h("span.cell-sub.mono", row.request_id),
        ],
      },
      {
        title: "Client",
        cell: (row) => [
          h("code", row.client_address || NONE),
          h("span.cell-sub.agent", row.user_agent || "no user agent"),
        ],
      },
      { title: "Took", kind: "number", cell: (row) => milliseconds(row.duration_ms) },
    ],
  });

async function download(path, query) {
  try {
    const file = await blob(path, { ...query, format: "csv" });
    const link = h("a", { href: URL.createObjectURL(file), download: "requests.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    toastProblem(error);
  }
}
