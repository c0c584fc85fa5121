// A canvas as a table: real rows and cells, a window of them when there are many, moved with the arrow keys.
import { numberTable } from "../lib/a11y";
import { attribute, h, setText } from "../lib/dom";
import { clamp, times } from "../lib/geometry";
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

export interface WindowedTable<Key> {
  element: HTMLElement;
  /** Draws `source` unless it is what is drawn; the cell `at` comes into view when the source is a new one. */
  draw(source: TableSource, key: Key, at: [row: number, col: number]): void;
}

export function createTable<Key>(say: (text: string) => void): WindowedTable<Key> {
  const words = h("div.note");
  const body = h("div.table-scroll", { tabindex: 0 });
  const element = h("div#table", body, words);
  let source: TableSource = { caption: "", size: 0, row: String, col: String, value: () => "" };
  let drawn: Key | null = null;
  let page = "";
  let first: readonly number[] = [0, 0];

  /** Draws the page that begins at a row and a column, or the next one there is; tells whether it is another. */
  function turn(...starts: readonly number[]): boolean {
    const { caption, size } = source;
    const before = first.join();
    first = starts.map((start) => clamp(start, 0, Math.max(0, size - PAGE)));
    const [rows, cols] = first.map((start) => times(Math.min(size, PAGE), (index) => start + index)) as [
      number[],
      number[],
    ];
    const range = (shown: number[]) => `${(shown[0] ?? 0) + 1}–${(shown.at(-1) ?? 0) + 1}`;
    page = size > PAGE ? `rows ${range(rows)}, columns ${range(cols)} of ${size} · arrows move` : "";
    const table = numberTable(caption, rows.map(source.row), cols.map(source.col), (row, col) =>
      source.value(rows[row] as number, cols[col] as number),
    );
    body.replaceChildren(table);
    setText(words, page);
    attribute(body, "aria-label", `${caption} ${page}`);
    return first.join() !== before;
  }
  onKeys(
    body,
    arrows((rows, cols) => {
      const [row = 0, col = 0] = first;
      if (turn(row + rows * (PAGE / 2), col + cols * (PAGE / 2))) say(page);
      else body.scrollBy(cols * 60, rows * 40);
    }),
  );
  return {
    element,
    draw(next, key, [row, col]) {
      if (key === drawn) return;
      drawn = key;
      source = next;
      turn(row - PAGE / 2, col - PAGE / 2);
    },
  };
}
