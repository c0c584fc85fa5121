import { describe, expect, test } from "vitest";
import { readSweep, type SweepEntry, type SweepMap } from "../../js/lib/sweep-table";
import {
  bothTokens,
  colourOf,
  fitNumber,
  numberOf,
  roundUp,
  scaleOf,
  shownView,
  spokenValue,
  textOf,
  ticksOf,
  viewLabel,
  viewReason,
} from "../../js/lib/sweep-values";
import { themeFor } from "../../js/lib/theme";
import { sweepEntry } from "./sweep";

const light = themeFor([255, 255, 255], { font: "a", mono: "b" });
const read = (facts: Partial<SweepMap> = {}, state?: (row: number, column: number) => number) =>
  readSweep(sweepEntry(facts, state) as unknown as SweepEntry);

describe("what a number is", () => {
  test("the share from corrupted to clean, the metric, or its change from the base run", () => {
    const table = read();
    const cell = table.cell(1, 3);
    expect(numberOf(table.map, cell, "recovered")).toBeCloseTo(1.3, 5);
    expect(numberOf(table.map, cell, "raw")).toBeCloseTo(6.4, 5);
    expect(numberOf(table.map, cell, "change")).toBeCloseTo(10.4, 5);
  });

  test("on the clean run what is destroyed, and the change from the clean metric", () => {
    const table = read({ base: "clean" });
    const cell = table.cell(1, 3);
    expect(viewLabel(table.map, "recovered")).toBe("destroyed");
    expect(numberOf(table.map, cell, "recovered")).toBeCloseTo(-0.3, 5);
    expect(numberOf(table.map, cell, "change")).toBeCloseTo(2.4, 5);
  });

  test("there is no share without two ends, nor of a rank, and the change is shown", () => {
    const cases: [Partial<SweepMap>, RegExp][] = [
      [{ baselines: { clean: 4, corrupted: null } }, /no corrupted prompt/],
      [{ baselines: { clean: 4, corrupted: 4 } }, /the same/],
      [{ metric: "rank" }, /rank/],
    ];
    for (const [facts, why] of cases) {
      expect(viewReason(read(facts), "recovered")).toMatch(why);
      expect(shownView(read(facts), "recovered")).toBe("change");
      expect(viewReason(read(facts), "raw")).toBeNull();
    }
    expect(viewReason(read(), "recovered")).toBeNull();
  });
});

describe("the scale", () => {
  test("is centred on 0, and of the raw metric on the base run; its ends hold the exact cells", () => {
    const table = read({ layers: [0], columns: read().map.columns.slice(0, 5) }, () => 2);
    expect(scaleOf(table, "recovered")).toMatchObject({ centre: 0, reach: 0.4 });
    expect(scaleOf(table, "change")).toMatchObject({ centre: 0, reach: 4 });
    expect(scaleOf(table, "raw")).toMatchObject({ centre: -4, reach: 4 });
  });

  test("an estimate that is far off does not stretch it", () => {
    const table = read({}, (row, column) => (row === 2 ? 1 : column < 2 ? 3 : 2));
    // The estimates are 2 and more, the exact cells at most 1.4.
    expect(scaleOf(table, "recovered").reach).toBe(1.5);
    expect(
      scaleOf(
        read({}, () => 1),
        "recovered",
      ).reach,
    ).toBe(1);
  });

  test("rounding alone is no effect", () => {
    const table = read();
    table.metric.fill(-4 + 1e-7);
    table.recovered.fill(1e-8);
    expect(scaleOf(table, "recovered").reach).toBe(1e-3);
    expect(scaleOf(table, "change").reach).toBeGreaterThan(9e-6);
  });

  test("a map without a number has one too", () => {
    const table = read();
    table.recovered.fill(Number.NaN);
    expect(scaleOf(table, "recovered").reach).toBeGreaterThan(0);
    expect([0, -1, Number.NaN, Number.POSITIVE_INFINITY].map(roundUp)).toEqual([1, 1, 1, 1]);
  });

  test("round numbers hold the value, or miss it by a hair", () => {
    for (let value = 1e-4; value < 1e4; value *= 1.07) {
      const found = roundUp(value);
      expect(found).toBeGreaterThanOrEqual(0.96 * value);
      expect(found).toBeLessThanOrEqual(1.6 * value);
    }
    expect(roundUp(1.03)).toBe(1);
  });

  test("colours are symmetrical round the centre, and there is none where there is no number", () => {
    const scale = { view: "raw", centre: -4, reach: 8 } as const;
    expect(colourOf(scale, -4, light)).toEqual([255, 255, 255]);
    expect(colourOf(scale, 4, light)).toEqual(light.diverging.colour(-1));
    expect(colourOf(scale, -12, light)).toEqual(light.diverging.colour(1));
    expect(colourOf(scale, Number.NaN, light)).toBeNull();
  });

  test("ticks tell the ends, the centre and what is half way", () => {
    const ticks = ticksOf({ view: "raw", centre: -4, reach: 8 });
    expect(ticks.map(({ text }) => text)).toEqual(["−12.00", "−8.00", "−4.00", "0.00", "4.00"]);
    const few = ticksOf({ view: "change", centre: 0, reach: 1e-4 });
    expect(few.map(({ text }) => text)).toEqual(["−1.0e-4", "0.000", "1.0e-4"]);
  });
});

describe("numbers as text", () => {
  const scale = { view: "recovered", centre: 0, reach: 1 } as const;
  const cell = (state: number) => ({ metric: 0, recovered: 0, stderr: Number.NaN, state });

  test("have as many digits as their scale asks for, and no sign where they are nothing", () => {
    expect([1.04, -0.35, -0.001, 0].map((it) => textOf(scale, it))).toEqual([
      "1.04",
      "−0.35",
      "0.00",
      "0.00",
    ]);
    expect(textOf({ ...scale, reach: 400 }, -123.4)).toBe("−123");
    expect(textOf({ ...scale, reach: 0.05 }, 0.0123)).toBe("0.012");
    expect(textOf({ ...scale, reach: 1e-4 }, 3e-5)).toBe("3.0e-5");
    expect(textOf({ ...scale, reach: 1e-4 }, -4e-8)).toBe("0.000");
    expect(textOf(scale, Number.NaN)).toBe("–");
  });

  test("all cells of a map have them or none has; an estimate gives a digit for its mark", () => {
    expect(fitNumber(scale, cell(2), 0.5, 5)).toBe("0.50");
    expect(fitNumber(scale, cell(2), 0.5, 4), "−1.00 had no room").toBe("");
    expect(fitNumber(scale, cell(1), -0.35, 6)).toBe("~−0.35");
    expect(fitNumber(scale, cell(1), -0.35, 5)).toBe("~−0.3");
  });

  test("are spoken with their error and how they are known", () => {
    const { map } = read();
    expect(spokenValue(map, { ...cell(2), recovered: 0.7, stderr: 0.021 }, scale)).toBe(
      "recovered 0.70 ± 0.02, exact",
    );
    expect(spokenValue(map, { ...cell(1), recovered: 0.7 }, scale)).toBe("recovered 0.70, estimate");
    expect(spokenValue(map, cell(3), scale)).toMatch(/cannot differ/);
    expect(spokenValue(map, cell(0), scale)).toBe("not run yet");
    expect(spokenValue(map, { ...cell(2), recovered: Number.NaN }, scale)).toBe("the run gave no number");
  });
});

test("a column where the prompts differ has both tokens, whichever of them is edited", () => {
  expect(bothTokens(read().map, 2)).toEqual({ clean: "␣x", corrupted: "␣b" });
  expect(bothTokens(read({ base: "clean" }).map, 2)).toEqual({ clean: "␣b", corrupted: "␣x" });
  expect(bothTokens(read().map, 1)).toBeNull();
  expect(bothTokens(read().map, 99)).toBeNull();
});
