// Makes elements, and brings what is on the page up to what it should be.
//
// A page says what it looks like now: `h("p", {class: "note"}, "text")`. `morph` changes as little as possible of what
// is there, so that focus, scroll position and half-written inputs survive a refresh. Text is only ever set as text:
// nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

// What an element was made with, for `morph`: handlers by event, properties, custom properties of CSS, its key.
const made = new WeakMap();
const of = (node) => made.get(node) ?? {};

function dispatch(event) {
  return of(event.currentTarget).on?.[event.type]?.call(event.currentTarget, event);
}

// Properties that are no attributes, or of which the attribute is only the beginning.
const PROPERTIES = new Set(["value", "checked", "indeterminate", "open", "model"]);

// h("button.primary", {onclick: f, disabled: true, vars: {"--share": 0.4}, key: "a"}, "Save")
export function h(tag, props, ...children) {
  return build((name) => document.createElement(name), tag, props, children);
}

// The same for SVG.
export function s(tag, props, ...children) {
  return build((name) => document.createElementNS(SVG, name), tag, props, children);
}

function build(create, tag, props, children) {
  if (
    props !== null &&
    (typeof props !== "object" || props instanceof Node || Array.isArray(props))
  ) {
    children = [props, ...children];
    props = null;
  }
  const [name, ...classes] = tag.split(".");
  const node = create(name);
  const own = { on: {}, props: {}, vars: {}, key: undefined, isOpaque: false };
  made.set(node, own);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  node.append(...nodes(children));
  for (const [key, value] of Object.entries(props ?? {})) set(node, own, key, value);
  return node;
}

function set(node, own, name, value) {
  if (name === "key") own.key = value;
  else if (name === "opaque") own.isOpaque = value;
  else if (name === "vars") setVars(node, (own.vars = value));
  else if (name.startsWith("on")) {
    if (!value) return;
    own.on[name.slice(2)] = value;
    node.addEventListener(name.slice(2), dispatch);
  } else if (PROPERTIES.has(name) && name in node) {
    own.props[name] = value;
    node[name] = value ?? "";
  } else if (name === "class") {
    const all = [node.getAttribute("class"), value].filter(Boolean).join(" ");
    if (all) node.setAttribute("class", all);
  } else if (name.startsWith("aria-") && typeof value === "boolean")
    node.setAttribute(name, String(value));
  else if (value === true) node.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
}

function setVars(node, vars) {
  for (const [name, value] of Object.entries(vars)) node.style.setProperty(name, value);
}

// Flattens lists; leaves out what is nothing; makes text of the rest.
export function nodes(children) {
  const found = [];
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true || child === "")
      continue;
    found.push(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return found;
}

// Makes the children of `parent` be like `fresh`, by moving and changing those that are there.
export function morph(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = of(child).key;
    if (key !== undefined) keyed.set(key, child);
  }
  let cursor = parent.firstChild;
  for (const wanted of nodes(fresh)) {
    const key = of(wanted).key;
    let match = null;
    if (key !== undefined) {
      match = keyed.get(key) ?? null;
      keyed.delete(key);
    } else if (cursor && of(cursor).key === undefined) match = cursor;
    if (match && !isSame(match, wanted)) match = null;
    if (!match) {
      parent.insertBefore(wanted, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(match, cursor);
    become(match, wanted);
  }
  while (cursor) {
    const next = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

const isSame = (a, b) =>
  a.nodeType === b.nodeType && a.nodeName === b.nodeName && of(a).key === of(b).key;

function become(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return undefined;
  }
  const now = of(fresh);
  const before = of(old);
  if (before.isOpaque && now.isOpaque) return setProps(old, now);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "style" && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const type of Object.keys(now.on ?? {})) {
    if (!before.on?.[type]) old.addEventListener(type, dispatch);
  }
  for (const name of Object.keys(before.vars ?? {})) {
    if (!(name in (now.vars ?? {}))) old.style.removeProperty(name);
  }
  setVars(old, now.vars ?? {});
  morph(old, [...fresh.childNodes]);
  setProps(old, now);
  made.set(old, { ...now });
  return undefined;
}

function setProps(node, own) {
  for (const [name, value] of Object.entries(own.props ?? {})) {
    if (node !== document.activeElement && node[name] !== value) node[name] = value ?? "";
  }
}

// Shows in `container` what `render` returns; the function that comes back does so again.
export function view(container, render) {
  const update = () => morph(container, render());
  update();
  return update;
}

let last = 0;

// A new id for `for`, `aria-describedby` and the like.
export const uid = (name = "id") => `${name}-${++last}`;

// Text for those who do not see.
export const spoken = (text) => h("span.visually-hidden", text);
