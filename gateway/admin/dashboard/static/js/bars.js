// Charts without axes: amounts beside each other, parts of a whole, the shape of a development.

import { h, s } from "./dom.js";
import { count, percent } from "./format.js";
import { areaPath, linePath } from "./shapes.js";

// Amounts beside each other, the largest first as given: `{label, value, kind, href, note}`, where `note` may be
// a node. It is its own table.
export function barList({
  title,
  rows,
  format = count,
  total = null,
  instead = "Nothing in this time.",
}) {
  const most = Math.max(1, ...rows.map((each) => each.value));
  const whole = total ?? rows.reduce((sum, each) => sum + each.value, 0);
  if (!rows.length) return h("p.chart-empty", { key: `bars-${title}` }, instead);
  return h(
    "ul.bar-list",
    { key: `bars-${title}`, "aria-label": title },
    rows.map((each) =>
      h(
        "li",
        { key: each.key ?? each.label },
        h(
          "span.bar-label",
          each.href ? h("a", { href: each.href }, each.label) : each.label,
          each.note ? h("span.muted", " ", each.note) : null,
        ),
        h(
          "span.bar-value",
          format(each.value),
          whole ? h("span.muted", ` ${percent(each.value / whole)}`) : null,
        ),
        h(
          "span.bar-track",
          { "aria-hidden": "true" },
          h("span.bar-fill", {
            class: `kind-${each.kind ?? "requests"}`,
            vars: { "--share": String(each.value / most) },
          }),
        ),
      ),
    ),
  );
}

// The shape of a development, beside a number that says what it came to.
export function sparkline(values, { kind = "requests", text = "" } = {}) {
  const known = values.map((value) => value ?? 0);
  const most = Math.max(1e-9, ...known);
  const [width, height] = [120, 28];
  const x = (n) => (known.length < 2 ? width / 2 : (n / (known.length - 1)) * width);
  const y = (value) => height - 2 - (value / most) * (height - 4);
  const points = known.map((value) => [0, value]);
  return s(
    "svg.sparkline",
    {
      viewBox: `0 0 ${width} ${height}`,
      preserveAspectRatio: "none",
      role: text ? "img" : null,
      "aria-label": text || null,
      "aria-hidden": text ? null : "true",
    },
    s("path.area", { class: `kind-${kind}`, d: areaPath(points, x, y) }),
    s("path.line", { class: `kind-${kind}`, d: linePath(points, x, y) }),
  );
}

// Parts of a whole in one bar: `{label, value, kind}`.
export function shareBar({ title, parts, format = count }) {
  const whole = parts.reduce((sum, each) => sum + each.value, 0);
  if (!whole) return h("p.chart-empty", { key: `share-${title}` }, "Nothing in this time.");
  return h(
    "div.share",
    { key: `share-${title}` },
    h(
      "div.share-bar",
      { "aria-hidden": "true" },
      parts
        .filter((each) => each.value)
        .map((each) =>
          h("span", {
            class: `kind-${each.kind}`,
            key: each.label,
            vars: { "--share": String(each.value / whole) },
          }),
        ),
    ),
    h(
      "ul.share-list",
      { "aria-label": title },
      parts.map((each) =>
        h(
          "li",
          { key: each.label },
          h("span.swatch", { class: `kind-${each.kind}` }),
          h("span", each.label),
          h("strong", format(each.value)),
          h("span.muted", percent(each.value / whole)),
        ),
      ),
    ),
  );
}
