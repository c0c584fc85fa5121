// The grids as targets: of what is carried within the board, and of what other widgets of the experiment carry.
import type { BoardSession } from "../lib/board-session";
import { carriedName, partner, rowOfSite, sourceOf } from "../lib/board-specs";
import { type Carried, type DragDetail, EVENT } from "../lib/pointer-drag";
import type { BoardGrid } from "./board-grid";
import type { ViewContext } from "./context";

export interface BoardDrop {
  /** Lets go what the keyboard carries. */
  drop(grid: BoardGrid, column: number): void;
  /** Takes what the keyboard carries to the next grid. */
  next(grid: BoardGrid): void;
}

export function createBoardDrop(
  context: ViewContext<BoardSession>,
  grids: () => readonly BoardGrid[],
): BoardDrop {
  const { session, say, signal } = context;
  const { drag } = session;
  const experiment = String(session.model.get("experiment") ?? "");
  /** Of several views of the widget, is what is carried over this one? */
  let mine = false;

  /** A head of the atlas is carried at the positions that are chosen here. */
  const placed = (carried: Carried): Carried =>
    carried.positions === undefined ? { ...carried, positions: null } : carried;

  function over(clientX: number, clientY: number): boolean {
    for (const grid of grids()) {
      const column = grid.columnAt(clientX, clientY);
      if (column === undefined) continue;
      const heads = drag.carried?.head != null || (drag.carried?.heads?.length ?? 0) > 0;
      drag.over(grid.name, heads ? null : column);
      return true;
    }
    return false;
  }
  function letGo(): void {
    const { board } = session;
    const { carried, target } = drag;
    if (!board || !carried || !target) return drag.end();
    const words = carriedName(board, carried);
    const [spec] = drag.specs;
    const moved = spec?.source_positions && spec.positions && ` onto ${spec.positions.join(", ")}`;
    const why = reason(carried);
    if (drag.drop()) session.tellWithEffect(`patched ${words}${moved || ""}`);
    else say(why);
  }
  /** Why letting go adds nothing. */
  function reason(carried: Carried): string {
    const { board, offReason } = session;
    const { target } = drag;
    if (offReason) return offReason;
    if (!board || !target) return "put back";
    if (sourceOf(board, carried, target.side) === target.side) {
      if (!board.grids.corrupted && carried.source === undefined) return session.why("no-corrupted");
      return session.why("own-place");
    }
    return session.why("no-partner");
  }
  const heard = (event: Event) => {
    const { detail } = event as CustomEvent<DragDetail | null>;
    if (!detail || detail.experiment !== experiment || !session.board) return;
    const { phase, carried, clientX, clientY, keyboard, cancelled } = detail;
    if (phase === "start") drag.start(placed(carried), keyboard);
    if (keyboard) {
      if (phase === "end") drag.end();
      return session.changed();
    }
    const here = !cancelled && over(clientX, clientY);
    if (mine && !here) drag.over(null);
    mine = here;
    if (phase !== "end") return;
    if (here) letGo();
    mine = false;
    // Another view may be the one that it is over.
    queueMicrotask(() => drag.carried && drag.end());
  };
  window.addEventListener(EVENT, heard, { signal });

  return {
    drop(grid, column) {
      const { carried } = drag;
      if (!carried) return;
      const heads = grid.name !== "edited" && session.ofHeads;
      drag.over(grid.name, heads ? null : column);
      letGo();
      const at = { clientX: 0, clientY: 0 };
      const detail: DragDetail = {
        phase: "end",
        experiment,
        carried,
        ...at,
        keyboard: true,
        cancelled: false,
      };
      window.dispatchEvent(new CustomEvent(EVENT, { detail }));
    },
    next(grid) {
      const { board } = session;
      const { carried } = drag;
      const all = grids().filter((it) => it.name !== "edited" && it.canvas.isConnected && it.look() !== null);
      const to = all[(all.indexOf(grid) + 1) % all.length];
      if (!board || !carried || !to || to.name === "edited") return;
      const { source = to.name, from, positions, heads, head } = carried;
      const row = Math.max(0, rowOfSite(board, session.ofHeads ? "resid_post" : carried.site, carried.layer));
      const there = partner(board, from ?? positions?.[0] ?? -1, source, to.name);
      to.enter(row, Math.max(0, session.ofHeads ? (heads?.[0] ?? head ?? 0) : there));
    },
  };
}
