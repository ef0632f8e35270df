// Short messages that come and go; readers of the screen are told, too.

import { h } from "../dom.js";
import { icon } from "./icons.js";

const SECONDS = 6;
const SHOWN_MAX = 4;
const ICONS = { good: "check", bad: "warning", info: "info" };

export function toast(text, kind = "info") {
  const place = document.getElementById("toasts");
  // A dialog covers everything else: there the message has to stand in front of it.
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  const home = dialog?.querySelector(".toasts") ?? place;
  const message = h(
    "div.toast",
    { class: kind },
    icon(ICONS[kind] ?? "info"),
    h("p", text),
    h(
      "button.icon",
      { type: "button", "aria-label": "Dismiss", onclick: () => message.remove() },
      icon("cross"),
    ),
  );
  home.append(message);
  while (home.children.length > SHOWN_MAX) home.firstElementChild.remove();
  setTimeout(() => message.remove(), SECONDS * 1000 * (kind === "bad" ? 2 : 1));
}

// Says what became of an act that failed.
export const toastProblem = (error) =>
  toast(error.requestId ? `${error.detail} (${error.requestId})` : error.message, "bad");
