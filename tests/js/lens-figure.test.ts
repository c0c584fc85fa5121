import { expect, test } from "vitest";
import type { Item } from "../../js/lib/display-list";
import { toSvg } from "../../js/lib/display-list";
import { columnStrips } from "../../js/lib/grid-items";
import { type LensEntry, readLens } from "../../js/lib/lens-cells";
import { lensLayout, linesOf } from "../../js/lib/lens-layout";
import { themeFor } from "../../js/lib/theme";
import { foldName, headings, type LensLook, lensFigure, lineItems } from "../../js/views/lens-figure";
import { lensEntry } from "./lens";

const theme = themeFor([255, 255, 255], { font: "sans", mono: "mono" });
const LABELS = ["‹bos›", "␣a", "␣b", "\u202ec", "␣understanding", "␣to"];

function look(facts: Record<string, unknown> = {}, open = [0, 1, 2, 3], width = 400): LensLook {
  const lens = readLens(lensEntry(facts) as unknown as LensEntry);
  const lines = linesOf(lens.rows.length, open);
  const sizes = { width, names: 40, positions: lens.positions, first: Number.POSITIVE_INFINITY };
  const layout = lensLayout(lines, sizes);
  const pinned = (id: number) => (id === 103 ? ([1, 2, 3] as const) : null);
  return { lens, layout, labels: LABELS, answer: 5, theme, scale: 1, pinned };
}
const texts = (items: readonly Item[]) => items.flatMap((it) => (it.kind === "text" ? [it] : []));
const rects = (items: readonly Item[]) => items.flatMap((it) => (it.kind === "rect" ? [it] : []));

test("a line names its row and has a cell for each position in view", () => {
  const now = look();
  const items = lineItems(now, now.layout.lines[1] as never, 30);
  expect(texts(items)[0]?.text).toBe("L0");
  expect(
    texts(items)
      .slice(1)
      .map(({ text }) => text),
  ).toEqual([100, 101, 102, 103, 104, 105].map((id) => (id === 100 ? "t100" : `#${id}`)));
  // The pinned token alone carries its mark.
  expect(rects(items)).toHaveLength(7);
});

test("a cell without a number is hatched, one that has not arrived is a dot, one that the edit changed has its mark", () => {
  const holes = (row: number, position: number) => (row === 2 && position === 1 ? Number.NaN : 0.5);
  const now = look({ value: holes, run: "edited" });
  const kinds = lineItems(now, now.layout.lines[2] as never, 0).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === "cells")).toHaveLength(1);
  const last = rects(lineItems(now, now.layout.lines[3] as never, 0));
  expect(last.filter(({ width }) => width < 6)).toHaveLength(1);
  const waiting = look({ shown: { rows: [0, 3], columns: [0, 6] } });
  const dots = texts(lineItems(waiting, waiting.layout.lines[1] as never, 0)).slice(1);
  expect(dots.map(({ text }) => text)).toEqual(Array(6).fill("·"));
});

test("what is folded is named by its rows, whole layers by their numbers", () => {
  const site = (name: string, layer: number, label: string) => ({ site: name, layer, label, kind: "stream" });
  const rows = [
    site("resid_pre", 0, "input"),
    ...[0, 1, 2].flatMap((at) => [site("resid_mid", at, `L${at} mid`), site("resid_post", at, `L${at}`)]),
  ];
  const { lens } = look({ rows });
  const name = (first: number, last: number) => foldName(lens, { first, last, folded: true });
  expect(name(1, 4)).toBe("L0–L1");
  expect(name(3, 4)).toBe("L1");
  expect(name(2, 4)).toBe("L0–L1");
  expect(name(4, 5)).toBe("L1–L2 mid");
  expect(name(5, 5)).toBe("L2 mid");
});

test("positions out of view are counted on their strip", () => {
  const now = look({ positions: 40 });
  const [, , words] = columnStrips(now, 0, 400);
  expect(words).toMatchObject({ kind: "text", text: `${now.layout.first} more tokens`, turn: -90 });
  expect(columnStrips(look(), 0, 400)).toEqual([]);
  expect(texts(columnStrips(now, 0, 40))[0]?.text).toBe(String(now.layout.first));
});

test("headings carry token and position inside their column, the answer's position in bold", () => {
  const now = look();
  const items = texts(headings(now));
  expect(items).toHaveLength(12);
  expect(items.filter(({ bold }) => bold).map(({ text }) => text)).toEqual(["to", "5"]);
  expect(items[6]?.text).toBe("⟨202E⟩c");
  for (const [at, { x, text, size }] of items.entries()) {
    const left = now.layout.left + Math.floor(at / 2) * now.layout.cell;
    expect(x).toBeGreaterThanOrEqual(left - 0.5);
    expect(x + text.length * size * 0.602).toBeLessThanOrEqual(left + now.layout.cell + 0.5);
  }
});

test("the figure holds every line, the scale of its colours and the picked cell, inside its size", () => {
  const now = look({}, [0, 3]);
  const figure = lensFigure(now, { row: 3, position: 5 });
  const words = texts(figure.items).map(({ text }) => text);
  expect(words).toContain("L0–L1");
  expect(words).toContain("prob 0.00");
  expect(rects(figure.items).filter(({ stroke }) => stroke === theme.accent)).toHaveLength(1);
  for (const item of figure.items) {
    if (item.kind !== "rect") continue;
    expect(item.x + item.width).toBeLessThanOrEqual(figure.width + 1);
    expect(item.y + item.height).toBeLessThanOrEqual(figure.height);
  }
  expect(toSvg(figure, "</title><script>")).not.toContain("<script>");
});
