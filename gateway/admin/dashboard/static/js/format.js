// How times, numbers and sizes are written, in one way everywhere.

import { h } from "./dom.js";

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const shares = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const smallShares = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 2 });
const days = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const minutes = new Intl.DateTimeFormat("en", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const clockExact = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});
const shortDays = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

export const NONE = "–";

export const count = (n) => (n === null || n === undefined ? NONE : numbers.format(n));
export const short = (n) =>
  n === null || n === undefined ? NONE : n < 10000 ? numbers.format(n) : compact.format(n);
export const percent = (share) => {
  if (share === null || share === undefined || Number.isNaN(share)) return NONE;
  return share > 0 && share < 0.01 ? smallShares.format(share) : shares.format(share);
};

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

// A duration that was measured in milliseconds.
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms >= 10000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Number(ms.toFixed(ms < 1 ? 2 : ms < 100 ? 1 : 0))} ms`;
}

const STEPS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

// A duration in seconds, in at most two units: `3 d 4 h`.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of STEPS) {
    const n = Math.floor(left / size);
    if (n) parts.push(`${n} ${unit}`);
    left -= n * size;
    if (parts.length === 2 || (parts.length && !left)) break;
  }
  return parts.join(" ") || "0 s";
}

// `4 min ago`, `in 12 d`.
export function relative(iso, now = Date.now()) {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return "just now";
  const [unit, each] = STEPS.find(([, step]) => size >= step) ?? STEPS.at(-1);
  const text = `${Math.floor(size / each)} ${unit}`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

export const exact = (iso) => minutes.format(new Date(iso));
export const day = (iso) => days.format(new Date(iso));
export const time = (date) => clock.format(date);
export const timeExact = (iso) => clockExact.format(new Date(iso));
export const shortDay = (date) => shortDays.format(date);

// A moment for people, with the exact one beside it.
export function moment(iso, { instead = NONE, absolute = false } = {}) {
  if (!iso) return h("span.muted", instead);
  return h("time", { datetime: iso, title: exact(iso) }, absolute ? exact(iso) : relative(iso));
}

// `key.created` -> `Key created`.
export function sentence(text) {
  const words = text.replaceAll(/[._-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// Cuts the middle out of an id: `key_4f2a…91bc`.
export const abridged = (id, ends = 6) =>
  id.length <= 2 * ends + 6 ? id : `${id.slice(0, ends + 4)}…${id.slice(-4)}`;
