import { expect, test } from "vitest";
import type { Item } from "../../js/lib/display-list";
import { type Pin, slotColour } from "../../js/lib/lens-card";
import { themeFor } from "../../js/lib/theme";
import { plotBox, type TrajectoryLook, trajectoryFigure } from "../../js/views/trajectory-figure";

const theme = themeFor([255, 255, 255], { font: "sans", mono: "mono" });
const pin = (id: number, slot: number, label: string): Pin => ({ id, slot, label, role: null });
const zero = { prob: [], logit: [], rank: [] };

function look(prob: number[][], facts: Partial<TrajectoryLook> = {}): TrajectoryLook {
  const count = prob[0]?.length ?? 0;
  const tokens = prob.map((_, at) => ({ id: at, label: `t${at}` }));
  const rows = Array.from({ length: count }, (_, at) => at);
  return {
    tracks: { position: 1, tokens, rows, lines: { ...zero, prob: prob.flat() }, before: null },
    quantity: "prob",
    pins: tokens.map(({ id, label }) => pin(id, id, label)),
    rows: rows.map((at) => (at ? `L${at - 1}` : "input")),
    focus: -1,
    theme,
    scale: 1,
    ...facts,
  };
}
const of = <Kind extends Item["kind"]>(items: Item[], kind: Kind) =>
  items.filter((it): it is Extract<Item, { kind: Kind }> => it.kind === kind);
const linesOf = (items: Item[], slot: number) =>
  of(items, "path").filter((it) => String(it.stroke) === String(slotColour(slot, theme)));

test("every value stands where its row and its probability say", () => {
  const now = look([[0, 0.25, 0.5, 1]]);
  const { left, right, top, bottom } = plotBox(now, 300, 1);
  const [line] = linesOf(trajectoryFigure(now, 300).items, 0);
  expect(line?.points.map(([x]) => (x - left) / (right - left))).toEqual([0, 1 / 3, 2 / 3, 1]);
  expect(line?.points.map(([, y]) => (bottom - y) / (bottom - top))).toEqual([0, 0.25, 0.5, 1]);
  expect(line?.dash).toBeUndefined();
});

test("what there was without edits is dashed in the token's colour; a hole cuts a line and a lone point is a dot", () => {
  const before = { ...zero, prob: [0.1, 0.2, 0.3] };
  const now = look([[0.2, Number.NaN, 0.4]]);
  const { items } = trajectoryFigure({ ...now, tracks: { ...now.tracks, before } }, 300);
  const lines = linesOf(items, 0);
  expect(lines.filter((it) => it.dash).map((it) => it.points.length)).toEqual([3]);
  expect(lines.filter((it) => !it.dash).every((it) => it.points.length === 1)).toBe(true);
  const dots = of(items, "rect").filter((it) => String(it.fill) === String(slotColour(0, theme)));
  expect(dots).toHaveLength(2);
});

test("the row in focus has a mark and its values; names at the ends stand apart", () => {
  const now = look(
    Array.from({ length: 6 }, () => [0.1, 0.5, 0.5]),
    { focus: 1 },
  );
  const { items, width } = trajectoryFigure(now, 300);
  const texts = of(items, "text");
  expect(texts.find((it) => it.text === "L0")?.bold).toBe(true);
  expect(of(items, "rect").filter((it) => it.fill)).toHaveLength(6);
  const names = texts
    .filter((it) => /^t\d$/.test(it.text))
    .map((it) => it.y)
    .sort((a, b) => a - b);
  expect(names).toHaveLength(6);
  for (const [at, y] of names.entries())
    if (at) expect(y - (names[at - 1] as number)).toBeGreaterThanOrEqual(11 - 1e-9);
  expect(texts.every((it) => it.x >= 0 && it.x <= width)).toBe(true);
});

test("row names never overlap, and the last one is always there", () => {
  for (const width of [180, 280, 600]) {
    for (const count of [1, 2, 13, 41, 97]) {
      const { items } = trajectoryFigure(look([Array(count).fill(0.5)]), width);
      const names = of(items, "text").filter((it) => it.align === "middle");
      expect(names.at(-1)?.text).toBe(count > 1 ? `L${count - 2}` : "input");
      const edges = names.map(({ x, text }) => [x - text.length * 3.3, x + text.length * 3.3] as const);
      for (const [at, [start]] of edges.entries())
        if (at) expect(start).toBeGreaterThan(edges[at - 1]?.[1] as number);
    }
  }
});

test("tokens that were not tracked yet have no line", () => {
  const now = look([[0.1, 0.2]]);
  const { items } = trajectoryFigure({ ...now, pins: [...now.pins, pin(99, 3, "new")] }, 280);
  expect(linesOf(items, 3)).toEqual([]);
  expect(linesOf(items, 0)).toHaveLength(1);
});
