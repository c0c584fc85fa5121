// One grid of the board: layers down, positions or heads across; what is carried from it, and its keys.
import type { GridName } from "../lib/board-cells";
import type { BoardSession, Picked, Place } from "../lib/board-session";
import { between, carriedName, headLabel, partner, rowName } from "../lib/board-specs";
import type { Figure } from "../lib/display-list";
import { attribute, focusedIn, h, memo, set, uniqueId } from "../lib/dom";
import { clamp, times } from "../lib/geometry";
import { gridView, paintGrid, scrollToLine, tellCell } from "../lib/grid-canvas";
import { arrows, onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import { ADVANCE } from "../lib/lens-labels";
import {
  type LensLayout,
  type Line,
  lensLayout,
  lineOf,
  linesHeight,
  linesOf,
  type Spot,
  spotAt,
  turned,
  windowRound,
  windowWith,
} from "../lib/lens-layout";
import { createDragSource, type DragSource } from "../lib/pointer-drag";
import {
  foldName,
  type GridLook,
  gridFigure,
  headings,
  headText,
  lineItems,
  moreColumns,
  strips,
} from "./board-figure";
import { drawBoardRings } from "./board-rings";
import type { View, ViewContext } from "./context";
import { ghostOf } from "./drag-ghost";

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
  /** What Enter does while something is carried, and Tab. */
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
  let layout: LensLayout | null = null;
  let cursor: { row: number; column: number } | null = null;
  /** Where a block that is being drawn began, and where it is. */
  let band: { from: Place; to: Place } | null = null;
  let banding = false;
  let seen = "";
  const laidLines = memo<Line[]>();
  const laid = memo<LensLayout>();
  const painted = memo<void>();

  // --- what is where ------------------------------------------------------------------------------------------------
  const prompt = () => session.question?.prompts[name === "edited" ? session.question.base : name] ?? null;
  const heads = () => name !== "edited" && session.ofHeads;
  /** Where the answer of this run is read: prompts may differ in length. */
  const answerAt = () => {
    const { board, question } = session;
    const at = question?.answer_position ?? 0;
    const there = board ? partner(board, at, "clean", name === "edited" ? board.base : name) : at;
    return there < 0 ? session.columnsOf(name) - 1 : there;
  };
  const rowAt = (line: number) => layout?.lines[line]?.first ?? 0;
  const nameOf = (row: number) => {
    const { board, carrying, stream } = session;
    const found = board?.rows[row];
    const pre = carrying?.name === "residual" ? stream : "post";
    return board && found ? rowName(found, board, pre) : "";
  };
  function spot({ clientX, clientY }: { clientX: number; clientY: number }): Spot | null {
    if (!layout) return null;
    const box = canvas.getBoundingClientRect();
    const y = clientY - box.top;
    const down = y < layout.top ? y - layout.top : y - layout.top + element.scrollTop;
    return spotAt(layout, clientX - box.left, down);
  }
  const placeAt = (event: { clientX: number; clientY: number }): Place | null => {
    const at = spot(event);
    return at?.kind === "cell" ? { grid: name, row: rowAt(at.line), column: at.position } : null;
  };
  /** The block that a spot stands for: the picked one where it holds it. */
  function blockAt(at: Spot): Picked | null {
    const { picked, board } = session;
    if (at.kind === "row") return { grid: name, rows: [rowAt(at.line)], columns: null };
    if (at.kind === "position")
      return { grid: name, rows: times(board?.rows.length ?? 0, (it) => it), columns: [at.position] };
    if (at.kind !== "cell") return null;
    const row = rowAt(at.line);
    const held = picked?.grid === name && picked.rows.includes(row);
    if (held && (picked.columns?.includes(at.position) ?? true)) return picked;
    return { grid: name, rows: [row], columns: [at.position] };
  }
  const carriedAt = (at: Spot) => {
    const block = blockAt(at);
    return block && session.carriedOf(block, "position" in at ? at.position : null);
  };
  const tokenOf = (column: number) => prompt()?.labels[column] ?? "?";
  const columnName = (column: number) => {
    const { board, carrying } = session;
    if (heads() && board) return headLabel(board, carrying?.site ?? "", column);
    return `${shortLabel(tokenOf(column), 24)} (${column})`;
  };

  // --- pointer ------------------------------------------------------------------------------------------------------
  set(canvas, {
    onpointerdown(event: PointerEvent) {
      const place = placeAt(event);
      banding = event.button === 0 && (event.shiftKey || !spot(event)) && name !== "edited";
      if (!banding) return;
      band = place && { from: place, to: place };
      canvas.setPointerCapture(event.pointerId);
    },
  });
  const drag = createDragSource(canvas, {
    experiment: String(session.model.get("experiment") ?? ""),
    pick(clientX, clientY) {
      const at = banding ? null : spot({ clientX, clientY });
      return at && carriedAt(at);
    },
    ghost(carried) {
      const { board } = session;
      const words = board ? carriedName(board, carried) : "";
      return ghostOf(context.theme, words, h("div", words), h("div", `from ${carried.source}`));
    },
    named: (carried) => (session.board ? carriedName(session.board, carried) : ""),
    say,
    changed: () => session.changed(),
    signal: context.signal,
  });
  let pickedByBand = false;
  set(canvas, {
    onpointermove(event: PointerEvent) {
      if (drag.byPointer) return;
      const place = placeAt(event);
      if (banding) {
        // From beside the cells a block begins at the first one.
        if (place) band = { from: band?.from ?? place, to: place };
        return session.changed();
      }
      const at = spot(event);
      const takes = at && name !== "edited" && carriedAt(at);
      canvas.style.cursor = takes ? "grab" : at ? "pointer" : "default";
      attribute(canvas, "title", at && hint(at));
      session.hoverAt(place);
    },
    onpointerup() {
      if (banding && band) pickBlock(band.from, band.to);
      pickedByBand = banding && band !== null;
      banding = false;
      band = null;
      session.changed();
    },
    onpointercancel() {
      banding = false;
      band = null;
    },
    onpointerleave: () => session.hoverAt(null),
    onclick(event: MouseEvent) {
      cursor = null; // The ring of the keyboard's cursor is for the keyboard.
      const at = spot(event);
      if (at && !pickedByBand) act(at);
      pickedByBand = false;
    },
    onblur() {
      cursor = null;
      session.changed();
    },
  });
  function hint(at: Spot): string | null {
    const now = look();
    if (!now || !layout) return null;
    if (at.kind === "fold") return `${foldName(now, layout.lines[at.line] as Line)} folded: click to open`;
    if (at.kind === "before") return `${moreColumns(now, layout.first)}: click to see them`;
    if (at.kind === "after") return `${moreColumns(now, layout.positions - layout.end)}: click to see them`;
    return at.kind === "position" && !heads()
      ? `${shortLabel(tokenOf(at.position), 300)} · position ${at.position}`
      : null;
  }
  function act(at: Spot): void {
    if (!layout) return;
    if (at.kind === "before" || at.kind === "after")
      session.showFrom(name, turned(layout, at.kind === "before" ? -1 : 1));
    else if (at.kind === "fold") open(at.line);
    else {
      const block = blockAt(at);
      const { picked } = session;
      const same = JSON.stringify(picked) === JSON.stringify(block);
      session.pick(same ? null : block);
    }
  }
  function pickBlock(from: Place, to: Place): void {
    const block = {
      grid: name,
      rows: between(from.row, to.row),
      columns: between(from.column, to.column),
    };
    session.pick(block);
    const carried = session.carriedOf(block);
    if (carried && session.board) say(`selected ${carriedName(session.board, carried)}`);
  }
  function open(line: number): void {
    if (!layout) return;
    const { first, last } = layout.lines[line] as Line;
    session.openRowsOf(first, last);
    say(`${[...new Set([nameOf(first), nameOf(last)])].join("–")} opened`);
  }

  // --- keys ---------------------------------------------------------------------------------------------------------
  const current = () => {
    const { hoverPlace, picked, board } = session;
    if (cursor) return cursor;
    const at = [
      hoverPlace,
      picked && { grid: picked.grid, row: picked.rows[0], column: picked.columns?.[0] },
    ];
    const found = at.find((it) => it?.grid === name);
    const last = (board?.rows.length ?? 1) - 1;
    return { row: found?.row ?? last, column: found?.column ?? (heads() ? 0 : answerAt()) };
  };
  function step(rows: number, columns: number, event: KeyboardEvent): void {
    if (!layout) return;
    const from = current();
    const { lines, positions } = layout;
    const line = clamp(lineOf(layout, from.row) + rows, 0, lines.length - 1);
    cursor = { row: (lines[line] as Line).first, column: clamp(from.column + columns, 0, positions - 1) };
    reveal(cursor.row, cursor.column);
    if (event.shiftKey && name !== "edited") {
      const { picked } = session;
      const anchor = picked?.grid === name ? picked : null;
      const start = { row: anchor?.rows[0] ?? from.row, column: anchor?.columns?.[0] ?? from.column };
      extend(start);
    } else if (session.drag.carried && session.drag.keyboard) {
      session.drag.over(name, heads() ? null : cursor.column);
      say(`over ${columnName(cursor.column)}`);
    } else {
      session.hoverAt({ grid: name, ...cursor });
      say(spoken(cursor.row, cursor.column));
    }
    session.changed();
  }
  function extend(start: { row: number; column: number }): void {
    if (!cursor) return;
    const block = {
      grid: name,
      rows: [start.row, ...between(start.row, cursor.row).filter((it) => it !== start.row)],
      columns: [start.column, ...between(start.column, cursor.column).filter((it) => it !== start.column)],
    };
    session.pick(block);
    const carried = session.carriedOf(block);
    if (carried && session.board) say(`selected ${carriedName(session.board, carried)}`);
  }
  const folded = (row: number) => {
    const line = layout ? lineOf(layout, row) : -1;
    return layout?.lines[line]?.folded ? line : -1;
  };
  function select(block: Picked | null): void {
    session.pick(block);
    const carried = block && session.carriedOf(block);
    const words =
      carried && session.board ? carriedName(session.board, carried) : "a cell that carries nothing";
    say(block ? `selected ${words}` : "selection cleared");
  }
  onKeys(canvas, {
    ...arrows(step),
    " "(event) {
      const at = current();
      if (folded(at.row) >= 0) return open(folded(at.row));
      cursor = at;
      const { picked } = session;
      if (event.shiftKey && picked?.grid === name)
        return extend({ row: picked.rows[0] ?? at.row, column: picked.columns?.[0] ?? at.column });
      select({ grid: name, rows: [at.row], columns: [at.column] });
    },
    r: () => select({ grid: name, rows: [current().row], columns: null }),
    v() {
      const rows = times(session.board?.rows.length ?? 0, (it) => it);
      select({ grid: name, rows, columns: [current().column] });
    },
    Enter() {
      const at = current();
      cursor = at;
      if (session.drag.carried) return carry.drop(grid, at.column);
      if (folded(at.row) >= 0) return open(folded(at.row));
      if (name === "edited")
        return say("The patched run is what comes out: pick something up from a prompt's own run.");
      const { picked } = session;
      const held = picked?.grid === name && picked.rows.includes(at.row);
      const inside = held && (picked.columns?.includes(at.column) ?? true);
      const block = inside ? picked : { grid: name, rows: [at.row], columns: [at.column] };
      const carried = session.carriedOf(block, at.column);
      if (!carried) return say(lackWords(at.row));
      const box = canvas.getBoundingClientRect();
      drag.pickUp(carried, box.left + 20, box.top + 20);
    },
    Escape: () => select(null),
    "?": context.toggleHelp,
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || !session.drag.carried || !session.drag.keyboard) return;
    event.preventDefault();
    event.stopPropagation();
    carry.next(grid);
  });
  const lackWords = (row: number) =>
    `${nameOf(row)} has no ${session.carrying?.name ?? "activation"} to carry: it is before the first layer.`;

  function spoken(row: number, column: number): string {
    const { board } = session;
    const now = look();
    if (!board || !now) return "";
    const line = folded(row);
    if (line >= 0) return `${foldName(now, layout?.lines[line] as Line)} folded: Enter opens`;
    const place = `${nameOf(row)} · ${columnName(column)}`;
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

  /** Brings a cell into view: the window of columns, and the grid's own scrolling, never the page's. */
  function reveal(row: number, column: number, windowOf = windowWith): void {
    if (!layout) return;
    const next = windowOf(layout, column);
    if (next !== layout.first) session.showFrom(name, next);
    const line = lineOf(layout, row);
    const [top, bottom] = [layout.tops[line] ?? 0, layout.tops[line + 1] ?? 0];
    scrollToLine(element, layout.top, top, bottom);
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
    const names = lines.map((line) => [...new Set([nameOf(line.first), nameOf(line.last)])].join("–"));
    const longest = Math.max(...names.map((it) => it.length), 5) * SIZE * ADVANCE * scale;
    const width = element.clientWidth || 480;
    const positions = session.columnsOf(name);
    const first = heads() ? 0 : session.first[name];
    layout = laid([lines, longest, width, first, positions, scale], () =>
      lensLayout(lines, { width, names: longest, positions, first, scale }),
    );
    const ofHeads = heads() && carrying;
    const side = name === "edited" ? board.base : name;
    return {
      board,
      name,
      cells,
      layout,
      labels: ofHeads
        ? times(positions, (it) => headLabel(board, carrying.site, it).split(" ")[0] as string)
        : (prompt()?.labels ?? []),
      differs: new Set(ofHeads ? [] : board.differs[side]),
      answer: ofHeads ? -1 : answerAt(),
      rowName: nameOf,
      ...(ofHeads && {
        head: (row: number, column: number) =>
          map?.map.axis === "head" ? map.find(session.siteAt(row)?.[1] ?? -1, { head: column }) : null,
      }),
      theme,
      scale,
    };
  }

  function paint(now: GridLook): void {
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
      const size = { width: layout.width, height, headings: layout.top, rows: high };
      if (!paintGrid(parts, size, theme.background, body, headings(now))) return;
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
  }

  /** A block that was picked anywhere comes into view once. */
  function follow(): void {
    const { picked } = session;
    const row = picked?.rows[0];
    const column = picked?.columns?.[0];
    const now = JSON.stringify([picked?.grid, row, column, session.columnsOf(name)]);
    if (now === seen || focusedIn(canvas)) return;
    seen = now;
    if (picked?.grid === name && row !== undefined && column !== undefined) reveal(row, column, windowRound);
  }

  function update(): void {
    if (!look()) return;
    follow();
    const now = look();
    if (!now) return;
    paint(now);
    drawBoardRings(rings, session, now, element.scrollTop, cursor, band && { ...band });
    tellCell(canvas, active, cursor && { ...cursor, label: spoken(cursor.row, cursor.column) });
  }

  const grid: BoardGrid = {
    name,
    canvas,
    drag,
    element,
    update,
    look,
    figure() {
      const now = look();
      return now && gridFigure(now, GRID_TITLES[name]);
    },
    columnAt(clientX, clientY) {
      const box = canvas.getBoundingClientRect();
      const inside =
        clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
      if (!layout || !inside || !box.width) return undefined;
      const column = layout.first + Math.floor((clientX - box.left - layout.left) / layout.cell);
      return column >= layout.first && column < layout.end ? column : null;
    },
    enter(row, column) {
      cursor = { row, column };
      canvas.focus();
      reveal(row, column);
      session.drag.over(name, heads() ? null : column);
      say(`over the ${name} run, ${columnName(column)}: Enter drops, arrows move`);
      session.changed();
    },
    spoken,
  };
  return grid;
}

const SIZE = 11;
