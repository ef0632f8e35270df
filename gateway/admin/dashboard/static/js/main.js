// Starts the dashboard: finds out who is signed in, shows the shell, and leads from page to page.

import { isAborted, whenSignedOut } from "./api.js";
import { h, morph, nodes } from "./dom.js";
import { live } from "./live.js";
import { find, HOME } from "./pages/index.js";
import { forget, reasonAgainst, resume, session } from "./session.js";
import { createShell } from "./shell.js";
import { signInPage } from "./signin.js";
import { closeDialogs } from "./ui/dialog.js";
import { problemBox, skeleton } from "./ui/parts.js";

const app = document.getElementById("app");
const BASE = "/dashboard";

let shell = null;
let shown = "";
let leaving = new AbortController();

// What a page is given: where to show, its address, and how to go elsewhere.
class Context {
  constructor(root, params, query, signal) {
    this.root = root;
    this.params = params;
    this.query = query;
    this.signal = signal;
  }

  // Shows these instead of what is there.
  show(...children) {
    if (!this.signal.aborted) morph(this.root, nodes(children));
  }

  title(text) {
    if (!this.signal.aborted) document.title = `${text} · Tollhouse`;
  }

  // Loads, shows, and refreshes while somebody looks: see `live`.
  live(options, container = this.root) {
    return live(container, { signal: this.signal, ...options });
  }

  // Keeps what is filtered by in the address, without another entry in the history.
  setQuery(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === null || value === "" || value === false)
        this.query.delete(name);
      else this.query.set(name, value);
    }
    const text = this.query.toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
    shown = addressOf();
  }

  navigate(path) {
    navigate(path);
  }
}

export function navigate(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", BASE + path);
  return showPage({ isMove: true });
}

const addressOf = () => location.pathname + location.search;

async function showPage({ isMove = false } = {}) {
  const before = document.activeElement;
  shown = addressOf();
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  closeDialogs();
  if (!session()) return showSignIn();
  const path = location.pathname.slice(BASE.length).replace(/\/+$/, "") || HOME;
  const found = find(path);
  shell ??= createShell({ navigate, signOut: () => leave("") });
  shell.attach(app);
  const root = shell.page();
  shell.mark(found?.route.path ?? path);
  if (isMove) scrollTo(0, 0);
  document.title = `${found?.route.title ?? "Not found"} · Tollhouse`;
  if (!found) return notFound(root, path);
  const against = reasonAgainst(found.route.needs);
  if (against) return refuse(root, found.route, against);
  morph(root, [h("h1.visually-hidden", found.route.title), skeleton()]);
  const context = new Context(root, found.params, new URLSearchParams(location.search), signal);
  try {
    const module = await found.route.load();
    if (!signal.aborted) await module.default(context);
  } catch (error) {
    if (isAborted(error) || signal.aborted) return undefined;
    if (error instanceof TypeError && /module|import/i.test(error.message)) return outdated(root);
    context.show(
      h("h1", found.route.title),
      problemBox(error, () => showPage()),
    );
  }
  // Whoever has gone on to something else meanwhile stays there.
  const hasStayed = [before, document.body].includes(document.activeElement);
  if (isMove && hasStayed && !signal.aborted) shell.focusPage();
  return undefined;
}

function notFound(root, path) {
  morph(root, [
    h("h1", "There is no such page"),
    h("p", "Nothing is shown at ", h("code", path), "."),
    h("p", h("a", { href: BASE + HOME }, "Back to the overview")),
  ]);
}

function refuse(root, route, against) {
  morph(root, [h("h1", route.title), h("div.notice.warn", h("p", against))]);
}

function outdated(root) {
  morph(root, [
    h("h1", "The gateway was updated"),
    h("p", "This page is of an earlier version."),
    h("button.primary", { onclick: () => location.reload() }, "Load it again"),
  ]);
}

function showSignIn(message = "") {
  shell = null;
  document.title = "Sign in · Tollhouse";
  morph(app, [h("div", { key: "sign-in" })]);
  signInPage(app.firstChild, { message, done: () => showPage({ isMove: true }) });
}

function leave(message) {
  leaving.abort();
  closeDialogs();
  forget();
  showSignIn(message);
}

whenSignedOut(() => {
  if (session()) leave("Your session has ended. Sign in again to go on.");
});

// Links within the dashboard change the page without loading everything again.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const isPlain =
    event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download"))
    return;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(`${BASE}/`)) return;
  if (url.hash && url.pathname === location.pathname && url.search === location.search) return;
  event.preventDefault();
  navigate(url.pathname.slice(BASE.length) + url.search);
});

// A link within the page changes the address, too, but leads nowhere else.
addEventListener("popstate", () => addressOf() !== shown && showPage({ isMove: true }));

addEventListener("keydown", (event) => {
  const isWriting = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isWriting) return;
  if (document.querySelector("dialog[open]")) return;
  const search = document.querySelector("[data-search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

try {
  await resume();
  await showPage();
} catch (error) {
  morph(app, [
    h(
      "main.alone",
      { id: "main" },
      h("h1", "Tollhouse"),
      problemBox(error, () => location.reload()),
    ),
  ]);
}
