// What a screen reader hears: a polite live region, and a table in place of a canvas for those who ask.
import { h, setText } from "./dom";

export class LiveRegion {
  readonly element = h("div.live", { role: "status", "aria-live": "polite" });

  say(text: string): void {
    setText(this.element, text);
  }
}

/** A table of numbers with both headers; cells that do not exist stay empty. */
export function numberTable(
  caption: string,
  rows: readonly string[],
  cols: readonly string[],
  value: (row: number, col: number) => string,
): HTMLTableElement {
  const head = h(
    "tr",
    h("th", { scope: "col" }),
    ...cols.map((label) => h("th", { scope: "col", dir: "auto" }, label)),
  );
  const body = rows.map((label, row) =>
    h("tr", h("th", { scope: "row", dir: "auto" }, label), ...cols.map((_, col) => h("td", value(row, col)))),
  );
  return h("table.table", h("caption", caption), h("thead", head), h("tbody", ...body));
}
