// A canvas as a table: real rows and cells, a window of them when there are many, moved with the arrow keys.
import { numberTable } from "../lib/a11y";
import { attribute, h, setText } from "../lib/dom";
import { arrows, onKeys } from "../lib/keyboard";

/** So many rows and columns at a time: a page of a screen reader, not of the browser's patience. */
const PAGE = 32;

export interface TableSource {
  caption: string;
  size: number;
  row(index: number): string;
  col(index: number): string;
  value(row: number, col: number): string;
}

export interface WindowedTable {
  element: HTMLElement;
  /** Draws `source` unless it is what is drawn; the cell `at` comes into view when the source is a new one. */
  draw(source: TableSource, key: unknown, at: [row: number, col: number]): void;
}

export function createTable(say: (text: string) => void): WindowedTable {
  const words = h("div", { class: "mi-note" });
  const body = h("div", { class: "mi-table-scroll", tabindex: 0 });
  const element = h("div", { "data-part": "table" }, body, words);
  let source: TableSource | null = null;
  let drawn: unknown = null;
  let first: [number, number] = [0, 0];

  const bound = (start: number) => Math.max(0, Math.min((source?.size ?? 0) - PAGE, start));
  const range = (start: number) => [start, Math.min(source?.size ?? 0, start + PAGE)] as const;
  function page(): string {
    if (!source || source.size <= PAGE) return "";
    const [rows, cols] = first.map(range) as [readonly [number, number], readonly [number, number]];
    return `rows ${rows[0] + 1}–${rows[1]}, columns ${cols[0] + 1}–${cols[1]} of ${source.size} · arrows move`;
  }
  function fill(): void {
    if (!source) return;
    const it = source;
    const [rows, cols] = first.map((start) =>
      Array.from({ length: range(start)[1] - start }, (_, index) => start + index),
    ) as [number[], number[]];
    const table = numberTable(
      it.caption,
      rows.map((row) => it.row(row)),
      cols.map((col) => it.col(col)),
      (row, col) => it.value(rows[row] as number, cols[col] as number),
    );
    body.replaceChildren(table);
    setText(words, page());
    attribute(body, "aria-label", `${it.caption} ${page()}`);
  }
  onKeys(
    body,
    arrows((rows, cols) => {
      const before = first.join();
      const step = (by: number) => Math.max(-1e6, Math.min(1e6, by * (PAGE / 2)));
      first = [bound(first[0] + step(rows)), bound(first[1] + step(cols))];
      if (first.join() === before) return body.scrollBy(cols * 60, rows * 40);
      fill();
      say(page());
    }),
  );
  return {
    element,
    draw(next, key, [row, col]) {
      if (key === drawn) return;
      drawn = key;
      source = next;
      first = [bound(row - PAGE / 2), bound(col - PAGE / 2)];
      fill();
    },
  };
}
