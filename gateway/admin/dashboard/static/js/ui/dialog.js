// Dialogs. The browser's own element keeps the focus within, and gives it back where it was.

import { h, morph, nodes, uid } from "../dom.js";
import { area, field, input, within } from "./form.js";
import { icon } from "./icons.js";
import { problemBox } from "./parts.js";

const open = new Set();

export function closeDialogs() {
  for (const close of [...open]) close();
}

// Opens a dialog. `render({close, update})` returns its content. Resolves with what it is closed with, or undefined.
// One that `isSealed` is closed by its own buttons only: what it shows is shown nowhere else.
export function dialog(title, render, { kind = "", isSealed = false } = {}) {
  return new Promise((resolve) => {
    const id = uid("dialog");
    const before = document.activeElement;
    const body = h("div.dialog-body");
    let result;
    const close = (value) => {
      result = value;
      element.close();
    };
    const element = h(
      "dialog",
      {
        class: kind,
        "aria-labelledby": id,
        oncancel: (event) => isSealed && event.preventDefault(),
        onclose: () => {
          open.delete(close);
          // What was said here is still to be read.
          document.getElementById("toasts").append(...element.querySelector(".toasts").children);
          element.remove();
          if (before?.isConnected) before.focus();
          resolve(result);
        },
        onkeydown: (event) => event.key === "Tab" && keepWithin(event, element),
        onclick: (event) => event.target === element && !isSealed && isOutside(event) && close(),
      },
      h(
        "div.dialog-head",
        h("h2", { id, tabindex: "-1" }, title),
        isSealed
          ? null
          : h(
              "button.icon",
              { type: "button", "aria-label": "Close", onclick: () => close() },
              icon("cross"),
            ),
      ),
      body,
      h("div.toasts", { role: "status", "aria-live": "polite" }),
    );
    const update = () => within(id, () => morph(body, nodes(render(controls))));
    const controls = { close, update, element };
    open.add(close);
    document.body.append(element);
    update();
    element.showModal();
    (
      body.querySelector("[autofocus]") ??
      body.querySelector("input, select, textarea, button") ??
      element.querySelector("h2")
    ).focus();
  });
}

const FOCUSABLE =
  "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea, summary, [tabindex='0']";

// After the last control comes the first again: browsers would go on to their own.
function keepWithin(event, element) {
  const all = [...element.querySelectorAll(FOCUSABLE)].filter((each) => each.checkVisibility());
  const isOver = document.activeElement === (event.shiftKey ? all[0] : all.at(-1));
  if (!all.length || !isOver) return;
  event.preventDefault();
  (event.shiftKey ? all.at(-1) : all[0]).focus();
}

function isOutside(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return (
    event.clientX < box.left ||
    event.clientX > box.right ||
    event.clientY < box.top ||
    event.clientY > box.bottom
  );
}

// Asks for an act: what it does, further fields, a reason where one is demanded, and whether to go on. `act(values)` is
// what is done then; its answer is what comes back. `fields(values, set)` returns further fields; `confirm` is a word
// that has to be typed for what cannot be undone.
export function askAct({
  title,
  text,
  label,
  act,
  danger = false,
  needsReason = true,
  fields = () => null,
  values = {},
  confirm = "",
  preview = null,
}) {
  let problem = null;
  let isBusy = false;
  let typed = "";
  const state = { reason: "", ...values };
  return dialog(
    title,
    ({ close, update }) => {
      const set = (changes) => {
        Object.assign(state, changes);
        update();
      };
      const missing =
        needsReason && !state.reason.trim()
          ? "Say why: the reason is kept in the audit trail."
          : confirm && typed !== confirm
            ? `Type ${confirm} to confirm.`
            : "";
      const submit = async (event) => {
        event.preventDefault();
        if (isBusy || missing) return;
        [isBusy, problem] = [true, null];
        update();
        try {
          close(await act(state));
        } catch (error) {
          [isBusy, problem] = [false, error];
          update();
        }
      };
      return h(
        "form",
        { onsubmit: submit, novalidate: true },
        problem ? problemBox(problem, null, "This was not done") : null,
        typeof text === "string" ? h("p", text) : text,
        fields(state, set, problem),
        preview ? preview(state) : null,
        needsReason
          ? field(
              "Reason",
              area({
                value: state.reason,
                rows: 2,
                maxlength: 500,
                oninput: (event) => set({ reason: event.target.value }),
              }),
              {
                required: true,
                hint: "Kept in the audit trail, with your name.",
                errors: problem?.about?.("/reason") ?? [],
              },
            )
          : null,
        confirm
          ? field(
              `Type ${confirm} to confirm`,
              input({
                value: typed,
                oninput: (event) => {
                  typed = event.target.value;
                  update();
                },
              }),
              { required: true, key: "confirm" },
            )
          : null,
        h(
          "div.dialog-foot",
          h("button", { type: "button", onclick: () => close() }, "Cancel"),
          h(
            "button",
            {
              type: "submit",
              class: danger ? "danger" : "primary",
              "aria-disabled": missing ? "true" : null,
              title: missing || null,
            },
            isBusy ? "Working …" : label,
          ),
        ),
      );
    },
    { kind: "narrow" },
  );
}
