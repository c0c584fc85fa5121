// One grid of the board: layers down, positions or heads across. What is drawn of it, and how a cell is read out.
import type { GridName } from "../lib/board-cells";
import type { BoardSession } from "../lib/board-session";
import { headLabel } from "../lib/board-specs";
import type { Figure } from "../lib/display-list";
import { attribute, focusedIn, h, memo, set, uniqueId } from "../lib/dom";
import { times } from "../lib/geometry";
import { gridView, paintGrid, tellCell } from "../lib/grid-canvas";
import { shortLabel } from "../lib/labels";
import { ADVANCE } from "../lib/lens-labels";
import {
  type LensLayout,
  type Line,
  lensLayout,
  linesHeight,
  linesOf,
  windowRound,
} from "../lib/lens-layout";
import type { DragSource } from "../lib/pointer-drag";
import { widthOf } from "../lib/width";
import { foldName, type GridLook, gridFigure, headings, headText, lineItems, strips } from "./board-figure";
import { keysOfGrid } from "./board-keys";
import { createBoardPlaces } from "./board-places";
import { pointAtGrid } from "./board-pointer";
import { drawBoardRings } from "./board-rings";
import type { View, ViewContext } from "./context";

/** The most that a grid is high before it scrolls inside itself. */
const MOST = 600;

export interface BoardGrid extends View {
  name: GridName;
  canvas: HTMLCanvasElement;
  drag: DragSource;
  look(): GridLook | null;
  figure(): Figure | null;
  /** The column at a point of the page, null beside the columns; undefined where the grid is not. */
  columnAt(clientX: number, clientY: number): number | null | undefined;
  /** The keyboard goes there with what it carries. */
  enter(row: number, column: number): void;
  spoken(row: number, column: number): string;
}

export const GRID_TITLES: Record<GridName, string> = {
  clean: "Clean",
  corrupted: "Corrupted",
  edited: "Patched run",
};

export function createBoardGrid(
  context: ViewContext<BoardSession>,
  name: GridName,
  carry: { drop(grid: BoardGrid, column: number): void; next(grid: BoardGrid): void },
): BoardGrid {
  const { session, say } = context;
  const active = h("div", { role: "gridcell", id: uniqueId("cell") });
  const canvas = h(
    "canvas",
    { tabindex: 0, role: "grid", "data-grid": name },
    h("div", { role: "row" }, active),
  );
  const rings = h("div.lens-rings", { "aria-hidden": "true" });
  const holder = h("div.lens-holder", canvas, rings);
  const stage = h("div.lens-stage", holder);
  const element = h("div.lens-scroll", { onscroll: () => session.changed() }, stage);
  const parts = { stage, scroller: element, holder, canvas };
  const places = createBoardPlaces(context, name, canvas, element, look);
  const { heads, nameOf } = places;
  let seen = "";
  const laidLines = memo<Line[]>();
  const laidOut = memo<LensLayout>();
  const painted = memo<void>();

  function spoken(row: number, column: number): string {
    const { board } = session;
    const now = look();
    if (!board || !now) return "";
    const line = places.folded(row);
    if (line >= 0) return `${foldName(now, now.layout.lines[line] as Line)} folded: Enter opens`;
    const place = `${nameOf(row)} · ${places.columnName(column)}`;
    if (now.head) {
      const cell = now.head(row, column);
      const known = cell && Number.isFinite(cell.recovered);
      return `${place}, ${known ? `${headText(cell)} recovered` : "not run yet"}`;
    }
    const top = now.cells.top(row, column);
    const label = top && top.id >= 0 ? shortLabel(session.tokenLabel(top.id), 40) : "";
    const facts = [
      place,
      label || (now.cells.has(row, column) ? "no top token: not finite here" : "not computed yet"),
      top && Number.isFinite(top.value) && `probability ${top.value.toFixed(2)}`,
      name === "edited" && now.cells.changed(row, column) && "changed",
      name === "edited" && !now.cells.canChange(row, column) && "cannot change",
    ];
    return facts.filter(Boolean).join(", ");
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  function look(): GridLook | null {
    const { board, carrying, map } = session;
    const own = board?.grids[name];
    if (!board || !own) return null;
    const { theme, scale } = context;
    // A run that is tried out on the other base is another prompt's.
    const tried = name === "edited" ? session.drag.cells : null;
    const cells = tried && tried.positions === own.positions ? tried : own;
    const open = session.openRows;
    const lines = laidLines([board.rows, open.join()], () => linesOf(board.rows.length, open));
    const names = lines.map((line) => foldName({ rowName: nameOf }, line));
    const longest = Math.max(...names.map((it) => it.length), 5) * SIZE * ADVANCE * scale;
    const width = widthOf(element) || 480;
    const positions = session.columnsOf(name);
    const first = heads() ? 0 : session.first[name];
    const layout = laidOut([lines, longest, width, first, positions, scale], () =>
      lensLayout(lines, { width, names: longest, positions, first, scale }),
    );
    places.laid = layout;
    const ofHeads = heads() && carrying;
    const side = name === "edited" ? board.base : name;
    return {
      board,
      name,
      cells,
      layout,
      labels: ofHeads
        ? times(positions, (it) => headLabel(board, carrying.site, it).split(" ")[0] as string)
        : (session.question?.prompts[side]?.labels ?? []),
      differs: new Set(ofHeads ? [] : board.differs[side]),
      answer: ofHeads ? -1 : places.answerAt(),
      rowName: nameOf,
      ...(ofHeads && {
        head: (row: number, column: number) =>
          map?.map.axis === "head" ? map.find(session.siteAt(row)?.[1] ?? -1, { head: column }) : null,
      }),
      theme,
      scale,
    };
  }

  /** Paints what is in view; gives how far it is scrolled. */
  function paint(now: GridLook): number {
    const { layout, theme, cells, board } = now;
    const high = linesHeight(layout);
    const { height, top } = gridView(element, layout.top, high, MOST * now.scale);
    const ratio = globalThis.devicePixelRatio || 1;
    const rows = layout.lines.flatMap((line) => (line.folded ? [] : [line.first]));
    if (!now.head) session.want(name, rows, layout.first, layout.end);
    const map = now.head ? session.map : null;
    const facts = [layout, top, theme, board, cells, cells.version, ratio, map, map?.version, session.carry];
    painted([...facts, session.stream, session.question?.prompts], () => {
      const body = layout.lines.flatMap((line, at) => {
        const y = layout.top + (layout.tops[at] as number) - top;
        return y > -layout.row && y < height ? lineItems(now, line, y) : [];
      });
      body.push(...strips(now, layout.top, height));
      if (!paintGrid(parts, layout, [height, high], theme.background, body, headings(now))) return;
      for (const fact of ["left", "top", "cell", "row", "first", "end"] as const)
        attribute(canvas, `data-${fact}`, layout[fact]);
      set(canvas, {
        "data-tops": layout.tops.join(" "),
        "data-rows": layout.lines.map((line) => (line.folded ? "-" : line.first)).join(" "),
        "aria-rowcount": board.rows.length,
        "aria-colcount": layout.positions,
        "aria-label": `${GRID_TITLES[name]}: layers down, ${now.head ? "heads" : "positions"} across`,
      });
    });
    return top;
  }

  /** A block that was picked anywhere comes into view once. */
  function follow(): void {
    const { picked } = session;
    const row = picked?.rows[0];
    const column = picked?.columns?.[0];
    const now = JSON.stringify([picked?.grid, row, column, session.columnsOf(name)]);
    if (now === seen || focusedIn(canvas)) return;
    seen = now;
    if (picked?.grid === name && row !== undefined && column !== undefined)
      places.reveal({ row, column }, windowRound);
  }

  function update(): void {
    if (!look()) return;
    follow();
    const now = look();
    if (!now) return;
    const scrolled = paint(now);
    const { caret, band } = places;
    drawBoardRings(rings, session, now, scrolled, caret, band);
    tellCell(canvas, active, caret && { ...caret, label: spoken(caret.row, caret.column) });
  }

  const grid: BoardGrid = {
    name,
    canvas,
    drag: pointAtGrid(context, places),
    element,
    update,
    look,
    figure() {
      const now = look();
      return now && gridFigure(now, GRID_TITLES[name]);
    },
    columnAt(clientX, clientY) {
      const { laid } = places;
      const box = canvas.getBoundingClientRect();
      const inside =
        clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
      if (!laid || !inside || !box.width) return undefined;
      const column = laid.first + Math.floor((clientX - box.left - laid.left) / laid.cell);
      return column >= laid.first && column < laid.end ? column : null;
    },
    enter(row, column) {
      places.caret = { row, column };
      canvas.focus();
      places.reveal(places.caret);
      session.drag.over(name, heads() ? null : column);
      say(`over the ${name} run, ${places.columnName(column)}: Enter drops, arrows move`);
      session.changed();
    },
    spoken,
  };
  keysOfGrid(context, places, grid, carry);
  return grid;
}

const SIZE = 11;
