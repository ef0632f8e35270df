// Edits an address list, tells before it is saved whom it would refuse, and tries single addresses.

import { post } from "./api.js";
import { h, morph } from "./dom.js";
import { moment, plural } from "./format.js";
import { can, reasonAgainst } from "./session.js";
import { area, field, input, select, settled } from "./ui/form.js";
import { actButton, badge, notice, problemBox } from "./ui/parts.js";
import { table } from "./ui/table.js";

const SINCE = [
  ["1h", "the last hour"],
  ["24h", "the last 24 hours"],
  ["7d", "the last 7 days"],
  ["30d", "the last 30 days"],
];
const SHOWN_MAX = 20;

export const entriesOf = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

// Why recent clients cannot be looked at from here; empty when they can.
const barred = () => reasonAgainst("audit");

// An editor for the list of `subject` (`{key_id}` or `{tenant_id}`), which `save({ip_allowlist, ip_allowlist_mode})`
// stores.
export class AllowlistEditor {
  constructor(root, { subject, entries, mode, save, right, signal, isEnabled = true }) {
    Object.assign(this, { root, subject, save, right, signal, isEnabled });
    this.saved = { text: entries.join("\n"), mode };
    Object.assign(this, {
      text: this.saved.text,
      mode,
      since: "24h",
      preview: null,
      failure: null,
      problem: null,
      isBusy: false,
    });
    this.look = settled(() => this.#preview(), 400);
    this.show();
    this.look();
  }

  get isChanged() {
    return this.text !== this.saved.text || this.mode !== this.saved.mode;
  }

  // Takes over what others have stored meanwhile, unless something is being written here.
  follow(entries, mode, isEnabled = this.isEnabled) {
    const text = entries.join("\n");
    this.isEnabled = isEnabled;
    if (!this.isChanged && (text !== this.saved.text || mode !== this.saved.mode)) {
      this.saved = { text, mode };
      [this.text, this.mode] = [text, mode];
      this.look();
    }
    this.show();
  }

  async #preview() {
    if (barred() || this.signal.aborted) return;
    const asked = this.text;
    try {
      const found = await post(
        "/ip-test",
        { ...this.subject, allow: entriesOf(asked), since: this.since },
        { signal: this.signal },
      );
      if (asked === this.text) [this.preview, this.failure] = [found.preview, null];
    } catch (error) {
      if (this.signal.aborted || asked !== this.text) return;
      [this.preview, this.failure] = [null, error];
    }
    this.show();
  }

  async #store() {
    [this.isBusy, this.problem] = [true, null];
    this.show();
    try {
      await this.save({ ip_allowlist: entriesOf(this.text), ip_allowlist_mode: this.mode });
      this.saved = { text: this.text, mode: this.mode };
    } catch (error) {
      this.problem = error;
    }
    this.isBusy = false;
    this.show();
  }

  show() {
    if (this.signal.aborted) return;
    const isBarred = !can(this.right);
    const errors = [
      ...(this.problem?.about?.("/ip_allowlist") ?? []),
      ...(this.failure?.about?.("/allow") ?? []),
    ];
    morph(this.root, [
      h(
        "div.columns.even",
        h(
          "div.stack",
          this.problem && !errors.length
            ? problemBox(this.problem, null, "The list was not saved")
            : null,
          field(
            "Addresses and networks",
            area({
              value: this.text,
              rows: Math.min(12, Math.max(4, this.text.split("\n").length + 1)),
              class: "mono",
              readonly: isBarred,
              placeholder: "203.0.113.7 # build server\n198.51.100.0/24 # office",
              oninput: (event) => {
                [this.text, this.problem] = [event.target.value, null];
                this.show();
                this.look();
              },
            }),
            {
              errors,
              key: "allowlist",
              hint: "One address or CIDR range per line; what follows # is a comment. Empty allows every address.",
            },
          ),
          field(
            "Other addresses",
            select(
              [
                ["enforce", "Refuse them (403)"],
                ["shadow", "Let them pass and count them (shadow mode)"],
              ],
              {
                value: this.mode,
                disabled: isBarred,
                onchange: (event) => {
                  this.mode = event.target.value;
                  this.show();
                },
              },
            ),
            { key: "mode" },
          ),
          h(
            "div.row",
            actButton(this.isBusy ? "Saving …" : "Save list", {
              name: "save",
              right: this.right,
              kind: "primary",
              disabled: this.isChanged ? "" : "Nothing was changed.",
              onclick: () => this.#store(),
            }),
            this.isChanged
              ? h(
                  "button",
                  { type: "button", key: "undo", onclick: () => this.#undo() },
                  "Undo changes",
                )
              : null,
          ),
        ),
        this.#previewPart(),
      ),
    ]);
  }

  #undo() {
    [this.text, this.mode, this.problem] = [this.saved.text, this.saved.mode, null];
    this.show();
    this.look();
  }

  #previewPart() {
    const against = barred();
    if (against) return notice("info", h("p", against));
    const head = h(
      "div.row",
      h("h3", "Whom this list would refuse"),
      h(
        "label.row",
        h("span.muted", "of those who came in"),
        select(SINCE, {
          value: this.since,
          onchange: (event) => {
            this.since = event.target.value;
            this.look();
          },
        })({ "aria-label": "Time to look back at" }),
      ),
    );
    if (this.failure) {
      const text =
        this.failure.status === 409
          ? "No requests are kept here (request_log), so nobody knows who came."
          : this.failure.errors?.length
            ? "The list cannot be read yet."
            : this.failure.detail;
      return h("div.preview", { key: "preview" }, head, h("p.muted", text));
    }
    if (!this.preview) return h("div.preview", { key: "preview" }, head, h("p.muted", "Looking …"));
    const {
      would_block: refused,
      addresses,
      networks,
      is_complete: isComplete,
      warnings,
    } = this.preview;
    const further = warnings.filter((text) => !text.endsWith("would be refused")); // said above already
    const isEmpty = !entriesOf(this.text).length;
    return h(
      "div.preview",
      { key: "preview", "aria-live": "polite" },
      head,
      isEmpty
        ? h("p", badge("Nobody", "good"), " An empty list allows every address.")
        : refused.length
          ? h(
              "p",
              badge(`${plural(refused.length, "address", "addresses")}`, "bad"),
              ` of ${plural(addresses, "address", "addresses")} from ${plural(networks, "network")}.`,
            )
          : h(
              "p",
              badge("Nobody", "good"),
              ` All ${plural(addresses, "address", "addresses")} of ${plural(networks, "network")} are on the list.`,
            ),
      refused.length && !isEmpty
        ? table({
            caption: "Addresses that would be refused",
            compact: true,
            rows: refused.slice(0, SHOWN_MAX),
            key: (row) => row.client_address,
            columns: [
              { title: "Address", isMain: true, cell: (row) => h("code", row.client_address) },
              { title: "Requests", kind: "number", cell: (row) => row.requests },
              { title: "Last", cell: (row) => moment(row.last_seen) },
            ],
          })
        : null,
      refused.length > SHOWN_MAX ? h("p.muted", `and ${refused.length - SHOWN_MAX} more`) : null,
      further.length
        ? notice(
            "warn",
            h(
              "ul",
              further.map((text) => h("li", `${text}.`)),
            ),
          )
        : null,
      isComplete ? null : h("p.muted", "There were more requests than are looked at for this."),
    );
  }
}

// Says what the rules in force say to an address, and which address this browser has.
export function addressTest(root, subject, signal) {
  let [address, found, problem, isBusy] = ["", null, null, false];
  const test = async (event) => {
    event?.preventDefault();
    [isBusy, problem] = [true, null];
    show();
    try {
      found = await post(
        "/ip-test",
        { ...subject(), ...(address.trim() ? { address: address.trim() } : {}) },
        { signal },
      );
    } catch (error) {
      [problem, found] = [error, null];
    }
    isBusy = false;
    show();
  };
  const show = () => {
    if (signal.aborted) return;
    const against = barred();
    morph(
      root,
      against
        ? [h("p.muted", against)]
        : [
            h(
              "form.row.ends",
              { onsubmit: test, novalidate: true },
              field(
                "Address",
                input({
                  value: address,
                  class: "mono",
                  placeholder: "203.0.113.7",
                  oninput: (event) => (address = event.target.value),
                }),
                {
                  key: "test-address",

                  errors: problem?.about?.("/address") ?? [],
                },
              ),
              h("button", { type: "submit", disabled: isBusy }, "Test access"),
            ),
            problem && !problem.about?.("/address").length ? problemBox(problem) : null,
            found ? verdict(found) : null,
          ],
    );
  };
  show();
  return show;
}

const verdict = (found) =>
  h(
    "div.stack",
    { key: "verdict", role: "status" },
    h(
      "p",
      badge(found.is_allowed ? "Allowed" : "Refused", found.is_allowed ? "good" : "bad"),
      " ",
      h("code", found.tested.address || "unix socket"),
      " ",
      h("span.muted", found.tested.derivation),
    ),
    found.rules.length
      ? h(
          "ul.verdicts",
          found.rules.map((rule) =>
            h(
              "li",
              badge(
                rule.is_allowed ? "allows" : "refuses",
                rule.is_allowed ? "good" : rule.mode === "enforce" ? "bad" : "off",
              ),
              h(
                "span",
                ` the list of the ${rule.rule.replace("_ip", "")}`,
                rule.mode === "enforce"
                  ? ""
                  : ` (${rule.mode === "off" ? "switched off" : "shadow mode"})`,
                rule.network ? [": ", h("code", rule.network)] : "",
              ),
            ),
          ),
        )
      : h("p.muted", "There is no list that counts for it."),
    h("p.muted", "You are seen as ", h("code", found.caller.address || "a unix socket"), "."),
  );
