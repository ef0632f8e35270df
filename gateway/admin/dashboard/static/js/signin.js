// The way in: an admin token, sent once, in a body, to nobody but the gateway.

import { h, morph, uid } from "./dom.js";
import { signIn } from "./session.js";
import { icon, logo } from "./ui/icons.js";

export function signInPage(root, { message = "", done }) {
  const [id, hint, wrong] = [uid("token"), uid("hint"), uid("wrong")];
  let error = message;
  let isBusy = false;
  let wait = 0;
  let timer = 0;

  const entry = () => root.querySelector("input");

  const countDown = (seconds) => {
    clearInterval(timer);
    wait = seconds;
    timer = setInterval(() => {
      wait -= 1;
      if (wait <= 0) {
        clearInterval(timer);
        error = "";
      }
      show();
    }, 1000);
  };

  const submit = async (event) => {
    event.preventDefault();
    const token = entry().value.trim();
    if (isBusy || wait > 0) return;
    if (!token) {
      error = "Enter an admin token.";
      show();
      entry().focus();
      return;
    }
    [isBusy, error] = [true, ""];
    show();
    try {
      await signIn(token);
      entry().value = "";
      clearInterval(timer);
      done();
    } catch (problem) {
      isBusy = false;
      if (problem.status === 401)
        error = "This token opens nothing: it is wrong, has expired or was revoked.";
      else if (problem.status === 429) {
        error = "Too many attempts from this address failed.";
        countDown(problem.retryAfter ?? 10);
      } else error = problem.detail;
      if (problem.requestId && problem.status >= 500) error += ` (${problem.requestId})`;
      show();
      entry().select();
    }
  };

  const show = () => {
    if (!root.isConnected) return;
    const text = wait > 0 ? `${error} Try again in ${wait} s.` : error;
    morph(root, [
      h(
        "main.sign-in",
        { id: "main", tabindex: "-1" },
        h(
          "div.sign-in-card",
          h("div.brand", logo(), h("span", "Tollhouse")),
          h("h1", "Sign in"),
          h(
            "form",
            { onsubmit: submit, novalidate: true },
            h("label", { for: id }, "Admin token"),
            h("input.mono", {
              id,
              type: "password",
              name: "token",
              autocomplete: "off",
              spellcheck: "false",
              autocapitalize: "off",
              required: true,
              "aria-describedby": `${hint} ${wrong}`,
              "aria-invalid": Boolean(text),
              placeholder: "tha_…",
            }),
            h(
              "p.hint",
              { id: hint },
              "Made with ",
              h("code", "tollhouse admin tokens create"),
              ", or ",
              h("code", "tollhouse admin bootstrap"),
              " for the first one. It is not kept in this browser.",
            ),
            h(
              "p.field-error",
              { id: wrong, role: "alert" },
              text ? [icon("warning"), h("span", text)] : null,
            ),
            h(
              "button.primary.wide",
              { type: "submit", disabled: isBusy || wait > 0 },
              isBusy ? "Signing in …" : "Sign in",
            ),
          ),
        ),
      ),
    ]);
  };

  show();
  entry().focus();
}
