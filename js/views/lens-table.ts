// The lens table: rows down, positions across, the top token in each cell; gestures, their keys, and what is spoken.
import type { Figure } from "../lib/display-list";
import { attribute, h, memo, set, setText, show, uniqueId } from "../lib/dom";
import { clamp } from "../lib/geometry";
import { gridView, paintGrid, scrollToLine, tellCell } from "../lib/grid-canvas";
import { columnStrips, moreOf } from "../lib/grid-items";
import { arrows, onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import { type LensCell, type LensRow, sameCell } from "../lib/lens-cells";
import { spokenMeasure } from "../lib/lens-colours";
import { ADVANCE } from "../lib/lens-labels";
import {
  type LensLayout,
  type Line,
  lensLayout,
  lineOf,
  linesBetween,
  linesHeight,
  linesOf,
  type Spot,
  spotAt,
  turned,
  widthOfAll,
  windowRound,
  windowWith,
} from "../lib/lens-layout";
import type { LensSession } from "../lib/lens-session";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { foldName, headings, type LensLook, lensFigure, lineItems } from "./lens-figure";
import { createLensFoot } from "./lens-foot";
import { createLensGrid } from "./lens-grid";
import { drawRings } from "./lens-rings";

/** The most that the table is high before it scrolls inside itself. */
const MOST = 640;
/** What it leaves to the panel beside it and the gap between them, where the whole prompt has room so. */
const BESIDE = 280;

export function createLensTable(context: ViewContext<LensSession>): View & { figure(): Figure | null } {
  const { session, say } = context;
  const active = h("div", { role: "gridcell", id: uniqueId("cell") });
  const canvas = h("canvas", { tabindex: 0, role: "grid" }, h("div", { role: "row" }, active));
  const rings = h("div.lens-rings", { "aria-hidden": "true" });
  const holder = h("div.lens-holder", canvas, rings);
  const stage = h("div.lens-stage", holder);
  const scroller = h("div.lens-scroll", { onscroll: () => redraw() }, stage);
  const parts = { stage, scroller, holder, canvas };
  const grid = createLensGrid(context);
  const readout = h("div.readout", { "data-part": "readout" });
  const foot = createLensFoot(context, () => {
    tabled = !tabled;
    update();
  });
  const element = h(
    "section.lens-table",
    { "data-part": "lens" },
    scroller,
    grid.element,
    readout,
    foot.element,
  );
  let layout: LensLayout | null = null;
  let tabled = false;
  let frame = 0;
  /** The first position in view; the last ones until something else is asked for. */
  let first = Number.POSITIVE_INFINITY;
  /** Where the keyboard is: a row, or the first of those that are folded. */
  let cursor: LensCell | null = null;
  /** The cell that was brought into view last. */
  let seen = "";
  const laidLines = memo<Line[]>();
  const laid = memo<LensLayout>();
  const painted = memo<void>();
  context.signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  const labels = () => session.shownPrompt?.labels ?? [];
  const tokenAt = (position: number) => `${shortLabel(labels()[position] ?? "?", 24)} (${position})`;
  const range = (line: Line) => (session.lens ? foldName(session.lens, line) : "");

  // --- pointer ------------------------------------------------------------------------------------------------------
  function spot(event: MouseEvent): Spot | null {
    if (!layout) return null;
    const box = canvas.getBoundingClientRect();
    const y = event.clientY - box.top;
    // The headings stand over what scrolls below them.
    const down = y < layout.top ? y - layout.top : y - layout.top + scroller.scrollTop;
    return spotAt(layout, event.clientX - box.left, down);
  }
  const rowAt = (line: number) => layout?.lines[line]?.first ?? 0;

  function act(at: Spot): void {
    if (at.kind === "before") page(-1);
    else if (at.kind === "after") page(1);
    else if (at.kind === "fold") open(at.line);
    else {
      const picked = session.pickedCell;
      if (at.kind === "cell") session.pickCell({ row: rowAt(at.line), position: at.position });
      else if (picked && at.kind === "row") session.goTo({ ...picked, row: rowAt(at.line) });
      else if (picked && at.kind === "position") session.goTo({ ...picked, position: at.position });
    }
  }
  set(canvas, {
    onpointermove(event: PointerEvent) {
      const at = spot(event);
      canvas.style.cursor = at ? "pointer" : "default";
      attribute(canvas, "title", at && hint(at));
      if (at?.kind === "cell") session.hoverAt({ row: rowAt(at.line), position: at.position });
      else if (at?.kind === "position") session.hoverPosition(at.position);
      else session.hoverAt(null);
    },
    onpointerleave: () => session.hoverAt(null),
    onclick(event: MouseEvent) {
      const at = spot(event);
      cursor = null; // The ring of the keyboard's cursor is for the keyboard.
      if (at) act(at);
    },
    onblur() {
      cursor = null;
      session.hoverAt(null);
      update();
    },
  });

  /** What a click does where it is not plain to see, and tokens that are shortened there, in full. */
  function hint(at: Spot): string | null {
    if (!layout) return null;
    if (at.kind === "fold") return `${range(layout.lines[at.line] as Line)} folded: click to open`;
    if (at.kind === "position") return tokenWhole(at.position);
    const { first, end, positions } = layout;
    if (at.kind === "before") return `${moreOf(first)}: click to see them`;
    return at.kind === "after" ? `${moreOf(positions - end)}: click to see them` : null;
  }
  const tokenWhole = (position: number) =>
    `${shortLabel(labels()[position] ?? "?", 300)} · position ${position}`;

  /** Opens folded rows; says why where their cells cannot be had. */
  function open(line: number): void {
    if (!layout) return;
    const { first: from, last } = layout.lines[line] as Line;
    const rows = Array.from({ length: last - from + 1 }, (_, at) => from + at);
    const off = session.lacking(rows, layout.first, layout.end);
    if (off) return say(off);
    const name = range({ first: from, last, folded: true });
    session.openRowsOf(from, last);
    say(`${name} opened`);
  }
  function page(by: -1 | 1): void {
    if (!layout) return;
    if (moveTo(turned(layout, by)))
      say(`positions ${layout.first} to ${layout.end - 1} of ${layout.positions}`);
  }
  /** Shows the positions from this one on; says why where their cells cannot be had. */
  function moveTo(next: number): boolean {
    if (!layout) return false;
    const off = session.lacking(session.openRows, next, next + layout.end - layout.first);
    if (off) say(off);
    else {
      first = next;
      update();
    }
    return !off;
  }

  // --- keys ---------------------------------------------------------------------------------------------------------
  const current = () => cursor ?? session.hoverCell ?? session.pickedCell;
  const foldedAt = (row: number) => {
    const line = layout ? lineOf(layout, row) : -1;
    return layout?.lines[line]?.folded ? line : -1;
  };
  function step(rows: number, columns: number): void {
    const from = current();
    if (!layout || !from) return;
    const { lines, positions } = layout;
    const line = clamp(lineOf(layout, from.row) + rows, 0, lines.length - 1);
    const position = clamp(from.position + columns, 0, positions - 1);
    cursor = { row: (lines[line] as Line).first, position };
    reveal(cursor);
    session.hoverAt(foldedAt(cursor.row) < 0 ? cursor : null);
    say(spoken(cursor));
    update();
  }
  const pick = (cell: LensCell) => {
    session.pickCell(cell);
    say(session.cell ? `selected ${spoken(cell)}` : "selection cleared");
  };
  const pin = () => {
    const cell = current();
    const [top] = (cell && session.lens?.cells.top(cell)) || [];
    if (!top) return;
    const pinned = session.card.togglePin(top.id);
    say(`${shortLabel(session.tokenLabel(top.id), 24)} ${pinned ? "pinned" : "unpinned"}`);
  };
  const openOr = (other: (cell: LensCell) => void) => () => {
    const cell = current();
    const line = cell ? foldedAt(cell.row) : -1;
    if (!cell) return;
    if (line < 0) return other(cell);
    open(line);
    session.hoverAt(cell);
  };
  onKeys(canvas, {
    ...arrows(step),
    " ": openOr(pick),
    Enter: openOr(pin),
    p: pin,
    P: pin,
    Escape() {
      cursor = null;
      session.clearSelection();
      say("selection cleared");
    },
    "?": context.toggleHelp,
  });

  function spoken(cell: LensCell): string {
    const { lens } = session;
    if (!lens) return "";
    const line = foldedAt(cell.row);
    if (line >= 0) return `${range(layout?.lines[line] as Line)} folded: Enter opens`;
    const row = lens.rows[cell.row] as LensRow;
    const [top] = lens.cells.top(cell);
    const words = [
      `${row.label} · ${tokenAt(cell.position)}`,
      top && `${row.kind === "contribution" ? "promotes " : ""}${shortLabel(session.tokenLabel(top.id), 40)}`,
      spokenMeasure(lens, cell),
      lens.cells.changed(cell) && "changed by the edit",
    ];
    return words.filter(Boolean).join(", ");
  }

  /** Brings a cell into view: the window of positions, and the table's own scrolling, never the page's. */
  function reveal({ row, position }: LensCell, windowOf = windowWith): void {
    if (!layout) return;
    const next = windowOf(layout, position);
    if (next !== layout.first) moveTo(next);
    const line = lineOf(layout, row);
    const [top, bottom] = [layout.tops[line] ?? 0, layout.tops[line + 1] ?? 0];
    scrollToLine(scroller, layout.top, top, bottom);
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  function look(): LensLook | null {
    const { lens } = session;
    if (!lens) return null;
    const { theme, scale } = context;
    const open = session.openRows;
    const lines = laidLines([lens.rows, open.join()], () => linesOf(lens.rows.length, open));
    const longest = Math.max(...lines.map((line) => foldName(lens, line).length));
    const names = longest * 11 * ADVANCE * scale;
    const { parentElement: picture } = element;
    if (picture) {
      const least = widthOfAll(names, lens.positions, widthOf(picture) - BESIDE, scale);
      picture.style.setProperty("--mi-lens-least", `${least}px`);
    }
    const width = widthOf(element) || 640;
    layout = laid([lines, width, first, lens.positions, scale], () =>
      lensLayout(lines, {
        width,
        names,
        positions: lens.positions,
        first,
        scale,
      }),
    );
    const answer = session.answerPosition;
    const pinned = (id: number) => session.card.pinColour(id, theme);
    return { lens, layout, labels: labels(), answer, theme, scale, pinned };
  }

  /** Paints what is in view; gives how far it is scrolled. */
  function paint(now: LensLook): number {
    const { lens, layout, theme } = now;
    const high = linesHeight(layout);
    const { height, top } = gridView(scroller, layout.top, high, MOST * now.scale);
    const bottom = top + height - layout.top;
    const ratio = globalThis.devicePixelRatio || 1;
    const [from, end] = linesBetween(layout, top, bottom);
    const rows = layout.lines.slice(from, end).flatMap((line) => (line.folded ? [] : [line.first]));
    session.want(rows, layout.first, layout.end);
    const facts = [
      layout,
      top,
      theme,
      lens,
      lens.cells.version,
      now.labels,
      now.answer,
      ratio,
      session.card.pinsVersion,
    ];
    painted(facts, () => {
      const body = layout.lines
        .slice(from, end)
        .flatMap((line, at) => lineItems(now, line, layout.top + (layout.tops[from + at] as number) - top));
      body.push(...columnStrips(now, layout.top, height));
      if (!paintGrid(parts, layout, [height, high], theme.background, body, headings(now))) return;
      for (const name of ["left", "top", "cell", "row", "fold", "first", "end"] as const)
        attribute(canvas, `data-${name}`, layout[name]);
      set(canvas, {
        "data-tops": layout.tops.join(" "),
        "data-rows": layout.lines.map((line) => (line.folded ? "-" : line.first)).join(" "),
        "aria-rowcount": lens.rows.length,
        "aria-colcount": lens.positions,
        "aria-label": "Logit lens: layers down, positions across, the top token in each cell",
      });
    });
    return top;
  }

  /** The accessible twin of the cell under the cursor. */
  function describe(): void {
    const selected = sameCell(cursor, session.cell);
    tellCell(
      canvas,
      active,
      cursor && { row: cursor.row, column: cursor.position, label: spoken(cursor), selected },
    );
  }

  /** A cell that was picked anywhere comes into view once. */
  function follow(): void {
    const { lens, pickedCell } = session;
    if (!lens || !pickedCell) return;
    const now = [lens.positions, lens.rows.length, pickedCell.row, pickedCell.position].join();
    if (now === seen) return;
    seen = now;
    reveal(pickedCell, windowRound);
    look();
  }

  function redraw(): void {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!context.signal.aborted) update();
    });
  }

  function update(): void {
    const { lens } = session;
    show(scroller, lens !== null && !tabled);
    show(foot.element, lens !== null);
    show(readout, lens !== null);
    grid.show(lens !== null && tabled);
    if (!look()) return;
    follow();
    const now = look();
    if (!now) return;
    const cell = session.focusCell;
    setText(readout, cell ? spoken(cell) : "");
    foot.draw(now, tabled);
    if (tabled) {
      session.want(session.openRows, now.layout.first, now.layout.end);
      return grid.draw(now, open, page);
    }
    const scrolled = paint(now);
    drawRings(rings, session, now.layout, scrolled, cursor);
    describe();
  }

  const figure = () => {
    const now = look();
    return now && lensFigure(now, session.pickedCell);
  };
  return { element, update, figure };
}
