// Shows a secret, this once. It is in the answer that made it and nowhere else: not in the address, not in storage.

import { h } from "../dom.js";
import { dialog } from "../ui/dialog.js";
import { copyText, notice } from "../ui/parts.js";
import { icon } from "../ui/icons.js";

// Quoted for a shell when it has to be.
const quoted = (text) =>
  /^[A-Za-z0-9_.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

// `made` is an answer with `secret` or `delivery_url`, `export_name` and `warnings`. Resolves when it is closed.
export async function showSecret(title, made, { lead = "" } = {}) {
  const warn = (event) => event.preventDefault();
  addEventListener("beforeunload", warn);
  try {
    await dialog(
      title,
      ({ close }) => [
        made.secret ? secretParts(made, lead) : linkParts(made),
        made.warnings?.length
          ? notice(
              "warn",
              h(
                "ul",
                made.warnings.map((text) => h("li", text)),
              ),
            )
          : null,
        h(
          "div.dialog-foot",
          h(
            "button.primary",
            { type: "button", onclick: () => close(true) },
            made.secret ? "I have stored it" : "Done",
          ),
        ),
      ],
      { isSealed: true },
    );
  } finally {
    removeEventListener("beforeunload", warn);
  }
}

function secretParts(made, lead) {
  const line = `export ${made.export_name}=${quoted(made.secret)}`;
  return [
    notice(
      "warn",
      h(
        "p",
        h("strong", "This is shown once."),
        " Copy it now: nobody can read it again, not even here.",
      ),
      lead ? h("p", lead) : null,
    ),
    shown("Key", made.secret, "Copy key", "secret"),
    shown("For a shell or a .env file", line, "Copy line", "export-line"),
  ];
}

const linkParts = (made) => [
  notice(
    "info",
    h(
      "p",
      "Send this link to whoever needs the key. It shows the key once, to whoever opens it first.",
    ),
  ),
  shown(
    "Link",
    made.delivery_url.startsWith("/") ? location.origin + made.delivery_url : made.delivery_url,
    "Copy link",
    "link",
  ),
];

function shown(label, text, action, name) {
  const id = `shown-${name}`;
  const field = h("textarea.mono", {
    id,
    readonly: true,
    rows: text.length > 60 ? 2 : 1,
    spellcheck: "false",
    value: text,
    onfocus: () => field.select(),
  });
  return h(
    "div.field.shown",
    h("label", { for: id }, label),
    h(
      "div.shown-row",
      field,
      h(
        "button",
        {
          type: "button",
          "data-copy": name,
          autofocus: name !== "export-line",
          onclick: () => copyText(text, `${label} copied.`),
        },
        icon("copy"),
        action,
      ),
    ),
  );
}
