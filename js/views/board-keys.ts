// The keyboard on a grid of the board: every gesture of the pointer has its key.
import type { BoardSession } from "../lib/board-session";
import { clamp } from "../lib/geometry";
import { arrows, onKeys, stop } from "../lib/keyboard";
import { type Line, lineOf } from "../lib/lens-layout";
import type { BoardGrid } from "./board-grid";
import type { BoardPlaces, Caret } from "./board-places";
import type { ViewContext } from "./context";

export function keysOfGrid(
  { session, say, toggleHelp }: ViewContext<BoardSession>,
  places: BoardPlaces,
  grid: BoardGrid,
  /** What Enter does while something is carried, and Tab. */
  carry: { drop(grid: BoardGrid, column: number): void; next(grid: BoardGrid): void },
): void {
  const { name, canvas } = places;
  const current = (): Caret => {
    const { hoverPlace, picked, board } = session;
    if (places.caret) return places.caret;
    const at = [
      hoverPlace,
      picked && { grid: picked.grid, row: picked.rows[0], column: picked.columns?.[0] },
    ];
    const found = at.find((it) => it?.grid === name);
    const last = (board?.rows.length ?? 1) - 1;
    return { row: found?.row ?? last, column: found?.column ?? (places.heads() ? 0 : places.answerAt()) };
  };
  /** Picks what lies between the cell that the picked block is held by, or this one, and the cursor. */
  function extend(from: Caret, to: Caret): void {
    const { rows, columns } = (session.picked?.grid === name && session.picked) || {};
    places.selectTo({ row: rows?.[0] ?? from.row, column: columns?.[0] ?? from.column }, to);
  }
  function step(rows: number, columns: number, event: KeyboardEvent): void {
    const { laid } = places;
    if (!laid) return;
    const from = current();
    const { lines, positions } = laid;
    const line = lines[clamp(lineOf(laid, from.row) + rows, 0, lines.length - 1)] as Line;
    const to = { row: line.first, column: clamp(from.column + columns, 0, positions - 1) };
    places.caret = to;
    places.reveal(to);
    if (event.shiftKey && name !== "edited") extend(from, to);
    else if (session.drag.carried && session.drag.keyboard) {
      session.drag.over(name, places.heads() ? null : to.column);
      say(`over ${places.columnName(to.column)}`);
    } else {
      session.hoverAt({ grid: name, ...to });
      say(grid.spoken(to.row, to.column));
    }
    session.changed();
  }
  onKeys(canvas, {
    ...arrows(step),
    " "(event) {
      const at = current();
      const line = places.folded(at.row);
      if (line >= 0) return places.open(line);
      places.caret = at;
      if (event.shiftKey && session.picked?.grid === name) return extend(at, at);
      places.select({ grid: name, rows: [at.row], columns: [at.column] });
    },
    r: () => places.select(places.rowBlock(current().row)),
    v: () => places.select(places.columnBlock(current().column)),
    Enter() {
      const at = current();
      const line = places.folded(at.row);
      places.caret = at;
      if (session.drag.carried) return carry.drop(grid, at.column);
      if (line >= 0) return places.open(line);
      if (name === "edited") return say(session.why("of-patched"));
      const carried = session.carriedOf(places.cellBlock(at.row, at.column), at.column);
      const box = canvas.getBoundingClientRect();
      if (carried) return grid.drag.pickUp(carried, box.left + 20, box.top + 20);
      const what = session.carrying?.name ?? "activation";
      say(`${places.nameOf(at.row)} has no ${what} to carry: it is before the first layer.`);
    },
    Escape: () => places.select(null),
    "?": toggleHelp,
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || !session.drag.carried || !session.drag.keyboard) return;
    stop(event);
    carry.next(grid);
  });
}
