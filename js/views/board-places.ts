// What lies where on a grid of the board: the cell, row or column at a point of the page, and the block that is carried
// from it.
import type { GridName } from "../lib/board-cells";
import type { BoardSession, Picked, Place } from "../lib/board-session";
import { between, carriedName, headLabel, partner, rowName } from "../lib/board-specs";
import { times } from "../lib/geometry";
import { scrollToLine } from "../lib/grid-canvas";
import { shortLabel } from "../lib/labels";
import { type LensLayout, type Line, lineOf, type Spot, spotAt, windowWith } from "../lib/lens-layout";
import { foldName, type GridLook } from "./board-figure";
import type { ViewContext } from "./context";

/** A cell under the keyboard's cursor. */
export type Caret = Pick<Place, "row" | "column">;

export type BoardPlaces = ReturnType<typeof createBoardPlaces>;

export function createBoardPlaces(
  { session, say }: ViewContext<BoardSession>,
  name: GridName,
  canvas: HTMLCanvasElement,
  scroller: HTMLElement,
  look: () => GridLook | null,
) {
  const heads = () => name !== "edited" && session.ofHeads;
  const tokenOf = (column: number) =>
    session.question?.prompts[name === "edited" ? session.question.base : name]?.labels[column] ?? "?";
  const rowAt = (line: number) => places.laid?.lines[line]?.first ?? 0;
  const all = () => times(session.board?.rows.length ?? 0, (it) => it);

  const places = {
    /** The grid as it was laid out last. */
    laid: null as LensLayout | null,
    /** The keyboard's cell. */
    caret: null as Caret | null,
    /** Where a block that is being drawn began, and where it is. */
    band: null as { from: Place; to: Place } | null,
    name,
    canvas,
    scroller,
    look,
    heads,
    tokenOf,
    /** Where the answer of this run is read: prompts may differ in length. */
    answerAt() {
      const { board, question } = session;
      const at = question?.answer_position ?? 0;
      const there = board ? partner(board, at, "clean", name === "edited" ? board.base : name) : at;
      return there < 0 ? session.columnsOf(name) - 1 : there;
    },
    nameOf(row: number) {
      const { board, carrying, stream } = session;
      const found = board?.rows[row];
      const pre = carrying?.name === "residual" ? stream : "post";
      return board && found ? rowName(found, board, pre) : "";
    },
    columnName(column: number) {
      const { board, carrying } = session;
      if (heads() && board) return headLabel(board, carrying?.site ?? "", column);
      return `${shortLabel(tokenOf(column), 24)} (${column})`;
    },
    spot({ clientX, clientY }: { clientX: number; clientY: number }): Spot | null {
      const { laid } = places;
      if (!laid) return null;
      const box = canvas.getBoundingClientRect();
      const y = clientY - box.top;
      const down = y < laid.top ? y - laid.top : y - laid.top + scroller.scrollTop;
      return spotAt(laid, clientX - box.left, down);
    },
    placeOf: (at: Spot | null): Place | null =>
      at?.kind === "cell" ? { grid: name, row: rowAt(at.line), column: at.position } : null,
    rowBlock: (row: number): Picked => ({ grid: name, rows: [row], columns: null }),
    columnBlock: (column: number): Picked => ({ grid: name, rows: all(), columns: [column] }),
    /** A cell, or the picked block that holds it. */
    cellBlock(row: number, column: number): Picked {
      const { picked } = session;
      const held = picked?.grid === name && picked.rows.includes(row);
      if (held && (picked.columns?.includes(column) ?? true)) return picked;
      return { grid: name, rows: [row], columns: [column] };
    },
    /** The block that a spot stands for. */
    blockAt(at: Spot): Picked | null {
      if (at.kind === "row") return places.rowBlock(rowAt(at.line));
      if (at.kind === "position") return places.columnBlock(at.position);
      return at.kind === "cell" ? places.cellBlock(rowAt(at.line), at.position) : null;
    },
    /** The line that a row is folded into; -1 for one that has a line of its own. */
    folded(row: number): number {
      const line = places.laid ? lineOf(places.laid, row) : -1;
      return places.laid?.lines[line]?.folded ? line : -1;
    },
    open(line: number): void {
      const found = places.laid?.lines[line] as Line;
      session.openRowsOf(found.first, found.last);
      say(`${foldName({ rowName: places.nameOf }, found)} opened`);
    },
    select(block: Picked | null): void {
      session.pick(block);
      const carried = block && session.carriedOf(block);
      const words = carried && session.board ? carriedName(session.board, carried) : "what carries nothing";
      say(block ? `selected ${words}` : "selection cleared");
    },
    /** Picks the cells from one to another, which is where it stays held. */
    selectTo(from: Caret, to: Caret): void {
      const span = (a: number, b: number) => [a, ...between(a, b).filter((it) => it !== a)];
      places.select({
        grid: name,
        rows: span(from.row, to.row),
        columns: span(from.column, to.column),
      });
    },
    /** Brings a cell into view: the window of columns, and the grid's own scrolling, never the page's. */
    reveal({ row, column }: Caret, windowOf = windowWith): void {
      const { laid } = places;
      if (!laid) return;
      const next = windowOf(laid, column);
      if (next !== laid.first) session.showFrom(name, next);
      const line = lineOf(laid, row);
      scrollToLine(scroller, laid.top, laid.tops[line] ?? 0, laid.tops[line + 1] ?? 0);
    },
  };
  return places;
}
