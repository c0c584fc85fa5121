import { describe, expect, test } from "vitest";
import type { Item } from "../../js/lib/display-list";
import { sweepLayout } from "../../js/lib/sweep-layout";
import { readSweep, type SweepColumn, type SweepEntry, type SweepMap } from "../../js/lib/sweep-table";
import { scaleOf, sideColour } from "../../js/lib/sweep-values";
import { headingOf } from "../../js/lib/sweep-words";
import { themeFor } from "../../js/lib/theme";
import { type HeatmapLook, headings, headingWidth } from "../../js/views/heatmap-figure";
import { sweepEntry } from "./sweep";

const theme = themeFor([255, 255, 255], { font: "sans", mono: "mono" });
/** Of the monospaced font, as the browser measures it. */
const LETTER = 0.602;

function look(facts: Partial<SweepMap>, width: number): HeatmapLook {
  const table = readSweep(sweepEntry(facts) as unknown as SweepEntry);
  const { map } = table;
  const lines = map.columns.map((_, at) => headingOf(map, at));
  const layout = sweepLayout({
    width,
    names: 14,
    words: Math.max(...lines.map((it, at) => headingWidth(it, map.columns[at]?.position, 1))),
    rows: map.layers.length,
    columns: map.columns.length,
    stacked: lines.some((it) => it.length > 1),
    first: 0,
  });
  return { table, layout, values: scaleOf(table, "recovered"), added: new Set(), theme, scale: 1 };
}
const texts = (items: readonly Item[]) => items.flatMap((it) => (it.kind === "text" ? [it] : []));
const columns = (label: string, other: string): SweepColumn[] =>
  Array.from({ length: 20 }, (_, position) => {
    const here = position === 12;
    return { position, head: null, label: here ? label : "␣word", other: here ? other : "" };
  });

describe("upright headings", () => {
  test("have both tokens where the prompts differ, in their colours, and every position", () => {
    const now = look({ columns: columns("␣Mary", "␣John") }, 400);
    expect(now.layout.turned).toBe(true);
    const items = texts(headings(now));
    const words = items.filter(({ text }) => !/^\d+$/.test(text));
    expect(words).toHaveLength(21);
    expect(items.filter(({ text }) => /^\d+$/.test(text)).map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 20 }, (_, at) => at),
    );
    const [john, mary] = ["John", "Mary"].map((name) => words.find(({ text }) => text === name));
    expect([john?.fill, mary?.fill]).toEqual([sideColour(theme, "clean"), sideColour(theme, "corrupted")]);
    expect(mary?.x).toBe(john?.x);
  });

  test.each([
    ["␣Mary", "␣John"],
    ["␣understandably", "␣misunderstanding"],
    ["␣a", "␣misunderstandingly"],
    ["x".repeat(5000), "␣b"],
  ])("of %.12s and %.12s neither meet nor leave their room", (label, other) => {
    const now = look({ columns: columns(label, other) }, 400);
    const at = now.layout.left + 12.5 * now.layout.cell;
    const inColumn = texts(headings(now))
      .filter(({ x, turn }) => turn === -90 && Math.abs(x - at) < 6)
      .sort((a, b) => b.y - a.y);
    expect(inColumn).toHaveLength(3);
    let end = now.layout.top;
    for (const { y, text, size } of inColumn) {
      expect(y).toBeLessThanOrEqual(end);
      end = y - text.length * size * LETTER;
    }
    expect(end).toBeGreaterThanOrEqual(0);
  });
});

test("where there is room the clean token stands over the corrupted one, a key-value head over those it serves", () => {
  const tokens = texts(headings(look({ columns: columns("␣Mary", "␣John") }, 1400)));
  const y = (name: string) => tokens.find(({ text }) => text === name)?.y ?? Number.NaN;
  expect(y("John")).toBeLessThan(y("Mary"));
  const heads = ["kv0 (H0-H2)", "kv1 (H3-H5)"].map((label, head) => ({
    position: null,
    head,
    label,
    other: "",
  }));
  const named = texts(headings(look({ axis: "head", site: "k", columns: heads }, 400)));
  expect(named.map(({ text }) => text).sort()).toEqual(["H0-H2", "H3-H5", "kv0", "kv1"]);
});
