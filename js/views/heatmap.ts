// The heat map of a sweep: layers down, positions or heads across; gestures, their keys, and what is spoken.
import type { Figure } from "../lib/display-list";
import { attribute, h, memo, set, setText, show, uniqueId } from "../lib/dom";
import { clamp, times } from "../lib/geometry";
import { gridView, paintGrid, scrollToLine, tellCell } from "../lib/grid-canvas";
import { arrows, onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import { ADVANCE, lettersOf } from "../lib/lens-labels";
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
import {
  rectOf,
  rectSize,
  type SweepPlace,
  type SweepRect,
  type SweepSession,
  samePlace,
} from "../lib/sweep-session";
import { bothTokens, type SweepScale, scaleOf, spokenValue } from "../lib/sweep-values";
import type { View, ViewContext } from "./context";
import { type HeatmapLook, headings, heatmapFigure, rowItems, strips } from "./heatmap-figure";
import { createHeatmapFoot } from "./heatmap-foot";
import { createHeatmapForm } from "./heatmap-form";
import { drawSweepRings } from "./heatmap-rings";
import { createHeatmapTable } from "./heatmap-table";

/** The most that the map is high before it scrolls inside itself. */
const MOST = 720;
/** A drag that goes so far is a brush. */
const SLACK = 5;
/** A finger that rests this long brushes; one that moves before that scrolls. */
const HOLD_MS = 350;

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
  /** What the pointer brushes: from the cell where it went down, once it has gone far enough. */
  let brush: { x: number; y: number; from: SweepPlace; to: SweepPlace | null; pointer: number } | null = null;
  let hold: ReturnType<typeof setTimeout> | undefined;
  /** The click that ends a brush adds nothing. */
  let swallow = false;
  /** The cell that was brought into view last. */
  let seen = "";
  const laid = memo<SweepLayout>();
  const scaled = memo<SweepScale>();
  const painted = memo<void>();
  context.signal.addEventListener("abort", () => {
    cancelAnimationFrame(frame);
    clearTimeout(hold);
  });

  // --- words --------------------------------------------------------------------------------------------------------
  const columnName = (column: number) => {
    const { map } = session.table ?? {};
    const { label = "?", position } = map?.columns[column] ?? {};
    const both = map && bothTokens(map, column);
    const token = both
      ? `${shortLabel(both.clean, 24)} / ${shortLabel(both.corrupted, 24)}`
      : shortLabel(label, 24);
    return position == null ? token : `${token} (${position})`;
  };
  function spoken(place: SweepPlace): string {
    const { table } = session;
    if (!table) return "";
    const cell = table.cell(place.row, place.column);
    const words = [
      `L${table.map.layers[place.row]} · ${columnName(place.column)}`,
      table.map.missing?.[String(table.map.layers[place.row])] ?? spokenValue(table.map, cell, values()),
      session.isAdded(place) && "on the patch board",
    ];
    return words.filter(Boolean).join(", ");
  }
  const rectName = ({ rows, columns }: SweepRect) => {
    const { map } = session.table ?? {};
    const range = (from: unknown, to: unknown) => (from === to ? `${from}` : `${from} to ${to}`);
    const at = (column: number) => map?.columns[column]?.position ?? map?.columns[column]?.label;
    const layers = range(map?.layers[rows[0]], map?.layers[rows[1]]);
    const of = map?.axis === "head" ? "heads" : "positions";
    return `layers ${layers}, ${of} ${range(at(columns[0]), at(columns[1]))}`;
  };
  const cells = (count: number) => `${count} ${count === 1 ? "cell" : "cells"}`;

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
    say(`running ${cells(rectSize(wanted))} again: ${rectName(wanted)}`);
  }
  function page(by: -1 | 1): void {
    if (!layout) return;
    first = turned(layout, by);
    update();
    say(`${columnName(layout.first)} to ${columnName(layout.end - 1)}, of ${layout.positions}`);
  }

  // --- pointer ------------------------------------------------------------------------------------------------------
  function pointOf(event: MouseEvent): [x: number, y: number] {
    const box = canvas.getBoundingClientRect();
    const y = event.clientY - box.top - (layout?.top ?? 0);
    // The headings stand over what scrolls below them.
    return [event.clientX - box.left, y < 0 ? y : y + scroller.scrollTop];
  }
  const spot = (event: MouseEvent): SweepSpot | null => layout && sweepSpot(layout, ...pointOf(event));
  const brushed = (): SweepRect | null => (brush?.to ? rectOf(brush.from, brush.to) : null);

  function begin(event: PointerEvent): void {
    if (!brush || !layout) return;
    swallow = true;
    canvas.setPointerCapture?.(event.pointerId);
    session.hoverAt(null);
    brush.to = nearestCell(layout, ...pointOf(event));
    redraw();
  }
  function endBrush(run: boolean): void {
    clearTimeout(hold);
    const rect = brushed();
    brush = null;
    if (rect && run) rerun(rect);
    redraw();
  }
  set(canvas, {
    onpointerdown(event: PointerEvent) {
      swallow = false;
      const at = spot(event);
      if (event.button !== 0 || at?.kind !== "cell") return;
      const from = { row: at.row, column: at.column };
      brush = { x: event.clientX, y: event.clientY, from, to: null, pointer: event.pointerId };
      if (event.pointerType === "touch") hold = setTimeout(() => begin(event), HOLD_MS);
    },
    onpointermove(event: PointerEvent) {
      if (brush && layout && brush.pointer === event.pointerId) {
        const far = Math.hypot(event.clientX - brush.x, event.clientY - brush.y) >= SLACK;
        if (!brush.to && far) {
          if (event.pointerType === "touch") return endBrush(false);
          begin(event);
        }
        if (brush.to) {
          brush.to = nearestCell(layout, ...pointOf(event));
          return redraw();
        }
      }
      const at = spot(event);
      canvas.style.cursor = at ? "pointer" : "default";
      attribute(canvas, "title", at && hint(at));
      if (at?.kind === "cell") session.hoverAt({ row: at.row, column: at.column });
      else session.hoverAt(null, at?.kind === "column" ? at.column : null);
    },
    onpointerup: (event: PointerEvent) => brush?.pointer === event.pointerId && endBrush(true),
    onpointercancel: () => endBrush(false),
    onpointerleave: () => session.hoverAt(null),
    onclick(event: MouseEvent) {
      if (swallow) {
        swallow = false;
        return;
      }
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
  canvas.addEventListener("touchmove", (event) => brush?.to && event.preventDefault(), { passive: false });
  const onEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !brush?.to) return;
    event.preventDefault();
    event.stopPropagation();
    endBrush(false);
  };
  window.addEventListener("keydown", onEscape, { capture: true, signal: context.signal });

  function hint(at: SweepSpot): string | null {
    const { map } = session.table ?? {};
    if (at.kind === "before" || at.kind === "after") return "click to see them";
    if (at.kind === "row") return map?.missing?.[String(map.layers[at.row])] ?? null;
    if (at.kind !== "column") return null;
    const { label = "?", other } = map?.columns[at.column] ?? {};
    const from = other && other !== label ? ` · patched from ${shortLabel(other, 200)}` : "";
    return `${shortLabel(label, 300)}${from}`;
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
    say(
      anchor && session.rect ? `${cells(rectSize(session.rect))}: ${rectName(session.rect)}` : spoken(cursor),
    );
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
    const stacked = map.columns.some((_, at) => bothTokens(map, at));
    const width = element.clientWidth || 640;
    const words =
      Math.max(...map.columns.map(({ label }) => lettersOf(shortLabel(label, 12)))) * 11 * ADVANCE * scale;
    const [rows, columns] = [map.layers.length, map.columns.length];
    const from = first ?? Math.max(0, map.columns.findIndex((_, at) => bothTokens(map, at)) - 3);
    layout = laid([names, words, width, from, rows, columns, stacked, scale], () =>
      sweepLayout({ width, names, words, rows, columns, stacked, first: from, scale }),
    );
    return { table, layout, values: values(), added: session.added, theme, scale };
  }

  function paint(now: HeatmapLook): void {
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
      const size = { width: layout.width, height, headings: layout.top, rows: high };
      if (!paintGrid(parts, size, theme.background, body, headings(now))) return;
      for (const name of ["left", "top", "cell", "row", "first", "end"] as const)
        attribute(canvas, `data-${name}`, layout[name]);
      const { map } = table;
      set(canvas, {
        "aria-rowcount": map.layers.length,
        "aria-colcount": map.columns.length,
        "aria-label": `Sweep of ${map.site}: layers down, ${map.axis}s across`,
      });
    });
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
    const rect = brushed() ?? session.rect;
    setText(readout, rect ? `${cells(rectSize(rect))}: ${rectName(rect)}` : focus ? spoken(focus) : "");
    foot.draw(now, tabled, form.open);
    form.update();
    if (tabled) return table.draw(now);
    paint(now);
    drawSweepRings(rings, session, now.layout, scroller.scrollTop, cursor, brushed());
    describe();
  }

  const figure = () => {
    const now = look();
    return now && heatmapFigure(now, session.cell);
  };
  return { element, update, figure };
}
