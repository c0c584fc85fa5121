// What each component writes straight to the answer: bars by size, a map of the heads, one head by source position.
import { actionButton } from "../lib/controls";
import { drawCanvas, type Figure, type Item } from "../lib/display-list";
import { attribute, h, memo, set, setText, show, uniqueId, watchFacts } from "../lib/dom";
import { barEnds, barSpan, clamp } from "../lib/geometry";
import { type Head, headKey, headName, sameHead } from "../lib/heads";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import { type Attribution, trackedRun } from "../lib/lens-card";
import { ADVANCE } from "../lib/lens-labels";
import type { LensSession } from "../lib/lens-session";
import type { Theme } from "../lib/theme";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { bar, barRow, direction, numberText } from "./effect-panel";

/** Bars of the largest; what is left stands in one line. */
const BARS = 12;
const SIZE = 11;

export interface Share {
  name: string;
  value: number;
  head?: Head | null;
  position?: number;
}

/** The largest by magnitude, largest first, and how many others there are and what they add up to. */
export function largest(
  shares: readonly Share[],
  most = BARS,
): { shown: Share[]; rest: number; sum: number } {
  const finite = shares.filter((it) => Number.isFinite(it.value));
  const order = finite.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  // One line for a single rest would say less than its bar in the same room.
  const shown = order.length === most + 1 ? order : order.slice(0, most);
  const others = order.slice(shown.length);
  return { shown, rest: others.length, sum: others.reduce((sum, it) => sum + it.value, 0) };
}

/** Values [layer, head] of the heads among the components; NaN where a layer has none. */
export function headValues({ components }: Attribution, layers: number, heads: number): Float64Array {
  const values = new Float64Array(layers * heads).fill(Number.NaN);
  for (const { layer, head, value } of components)
    if (layer !== null && head !== null && head < heads) values[layer * heads + head] = value ?? Number.NaN;
  return values;
}

export interface MapLayout {
  layers: number;
  heads: number;
  left: number;
  top: number;
  cell: number;
  row: number;
  width: number;
  height: number;
}

/** Layers down, heads across, in at most `width` pixels. */
export function mapLayout(layers: number, heads: number, width: number, scale = 1): MapLayout {
  const left = (`L${layers - 1}`.length * SIZE * ADVANCE + 8) * scale;
  const top = 18 * scale;
  const cell = clamp((width - left - 2) / heads, 3, 26 * scale);
  const row = clamp(cell, 6 * scale, 16 * scale);
  return {
    layers,
    heads,
    left,
    top,
    cell,
    row,
    width: left + heads * cell + 2,
    height: top + layers * row + 2,
  };
}

export function headAt(
  { layers, heads, left, top, cell, row }: MapLayout,
  x: number,
  y: number,
): Head | null {
  const [layer, head] = [Math.floor((y - top) / row), Math.floor((x - left) / cell)];
  return layer < 0 || head < 0 || layer >= layers || head >= heads ? null : [layer, head];
}

export function mapFigure(
  layout: MapLayout,
  values: ArrayLike<number>,
  marks: { picked: Head | null; cursor: Head | null },
  theme: Theme,
  scale: number,
): Figure {
  const { layers, heads, left, top, cell, row, width, height } = layout;
  const finite = Array.from(values).filter(Number.isFinite);
  const most = Math.max(1e-9, ...finite.map(Math.abs));
  const rgba = new Uint8ClampedArray(4 * layers * heads);
  for (let at = 0; at < layers * heads; at++) {
    const value = values[at] as number;
    if (Number.isFinite(value)) rgba.set([...theme.diverging.colour(value / most), 255], at * 4);
  }
  const type = { kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono } as const;
  const box = { x: left, y: top, width: heads * cell, height: layers * row };
  const items: Item[] = [{ kind: "cells", ...box, rows: layers, cols: heads, rgba, hatch: theme.muted }];
  items.push({ kind: "rect", ...box, stroke: theme.line });
  const everyHead = Math.ceil((`H${heads - 1}`.length * SIZE * ADVANCE * scale + 6) / cell);
  for (let head = 0; head < heads; head += everyHead)
    items.push({
      ...type,
      x: left + (head + 0.5) * cell,
      y: top - 8 * scale,
      text: `H${head}`,
      align: "middle",
    });
  const everyLayer = Math.ceil((type.size + 1) / row);
  for (let layer = 0; layer < layers; layer += everyLayer)
    items.push({ ...type, x: left - 5, y: top + (layer + 0.5) * row, text: `L${layer}`, align: "end" });
  for (const [name, head] of Object.entries(marks)) {
    if (!head) continue;
    const place = { x: left + head[1] * cell, y: top + head[0] * row, width: cell, height: row };
    const stroke = name === "picked" ? theme.accent : theme.text;
    items.push({ kind: "rect", ...place, stroke, line: name === "picked" ? 2 : 1, radius: 1 });
  }
  return { width, height, background: theme.background, items };
}

export function createAttribution(context: ViewContext<LensSession>): View {
  const { session, tip, say } = context;
  const { card } = session;
  const body = h("div.attribution-body", { id: uniqueId("attribution"), hidden: true });
  const fold = h(
    "button.fold",
    {
      "data-action": "attribution",
      "aria-controls": body.id,
      onclick: () => card.setAttributing(!card.attributing),
    },
    h("b", "Direct attribution"),
  );
  tip.attach(fold, () => tip.card("direct-attribution", "direct attribution"));
  const about = h("div.note", { dir: "auto" });
  const bars = h("div.shares", { "data-part": "shares" });
  const sum = h("div.note", { "data-part": "sum" });
  const cellName = h("div", { role: "gridcell", id: uniqueId("head") });
  const canvas = h(
    "canvas",
    { tabindex: 0, role: "grid", "aria-label": "Attribution of every head: layers down, heads across" },
    h("div", { role: "row" }, cellName),
  );
  const readout = h("div.note");
  const sources = h("div.shares", { "data-part": "sources" });
  const note = h("div.note", { dir: "auto" });
  const why = h("div.note", { "data-part": "attribution-off" });
  const trouble = h("span", { dir: "auto" });
  const asked = () => (card.attribution.failure ? card.attribution : card.sources);
  const retry = actionButton("Retry", tip, () => asked().retry(), {
    class: "mi-link",
    name: "retry-attribution",
  });
  const failed = h("div.trouble", trouble, " ", retry);
  const map = h("div.head-map", canvas, readout, sources);
  const picture = h("div", about, h("div.attribution-picture", h("div", bars, sum), map), note);
  body.append(why, picture, failed);
  const element = h("section.attribution", { "data-part": "attribution" }, fold, body);
  const isNew = watchFacts();
  const drawnBars = memo<void>();
  const drawnSources = memo<void>();
  const drawnMap = memo<void>();
  const valuesOf = memo<Float64Array>();
  let layout: MapLayout | null = null;
  let cursor: Head | null = null;
  let hovered: Head | null = null;
  let told: unknown = null;

  const labels = () => {
    const prompts = session.question?.prompts;
    return prompts?.[session.promptOf(trackedRun(session.lens?.run ?? "clean"))]?.labels ?? [];
  };
  const values = () => {
    const { answer } = card.attribution;
    const { n_layers: layers = 0, n_heads: heads = 0 } = session.question?.model ?? {};
    return answer && valuesOf([answer, layers, heads], () => headValues(answer, layers, heads));
  };
  const spoken = (head: Head) => {
    const value = values()?.[head[0] * (layout?.heads ?? 0) + head[1]] ?? Number.NaN;
    return `${headName(head)}: ${Number.isFinite(value) ? `${numberText(value, true)} logits` : "this layer has no heads"}`;
  };

  // --- gestures -----------------------------------------------------------------------------------------------------
  const at = (event: MouseEvent) => {
    const box = canvas.getBoundingClientRect();
    return layout && headAt(layout, event.clientX - box.left, event.clientY - box.top);
  };
  const hover = (head: Head | null) => {
    if (sameHead(head, hovered) || head === hovered) return;
    hovered = head;
    session.tellHover(head && { layer: head[0], head: head[1] });
    update();
  };
  const pick = (head: Head | null) => {
    const same = sameHead(head, card.head);
    card.pickHead(same ? null : head);
    if (head) say(same ? `${headName(head)} put away` : `selected ${spoken(head)}`);
  };
  const pickCursor = () => pick(cursor ?? card.head);
  set(canvas, {
    onpointermove: (event: PointerEvent) => hover(at(event)),
    onpointerleave: () => hover(null),
    onclick(event: MouseEvent) {
      cursor = null;
      const head = at(event);
      if (head) pick(head);
    },
    onblur() {
      cursor = null;
      hover(null);
    },
  });
  onKeys(canvas, {
    ...arrows((rows, cols) => {
      if (!layout) return;
      const [layer, head] = cursor ?? card.head ?? [0, 0];
      const first = !cursor && !card.head;
      cursor = [
        clamp(layer + (first ? 0 : rows), 0, layout.layers - 1),
        clamp(head + (first ? 0 : cols), 0, layout.heads - 1),
      ];
      hover(cursor);
      say(spoken(cursor));
    }),
    Enter: pickCursor,
    " ": pickCursor,
    Escape: () => pick(null),
    "?": context.toggleHelp,
  });

  // --- drawing ------------------------------------------------------------------------------------------------------
  /** Bars on one scale round 0, the largest first, and a line for the others. */
  function barsOf(shares: readonly Share[], others: string): HTMLElement[] {
    const { shown, rest, sum } = largest(shares);
    const [low, high] = barEnds(shown.map((it) => it.value));
    const zero = `${barSpan(low, low, high)?.width ?? 0}%`;
    const line = (name: HTMLElement, value: number, role: string) => {
      const row = barRow(name, numberText(value, true), bar(role, value, low, high));
      const rail = row.children[1] as HTMLElement;
      rail.style.setProperty("--zero", zero);
      attribute(rail, "data-zero", true);
      return row;
    };
    const role = (value: number) => (value < 0 ? "down" : "up");
    const lines = shown.map(({ name, value, head, position }) => {
      const title = shortLabel(name, 200);
      const text = shortLabel(bare(name), 18);
      const link = { class: "mi-link", dir: "auto", title };
      const made = head
        ? h("button", { ...link, "data-head": headKey(head), onclick: () => pick(head) }, text)
        : position === undefined
          ? h("span", { dir: "auto", title }, text)
          : h("span", { dir: "auto", title }, text, h("sub", String(position)));
      return line(h("span", made), value, role(value));
    });
    return rest ? [...lines, h("div.note", `${rest} ${others} together ${numberText(sum, true)}`)] : lines;
  }

  function drawComponents(answer: Attribution): void {
    drawnBars([answer, context.theme.dark], () => {
      const shares = answer.components.map(({ name, layer, head, value }) => ({
        name: layer !== null && head !== null ? headName([layer, head]) : name,
        value: value ?? Number.NaN,
        head: layer !== null && head !== null ? ([layer, head] as const) : null,
      }));
      bars.replaceChildren(...barsOf(shares, "others"));
    });
  }

  function drawMap(): void {
    const found = values();
    const { n_layers: layers, n_heads: heads } = session.question?.model ?? {};
    show(canvas, !!found && !!layers && !!heads);
    if (!found || !layers || !heads) return;
    const { theme, scale } = context;
    const width = widthOf(map) || 280;
    layout = mapLayout(layers, heads, width, scale);
    const { linkedHover: linked } = session;
    const other = linked?.layer !== undefined && linked.head !== undefined && linked.head < heads;
    const outlined = cursor ?? hovered ?? (other ? ([linked.layer, linked.head] as Head) : null);
    const facts = [found, theme, scale, width, card.head, outlined, globalThis.devicePixelRatio];
    drawnMap(facts, () => {
      drawCanvas(
        canvas,
        mapFigure(layout as MapLayout, found, { picked: card.head, cursor: outlined }, theme, scale),
      );
      for (const name of ["left", "top", "cell", "row"] as const)
        attribute(canvas, `data-${name}`, layout?.[name]);
    });
    set(canvas, {
      "aria-rowcount": layers,
      "aria-colcount": heads,
      "aria-activedescendant": cursor && cellName.id,
      "data-head": card.head && headKey(card.head),
    });
    if (cursor) setText(cellName, spoken(cursor));
    const named = outlined ?? card.head;
    const end = numberText(Math.max(...found.filter(Number.isFinite).map(Math.abs)));
    const legend = `blue: towards the answer, red: away from it, up to ${end} logits · click a head`;
    setText(readout, named ? spoken(named) : legend);
  }

  function drawSources(): void {
    const { answer, running } = card.sources;
    const { head } = card;
    show(sources, head !== null);
    attribute(sources, "data-pending", running);
    if (!head) return;
    drawnSources([answer, head], () => {
      const shares = (answer ?? []).map((value, position) => ({
        name: labels()[position] ?? "?",
        value,
        position,
      }));
      const title = h("div.note", `${headName(head)} by the position it reads from`);
      sources.replaceChildren(title, ...barsOf(shares, "other positions"));
    });
  }

  /** Why nothing can be attributed; null when it can. */
  function reason(): string | null {
    const { question } = session;
    if (question && !question.answer) return session.why("no-answer");
    return card.attribution.answer ? null : session.offReason;
  }

  function update(): void {
    const { lens, question } = session;
    show(element, lens !== null);
    attribute(fold, "aria-expanded", card.attributing);
    show(body, card.attributing);
    if (!lens || !question || !card.attributing) return;
    const { answer, running } = card.attribution;
    const off = reason();
    const { failure } = asked();
    setText(why, off ?? (answer || failure ? "" : "on its way"));
    show(picture, answer !== null && off === null);
    set(picture, { "data-pending": running });
    setText(trouble, [failure?.message, failure?.hint].filter(Boolean).join(" "));
    show(failed, failure !== null);
    show(retry, failure?.retryable === true);
    if (!answer || off) return;
    const run = trackedRun(lens.run);
    const { total, residue, softcap } = answer;
    if (isNew(run, direction(question), question.metric, answer.note, total, residue)) {
      const metric =
        question.metric === "logit_diff" ? "" : `, whatever the metric (${question.metric_label})`;
      setText(about, `of the logit difference ${direction(question)}${metric} · direct effect · ${run} run`);
      const before = softcap ? " before the softcap" : "";
      setText(sum, `sum ${numberText(total, true)}${before} · residue ${numberText(residue, true)}`);
      setText(note, answer.note);
    }
    drawComponents(answer);
    drawMap();
    drawSources();
    if (told !== answer) {
      told = answer;
      const [most] = largest(
        answer.components.map(({ name, value }) => ({ name, value: value ?? Number.NaN })),
      ).shown;
      if (most)
        say(
          `attribution: ${most.name} writes most, ${numberText(most.value, true)} of ${numberText(total, true)}`,
        );
    }
  }
  return { element, update };
}
