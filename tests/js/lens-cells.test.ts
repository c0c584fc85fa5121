import { describe, expect, test } from "vitest";
import {
  Cells,
  cellSite,
  type Lens,
  type LensEntry,
  type LensRow,
  parseCell,
  readLens,
} from "../../js/lib/lens-cells";
import {
  cellColour,
  measureText,
  rampColour,
  scaleEnds,
  shareOf,
  spokenMeasure,
} from "../../js/lib/lens-colours";
import { themeFor } from "../../js/lib/theme";
import { block, lensEntry } from "./lens";

const light = themeFor([255, 255, 255], { font: "a", mono: "b" });
const grids = (rows: number[], low: number, high: number, value: (row: number, position: number) => number) =>
  block(rows, [low, high], value).grids;

describe("cells", () => {
  test("what was laid in is what is read, wherever its block began", () => {
    const cells = new Cells(12, 2);
    cells.put(
      [4, 1],
      3,
      grids([4, 1], 3, 8, (row, position) => row + position / 100),
    );
    for (const row of [1, 4])
      for (let position = 0; position < 12; position++) {
        const inside = position >= 3 && position < 8;
        expect(cells.has({ row, position })).toBe(inside);
        const value = cells.value({ row, position });
        if (inside) expect(value).toBeCloseTo(row + position / 100, 5);
        else expect(value).toBeNaN();
        expect(cells.top({ row, position }).map(({ id }) => id)).toEqual(
          inside ? [row * 100 + position, row * 100 + position + 1] : [],
        );
      }
    expect(cells.has({ row: 2, position: 4 })).toBe(false);
  });

  test("what is missing is told as the smallest block that holds it all", () => {
    const cells = new Cells(20, 2);
    expect(cells.missing([0, 3], 5, 9)).toEqual({ rows: [0, 3], columns: [5, 9] });
    cells.put(
      [0, 3],
      5,
      grids([0, 3], 5, 9, () => 0),
    );
    expect(cells.missing([0, 3], 5, 9)).toBeNull();
    expect(cells.missing([0, 3], 5, 12)).toEqual({ rows: [0, 3], columns: [9, 12] });
    cells.put(
      [0],
      9,
      grids([0], 9, 12, () => 0),
    );
    expect(cells.missing([0, 3], 3, 12)).toEqual({ rows: [0, 3], columns: [3, 12] });
    expect(cells.missing([0, 3], 5, 12)).toEqual({ rows: [3], columns: [9, 12] });
    const before = cells.version;
    cells.put(
      [3],
      9,
      grids([3], 9, 12, () => 0),
    );
    expect(cells.missing([0, 3], 5, 12)).toBeNull();
    expect(cells.version).toBeGreaterThan(before);
  });

  test("a block that reaches beyond the prompt is cut at its end", () => {
    const cells = new Cells(4, 2);
    cells.put(
      [0],
      2,
      grids([0], 2, 7, (_, position) => position),
    );
    expect(cells.value({ row: 0, position: 3 })).toBe(3);
  });
});

describe("the trait", () => {
  test("is read with its window, its labels and what an edit changed", () => {
    const lens = readLens(lensEntry({ run: "edited" }) as unknown as LensEntry);
    expect(lens.rows.map(({ label }) => label)).toEqual(["input", "L0", "L1", "L2"]);
    expect(lens.tokens.get(100)).toBe("␣t100");
    expect(lens.cells.compared).toBe(true);
    expect(lens.cells.changed({ row: 3, position: 5 })).toBe(true);
    expect(lens.cells.changed({ row: 3, position: 4 })).toBe(false);
    expect(readLens(lensEntry() as unknown as LensEntry).cells.compared).toBe(false);
  });

  test("without its bytes it says so", () => {
    const { arrays, ...entry } = lensEntry();
    const bare = Object.fromEntries(
      Object.entries(arrays as Record<string, object>).map(([name, it]) => [
        name,
        { ...it, data: undefined },
      ]),
    );
    expect(() => readLens({ ...entry, arrays: bare } as unknown as LensEntry)).toThrow(/binary data/);
  });

  test("sites name cells and cells name sites", () => {
    const lens = readLens(lensEntry() as unknown as LensEntry);
    for (const row of lens.rows.keys()) {
      const cell = { row, position: 2 };
      expect(parseCell(lens, cellSite(lens, cell))).toEqual(cell);
    }
    expect(cellSite(lens, { row: 0, position: 4 })).toBe("L0.resid_pre@4");
    // The stream before layer 2 is the one after layer 1; a head is where its layer ends.
    expect(parseCell(lens, "L2.resid_pre@1")).toEqual({ row: 2, position: 1 });
    expect(parseCell(lens, "L1H3.pattern@5<2")).toEqual({ row: 2, position: 5 });
    expect(parseCell(lens, "L1.attn_out@5")).toEqual({ row: 2, position: 5 });
    for (const text of ["", "L1H2.z", "L9.resid_post@1", "L1.resid_post@6", "nonsense"])
      expect(parseCell(lens, text)).toBeNull();
  });
});

describe("colours and words", () => {
  const read = (facts: Record<string, unknown>): Lens => readLens(lensEntry(facts) as unknown as LensEntry);
  const scale = (low: number, high: number, signed = false, unit = "") => ({
    scale: { low, high, signed, unit },
  });

  test("a probability runs from the background to the strongest colour", () => {
    const lens = read({});
    expect(shareOf(lens, 0)).toBe(0);
    expect(shareOf(lens, 1)).toBe(1);
    expect(rampColour(lens, light, 0)).toEqual([255, 255, 255]);
    expect(scaleEnds(lens)).toEqual(["prob 0.00", "1.00"]);
  });

  test("the best rank is the strongest, by the logarithm", () => {
    const lens = read({ measure: "rank", ...scale(0, 50_256) });
    expect(shareOf(lens, 0)).toBe(1);
    expect(shareOf(lens, 50_256)).toBeCloseTo(0, 12);
    expect(shareOf(lens, 9) - shareOf(lens, 99)).toBeCloseTo(shareOf(lens, 99) - shareOf(lens, 999), 3);
    expect(scaleEnds(lens)).toEqual(["rank 50256", "0"]);
  });

  test("what has a sign is centred on 0", () => {
    const lens = read({ measure: "logit_diff", ...scale(-4, 2, true, "logits") });
    expect([-4, -2, 0, 2].map((value) => shareOf(lens, value))).toEqual([-1, -0.5, 0, 0.5]);
    expect(measureText(lens, -1.5)).toBe("−1.50 logits");
    expect(measureText(lens, 0)).toBe("0.00 logits");
  });

  test("a small probability is not rounded away", () => {
    expect(measureText(read({}), 0.0012)).toBe("0.0012");
    expect(measureText(read({}), 0)).toBe("0.00");
  });

  test("where there is no number there is no colour, and the reason is told", () => {
    const hole = {
      value: (row: number, position: number) => (row === 2 && position === 5 ? Number.NaN : 0.5),
    };
    const lens = read({ measure: "cross_entropy", ...hole });
    expect(cellColour(lens, { row: 2, position: 5 }, light)).toBeNull();
    expect(cellColour(lens, { row: 2, position: 4 }, light)).not.toBeNull();
    expect(spokenMeasure(lens, { row: 2, position: 5 })).toContain("no token comes after");
    expect(spokenMeasure(read(hole), { row: 2, position: 5 })).toBe("no prob: not finite here");
  });

  test("a contribution is coloured by its logit, to the largest that came first, and never told as a probability", () => {
    const rows: LensRow[] = [
      { site: "resid_pre", layer: 0, label: "input", kind: "stream" },
      { site: "attn_out", layer: 0, label: "L0 attn", kind: "contribution" },
      { site: "resid_post", layer: 0, label: "L0", kind: "stream" },
    ];
    const lens = read({
      rows,
      value: (row: number) => (row === 1 ? Number.NaN : 0.5),
      top: (row: number, position: number) => (row === 1 ? position - 1 : 0.5),
    });
    expect(lens.reach).toBe(4);
    expect(cellColour(lens, { row: 1, position: 5 }, light)).toEqual(light.diverging.colour(1));
    expect(cellColour(lens, { row: 1, position: 0 }, light)).toEqual(light.diverging.colour(-0.25));
    expect(spokenMeasure(lens, { row: 1, position: 5 })).toBe("logit +4.00");
  });
});
