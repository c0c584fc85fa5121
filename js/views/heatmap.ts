// The heat map of a sweep: layers down, positions or heads across; gestures, their keys, and what is spoken.
import type { Figure } from "../lib/display-list";
import { attribute, h, memo, set, setText, show, uniqueId } from "../lib/dom";
import { clamp, times } from "../lib/geometry";
import { gridView, paintGrid, scrollToLine, tellCell } from "../lib/grid-canvas";
import { arrows, onKeys } from "../lib/keyboard";
import { ADVANCE } from "../lib/lens-labels";
import { turned, windowRound, windowWith } from "../lib/lens-layout";
import {
  nearestCell,
  rowsBetween,
  rowsHeight,
  type SweepLayout,
  type SweepSpot,
  sweepLayout,
  sweepSpot,
} from "../lib/sweep-layout";
import { rectOf, rectSize, type SweepPlace, type SweepRect, samePlace } from "../lib/sweep-places";
import type { SweepSession } from "../lib/sweep-session";
import { bothTokens, type SweepScale, scaleOf, spokenValue } from "../lib/sweep-values";
import { cellsText, columnName, headingOf, rectName } from "../lib/sweep-words";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { createBrush } from "./heatmap-brush";
import { type HeatmapLook, headings, headingWidth, heatmapFigure, rowItems, strips } from "./heatmap-figure";
import { createHeatmapFoot } from "./heatmap-foot";
import { createHeatmapForm } from "./heatmap-form";
import { drawSweepRings } from "./heatmap-rings";
import { createHeatmapTable } from "./heatmap-table";

/** The most that the map is high before it scrolls inside itself. */
const MOST = 760;
export function createHeatmap(context: ViewContext<SweepSession>): View & { figure(): Figure | null } {
  const { session, say } = context;
  const active = h("div", { role: "gridcell", id: uniqueId("cell") });
  const canvas = h("canvas", { tabindex: 0, role: "grid" }, h("div", { role: "row" }, active));
  const rings = h("div.sweep-rings", { "aria-hidden": "true" });
  const holder = h("div.sweep-holder", canvas, rings);
  const stage = h("div.sweep-stage", holder);
  const scroller = h("div.sweep-scroll", { onscroll: () => redraw() }, stage);
  const parts = { stage, scroller, holder, canvas };
  const readout = h("div.readout", { "data-part": "readout" });
  const table = createHeatmapTable(page);
  const form = createHeatmapForm(context);
  const foot = createHeatmapFoot(context, {
    table() {
      tabled = !tabled;
      update();
    },
    form() {
      form.toggle();
      update();
    },
    again: () => rerun(),
  });
  const element = h(
    "section.heatmap",
    { "data-part": "heatmap" },
    scroller,
    table.element,
    readout,
    foot.element,
    form.element,
  );
  let layout: SweepLayout | null = null;
  let tabled = false;
  let frame = 0;
  /** The first column in view; null: from a little before where the prompts begin to differ. */
  let first: number | null = null;
  /** Where the keyboard is, and where the rectangle that it draws began. */
  let cursor: SweepPlace | null = null;
  let anchor: SweepPlace | null = null;
  /** The cell that was brought into view last. */
  let seen = "";
  const laid = memo<SweepLayout>();
  const scaled = memo<SweepScale>();
  const painted = memo<void>();
  context.signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  // --- words --------------------------------------------------------------------------------------------------------
  const rectText = (rect: SweepRect, more = "") =>
    `${cellsText(rectSize(rect))}${more}: ${rectName(session.table?.map, rect)}`;
  function spoken(place: SweepPlace): string {
    const { table } = session;
    if (!table) return "";
    const cell = table.cell(place.row, place.column);
    const words = [
      `L${table.map.layers[place.row]} · ${columnName(table.map, place.column)}`,
      table.map.missing?.[String(table.map.layers[place.row])] ?? spokenValue(table.map, cell, values()),
      session.isAdded(place) && "on the patch board",
    ];
    return words.filter(Boolean).join(", ");
  }

  // --- what can be done ---------------------------------------------------------------------------------------------
  function add(place: SweepPlace): void {
    const off = session.addReason(place);
    session.goTo(place);
    if (off) return say(off);
    session.addEdits([place]);
    say(`added ${session.siteOf(place)} to the patch board`);
  }
  /** Runs what is brushed again, or the cell where the keyboard is. */
  function rerun(rect: SweepRect | null = session.rect): void {
    const place = current();
    const wanted = rect ?? (place && rectOf(place, place));
    const off = session.partReason;
    if (!wanted) return;
    if (off) return say(off);
    session.runPart(wanted);
    say(`running ${rectText(wanted, " again")}`);
  }
  function page(by: -1 | 1): void {
    if (!layout) return;
    first = turned(layout, by);
    update();
    const name = (column: number) => columnName(session.table?.map, column);
    say(`${name(layout.first)} to ${name(layout.end - 1)}, of ${layout.positions}`);
  }

  // --- pointer ------------------------------------------------------------------------------------------------------
  function pointOf(event: MouseEvent): [x: number, y: number] {
    const box = canvas.getBoundingClientRect();
    const y = event.clientY - box.top - (layout?.top ?? 0);
    // The headings stand over what scrolls below them.
    return [event.clientX - box.left, y < 0 ? y : y + scroller.scrollTop];
  }
  const spot = (event: MouseEvent): SweepSpot | null => layout && sweepSpot(layout, ...pointOf(event));
  const brush = createBrush(canvas, context.signal, {
    at(event) {
      const at = spot(event);
      return at?.kind === "cell" ? { row: at.row, column: at.column } : null;
    },
    nearest: (event) => nearestCell(layout as SweepLayout, ...pointOf(event)),
    changed() {
      if (brush.rect) session.hoverAt(null);
      redraw();
    },
    run: rerun,
  });
  set(canvas, {
    onpointermove(event: PointerEvent) {
      if (brush.moved(event)) return;
      const at = spot(event);
      canvas.style.cursor = at ? "pointer" : "default";
      attribute(canvas, "title", at && hint(at));
      if (at?.kind === "cell") session.hoverAt({ row: at.row, column: at.column });
      else session.hoverAt(null, at?.kind === "column" ? at.column : null);
    },
    onpointerleave: () => session.hoverAt(null),
    onclick(event: MouseEvent) {
      if (brush.ends()) return;
      cursor = anchor = null; // The ring of the keyboard's cursor is for the keyboard.
      session.setRect(null);
      const at = spot(event);
      if (at?.kind === "before") page(-1);
      else if (at?.kind === "after") page(1);
      else if (at?.kind === "cell") {
        const place = { row: at.row, column: at.column };
        if (event.shiftKey && session.cell) session.setRect(rectOf(session.cell, place));
        else add(place);
      } else if (at?.kind === "row" && session.cell) session.goTo({ ...session.cell, row: at.row });
      else if (at?.kind === "column" && session.cell) session.goTo({ ...session.cell, column: at.column });
    },
    onblur() {
      cursor = anchor = null;
      session.hoverAt(null);
      update();
    },
  });
  function hint(at: SweepSpot): string | null {
    const { map } = session.table ?? {};
    if (at.kind === "before" || at.kind === "after") return "click to see them";
    if (at.kind === "row") return map?.missing?.[String(map.layers[at.row])] ?? null;
    if (at.kind !== "column") return null;
    const { label = "?", other } = map?.columns[at.column] ?? {};
    const name = columnName(map, at.column, 200);
    return other && other !== label ? `${name} · clean / corrupted` : name;
  }

  // --- keys ---------------------------------------------------------------------------------------------------------
  const current = () => cursor ?? session.hovered ?? session.cell;
  function step(rows: number, columns: number, event: KeyboardEvent): void {
    if (!layout) return;
    const from = current() ?? { row: 0, column: layout.end - 1 };
    if (event.shiftKey) anchor ??= from;
    else anchor = null;
    cursor = {
      row: clamp(from.row + rows, 0, layout.rows - 1),
      column: clamp(from.column + columns, 0, layout.positions - 1),
    };
    reveal(cursor);
    session.setRect(anchor && rectOf(anchor, cursor));
    session.hoverAt(cursor);
    say(anchor && session.rect ? rectText(session.rect) : spoken(cursor));
    update();
  }
  const onCurrent = (act: (place: SweepPlace) => void) => () => {
    const place = current();
    if (place) act(place);
  };
  onKeys(canvas, {
    ...arrows(step),
    " ": onCurrent((place) => {
      session.pickCell(place);
      say(session.cell ? `selected ${spoken(place)}` : "selection cleared");
    }),
    Enter: () => (session.rect ? rerun() : onCurrent(add)()),
    r: () => rerun(),
    R: () => rerun(),
    Escape() {
      const { rect, work } = session;
      anchor = null;
      if (rect) return session.setRect(null);
      if (work) {
        work.cancel();
        return say("sweep cancelled: its exact cells stay");
      }
      cursor = null;
      session.clearSelection();
      say("selection cleared");
    },
    "?": context.toggleHelp,
  });

  /** Brings a cell into view: the window of columns, and the map's own scrolling, never the page's. */
  function reveal({ row, column }: SweepPlace, windowOf = windowWith): void {
    if (!layout) return;
    first = windowOf(layout, column);
    const [top, bottom] = [row * layout.row, (row + 1) * layout.row];
    scrollToLine(scroller, layout.top, top, bottom);
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  const values = () => {
    const { table, shownView } = session;
    return scaled([table, table?.version, table?.map, shownView], () =>
      table ? scaleOf(table, shownView) : { view: shownView, centre: 0, reach: 1 },
    );
  };
  function look(): HeatmapLook | null {
    const { table } = session;
    if (!table) return null;
    const { theme, scale } = context;
    const { map } = table;
    const longest = Math.max(...map.layers.map((it) => `L${it}`.length), 2);
    const names = longest * 11 * ADVANCE * scale;
    const lines = map.columns.map((_, at) => headingOf(map, at));
    const stacked = lines.some((it) => it.length > 1);
    const width = widthOf(element) || 640;
    const words = Math.max(...lines.map((it, at) => headingWidth(it, map.columns[at]?.position, scale)));
    const [rows, columns] = [map.layers.length, map.columns.length];
    const from = first ?? Math.max(0, map.columns.findIndex((_, at) => bothTokens(map, at)) - 3);
    layout = laid([names, words, width, from, rows, columns, stacked, scale], () =>
      sweepLayout({ width, names, words, rows, columns, stacked, first: from, scale }),
    );
    return { table, layout, values: values(), added: session.added, theme, scale };
  }

  /** Paints what is in view; gives how far it is scrolled. */
  function paint(now: HeatmapLook): number {
    const { table, layout, theme } = now;
    const high = rowsHeight(layout);
    const { height, top } = gridView(scroller, layout.top, high, MOST * now.scale);
    const ratio = globalThis.devicePixelRatio || 1;
    const facts = [layout, top, theme, table, table.version, table.map, now.values, now.added, ratio];
    painted<unknown>(facts, () => {
      const [from, end] = rowsBetween(layout, top, top + height - layout.top);
      const body = times(end - from, (at) => from + at).flatMap((row) =>
        rowItems(now, row, layout.top + row * layout.row - top),
      );
      body.push(...strips(now, layout.top, height));
      if (!paintGrid(parts, layout, [height, high], theme.background, body, headings(now))) return;
      for (const name of ["left", "top", "cell", "row", "first", "end"] as const)
        attribute(canvas, `data-${name}`, layout[name]);
      const { map } = table;
      set(canvas, {
        "aria-rowcount": map.layers.length,
        "aria-colcount": map.columns.length,
        "aria-label": `Sweep of ${map.site}: layers down, ${map.axis}s across`,
      });
    });
    return top;
  }

  /** The accessible twin of the cell under the cursor. */
  function describe(): void {
    const selected = samePlace(cursor, session.cell);
    tellCell(canvas, active, cursor && { ...cursor, label: spoken(cursor), selected });
  }

  /** A cell that was picked anywhere comes into view once. */
  function follow(): void {
    const { table, cell } = session;
    const now = table && cell ? [table.map.site, table.map.columns.length, cell.row, cell.column].join() : "";
    if (now === seen) return;
    seen = now;
    if (!cell) return;
    reveal(cell, windowRound);
    look();
  }

  function redraw(): void {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!context.signal.aborted) update();
    });
  }

  function update(): void {
    const shown = session.table !== null;
    show(scroller, shown && !tabled);
    show(foot.element, shown);
    show(readout, shown);
    table.show(shown && tabled);
    if (!look()) return;
    follow();
    const now = look();
    if (!now) return;
    const focus = session.focusCell;
    const rect = brush.rect ?? session.rect;
    setText(readout, rect ? rectText(rect) : focus ? spoken(focus) : "");
    foot.draw(now, tabled, form.open);
    form.update();
    if (tabled) return table.draw(now);
    const scrolled = paint(now);
    drawSweepRings(rings, session, now.layout, scrolled, cursor, brush.rect);
    describe();
  }

  const figure = () => {
    const now = look();
    return now && heatmapFigure(now, session.cell);
  };
  return { element, update, figure };
}
