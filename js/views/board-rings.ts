// What stands out on a grid: the picked block, the hovered cell, the cursor, what is carried, and where it would land.
import type { BoardSession, Place } from "../lib/board-session";
import { between, landsOn, otherSide, partner, readBy, rowOfSite, sourceOf } from "../lib/board-specs";
import { ringAt } from "../lib/grid-canvas";
import { columnLeft, lineOf } from "../lib/lens-layout";
import type { GridLook } from "./board-figure";

/** Draws the marks over a grid; `scrolled` pixels of its lines are above the headings. */
export function drawBoardRings(
  into: HTMLElement,
  session: BoardSession,
  look: GridLook,
  scrolled: number,
  cursor: { row: number; column: number } | null,
  band: { from: Place; to: Place } | null,
): void {
  const { board, name, layout, head } = look;
  const { hoverPlace, picked, drag, linkedHover } = session;
  const { lines, tops, top, row: rowHigh, left, first, end, cell, gutter } = layout;
  const made: HTMLElement[] = [];
  const yOf = (line: number) => top + (tops[line] ?? 0) - scrolled;
  const bottom = yOf(lines.length);
  function ring(kind: string, x: number, y: number, width: number, height: number): void {
    made.push(ringAt("lens", kind, x, y, width, height, name));
  }
  const inView = (column: number) => column >= first && column < end;
  /** Round a block; all columns where there are none given. */
  function around(kind: string, rows: readonly number[], columns: readonly number[] | null): void {
    const at = rows.map((row) => lineOf(layout, row)).filter((line) => line >= 0);
    const shown = columns ? columns.filter(inView) : [first, end - 1];
    if (!at.length || !shown.length) return;
    const high = Math.max(...at);
    const y = Math.max(top - 1, yOf(Math.min(...at)));
    const under = yOf(high + 1);
    const x = columnLeft(layout, Math.min(...shown));
    const width = (Math.max(...shown) - Math.min(...shown) + 1) * cell;
    if (under > top) ring(kind, x - 2, y - 2, width + 3, under - y + 3);
  }
  const column = (kind: string, at: number) => {
    if (inView(at)) ring(kind, columnLeft(layout, at), 2, cell - 1, bottom - 3);
  };

  const side = name === "edited" ? board.base : name;
  const other = otherSide(side);
  // Columns that stand for none of the other prompt take only what is dropped right on them.
  if (name !== "edited" && !head && board.grids.corrupted)
    for (const at of between(first, end - 1))
      if (partner(board, at, side, other) < 0)
        ring("unpaired", columnLeft(layout, at), top, cell - 1, bottom - top);

  // Where the patches that are on read and write.
  for (const { on, spec } of session.question?.edits ?? []) {
    if (
      !on ||
      !spec ||
      name === "edited" ||
      (head ? spec.site !== session.carrying?.site : spec.head !== null)
    )
      continue;
    const base = session.question?.base ?? "clean";
    const reads = readBy(spec, base);
    const at = [rowOfSite(board, head ? "resid_post" : spec.site, spec.layer)];
    const heads = spec.head === null ? null : [spec.head];
    const { positions, source_positions } = spec;
    if (name === base) around("edit", at, head ? heads : positions);
    if (name === reads) {
      const own = source_positions ?? positions?.map((it) => partner(board, it, base, reads)) ?? null;
      around("edit", at, head ? heads : own);
    }
  }
  const { carried, target } = drag;
  if (picked?.grid === name) around("picked", picked.rows, picked.columns);
  if (carried) {
    const { site, layer, layers = [layer], positions = null, heads, head: one = null } = carried;
    const rows = layers.map((it) => rowOfSite(board, head ? "resid_post" : site, it));
    const columns = head ? (heads ?? (one === null ? null : [one])) : positions;
    const onto = target && (name === target.grid || (target.grid === "edited" && name === target.side));
    if (carried.source === name) around("carried", rows, columns);
    if (onto && target) {
      const lands = head ? columns : landsOn(board, carried, target);
      const source = sourceOf(board, carried, target.side);
      const nothing = source === target.side && drag.specs.length === 0;
      if (!nothing) {
        for (const at of lands ?? []) column("target-column", at);
        around("target", rows, lands);
        for (const at of rows) mark(at);
      }
    }
  } else {
    const { grid, row = -1, column: across = -1 } = hoverPlace ?? {};
    if (grid === name) around("hovered", [row], [across]);
    // Its twin in the other prompt's run.
    else if (grid && grid !== "edited" && name !== "edited")
      around("twin", [row], [head ? across : partner(board, across, grid, side)]);
    if (linkedHover && !hoverPlace) {
      const { layer, position, head: linked } = linkedHover;
      const at = head ? linked : position;
      const row = layer === undefined ? -1 : rowOfSite(board, "resid_post", layer);
      if (at !== undefined && inView(at)) ring("column", columnLeft(layout, at), 2, cell - 1, top - 4);
      if (row >= 0) mark(row);
    }
  }
  if (band) around("band", between(band.from.row, band.to.row), between(band.from.column, band.to.column));
  if (cursor) {
    const line = lines[lineOf(layout, cursor.row)];
    around("cursor", [cursor.row], line?.folded ? null : [cursor.column]);
  }
  into.replaceChildren(...made);

  /** The name of a row. */
  function mark(row: number): void {
    const line = lineOf(layout, row);
    const y = yOf(line);
    if (line >= 0 && y > top - rowHigh / 2) ring("row", 0, y, Math.min(gutter, left) - 2, rowHigh - 1);
  }
}
