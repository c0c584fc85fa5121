// The atlas: every head of every layer as a thumbnail on one canvas, with a bar for the chosen score under each.
import { NOT_FINITE } from "../lib/arrays";
import type { Atlas } from "../lib/atlas";
import { barColour } from "../lib/colour";
import { drawCanvas, type Figure, type Item } from "../lib/display-list";
import { attribute, h, setText, show, uniqueId } from "../lib/dom";
import { type AtlasLayout, atlasLayout, headAt, thumbOrigin } from "../lib/geometry";
import { type Head, sameHead } from "../lib/heads";
import { arrows, onKeys } from "../lib/keyboard";
import { signed } from "../lib/labels";
import { isFuture } from "../lib/patterns";
import type { Theme } from "../lib/theme";
import type { View, ViewContext } from "./context";

export interface AtlasMarks {
  locked: readonly Head[];
  hovered: Head | null;
  cursor: Head | null;
  score: string;
}

/** A head's score as text: two decimals, a sign for logits. */
export function scoreText(atlas: Atlas, name: string, [layer, head]: Head): string {
  const value = atlas.scores[name]?.values[layer]?.[head];
  if (value === null || value === undefined) return "–";
  return name === "logit_effect" ? signed(value) : value.toFixed(2);
}

/** Query heads that share the key-value head of this one, when several do. */
export function sharedKv(atlas: Atlas, head: number): string | null {
  const group = atlas.heads / Math.max(1, atlas.kvHeads);
  if (group <= 1 || !Number.isInteger(group)) return null;
  const kv = Math.floor(head / group);
  return `kv${kv} (H${kv * group}–H${(kv + 1) * group - 1})`;
}

export function atlasFigure(
  atlas: Atlas,
  layout: AtlasLayout,
  theme: Theme,
  marks: AtlasMarks,
  scale = 1,
): Figure {
  const items: Item[] = [];
  const size = 11 * scale;
  const label = { kind: "text", fill: theme.muted, size, font: theme.mono } as const;
  const every = Math.max(1, Math.ceil((size * 2.2) / layout.pitchX));
  for (let head = 0; head < atlas.heads; head += every) {
    const x = layout.left + head * layout.pitchX + layout.thumb / 2;
    items.push({ ...label, x, y: layout.top - 10, text: `H${head}`, align: "middle" });
  }
  const everyLayer = Math.max(1, Math.ceil((size * 1.2) / layout.pitchY));
  for (let layer = 0; layer < atlas.layers; layer++) {
    const middle = layout.top + layer * layout.pitchY + layout.thumb / 2;
    if (layer % everyLayer === 0)
      items.push({ ...label, x: layout.left - 4, y: middle, text: `L${layer}`, align: "end" });
    const gone = atlas.missing[layer] !== undefined;
    for (let head = 0; head < atlas.heads; head++) {
      const [x, y] = thumbOrigin(layout, layer, head);
      const box = { x, y, width: layout.thumb, height: layout.thumb };
      if (gone || !atlas.arrived[layer]) items.push({ kind: "rect", ...box, fill: theme.future });
      else items.push(thumbCells(atlas, layer, head, box, theme));
      if (gone)
        items.push({
          ...label,
          x: x + layout.thumb / 2,
          y: y + layout.thumb / 2,
          text: "–",
          align: "middle",
        });
      else items.push(...scoreBar(atlas, layout, theme, marks.score, [layer, head]));
    }
  }
  for (const head of marks.locked) items.push(ring(layout, head, theme, 2));
  if (marks.hovered) items.push(ring(layout, marks.hovered, theme, 1));
  if (marks.cursor) items.push({ ...ring(layout, marks.cursor, theme, 1), stroke: theme.text });
  return { width: layout.width, height: layout.height, background: theme.background, items };
}

type Rect = Extract<Item, { kind: "rect" }>;

function ring(layout: AtlasLayout, [layer, head]: Head, theme: Theme, line: number): Rect {
  const [x, y] = thumbOrigin(layout, layer, head);
  const out = 1 + line / 2;
  const height = layout.thumb + layout.bar + 3 + 2 * out;
  return {
    kind: "rect",
    x: x - out,
    y: y - out,
    width: layout.thumb + 2 * out,
    height,
    stroke: theme.accent,
    line,
    radius: 2,
  };
}

/** A score's bar: length and colour by its share of 0..1; nothing but the rail where the score is undefined. */
function scoreBar(atlas: Atlas, layout: AtlasLayout, theme: Theme, score: string, head: Head): Item[] {
  const [x, y] = thumbOrigin(layout, head[0], head[1]);
  const bar = {
    kind: "rect",
    x,
    y: y + layout.thumb + 3,
    height: layout.bar,
    radius: layout.bar / 2,
  } as const;
  const rail: Item = { ...bar, width: layout.thumb, fill: theme.line };
  const share = atlas.scores[score]?.bars[head[0]]?.[head[1]];
  if (share === null || share === undefined) return [rail];
  const width = Math.max(layout.bar, Math.min(1, Math.max(0, share)) * layout.thumb);
  return [rail, { ...bar, width, fill: barColour(Math.max(0, Math.min(1, share)) * 0.95) }];
}

type Box = { x: number; y: number; width: number; height: number };

function thumbCells(atlas: Atlas, layer: number, head: number, box: Box, theme: Theme): Item {
  const { side, thumbs } = atlas;
  const table = atlas.run === "difference" ? theme.diverging : theme.sequential;
  const raw = thumbs.raw as Uint8Array;
  const rgba = new Uint8ClampedArray(side * side * 4);
  const shape = { size: side, positions: atlas.positions };
  const plane = layer * atlas.heads + head;
  for (let row = 0; row < side; row++) {
    for (let col = 0; col < side; col++) {
      const out = (row * side + col) * 4;
      const at = thumbs.index(plane, row, col);
      if (col > row && isFuture(shape, row, col)) rgba.set(theme.future, out);
      else if (raw[at] === NOT_FINITE) continue;
      else {
        const entry = table.entry(thumbs.offset + thumbs.scale * (raw[at] as number)) * 3;
        rgba.set(table.rgb.subarray(entry, entry + 3), out);
      }
      rgba[out + 3] = 255;
    }
  }
  return { kind: "cells", ...box, rows: side, cols: side, rgba, hatch: theme.muted };
}

export function createHeadAtlas(context: ViewContext): View & { figure(): Figure | null } {
  const { session } = context;
  const canvas = h("canvas", {
    tabindex: 0,
    role: "grid",
    "aria-label": "All heads: layers down, heads across",
  });
  const scroller = h("div", { class: "mi-atlas-scroll" }, canvas);
  const note = h("div", { class: "mi-note" });
  const element = h("section", { class: "mi-atlas", "data-part": "atlas" }, scroller, note);
  let layout: AtlasLayout | null = null;
  let cursor: Head | null = null;
  let cells = "";
  const prefix = uniqueId("head");
  const cellId = ([layer, head]: Head) => `${prefix}-${layer}-${head}`;

  const at = (event: PointerEvent | MouseEvent): Head | null => {
    const box = canvas.getBoundingClientRect();
    const head = layout && headAt(layout, event.clientX - box.left, event.clientY - box.top);
    return head && session.shown?.missing[head[0]] === undefined ? head : null;
  };
  canvas.addEventListener("pointermove", (event) => {
    const head = at(event);
    canvas.style.cursor = head ? "pointer" : "default";
    session.hoverHead(head);
  });
  canvas.addEventListener("pointerleave", () => session.hoverHead(null));
  canvas.addEventListener("click", (event) => {
    const head = at(event);
    if (head) {
      cursor = null; // The ring of the keyboard's cursor is for the keyboard.
      session.lock(head, event.shiftKey);
    }
  });
  canvas.addEventListener("blur", () => {
    cursor = null;
    session.hoverHead(null);
    update();
  });
  const pick = (add: boolean) => {
    const head = cursor ?? session.focus[0];
    if (!head) return;
    session.lock(head, add);
    const names = session.locked.map(([l, hd]) => `L${l} H${hd}`).join(", ");
    context.say(names ? `selected ${names}` : "no head selected");
  };
  onKeys(canvas, {
    ...arrows((rows, cols) => {
      const atlas = session.shown;
      if (!atlas) return;
      const [layer, head] = cursor ?? session.focus[0] ?? [0, 0];
      const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));
      cursor = [clamp(layer + rows, atlas.layers), clamp(head + cols, atlas.heads)];
      session.hoverHead(cursor);
      const score = atlas.scores[session.score];
      context.say(
        `L${cursor[0]} H${cursor[1]}, ${score?.label ?? session.score} ${scoreText(atlas, session.score, cursor)}`,
      );
      update();
    }),
    " ": () => pick(true),
    Enter: () => pick(false),
    Escape: () => {
      session.clearSelection();
      context.say("selection cleared");
    },
    "?": () => context.toggleHelp(),
  });

  const marks = (): AtlasMarks => {
    const { layer, head } = session.linkedHover ?? {};
    const linked = layer !== undefined && head !== undefined ? ([layer, head] as const) : null;
    return { locked: session.locked, hovered: session.hovered ?? linked, cursor, score: session.score };
  };

  /** The accessible twin of the picture: rows and cells inside the canvas, for `aria-activedescendant`. */
  function describe(atlas: Atlas): void {
    const facts = `${atlas.rev}${atlas.run}${session.score}${session.locked.join(";")}${atlas.arrived.join("")}`;
    if (facts !== cells && atlas.layers * atlas.heads <= 1024) {
      cells = facts;
      const label = atlas.scores[session.score]?.label ?? session.score;
      const cell = (layer: number, head: number) =>
        h("div", {
          role: "gridcell",
          id: cellId([layer, head]),
          "aria-selected": String(session.locked.some((it) => sameHead(it, [layer, head]))),
          "aria-label": `L${layer} H${head}, ${label} ${scoreText(atlas, session.score, [layer, head])}`,
        });
      const heads = Array.from({ length: atlas.heads }, (_, head) => head);
      canvas.replaceChildren(
        ...Array.from({ length: atlas.layers }, (_, layer) =>
          h("div", { role: "row" }, ...heads.map((head) => cell(layer, head))),
        ),
      );
    }
    attribute(canvas, "aria-activedescendant", cursor ? cellId(cursor) : null);
  }

  function update(): void {
    const atlas = session.shown;
    show(canvas, atlas !== null);
    if (!atlas) return;
    layout = atlasLayout(atlas.layers, atlas.heads, element.clientWidth || 340);
    drawCanvas(canvas, atlasFigure(atlas, layout, context.theme, marks(), context.scale));
    attribute(canvas, "data-rev", atlas.rev);
    for (const name of ["thumb", "left", "top"] as const) attribute(canvas, `data-${name}`, layout[name]);
    attribute(canvas, "data-pitch-x", layout.pitchX);
    attribute(canvas, "data-pitch-y", layout.pitchY);
    describe(atlas);
    const reasons = [...new Set(Object.values(atlas.missing))];
    const pooled =
      atlas.side < atlas.positions
        ? [
            `thumbnails: strongest of each ${Math.ceil(atlas.positions / atlas.side)} × ${Math.ceil(atlas.positions / atlas.side)} block`,
          ]
        : [];
    setText(note, [...pooled, ...reasons].join(" · "));
  }

  const figure = () => {
    const atlas = session.shown;
    if (!atlas || !layout) return null;
    return atlasFigure(
      atlas,
      layout,
      context.theme,
      { ...marks(), hovered: null, cursor: null },
      context.scale,
    );
  };
  return { element, update, figure };
}
