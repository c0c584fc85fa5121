// The focus: one head's pattern (or several combined) large, both axes labelled, with a crosshair and a read-out.

import { scoreText, sharedKv } from "../lib/atlas";
import { actionButton, Switch } from "../lib/controls";
import { drawCanvas, type Figure } from "../lib/display-list";
import { attribute, disable, h, memo, set, setText, show, uniqueId } from "../lib/dom";
import { cellAt, clamp, type FocusLayout, focusLayout } from "../lib/geometry";
import { type Cell, headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, dotted, shortLabel, visible } from "../lib/labels";
import {
  COMBINATIONS,
  type Combine,
  cellOf,
  colToken,
  covers,
  isFuture,
  type Pattern,
  pooled,
  rowToken,
  weight,
} from "../lib/patterns";
import { widthOf } from "../lib/width";
import { watchGestures } from "../lib/zoom-gestures";
import type { View, ViewContext } from "./context";
import { createFocusTools, STEP, sinkText } from "./focus-tools";
import { digitsOf, type FocusMarks, patternFigure, valueText } from "./pattern-figure";
import { createTable } from "./table";

export function createPattern(context: ViewContext<HeadsSession>): View & { figure(): Figure | null } {
  const { session } = context;
  const { focusing, intervention } = session;
  const title = h("h3.focus-title");
  const facts = h("span.facts");
  const how = new Switch("several heads show", context.tip, (name) => focusing.setCombine(name as Combine));
  const tools = createFocusTools(context);
  const link = (label: string, name: string, run: () => void) =>
    actionButton(label, context.tip, run, { class: "mi-link", name });
  const tableButton = link("table", "table", () => {
    tabled = !tabled;
    update();
  });
  const cursorCell = h("div", { role: "gridcell", id: uniqueId("cell") });
  const canvas = h(
    "canvas",
    {
      tabindex: 0,
      role: "grid",
      "aria-label": "Attention pattern: from (dest) down, attends to (src) across",
      onblur: () => session.hoverAt(null),
    },
    h("div", { role: "row" }, cursorCell),
  );
  const table = createTable<Pattern>(context.say);
  const readout = h("div.readout#readout");
  const rank = () => session.lockedCell && session.ranking.byCell(session.lockedCell);
  const knockOut = () => intervention.choose("knockout");
  const rankCell = link("rank heads by this cell", "rank-cell", rank);
  const cut = link("knock out this edge", "cut-cell", knockOut);
  const hint = h("span.note", "click a cell: rank by it, or cut it");
  const note = h("div.note#focus-note");
  const empty = h("div.note");
  const plot = h("div.plot", canvas, tools.overview);
  const head = h("div.focus-head", title, facts, how.element);
  const foot = h("div.focus-foot", readout, h("div.cell-actions", rankCell, cut, hint, tableButton));
  const parts = [head, tools.element, plot, table.element, foot, note];
  const element = h("section.focus#focus", ...parts, empty);
  let layout: FocusLayout | null = null;
  let pattern: Pattern | null = null;
  let tabled = false;
  const longest = memo<number>();
  const drawn = memo<void>();

  const labels = () => session.shownPrompt?.labels ?? [];
  const named = (token: number) => `${shortLabel(labels()[token] ?? "?", 20)} (${token})`;

  // --- pointer ------------------------------------------------------------------------------------------------------
  function point(event: MouseEvent): [x: number, y: number] {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  // The last token of a pooled row, so that a row's block is never read as if it looked into its future.
  const cellFor = (frame: Pattern, row: number, col: number): Cell => ({
    dest: rowToken(frame, row + 1) - 1,
    src: colToken(frame, col),
  });
  function at(event: MouseEvent): Cell | null {
    const found = layout && cellAt(layout, ...point(event));
    return found && pattern && cellFor(pattern, ...found);
  }
  const pick = (cell: Cell | null) => {
    if (!cell || cell.src > cell.dest) return;
    session.pickCell(cell);
    return true;
  };
  let grabbed = focusing.window;
  watchGestures(canvas, {
    hover: (event) => session.hoverAt(event && at(event)),
    click: (event) => pick(at(event)),
    zoom(factor, event) {
      const [x, y] = point(event);
      if (layout) focusing.zoom(factor, (y - layout.top) / layout.side, (x - layout.left) / layout.side);
    },
    reset: () => focusing.reset(),
    grab: () => {
      grabbed = focusing.window;
      return focusing.zoomed;
    },
    drag(x, y) {
      const { dest, src, span } = grabbed;
      const tokens = (pixels: number) => Math.round((pixels / (layout?.side ?? 1)) * span);
      focusing.show({ dest: dest - tokens(y), src: src - tokens(x), span });
    },
  });

  // --- keys ---------------------------------------------------------------------------------------------------------
  const pickHovered = () => {
    const cell = session.hoverCell;
    if (cell && pick(cell)) context.say(`picked ${spoken(cell)}`);
  };
  const zoomBy = (factor: number) => () => {
    const cell = session.hoverCell ?? session.lockedCell;
    const { dest, src, span } = focusing.window;
    focusing.zoom(factor, ...(cell ? [(cell.dest - dest) / span, (cell.src - src) / span] : []));
    context.say(`${focusing.window.span} of ${focusing.all} tokens in view`);
  };
  onKeys(canvas, {
    ...arrows((rows, cols) => {
      if (!pattern) return;
      const shown = pattern;
      const { focusToken } = session;
      const now = session.hoverCell ?? session.lockedCell ?? { dest: focusToken, src: focusToken };
      // A step is a cell of the picture; at its edge the picture scrolls along.
      const moved = (token: number, by: number) =>
        clamp(Math.round(token + (by * shown.span) / shown.size), 0, focusing.all - 1);
      const target = { dest: moved(now.dest, rows), src: moved(now.src, cols) };
      focusing.reveal(target);
      const { dest, src } = focusing.window;
      const frame = { ...shown, dest, src };
      const cell = cellFor(frame, cellOf(frame, target.dest - dest), cellOf(frame, target.src - src));
      session.hoverAt(cell);
      pattern = focusing.pattern ?? pattern;
      context.say(spoken(cell));
    }),
    " ": pickHovered,
    Enter: pickHovered,
    "+": zoomBy(1 / STEP),
    "=": zoomBy(1 / STEP),
    "-": zoomBy(STEP),
    "0": () => focusing.reset(),
    r: rank,
    k: () => session.lockedCell && knockOut(),
    Escape: () => {
      session.hoverAt(null);
      session.clearSelection();
      context.say("selection cleared");
    },
    "?": () => context.toggleHelp(),
  });

  function spoken(cell: Cell): string {
    if (!pattern) return "";
    const names = `from ${named(cell.dest)} to ${named(cell.src)}: `;
    if (cell.src > cell.dest) return `${names}the causal mask forbids this`;
    if (!covers(pattern, { ...cell, span: 1 })) return `${names}out of view`;
    return names + valueText(weight(pattern, cell.dest, cell.src), pattern.twoSided, digitsOf(pattern));
  }

  // --- words --------------------------------------------------------------------------------------------------------
  function updateReadout(shown: Pattern): void {
    const picked = session.lockedCell !== null;
    show(rankCell, picked);
    show(cut, picked);
    show(hint, !picked);
    attribute(cut, "aria-pressed", intervention.what === "knockout");
    disable(rankCell, !session.channel.usable);
    const cell = session.hoverCell ?? session.lockedCell;
    if (!cell) return setText(readout, "");
    const { exact } = focusing;
    const known = exact?.key === focusing.valueKey(cell) && cell.src <= cell.dest ? exact : null;
    const tail = known
      ? ` · exactly ${valueText(known.value, shown.twoSided, Math.max(5, digitsOf(shown) + 2))}`
      : pooled(shown)
        ? " · strongest of its block"
        : "";
    setText(readout, spoken(cell) + tail);
  }

  function updateHead(): void {
    const heads = session.inFocus;
    const atlas = session.shown;
    const names = heads.map(headName);
    const [single, second, more] = heads;
    const two = second && !more;
    if (!two && focusing.combine === "difference") focusing.combine = "mean";
    const joined = names.join(focusing.combine === "difference" ? " − " : ", ");
    setText(title, shortLabel(joined, 40));
    const order = [session.scoreName, "duplicate", "previous", "logit_effect"];
    const defined = [...new Set(order)].filter((name) => session.scoreDefined(name)).slice(0, 3);
    const words = (name: string) => (name === "logit_effect" ? "direct" : name.replace("_", " "));
    const told =
      atlas && single && !second
        ? [
            ...defined.map((name) => `${words(name)} ${scoreText(atlas, name, single)}`),
            sharedKv(atlas, single[1]),
          ]
        : [];
    // A line breaks between them.
    setText(facts, dotted(told).replace(/(?<!·) (?!·)/g, "\u00a0"));
    show(how.element, !!second);
    if (!second) return;
    const option = (name: Combine) => ({
      name,
      label: name,
      chosen: focusing.combine === name,
      off: name === "difference" && !two ? session.why("two-heads") : null,
      card: null,
    });
    how.update(COMBINATIONS.map(option));
  }

  function notes(shown: Pattern, { every }: FocusLayout): string {
    const { span: positions, size, top } = shown;
    const block = Math.ceil(positions / size);
    const valued = focusing.weighedBy === "value";
    const weighted = focusing.pending
      ? "computing the value-weighted norm"
      : `colours end at ${valueText(top, false, digitsOf(shown))}`;
    return dotted([
      valued && weighted,
      sinkText(context, shown),
      every > 1 && `every ${ordinal(every)} label is drawn, all ${size} rows and columns are`,
      pooled(shown) &&
        `${positions} tokens in ${size} cells: the strongest weight of each ${block} × ${block} block`,
    ]);
  }

  function updateTable(shown: Pattern): void {
    const { dest = 0, src = 0, size, twoSided: signed, numbers: values } = shown;
    const name = (token: number) => `${shortLabel(labels()[token] ?? "", 12)} ${token}`;
    const digits = digitsOf(shown);
    const source = {
      caption: "rows: from (dest); columns: attends to (src)",
      size,
      row: (row: number) => name(rowToken(shown, row)),
      col: (col: number) => name(colToken(shown, col)),
      value: (row: number, col: number) =>
        isFuture(shown, row, col) ? "" : valueText(values[row * size + col] as number, signed, digits),
    };
    const token = session.lockedCell?.dest ?? session.focusToken;
    table.draw(source, shown, [
      cellOf(shown, token - dest),
      cellOf(shown, token - (session.lockedCell ? src : 0)),
    ]);
  }

  const marks = () => ({
    token: session.focusToken,
    hover: session.hoverCell,
    picked: session.lockedCell,
    hideSink: focusing.hideSink,
  });
  const picture = (shown: Pattern, room: FocusLayout, marked: FocusMarks) =>
    patternFigure(shown, room, labels(), context.theme, marked, context.scale);

  /** Draws the picture where something in it is another. */
  function paint(shown: Pattern): void {
    const width = widthOf(element) || 340;
    const ratio = globalThis.devicePixelRatio || 1;
    const names = labels();
    const marked = marks();
    const { token, hover, picked, hideSink } = marked;
    const { theme, scale } = context;
    drawn([shown, width, ratio, names, theme, scale, focusing.all, token, hover, picked, hideSink], () => {
      const letters = longest([names], () =>
        Math.max(4, ...names.slice(0, 512).map((label) => visible(bare(label.slice(0, 40))).length)),
      );
      const room = Math.min(72, Math.ceil(letters * 6.7)) * scale;
      const now = focusLayout(shown.size, width, room, ratio, focusing.all);
      layout = now;
      focusing.pixels = (width - now.left) * ratio;
      drawCanvas(canvas, picture(shown, now, marked));
      for (const name of ["cell", "left", "top", "size", "side"] as const)
        attribute(canvas, `data-${name}`, now[name]);
      // In the corner that both axes leave free.
      tools.overview.style.top = `${now.top + now.side + 6}px`;
    });
  }

  function update(): void {
    updateHead();
    tools.update();
    attribute(tableButton, "aria-pressed", tabled);
    // While what is asked for is on its way the old picture stays, dimmed where it would say another thing.
    const now = focusing.pattern;
    const there = session.shown !== null;
    const waits = now === null && focusing.pending && pattern !== null && there;
    if (!waits) pattern = now;
    attribute(canvas, "data-pending", waits);
    for (const part of parts) {
      const away = part === plot ? tabled : part === table.element && !tabled;
      show(part, pattern !== null && !away);
    }
    show(empty, pattern === null && there);
    setText(empty, session.growing || focusing.pending ? "" : "No head has a pattern here.");
    if (!pattern) return;
    paint(pattern);
    const { hoverCell } = session;
    const { dest, src, span } = focusing.window;
    set(canvas, {
      "data-window": `${dest} ${src} ${span}`,
      "data-zoomed": focusing.zoomed,
      "aria-activedescendant": hoverCell && cursorCell.id,
    });
    setText(cursorCell, hoverCell ? spoken(hoverCell) : "");
    if (layout) setText(note, notes(pattern, layout));
    updateReadout(pattern);
    if (tabled) updateTable(pattern);
  }

  const figure = () => pattern && layout && picture(pattern, layout, { ...marks(), hover: null });
  return { element, update, figure };
}

function ordinal(n: number): string {
  const ending = n % 100 >= 11 && n % 100 <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${ending}`;
}
