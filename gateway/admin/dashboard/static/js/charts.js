// Charts in SVG, each with the same figures as a table.
//
// A chart is an element that draws itself into the width it is given, and again when that or its model changes. Colours
// come from the style sheet, by the kind of a series, so light and dark are alike; nothing is told by colour alone.

import { h, morph, s } from "./dom.js";
import { exact, short, shortDay, time } from "./format.js";
import { alone, areaPath, linePath, niceTicks } from "./shapes.js";

export { barList, shareBar, sparkline } from "./bars.js";

const MARGIN = { top: 10, right: 12, bottom: 22, left: 46 };
const DAY_SECONDS = 86400;

// Draws `model`: `{draw(width), ...}` returns nodes.
class Chart extends HTMLElement {
  #model = null;
  #width = 0;
  #observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === this.#width || !width) return;
    this.#width = width;
    this.#draw();
  });

  set model(model) {
    this.#model = model;
    this.#draw();
  }

  get model() {
    return this.#model;
  }

  connectedCallback() {
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  #draw() {
    if (this.#model && this.#width) morph(this, this.#model.draw(this.#width, this));
  }
}

if (!customElements.get("th-chart")) customElements.define("th-chart", Chart);

const chart = (model, height) =>
  h("th-chart", { model, opaque: true, vars: { "--height": `${height}px` } });

// Lines over time. `times` are dates; `series` are `{name, kind, values}`, with null where nothing is known.
// `isStacked` puts them upon each other as areas; `isColumns` as columns.
export function timeChart({
  title,
  times,
  series,
  format = short,
  height = 190,
  isStacked = false,
  isColumns = false,
  stepSeconds = 3600,
  summary = "",
  isHeading = false,
}) {
  const shown = series.filter((each) =>
    each.values.some((value) => value !== null && value !== undefined),
  );
  const model = {
    draw: (width, element) =>
      drawTime({
        title,
        times,
        series: shown,
        format,
        height,
        width,
        isStacked,
        isColumns,
        stepSeconds,
        element,
      }),
  };
  return h(
    "figure.chart",
    { key: `chart-${title}` },
    h(
      "figcaption.chart-head",
      h(isHeading ? "h2.chart-title" : "span.chart-title", title),
      legend(shown, summary),
    ),
    shown.length && times.length
      ? chart(model, height)
      : h("p.chart-empty", "Nothing in this time."),
    shown.length && times.length
      ? twin(
          title,
          ["Time", ...shown.map((each) => each.name)],
          times.map((at, n) => [
            label(at, stepSeconds, true),
            ...shown.map((each) => format(each.values[n])),
          ]),
        )
      : null,
  );
}

const legend = (series, summary) =>
  h(
    "span.legend",
    series.length > 1
      ? series.map((each) =>
          h("span.legend-item", h("span.swatch", { class: `kind-${each.kind}` }), each.name),
        )
      : null,
    summary ? h("span.legend-note", summary) : null,
  );

function drawTime({
  title,
  times,
  series,
  format,
  height,
  width,
  isStacked,
  isColumns,
  stepSeconds,
  element,
}) {
  const inner = {
    width: Math.max(40, width - MARGIN.left - MARGIN.right),
    height: height - MARGIN.top - MARGIN.bottom,
  };
  const stacks =
    isStacked || isColumns
      ? stacked(series)
      : series.map((each) => each.values.map((value) => [0, value]));
  const most = Math.max(...stacks.flat().map(([, top]) => top ?? 0));
  const ticks = niceTicks(most, isColumns);
  const top = ticks.at(-1);
  const n = times.length;
  const x = (index) =>
    MARGIN.left +
    (isColumns
      ? ((index + 0.5) / n) * inner.width
      : n === 1
        ? inner.width / 2
        : (index / (n - 1)) * inner.width);
  const y = (value) => MARGIN.top + inner.height - (value / top) * inner.height;
  const columnWidth = Math.max(1, Math.min(28, (inner.width / n) * 0.72));
  const marks = series.flatMap((each, index) => {
    const points = stacks[index];
    if (isColumns)
      return points.map(([low, high], at) =>
        high > low
          ? s("rect.column", {
              class: `kind-${each.kind}`,
              x: x(at) - columnWidth / 2,
              width: columnWidth,
              y: y(high),
              height: Math.max(0.5, y(low) - y(high)),
            })
          : null,
      );
    return [
      isStacked || series.length === 1
        ? s("path.area", { class: `kind-${each.kind}`, d: areaPath(points, x, y) })
        : null,
      s("path.line", { class: `kind-${each.kind}`, d: linePath(points, x, y) }),
      alone(points).map((at) =>
        s("circle.dot", { class: `kind-${each.kind}`, cx: x(at), cy: y(points[at][1]), r: 2.5 }),
      ),
    ];
  });
  const cursor = s("line.cursor", { x1: 0, x2: 0, y1: MARGIN.top, y2: MARGIN.top + inner.height });
  const tip = h("div.chart-tip", { hidden: true });
  const move = (event) => {
    const box = element.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / inner.width;
    const at = Math.max(
      0,
      Math.min(n - 1, isColumns ? Math.floor(share * n) : Math.round(share * (n - 1))),
    );
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("class", "cursor is-on");
    morph(tip, [
      h("p.chart-tip-time", label(times[at], stepSeconds, true)),
      ...series.map((each) =>
        h(
          "p",
          h("span.swatch", { class: `kind-${each.kind}` }),
          h("span", each.name),
          h("strong", format(each.values[at])),
        ),
      ),
    ]);
    tip.hidden = false;
    const left = Math.min(Math.max(x(at) + 12, 0), width - tip.offsetWidth - 4);
    tip.style.setProperty(
      "left",
      `${left > x(at) ? left : Math.max(0, x(at) - tip.offsetWidth - 12)}px`,
    );
  };
  const leave = () => {
    tip.hidden = true;
    cursor.setAttribute("class", "cursor");
  };
  return [
    s(
      "svg",
      {
        key: "plot",
        width,
        height,
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `${title}: ${spokenSummary(series, format)}`,
        onpointermove: move,
        onpointerleave: leave,
      },
      ticks.map((value) => [
        s("line.grid", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
        s(
          "text.tick",
          { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" },
          format(value),
        ),
      ]),
      timeTicks(times, inner.width).map((at) =>
        s(
          "text.tick",
          {
            x: x(at),
            y: height - 6,
            "text-anchor":
              at === 0 && !isColumns ? "start" : at === n - 1 && !isColumns ? "end" : "middle",
          },
          label(times[at], stepSeconds),
        ),
      ),
      marks,
      cursor,
    ),
    tip,
  ];
}

const spokenSummary = (series, format) =>
  series
    .map((each) => {
      const known = each.values.filter((value) => value !== null && value !== undefined);
      return `${each.name} from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
    })
    .join(", ");

function stacked(series) {
  const base = series[0]?.values.map(() => 0) ?? [];
  return series.map((each) =>
    each.values.map((value, n) => {
      const low = base[n];
      base[n] += value ?? 0;
      return [low, base[n]];
    }),
  );
}

function timeTicks(times, width) {
  const room = Math.max(2, Math.floor(width / 84));
  const step = Math.max(1, Math.ceil(times.length / room));
  return times.map((_, n) => n).filter((n) => n % step === 0);
}

function label(at, stepSeconds, isWhole = false) {
  if (stepSeconds >= DAY_SECONDS) return shortDay(at);
  return isWhole ? exact(at) : time(at);
}

// The same figures for whoever would rather read them.
const twin = (title, head, rows) =>
  h(
    "details.chart-twin",
    h("summary", "Show as a table"),
    h(
      "div.table-wrap",
      { tabindex: "0", role: "group", "aria-label": `${title} as a table` },
      h(
        "table.compact",
        h("caption.visually-hidden", title),
        h(
          "thead",
          h(
            "tr",
            head.map((each, n) => h("th", { scope: "col", class: n ? "number" : "" }, each)),
          ),
        ),
        h(
          "tbody",
          rows.map((row) =>
            h(
              "tr",
              row.map((each, n) =>
                n ? h("td.number", each) : h("th.main", { scope: "row" }, each),
              ),
            ),
          ),
        ),
      ),
    ),
  );
