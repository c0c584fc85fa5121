// The focus: one head's pattern (or several combined) large, both axes labelled, with a crosshair and a read-out.
import { numberTable } from "../lib/a11y";
import { Switch } from "../lib/controls";
import { drawCanvas, type Figure, type Item } from "../lib/display-list";
import { attribute, h, setText, show, uniqueId } from "../lib/dom";
import { cellAt, type FocusLayout, focusLayout, labelled } from "../lib/geometry";
import type { Cell } from "../lib/heads";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel, signed, visible } from "../lib/labels";
import { cellOf, cellStart, isFuture, type Pattern, pooled, weight } from "../lib/patterns";
import type { Theme } from "../lib/theme";
import type { View, ViewContext } from "./context";
import { scoreText, sharedKv } from "./head-atlas";

export interface FocusMarks {
  /** The row in focus, and the cell under the pointer, in tokens. */
  token: number;
  hover: Cell | null;
  picked: Cell | null;
}

export function patternFigure(
  pattern: Pattern,
  layout: FocusLayout,
  labels: readonly string[],
  theme: Theme,
  marks: FocusMarks,
  scale = 1,
): Figure {
  const { cell, left, top, side, size } = layout;
  const items: Item[] = [
    {
      kind: "cells",
      x: left,
      y: top,
      width: side,
      height: side,
      rows: size,
      cols: size,
      rgba: cellColours(pattern, theme),
      hatch: theme.muted,
    },
  ];
  const hoverRow = marks.hover && cellOf(pattern, marks.hover.dest);
  const hoverCol = marks.hover && cellOf(pattern, marks.hover.src);
  const text = {
    kind: "text",
    size: Math.min(11 * scale, Math.max(9, cell * 0.95)),
    font: theme.mono,
  } as const;
  const room = Math.max(3, Math.floor(layout.labelRoom / (text.size * 0.602)));
  const name = (index: number) =>
    shortLabel(bare(labels[cellStart(pattern, index)] ?? String(cellStart(pattern, index))), room);
  const special = (index: number | null) => (index === null ? [] : [index]);
  for (const row of labelled(size, layout.every, special(hoverRow ?? cellOf(pattern, marks.token)))) {
    const strong = row === (hoverRow ?? cellOf(pattern, marks.token));
    items.push({
      ...text,
      x: left - 5,
      y: top + (row + 0.5) * cell,
      text: name(row),
      fill: strong ? theme.text : theme.muted,
      bold: strong,
      align: "end",
    });
  }
  for (const col of labelled(size, layout.every, special(hoverCol))) {
    const strong = col === hoverCol;
    items.push({
      ...text,
      x: left + (col + 0.5) * cell,
      y: top + side + 5,
      text: name(col),
      fill: strong ? theme.text : theme.muted,
      bold: strong,
      turn: 90,
    });
  }
  const axis = { kind: "text", fill: theme.muted, size: 10 * scale, font: theme.font } as const;
  const below = top + side + layout.labelRoom + 14;
  items.push({
    ...axis,
    x: Math.max(left + side, layout.width - 6),
    y: below,
    text: "attends to (src) →",
    align: "end",
  });
  items.push({ ...axis, x: 2, y: below, text: "↑ from (dest)" });
  if (hoverRow !== null && hoverCol !== null) {
    const line = { kind: "path", stroke: theme.accent, line: 1, dash: [2, 2] } as const;
    const y = top + (hoverRow + 0.5) * cell;
    const x = left + (hoverCol + 0.5) * cell;
    items.push(
      {
        ...line,
        points: [
          [left, y],
          [left + side, y],
        ],
      },
      {
        ...line,
        points: [
          [x, top],
          [x, top + side],
        ],
      },
    );
    items.push(outline(layout, hoverRow, hoverCol, theme, 1.5));
  } else {
    const y = top + cellOf(pattern, marks.token) * cell;
    items.push({
      kind: "path",
      stroke: theme.accent,
      line: 1.5,
      points: [
        [left - 2, y],
        [left - 2, y + Math.max(2, cell)],
      ],
    });
  }
  if (marks.picked)
    items.push(
      outline(layout, cellOf(pattern, marks.picked.dest), cellOf(pattern, marks.picked.src), theme, 2),
    );
  return { width: layout.width, height: layout.height, background: theme.background, items };
}

function outline(layout: FocusLayout, row: number, col: number, theme: Theme, line: number): Item {
  const size = Math.max(3, layout.cell);
  return {
    kind: "rect",
    x: layout.left + col * layout.cell,
    y: layout.top + row * layout.cell,
    width: size,
    height: size,
    stroke: theme.accent,
    line,
  };
}

function cellColours(pattern: Pattern, theme: Theme): Uint8ClampedArray<ArrayBuffer> {
  const { size, values } = pattern;
  const table = pattern.signed ? theme.diverging : theme.sequential;
  const rgba = new Uint8ClampedArray(size * size * 4);
  for (let row = 0; row < size; row++) {
    for (let col = 0; col < size; col++) {
      const out = (row * size + col) * 4;
      const value = values[row * size + col] as number;
      if (isFuture(pattern, row, col)) rgba.set(theme.future, out);
      else if (!Number.isFinite(value)) continue;
      else {
        const entry = table.entry(value) * 3;
        rgba.set(table.rgb.subarray(entry, entry + 3), out);
      }
      rgba[out + 3] = 255;
    }
  }
  return rgba;
}

/** A cell's value in words: 0.83, +0.12, or that there is none. */
export function valueText(value: number | null, isSigned: boolean, digits = 2): string {
  if (value === null || !Number.isFinite(value)) return "not finite";
  return isSigned ? signed(value, digits) : value.toFixed(digits);
}

export function createPattern(context: ViewContext): View & { figure(): Figure | null } {
  const { session } = context;
  const title = h("h3", { class: "mi-focus-title" });
  const facts = h("span", { class: "mi-facts" });
  const how = new Switch("several heads show", context.tip, (name) =>
    session.focusing.setCombine(name as "mean"),
  );
  const tableButton = h(
    "button",
    {
      type: "button",
      class: "mi-link",
      "data-action": "table",
      "aria-pressed": "false",
      onclick: () => toggleTable(),
    },
    "table",
  );
  const canvas = h("canvas", {
    tabindex: 0,
    role: "grid",
    "aria-label": "Attention pattern: from (dest) down, attends to (src) across",
  });
  const cursorCell = h("div", { role: "gridcell", id: uniqueId("cell") });
  canvas.append(h("div", { role: "row" }, cursorCell));
  const table = h("div", { class: "mi-table-scroll", tabindex: 0, hidden: true });
  const readout = h("div", { class: "mi-readout", "data-part": "readout" });
  const note = h("div", { class: "mi-note" });
  const empty = h("div", { class: "mi-note" });
  const head = h("div", { class: "mi-focus-head" }, title, facts, how.element);
  const foot = h("div", { class: "mi-focus-foot" }, readout, tableButton);
  const element = h(
    "section",
    { class: "mi-focus", "data-part": "focus" },
    head,
    canvas,
    table,
    note,
    foot,
    empty,
  );
  let layout: FocusLayout | null = null;
  let pattern: Pattern | null = null;
  let tabled = false;
  let tableOf: Pattern | null = null;

  const labels = () => session.shownPrompt?.labels ?? [];
  const named = (token: number) => `${shortLabel(labels()[token] ?? "?", 20)} (${token})`;

  function at(event: MouseEvent): Cell | null {
    if (!layout || !pattern) return null;
    const box = canvas.getBoundingClientRect();
    const found = cellAt(layout, event.clientX - box.left, event.clientY - box.top);
    return found && { dest: strongestToken(found[0]), src: cellStart(pattern, found[1]) };
  }
  // The last token of a pooled row, so that a row's block is never read as if it looked into its future.
  const strongestToken = (row: number) =>
    pattern ? Math.min(pattern.positions, cellStart(pattern, row + 1)) - 1 : row;

  canvas.addEventListener("pointermove", (event) => session.hoverAt(at(event)));
  canvas.addEventListener("pointerleave", () => session.hoverAt(null));
  canvas.addEventListener("click", (event) => {
    const cell = at(event);
    if (cell && cell.src <= cell.dest) session.pickCell(cell);
  });
  canvas.addEventListener("blur", () => session.hoverAt(null));
  const pick = () => {
    const cell = session.hoverCell;
    if (!cell || cell.src > cell.dest) return;
    session.pickCell(cell);
    context.say(`picked ${spoken(cell)}`);
  };
  onKeys(canvas, {
    ...arrows((rows, cols) => {
      if (!pattern) return;
      const now = session.hoverCell ?? session.cell;
      const start: Cell = { dest: session.focusToken, src: session.focusToken };
      const clamp = (cell: number) => Math.min((pattern as Pattern).size - 1, Math.max(0, cell));
      const row = cellOf(pattern, (now ?? start).dest) + rows;
      const col = cellOf(pattern, (now ?? start).src) + cols;
      const cell = { dest: strongestToken(clamp(row)), src: cellStart(pattern, clamp(col)) };
      session.hoverAt(cell);
      context.say(spoken(cell));
    }),
    " ": pick,
    Enter: pick,
    Escape: () => {
      session.hoverAt(null);
      session.clearSelection();
      context.say("selection cleared");
    },
    "?": () => context.toggleHelp(),
  });

  function spoken(cell: Cell): string {
    if (!pattern) return "";
    const names = `from ${named(cell.dest)} to ${named(cell.src)}`;
    if (cell.src > cell.dest) return `${names}: the causal mask forbids this`;
    return `${names}: ${valueText(weight(pattern, cell.dest, cell.src), pattern.signed)}`;
  }

  function toggleTable(): void {
    tabled = !tabled;
    tableOf = null;
    attribute(tableButton, "aria-pressed", String(tabled));
    update();
  }

  function updateReadout(shown: Pattern): void {
    const cell = session.hoverCell ?? session.cell;
    if (!cell) return setText(readout, "");
    const known =
      session.focusing.exact && session.focusing.exact.key === session.focusing.valueKey(cell)
        ? session.focusing.exact
        : null;
    const block = pooled(shown) ? " · strongest of its block" : "";
    const tail =
      known && cell.src <= cell.dest ? ` · exactly ${valueText(known.value, shown.signed, 5)}` : block;
    setText(readout, `${spoken(cell)}${tail}`);
  }

  function updateHead(): void {
    const heads = session.focus;
    const atlas = session.shown;
    const names = heads.map(([layer, hd]) => `L${layer}.H${hd}`);
    const many = heads.length > 1;
    const joined =
      session.focusing.combine === "difference" ? names.slice(0, 2).join(" − ") : names.join(", ");
    setText(title, many ? shortLabel(joined, 40) : (names[0] ?? ""));
    const single = heads[0];
    const order = [session.score, "duplicate", "previous", "logit_effect"];
    const shownScores = [...new Set(order)].filter((name) => session.scoreDefined(name)).slice(0, 3);
    const words =
      atlas && single && !many
        ? shownScores.map(
            (name) => `${name === "logit_effect" ? "direct" : name} ${scoreText(atlas, name, single)}`,
          )
        : [];
    const kv = atlas && single && !many ? sharedKv(atlas, single[1]) : null;
    setText(facts, [...words, ...(kv ? [kv] : [])].join(" · "));
    show(how.element, many);
    const off = heads.length === 2 ? null : "A difference is of two heads: select exactly two.";
    const option = (name: "mean" | "max" | "difference", reason: string | null = null) => ({
      name,
      label: name,
      chosen: session.focusing.combine === name,
      off: reason,
      card: null,
    });
    how.update([option("mean"), option("max"), option("difference", off)]);
    if (session.focusing.combine === "difference" && off) session.focusing.combine = "mean";
  }

  function updateTable(shown: Pattern): void {
    if (!tabled || tableOf === shown) return;
    tableOf = shown;
    const names = Array.from(
      { length: shown.size },
      (_, index) => `${shortLabel(labels()[cellStart(shown, index)] ?? "", 12)} ${cellStart(shown, index)}`,
    );
    const value = (row: number, col: number) =>
      isFuture(shown, row, col)
        ? ""
        : valueText(shown.values[row * shown.size + col] as number, shown.signed);
    table.replaceChildren(numberTable("rows: from (dest); columns: attends to (src)", names, names, value));
  }

  function update(): void {
    updateHead();
    pattern = session.focusing.pattern;
    for (const part of [head, foot, note]) show(part, pattern !== null);
    show(canvas, pattern !== null && !tabled);
    show(table, pattern !== null && tabled);
    show(empty, pattern === null && session.shown !== null);
    setText(empty, session.growing ? "" : "No head has a pattern here.");
    if (!pattern) return;
    const width = element.clientWidth || 340;
    const ratio = globalThis.devicePixelRatio || 1;
    const longest = Math.max(
      4,
      ...labels()
        .slice(0, 512)
        .map((label) => visible(bare(label.slice(0, 40))).length),
    );
    layout = focusLayout(pattern.size, width, Math.min(72, Math.ceil(longest * 6.7)) * context.scale, ratio);
    session.focusing.pixels = (width - layout.left) * ratio;
    const marks = { token: session.focusToken, hover: session.hoverCell, picked: session.cell };
    drawCanvas(canvas, patternFigure(pattern, layout, labels(), context.theme, marks, context.scale));
    attribute(canvas, "data-cell", layout.cell);
    attribute(canvas, "data-left", layout.left);
    attribute(canvas, "data-top", layout.top);
    attribute(canvas, "data-size", layout.size);
    attribute(canvas, "aria-activedescendant", session.hoverCell ? cursorCell.id : null);
    setText(cursorCell, session.hoverCell ? spoken(session.hoverCell) : "");
    const block = Math.ceil(pattern.positions / pattern.size);
    const notes = [
      layout.every > 1 &&
        `every ${ordinal(layout.every)} label is drawn, all ${pattern.size} rows and columns are`,
      pooled(pattern) &&
        `${pattern.positions} tokens in ${pattern.size} cells: the strongest weight of each ${block} × ${block} block`,
    ];
    setText(note, notes.filter(Boolean).join(" · "));
    updateReadout(pattern);
    updateTable(pattern);
  }

  const figure = () => {
    if (!pattern || !layout) return null;
    const marks = { token: session.focusToken, hover: null, picked: session.cell };
    return patternFigure(pattern, layout, labels(), context.theme, marks, context.scale);
  };
  return { element, update, figure };
}

function ordinal(n: number): string {
  const ending = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${ending}`;
}
