// The heat map as a table of text: a row for each layer, a column for each position or head in view.
import { numberTable } from "../lib/a11y";
import { h, memo, show } from "../lib/dom";
import { times } from "../lib/geometry";
import { arrows, onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import { ESTIMATE, EXACT, PENDING, SAME } from "../lib/sweep-table";
import { numberOf, textOf } from "../lib/sweep-values";
import { type HeatmapLook, mapTitle } from "./heatmap-figure";

export interface HeatmapTable {
  element: HTMLElement;
  show(shown: boolean): void;
  draw(look: HeatmapLook): void;
}

const WORDS: Readonly<Record<number, string>> = { [PENDING]: "…", [SAME]: "same" };

export function createHeatmapTable(page: (by: -1 | 1) => void): HeatmapTable {
  const body = h("div.table-scroll", { tabindex: 0, "aria-label": "the sweep as a table" });
  const before = h("button.link", { "data-action": "before", onclick: () => page(-1) });
  const after = h("button.link", { "data-action": "after", onclick: () => page(1) });
  const pages = h("div.cell-actions", before, after);
  const element = h("div", { "data-part": "heatmap-table", hidden: true }, pages, body);
  const drawn = memo<void>();
  onKeys(
    body,
    arrows((rows, cols) => body.scrollBy(cols * 60, rows * 40)),
  );

  function build({ table, layout, values }: HeatmapLook): void {
    const { map } = table;
    const columns = times(layout.end - layout.first, (at) => layout.first + at);
    const heading = (column: number) => {
      const { label = "?", other, position } = map.columns[column] ?? {};
      const from = other && other !== label ? ` ← ${shortLabel(other, 12)}` : "";
      return `${shortLabel(label, 12)}${from}${position == null ? "" : ` ${position}`}`;
    };
    const made = numberTable(
      mapTitle(table, values.view),
      map.layers.map((layer) => `L${layer}`),
      columns.map(heading),
      (row, at) => {
        const cell = table.cell(row, columns[at] as number);
        if (cell.state !== ESTIMATE && cell.state !== EXACT) return WORDS[cell.state] ?? "none";
        return (cell.state === ESTIMATE ? "~" : "") + textOf(values, numberOf(map, cell, values.view));
      },
    );
    body.replaceChildren(made);
    const { first, end, positions } = layout;
    show(before, first > 0);
    show(after, end < positions);
    before.textContent = `‹ ${first} more`;
    after.textContent = `${positions - end} more ›`;
  }
  return {
    element,
    show: (shown) => show(element, shown),
    draw(look) {
      const { table, layout, values } = look;
      drawn<unknown>([table, table.version, table.map, layout, values], () => build(look));
    },
  };
}
