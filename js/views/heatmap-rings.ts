// What stands out on the heat map: the picked and the hovered cell, the cursor, what is brushed, the row and the column
// under the pointer.
import { ringAt } from "../lib/grid-canvas";
import { columnLeft } from "../lib/lens-layout";
import type { SweepLayout } from "../lib/sweep-layout";
import { type SweepPlace, type SweepRect, samePlace } from "../lib/sweep-places";
import type { SweepSession } from "../lib/sweep-session";

/** Draws the marks over the map; `scrolled` pixels of its rows are above the headings. */
export function drawSweepRings(
  into: HTMLElement,
  session: SweepSession,
  layout: SweepLayout,
  scrolled: number,
  cursor: SweepPlace | null,
  brushed: SweepRect | null,
): void {
  const { hovered, linkedHover, linkedCell, cell: picked, hoverColumn, table, rect, part } = session;
  const { top, row: high, cell: wide, first, end, gutter } = layout;
  const made: HTMLElement[] = [];
  function ring(kind: string, x: number, y: number, width: number, height: number): void {
    // What is scrolled away does not stand over the headings.
    const cut = Math.max(0, top - 2 - y);
    if (height <= cut || width <= 0) return;
    made.push(ringAt("sweep", kind, x, y + cut, width, height - cut));
  }
  const yOf = (row: number) => top + row * high - scrolled;
  const inView = (column: number) => column >= first && column < end;
  function around(kind: string, place: SweepPlace | null): void {
    if (place && inView(place.column))
      ring(kind, columnLeft(layout, place.column) - 2, yOf(place.row) - 2, wide + 3, high + 3);
  }
  const shown = brushed ?? rect;
  if (shown) {
    const [from, to] = [Math.max(shown.columns[0], first), Math.min(shown.columns[1], end - 1)];
    const [y, bottom] = [yOf(shown.rows[0]), yOf(shown.rows[1] + 1)];
    const kind = !brushed && part ? "rerunning" : "brushed";
    ring(kind, columnLeft(layout, from) - 2, y - 2, (to - from + 1) * wide + 3, bottom - y + 3);
  }
  around("picked", picked);
  const focus = hovered ?? linkedCell;
  around("hovered", samePlace(focus, picked) ? null : focus);
  around("cursor", cursor);
  const linked = linkedHover && table ? table.columnOf(linkedHover) : -1;
  const column = hovered?.column ?? hoverColumn ?? linked;
  if (inView(column)) made.push(ringAt("sweep", "column", columnLeft(layout, column), 2, wide - 1, top - 4));
  const layer = linkedHover?.layer;
  const row = hovered?.row ?? (layer === undefined ? -1 : (table?.map.layers.indexOf(layer) ?? -1));
  if (row >= 0) ring("row", 0, yOf(row), gutter - 2, high - 1);
  into.replaceChildren(...made);
}
