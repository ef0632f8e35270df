// Tables that become cards on a phone, and lists that are read page by page.

import { h, spoken } from "../dom.js";
import { icon } from "./icons.js";

const WORD_MAX = 40;

// Columns are `{title, cell(row), kind, isMain, sort}`: `kind` is "number" or "fit"; `isMain` marks what names the row;
// `sort` is the field by which `sorting` (`{by, choose(by)}`) may order the list, with a minus for the other way.
// `href(row)` makes the main cell a link, and the whole row a target for the mouse.
export function table({
  columns,
  rows,
  key = (row) => row.id,
  caption,
  empty = null,
  href = null,
  compact = false,
  sorting = null,
}) {
  if (!rows.length && empty) return empty;
  const named = columns.some((column) => column.isMain);
  const cell = (column, row, n) => {
    const isMain = named ? column.isMain : n === 0;
    const content = column.cell(row);
    const props = { class: column.kind ?? "", "data-label": column.isQuiet ? null : column.title };
    if (!isMain) return breaking(h("td", props, h("div.cell", content)));
    return breaking(
      h(
        "th.main",
        { ...props, scope: "row" },
        href ? h("a", { href: href(row) }, content) : h("div.cell", content),
      ),
    );
  };
  return h(
    "div.table-wrap",
    { key: `table-${caption}`, tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      { class: compact ? "compact" : "" },
      h("caption", spoken(caption)),
      h(
        "thead",
        h(
          "tr",
          columns.map((column) => heading(column, sorting)),
        ),
      ),
      h(
        "tbody",
        rows.map((row) =>
          h(
            "tr",
            { key: key(row), class: href ? "is-link" : "" },
            columns.map((column, n) => cell(column, row, n)),
          ),
        ),
      ),
    ),
  );
}

// Lets a cell break in the middle of a word that is longer than any id of ours: a name of 60 letters would push the
// columns behind it out of sight.
function breaking(cell) {
  if (words(cell).some((word) => word.length > WORD_MAX)) cell.classList.add("is-long");
  return cell;
}

const words = (node) =>
  node.nodeType === Node.TEXT_NODE ? node.data.split(/\s/) : [...node.childNodes].flatMap(words);

function heading(column, sorting) {
  const props = { scope: "col", class: column.kind ?? "" };
  if (!column.sort || !sorting)
    return h("th", props, column.isQuiet ? spoken(column.title) : column.title);
  const [isUp, isDown] = [sorting.by === column.sort, sorting.by === `-${column.sort}`];
  const order = isUp ? "ascending" : isDown ? "descending" : "none";
  const next = isUp ? `-${column.sort}` : isDown ? "" : column.sort;
  return h(
    "th",
    { ...props, "aria-sort": order },
    h(
      "button",
      { type: "button", onclick: () => sorting.choose(next) },
      column.title,
      isUp ? icon("up") : isDown ? icon("down") : null,
    ),
  );
}

// Which page of a list is shown. Cursors lead forwards only, so those that led here are remembered.
export class Pager {
  constructor(onchange) {
    this.cursors = [null];
    this.onchange = onchange;
  }

  get cursor() {
    return this.cursors.at(-1) ?? undefined;
  }

  reset() {
    this.cursors = [null];
  }

  view(page, noun = "entries") {
    const number = this.cursors.length;
    if (number === 1 && !page.has_more) return null;
    const step = (change) => {
      change();
      this.onchange();
    };
    return h(
      "nav.pager",
      { "aria-label": "Pages", key: "pager" },
      h(
        "button",
        { type: "button", disabled: number === 1, onclick: () => step(() => this.cursors.pop()) },
        icon("back"),
        "Previous",
      ),
      h("p", { "aria-live": "polite" }, `Page ${number}, ${page.data.length} ${noun}`),
      h(
        "button",
        {
          type: "button",
          disabled: !page.has_more,
          onclick: () => step(() => this.cursors.push(page.next_cursor)),
        },
        "Next",
        icon("next"),
      ),
    );
  }
}
