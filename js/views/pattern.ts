// The focus: one head's pattern (or several combined) large, both axes labelled, with a crosshair and a read-out.

import { scoreText, sharedKv } from "../lib/atlas";
import { actionButton, Switch } from "../lib/controls";
import { drawCanvas, type Figure } from "../lib/display-list";
import { attribute, h, setText, show, uniqueId } from "../lib/dom";
import { cellAt, type FocusLayout, focusLayout } from "../lib/geometry";
import type { Cell } from "../lib/heads";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel, visible } from "../lib/labels";
import {
  COMBINATIONS,
  type Combine,
  cellOf,
  colToken,
  isFuture,
  type Pattern,
  pooled,
  rowToken,
  weight,
} from "../lib/patterns";
import { watchGestures } from "../lib/zoom-gestures";
import type { View, ViewContext } from "./context";
import { createFocusTools, STEP, sinkText } from "./focus-tools";
import { digitsOf, patternFigure, valueText } from "./pattern-figure";
import { createTable } from "./table";

export function createPattern(context: ViewContext): View & { figure(): Figure | null } {
  const { session } = context;
  const { focusing, intervention } = session;
  const title = h("h3", { class: "mi-focus-title" });
  const facts = h("span", { class: "mi-facts" });
  const how = new Switch("several heads show", context.tip, (name) => focusing.setCombine(name as Combine));
  const tools = createFocusTools(context);
  const link = (label: string, name: string, lines: string[], run: () => void) =>
    actionButton(label, context.tip, run, { class: "mi-link", name, card: () => ({ lines }) });
  const tableButton = link("table", "table", ["The same numbers as a table."], () => toggleTable());
  const canvas = h("canvas", {
    tabindex: 0,
    role: "grid",
    "aria-label": "Attention pattern: from (dest) down, attends to (src) across",
  });
  const cursorCell = h("div", { role: "gridcell", id: uniqueId("cell") });
  canvas.append(h("div", { role: "row" }, cursorCell));
  const table = createTable(context.say);
  const readout = h("div", { class: "mi-readout", "data-part": "readout" });
  const rankCell = link(
    "rank heads by this cell",
    "rank-cell",
    ["Orders all heads by how strongly they attend from this token to that one."],
    () => rank(),
  );
  const cut = link(
    "knock out this edge",
    "cut-cell",
    ["Sets this score to −∞ before the softmax; the row's other weights share the rest. Total effect."],
    () => knockOut(),
  );
  const hint = h("span", { class: "mi-note" }, "click a cell: rank by it, or cut it");
  const actions = h("div", { class: "mi-cell-actions" }, rankCell, cut, hint, tableButton);
  const note = h("div", { class: "mi-note", "data-part": "focus-note" });
  const empty = h("div", { class: "mi-note" });
  const plot = h("div", { class: "mi-plot" }, canvas, tools.overview);
  const head = h("div", { class: "mi-focus-head" }, title, facts, how.element);
  const foot = h("div", { class: "mi-focus-foot" }, readout, actions);
  const element = h(
    "section",
    { class: "mi-focus", "data-part": "focus" },
    head,
    tools.element,
    plot,
    table.element,
    foot,
    note,
    empty,
  );
  let layout: FocusLayout | null = null;
  let pattern: Pattern | null = null;
  let tabled = false;

  const labels = () => session.shownPrompt?.labels ?? [];
  const named = (token: number) => `${shortLabel(labels()[token] ?? "?", 20)} (${token})`;

  // --- pointer ------------------------------------------------------------------------------------------------------
  function at(event: MouseEvent): Cell | null {
    if (!layout || !pattern) return null;
    const box = canvas.getBoundingClientRect();
    const found = cellAt(layout, event.clientX - box.left, event.clientY - box.top);
    return found && { dest: lastToken(found[0]), src: colToken(pattern, found[1]) };
  }
  // The last token of a pooled row, so that a row's block is never read as if it looked into its future.
  const lastToken = (row: number) =>
    pattern ? Math.min(session.focusing.positions, rowToken(pattern, row + 1)) - 1 : row;
  /** Where in the picture a point is, as shares of its side. */
  function share(event: MouseEvent): [down: number, across: number] {
    const box = canvas.getBoundingClientRect();
    const { left, top, side } = layout ?? { left: 0, top: 0, side: 1 };
    const part = (value: number) => Math.min(1, Math.max(0, value / side));
    return [part(event.clientY - box.top - top), part(event.clientX - box.left - left)];
  }
  let grabbed = { dest: 0, src: 0, span: 0 };
  watchGestures(canvas, {
    hover: (event) => session.hoverAt(event && at(event)),
    click(event) {
      const cell = at(event);
      if (cell && cell.src <= cell.dest) session.pickCell(cell);
    },
    zoom: (factor, event) => focusing.zoom(factor, ...share(event)),
    reset: () => focusing.reset(),
    grab: () => {
      grabbed = focusing.window;
      return focusing.zoomed;
    },
    drag(x, y) {
      const tokens = (pixels: number) => Math.round((pixels / (layout?.side ?? 1)) * grabbed.span);
      focusing.show({
        dest: grabbed.dest - tokens(y),
        src: grabbed.src - tokens(x),
        span: grabbed.span,
      });
    },
  });
  canvas.addEventListener("blur", () => session.hoverAt(null));

  // --- keys ---------------------------------------------------------------------------------------------------------
  const pick = () => {
    const cell = session.hoverCell;
    if (!cell || cell.src > cell.dest) return;
    session.pickCell(cell);
    context.say(`picked ${spoken(cell)}`);
  };
  const zoomBy = (factor: number) => () => {
    const cell = session.hoverCell ?? session.cell;
    const now = focusing.window;
    const part = (token: number, start: number) => Math.min(1, Math.max(0, (token - start) / now.span));
    focusing.zoom(factor, ...(cell ? ([part(cell.dest, now.dest), part(cell.src, now.src)] as const) : []));
    context.say(`${focusing.window.span} of ${focusing.positions} tokens in view`);
  };
  onKeys(canvas, {
    ...arrows((rows, cols) => {
      if (!pattern) return;
      const now = session.hoverCell ?? session.cell ?? { dest: session.focusToken, src: session.focusToken };
      // A step is a cell of the picture; at its edge the picture scrolls along.
      const step = pattern.positions / pattern.size;
      const moved = (token: number, by: number) =>
        Math.min(focusing.positions - 1, Math.max(0, Math.round(token + by * step)));
      const target = { dest: moved(now.dest, rows), src: moved(now.src, cols) };
      focusing.reveal(target);
      const { dest, src } = focusing.window;
      const frame = { ...pattern, dest, src };
      const clamp = (index: number) => Math.min(frame.size - 1, Math.max(0, index));
      const row = clamp(cellOf(frame, target.dest - dest));
      const col = clamp(cellOf(frame, target.src - src));
      const last = Math.min(focusing.positions, rowToken(frame, row + 1)) - 1;
      const cell = { dest: last, src: colToken(frame, col) };
      session.hoverAt(cell);
      pattern = focusing.pattern ?? pattern;
      context.say(spoken(cell));
    }),
    " ": pick,
    Enter: pick,
    "+": zoomBy(1 / STEP),
    "=": zoomBy(1 / STEP),
    "-": zoomBy(STEP),
    "0": () => focusing.reset(),
    r: () => session.cell && rank(),
    k: () => session.cell && knockOut(),
    Escape: () => {
      session.hoverAt(null);
      session.clearSelection();
      context.say("selection cleared");
    },
    "?": () => context.toggleHelp(),
  });

  function rank(): void {
    if (session.cell) session.ranking.byCell(session.cell);
  }
  function knockOut(): void {
    intervention.choose("knockout");
  }

  function spoken(cell: Cell): string {
    if (!pattern) return "";
    const names = `from ${named(cell.dest)} to ${named(cell.src)}`;
    if (cell.src > cell.dest) return `${names}: the causal mask forbids this`;
    const value = weight(pattern, cell.dest, cell.src);
    if (Number.isNaN(value) && !session.stale && !inView(cell)) return `${names}: out of view`;
    return `${names}: ${valueText(value, pattern.signed, digitsOf(pattern))}`;
  }
  function inView({ dest, src }: Cell): boolean {
    const { dest: down, src: across, span } = focusing.window;
    return dest >= down && dest < down + span && src >= across && src < across + span;
  }

  function toggleTable(): void {
    tabled = !tabled;
    attribute(tableButton, "aria-pressed", String(tabled));
    update();
  }

  // --- words --------------------------------------------------------------------------------------------------------
  function updateReadout(shown: Pattern): void {
    const cell = session.hoverCell ?? session.cell;
    show(rankCell, session.cell !== null);
    show(cut, session.cell !== null);
    show(hint, session.cell === null);
    attribute(cut, "aria-pressed", String(intervention.what === "knockout"));
    attribute(rankCell, "aria-disabled", session.channel.usable ? null : "true");
    if (!cell) return setText(readout, "");
    const { exact } = focusing;
    const known = exact && exact.key === focusing.valueKey(cell) ? exact : null;
    const block = pooled(shown) ? " · strongest of its block" : "";
    const tail =
      known && cell.src <= cell.dest
        ? ` · exactly ${valueText(known.value, shown.signed, Math.max(5, digitsOf(shown) + 2))}`
        : block;
    setText(readout, `${spoken(cell)}${tail}`);
  }

  function updateHead(): void {
    const heads = session.focus;
    const atlas = session.shown;
    const names = heads.map(([layer, hd]) => `L${layer}.H${hd}`);
    const many = heads.length > 1;
    if (focusing.combine === "difference" && heads.length !== 2) focusing.combine = "mean";
    const joined = focusing.combine === "difference" ? names.slice(0, 2).join(" − ") : names.join(", ");
    setText(title, many ? shortLabel(joined, 40) : (names[0] ?? ""));
    const single = many ? undefined : heads[0];
    const order = [session.score, "duplicate", "previous", "logit_effect"];
    const shownScores = [...new Set(order)].filter((name) => session.scoreDefined(name)).slice(0, 3);
    const words = (name: string) => (name === "logit_effect" ? "direct" : name.replace("_", " "));
    const scores =
      atlas && single ? shownScores.map((name) => `${words(name)} ${scoreText(atlas, name, single)}`) : [];
    const kv = atlas && single ? sharedKv(atlas, single[1]) : null;
    setText(facts, [...scores, ...(kv ? [kv] : [])].join(" · "));
    show(how.element, many);
    if (!many) return;
    const two = heads.length === 2 ? null : "A difference is of two heads: select exactly two.";
    const option = (name: Combine) => ({
      name,
      label: name,
      chosen: focusing.combine === name,
      off: name === "difference" ? two : null,
      card: null,
    });
    how.update(COMBINATIONS.map(option));
  }

  function notes(shown: Pattern, drawn: FocusLayout): string {
    const block = Math.ceil(shown.positions / shown.size);
    const top = valueText(shown.top, false, digitsOf(shown));
    return [
      focusing.pending && focusing.weighting === "value" && "computing the value-weighted norm",
      focusing.weighting === "value" && !focusing.pending && `colours end at ${top}`,
      sinkText(context, shown),
      drawn.every > 1 &&
        `every ${ordinal(drawn.every)} label is drawn, all ${shown.size} rows and columns are`,
      pooled(shown) &&
        `${shown.positions} tokens in ${shown.size} cells: the strongest weight of each ${block} × ${block} block`,
    ]
      .filter(Boolean)
      .join(" · ");
  }

  function updateTable(shown: Pattern): void {
    if (!tabled) return;
    const name = (token: number) => `${shortLabel(labels()[token] ?? "", 12)} ${token}`;
    const digits = digitsOf(shown);
    const source = {
      caption: "rows: from (dest); columns: attends to (src)",
      size: shown.size,
      row: (row: number) => name(rowToken(shown, row)),
      col: (col: number) => name(colToken(shown, col)),
      value: (row: number, col: number) =>
        isFuture(shown, row, col)
          ? ""
          : valueText(shown.values[row * shown.size + col] as number, shown.signed, digits),
    };
    const token = session.cell?.dest ?? session.focusToken;
    const at = (start: number | undefined) => cellOf(shown, token - (start ?? 0));
    table.draw(source, shown, [at(shown.dest), at(session.cell ? shown.src : undefined)]);
  }

  const marks = (hover: Cell | null) => ({
    token: session.focusToken,
    hover,
    picked: session.cell,
    hideSink: focusing.hideSink,
  });

  function update(): void {
    updateHead();
    tools.update();
    // While what is asked for is on its way the old picture stays, dimmed where it would say another thing.
    const now = focusing.pattern;
    const waits = now === null && focusing.pending && pattern !== null && session.shown !== null;
    if (!waits) pattern = now;
    attribute(canvas, "data-pending", waits);
    for (const part of [head, tools.element, foot, note]) show(part, pattern !== null);
    show(plot, pattern !== null && !tabled);
    show(table.element, pattern !== null && tabled);
    show(empty, pattern === null && session.shown !== null);
    setText(empty, session.growing || focusing.pending ? "" : "No head has a pattern here.");
    if (!pattern) return;
    const width = element.clientWidth || 340;
    const ratio = globalThis.devicePixelRatio || 1;
    const longest = Math.max(
      4,
      ...labels()
        .slice(0, 512)
        .map((label) => visible(bare(label.slice(0, 40))).length),
    );
    const room = Math.min(72, Math.ceil(longest * 6.7)) * context.scale;
    layout = focusLayout(pattern.size, width, room, ratio, focusing.positions);
    focusing.pixels = (width - layout.left) * ratio;
    const figure = patternFigure(
      pattern,
      layout,
      labels(),
      context.theme,
      marks(session.hoverCell),
      context.scale,
    );
    drawCanvas(canvas, figure);
    for (const name of ["cell", "left", "top", "size", "side"] as const)
      attribute(canvas, `data-${name}`, layout[name]);
    // In the corner that both axes leave free.
    tools.overview.style.top = `${layout.top + layout.side + 6}px`;
    const { dest, src, span } = focusing.window;
    attribute(canvas, "data-window", `${dest} ${src} ${span}`);
    attribute(canvas, "data-zoomed", focusing.zoomed);
    attribute(canvas, "aria-activedescendant", session.hoverCell ? cursorCell.id : null);
    setText(cursorCell, session.hoverCell ? spoken(session.hoverCell) : "");
    setText(note, notes(pattern, layout));
    updateReadout(pattern);
    updateTable(pattern);
  }

  const figure = () => {
    if (!pattern || !layout) return null;
    return patternFigure(pattern, layout, labels(), context.theme, marks(null), context.scale);
  };
  return { element, update, figure };
}

function ordinal(n: number): string {
  const ending = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${ending}`;
}
