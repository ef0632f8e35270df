// The frame around every page: the menu at the side, the search above, who is signed in.

import { post } from "./api.js";
import { h, morph, spoken } from "./dom.js";
import { keyPath, pathTo, ROUTES } from "./pages/index.js";
import { reasonAgainst, session, signOut } from "./session.js";
import { icon, logo } from "./ui/icons.js";
import { toast } from "./ui/toast.js";

const THEMES = ["system", "light", "dark"];

// What a key looks like: such a thing must not get into an address.
const SECRET = /^[a-z][a-z0-9]{1,9}_[a-z0-9]+_[0-9A-Za-z]{20,}$|^\S{60,}$/;

export function createShell({ navigate, signOut: afterSignOut }) {
  const page = h("div.page", { id: "page" });
  const main = h("main", { id: "main", tabindex: "-1" }, page);
  const menu = h("nav.menu", { id: "menu", "aria-label": "Main" });
  const frame = h("div.frame", { key: "frame", opaque: true });
  let marked = "";

  const close = () => {
    frame.classList.remove("menu-open");
    toggle.setAttribute("aria-expanded", "false");
  };
  const toggle = h(
    "button.icon.menu-toggle",
    {
      type: "button",
      "aria-controls": "sidebar",
      "aria-expanded": false,
      "aria-label": "Menu",
      onclick: () => {
        const isOpen = frame.classList.toggle("menu-open");
        toggle.setAttribute("aria-expanded", String(isOpen));
        if (isOpen) menu.querySelector("a")?.focus();
      },
    },
    icon("menu"),
  );
  const side = h(
    "aside.side",
    {
      id: "sidebar",
      onkeydown: (event) => {
        if (event.key !== "Escape" || !frame.classList.contains("menu-open")) return;
        close();
        toggle.focus();
      },
    },
    h("a.brand", { href: pathTo("/overview") }, logo(), h("span", "Tollhouse")),
    menu,
    h("p.side-note", `Version ${session().version}`),
  );
  frame.append(
    side,
    h("div.veil", { onclick: close }),
    h(
      "div.body",
      h(
        "header.top",
        toggle,
        searchForm(navigate),
        h("div.top-end", themeSwitch(), whoMenu(afterSignOut)),
      ),
      main,
    ),
  );

  return {
    attach: (root) => frame.isConnected || morph(root, [frame]),
    // A new place for a page: what the one before goes on doing shows nowhere.
    page: () => {
      const fresh = h("div.page", { id: "page" });
      main.replaceChildren(fresh);
      return fresh;
    },
    mark: (path) => {
      const found = ROUTES.find((each) => each.path === path);
      marked = found?.parent ?? path;
      morph(menu, menuItems(marked));
      close();
    },
    focusPage: () => {
      const heading = main.querySelector("h1");
      heading?.setAttribute("tabindex", "-1");
      (heading ?? main).focus({ preventScroll: true });
    },
  };
}

function menuItems(marked) {
  const groups = new Map();
  for (const route of ROUTES.filter((each) => each.nav !== undefined)) {
    if (!groups.has(route.nav)) groups.set(route.nav, []);
    groups.get(route.nav).push(route);
  }
  return [...groups].map(([name, routes]) =>
    h(
      "div.menu-group",
      { key: name },
      name ? h("h2", name) : null,
      h(
        "ul",
        routes.map((route) => {
          const title = route.path.endsWith("ip-whitelist")
            ? session().allowlist_name
            : route.title;
          const against = reasonAgainst(route.needs);
          const link = h(
            "a",
            {
              href: pathTo(route.path),
              class: against ? "is-barred" : "",
              "aria-current": route.path === marked ? "page" : null,
              title: against || null,
            },
            icon(route.icon),
            h("span", title),
            against ? spoken(` (${against})`) : null,
          );
          return route.under
            ? h("li", h("p.menu-under", icon("lock"), route.under), h("ul", h("li", link)))
            : h("li", link);
        }),
      ),
    ),
  );
}

function searchForm(navigate) {
  const input = h("input", {
    type: "search",
    name: "q",
    placeholder: "Find a key, or paste one",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Find a key by name, id or tag, or paste a whole key",
    "data-search": true,
  });
  const submit = async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    if (/^key_[A-Za-z0-9]{20,}$/.test(text)) navigate(`/keys/${encodeURIComponent(text)}`);
    else if (SECRET.test(text)) await lookUp(text, navigate);
    else navigate(`/keys?${new URLSearchParams({ q: text })}`);
  };
  return h(
    "form.search",
    { role: "search", onsubmit: submit },
    icon("search"),
    input,
    h("kbd", { "aria-hidden": "true" }, "/"),
  );
}

// Asks which key a secret belongs to: in a body, never in an address.
async function lookUp(secret, navigate) {
  try {
    const key = await post("/keys:lookup", { secret });
    location.pathname === keyPath(key.key_id) ||
      navigate(`/keys/${encodeURIComponent(key.key_id)}`);
  } catch (error) {
    toast(error.status === 404 ? "No key has that secret." : error.detail, "bad");
  }
}

function themeSwitch() {
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? "system";
  const button = h("button.icon", {
    type: "button",
    onclick: () => choose(THEMES[(THEMES.indexOf(now()) + 1) % 3]),
  });
  const choose = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem("tollhouse.theme");
      else localStorage.setItem("tollhouse.theme", theme);
    } catch {
      toast("This browser keeps no settings: the theme counts until the page is closed.");
    }
    show();
  };
  const show = () => {
    const names = { system: "as the system", light: "light", dark: "dark" };
    const text = `Theme: ${names[now()]}`;
    button.setAttribute("aria-label", `${text}. Change it.`);
    button.setAttribute("title", text);
    morph(button, [icon({ system: "half", light: "sun", dark: "moon" }[now()])]);
  };
  show();
  return button;
}

const nameOf = (who) => (who.token_id ? who.name : "Configured token");

function whoMenu(afterSignOut) {
  const who = session();
  const out = async () => {
    try {
      await signOut();
    } finally {
      afterSignOut();
    }
  };
  const menu = h(
    "details.who",
    {
      onkeydown: (event) => {
        if (event.key !== "Escape") return;
        menu.open = false;
        menu.firstElementChild.focus();
      },
      onfocusout: (event) => {
        if (menu.open && !menu.contains(event.relatedTarget) && event.relatedTarget)
          menu.open = false;
      },
    },
    h(
      "summary",
      { "aria-label": `Signed in as ${nameOf(who)}, ${who.role}` },
      icon("person"),
      h("span.who-name", nameOf(who)),
    ),
    h(
      "div.who-card",
      h("p", h("strong", nameOf(who))),
      h("p.muted", `Role: ${who.role}`),
      who.tenant_id ? h("p.muted", "Bound to tenant ", h("code", who.tenant_id)) : null,
      who.token_id
        ? h("p.muted", h("code", who.token_id))
        : h("p.muted", "Token of the configuration"),
      h("button", { type: "button", onclick: out }, icon("out"), "Sign out"),
    ),
  );
  return menu;
}
