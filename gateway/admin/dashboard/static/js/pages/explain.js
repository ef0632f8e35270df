// Explain: what would become of a request, told by the code that decides it. Nothing is sent and nothing is counted.

import { post } from "../api.js";
import { h, view } from "../dom.js";
import { count, moment, sentence } from "../format.js";
import { area, field, input, select } from "../ui/form.js";
import { badge, card, notice, pageHead, problemBox } from "../ui/parts.js";
import { table } from "../ui/table.js";
import { keyPath } from "./index.js";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const RESULTS = {
  passed: ["passed", "good"],
  refused: ["refused", "bad"],
  not_asked: ["not asked", "off"],
  not_reached: ["not reached", "off"],
};
const VERDICTS = {
  forward: ["good", "It would be forwarded"],
  answer: ["info", "The gateway would answer it"],
  refuse: ["bad", "It would be refused"],
};
const STEPS = {
  client_address: "Where it comes from",
  request: "What it asks for",
  route: "Which route it takes",
  key: "Whose key it bears",
  tenant: "For which tenant",
  environment: "Environment",
  addresses: "Address rules",
  scopes: "Scopes",
  limits: "Limits",
  handler: "Who answers",
};

export default function page(ctx) {
  const asked = {
    method: ctx.query.get("method") ?? "GET",
    url: ctx.query.get("url") ?? "",
    key_id: ctx.query.get("key_id") ?? "",
    client_address: ctx.query.get("client_address") ?? "",
    headers: "",
  };
  let [told, problem, isBusy] = [null, null, false];
  const [form, answer] = [h("div"), h("div.stack", { "aria-live": "polite" })];
  ctx.show(
    pageHead("Explain", {
      lead: "Describe a request and see step by step what would become of it. Nothing is sent or counted.",
    }),
    form,
    answer,
  );

  const set = (changes) => {
    Object.assign(asked, changes);
    showForm();
  };
  const ask = async (event) => {
    event?.preventDefault();
    if (isBusy || !asked.url.trim()) return;
    [isBusy, problem] = [true, null];
    showForm();
    ctx.setQuery({
      method: asked.method === "GET" ? null : asked.method,
      url: asked.url,
      key_id: asked.key_id,
      client_address: asked.client_address,
    });
    try {
      told = await post(
        "/explain",
        {
          method: asked.method,
          url: asked.url.trim(),
          key_id: asked.key_id.trim(),
          client_address: asked.client_address.trim(),
          headers: fieldsOf(asked.headers),
        },
        { signal: ctx.signal },
      );
    } catch (error) {
      if (ctx.signal.aborted) return;
      [told, problem] = [null, error];
    }
    isBusy = false;
    showForm();
    showAnswer();
  };

  const errors = (pointer) => problem?.about?.(pointer) ?? [];
  const showForm = view(form, () =>
    card(
      null,
      null,
      h(
        "form.stack",
        { onsubmit: ask, novalidate: true },
        h(
          "div.explain-line",
          field(
            "Method",
            select(METHODS, {
              value: asked.method,
              onchange: (event) => set({ method: event.target.value }),
            }),
            { required: true, errors: errors("/method") },
          ),
          field(
            "Path or URL",
            input({
              value: asked.url,
              placeholder: "/v1/jobs/42",
              autofocus: true,
              oninput: (event) => set({ url: event.target.value }),
            }),
            { required: true, errors: errors("/url") },
          ),
        ),
        h(
          "div.field-grid",
          field(
            "Key id",
            input({
              value: asked.key_id,
              placeholder: "key_…",
              oninput: (event) => set({ key_id: event.target.value }),
            }),
            {
              hint: "The id, never the secret. Empty: a request without a key.",
              errors: errors("/key_id"),
            },
          ),
          field(
            "Client address",
            input({
              value: asked.client_address,
              placeholder: "203.0.113.7",
              oninput: (event) => set({ client_address: event.target.value }),
            }),
            { hint: "Where the connection comes from.", errors: errors("/client_address") },
          ),
          field(
            "Header fields",
            area({
              value: asked.headers,
              rows: 2,
              placeholder: "Accept: application/json",
              oninput: (event) => set({ headers: event.target.value }),
            }),
            { wide: true, hint: "One to a line.", errors: errors("/headers") },
          ),
        ),
        h(
          "div.row",
          h(
            "button.primary",
            { type: "submit", "aria-disabled": asked.url.trim() ? null : "true" },
            isBusy ? "Asking …" : "Explain",
          ),
        ),
      ),
    ),
  );
  const showAnswer = view(answer, () => [
    problem && !problem.errors.length ? problemBox(problem) : null,
    told ? explanation(told) : null,
  ]);
  return asked.url ? ask() : undefined;
}

function fieldsOf(text) {
  const fields = {};
  for (const line of text
    .split("\n")
    .map((each) => each.trim())
    .filter(Boolean)) {
    const [name, ...rest] = line.split(":");
    const value = rest.join(":").trim();
    fields[name.trim()] = name.trim() in fields ? [fields[name.trim()], value].flat() : value;
  }
  return fields;
}

function explanation(told) {
  const [kind, title] = VERDICTS[told.verdict] ?? ["info", told.verdict];
  return [
    h(
      "div",
      { key: "verdict" },
      notice(
        kind,
        h("h2", title),
        h(
          "p",
          told.status === null ? "The upstream decides the answer" : `Status ${told.status}`,
          told.reason ? [", because of ", h("code", told.reason)] : null,
          `. Judged by generation ${count(told.generation)} of the configuration.`,
        ),
      ),
    ),
    told.shadow.length
      ? notice(
          "warn",
          h("h2", "Rules in shadow mode would refuse it"),
          h(
            "ul",
            told.shadow.map((each) =>
              h(
                "li",
                `${sentence(each.rule)}: `,
                h("code", each.reason),
                each.policy ? ` (${each.policy})` : "",
              ),
            ),
          ),
        )
      : null,
    card("Step by step", { key: "steps" }, h("ol.trace", told.steps.map(stepView))),
    told.headers.length || told.body
      ? card(
          told.verdict === "forward"
            ? "What the gateway adds to the answer"
            : "What the client would be sent",
          { key: "answer" },
          told.headers.length
            ? table({
                caption: "Header fields",
                compact: true,
                rows: told.headers,
                key: ([name, value]) => name + value,
                columns: [
                  { title: "Field", isMain: true, cell: ([name]) => h("code", name) },
                  { title: "Value", cell: ([, value]) => h("code", value) },
                ],
              })
            : null,
          told.body
            ? h("pre.body-shown", { tabindex: "0", "aria-label": "Body" }, pretty(told.body))
            : null,
        )
      : null,
  ];
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function stepView(step) {
  const [text, kind] = RESULTS[step.result] ?? [step.result, "off"];
  const known = Object.entries(step.facts);
  const lists = known.filter(
    ([, value]) => Array.isArray(value) && value.some((each) => each && typeof each === "object"),
  );
  const simple = known.filter(
    ([name, value]) => !lists.some(([listed]) => listed === name) && value !== "" && value !== null,
  );
  return h(
    "li",
    { key: step.step, class: `is-${step.result.replaceAll("_", "-")}` },
    h("div.trace-head", h("h3", STEPS[step.step] ?? sentence(step.step)), badge(text, kind)),
    simple.length
      ? h(
          "dl.facts",
          simple.map(([name, value]) =>
            h("div", h("dt", sentence(name)), h("dd", factOf(name, value))),
          ),
        )
      : null,
    lists.map(([name, rows]) =>
      table({
        caption: sentence(name),
        compact: true,
        rows: rows.map((row, n) => ({ ...row, n })),
        key: (row) => row.n,
        columns: Object.keys(rows[0]).map((column) => ({
          title: sentence(column),
          cell: (row) => factOf(column, row[column]),
        })),
      }),
    ),
  );
}

function factOf(name, value) {
  if (value === null || value === undefined || value === "") return h("span.muted", "–");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return count(value);
  if (Array.isArray(value))
    return value.length ? h("code", value.join(", ")) : h("span.muted", "none");
  if (name === "key_id") return h("a.mono", { href: keyPath(value) }, value);
  if (name.endsWith("_at")) return moment(value, { absolute: true });
  return h("code", String(value));
}
