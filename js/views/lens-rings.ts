// What stands out on the lens table: the picked and the hovered cell, the cursor, the row and the position under the pointer.
import { ringAt } from "../lib/grid-canvas";
import { type LensCell, sameCell } from "../lib/lens-cells";
import { columnLeft, type LensLayout, type Line, lineOf } from "../lib/lens-layout";
import type { LensSession } from "../lib/lens-session";

/** Draws the marks over the table; `scrolled` pixels of its lines are above the headings. */
export function drawRings(
  into: HTMLElement,
  session: LensSession,
  layout: LensLayout,
  scrolled: number,
  cursor: LensCell | null,
): void {
  const { hoverCell, linkedHover, pickedCell, focusCell, hoverColumn } = session;
  const { lines, tops, top, row, fold, left, first, end, cell, gutter } = layout;
  const made: HTMLElement[] = [];
  function ring(kind: string, x: number, y: number, width: number, height: number): void {
    made.push(ringAt("lens", kind, x, y, width, height));
  }
  const inView = (position: number) => position >= first && position < end;
  /** Where a row's line begins; null where it is scrolled away or there is none. */
  const heightOf = (at: number) => {
    const y = top + (tops[at] ?? 0) - scrolled;
    return at < 0 || y < top - row / 2 ? null : y;
  };
  function around(kind: string, place: LensCell | null): void {
    const at = place ? lineOf(layout, place.row) : -1;
    const y = heightOf(at);
    if (!place || y === null) return;
    const { folded } = lines[at] as Line;
    // Folded rows have no cells: only the keyboard stands on them, across.
    if (folded && kind === "cursor") ring(kind, left - 2, y - 2, (end - first) * cell + 3, fold + 3);
    if (!folded && inView(place.position))
      ring(kind, columnLeft(layout, place.position) - 2, y - 2, cell + 3, row + 3);
  }
  around("picked", pickedCell);
  around("hovered", sameCell(focusCell, pickedCell) ? hoverCell : focusCell);
  around("cursor", cursor);
  const position = hoverCell?.position ?? hoverColumn ?? linkedHover?.position ?? -1;
  if (inView(position)) ring("column", columnLeft(layout, position), 2, cell - 1, top - 4);
  const layer = linkedHover?.layer;
  const at = lineOf(layout, hoverCell?.row ?? (layer === undefined ? -1 : session.streamRow(layer)));
  const y = heightOf(at);
  if (y !== null) ring("row", 0, y, gutter - 2, row - 1);
  into.replaceChildren(...made);
}
