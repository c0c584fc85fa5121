import { describe, expect, test } from "vitest";
import { rectOf } from "../../js/lib/sweep-places";
import type { SweepColumn } from "../../js/lib/sweep-table";
import { cellsText, columnName, headingOf, rectName } from "../../js/lib/sweep-words";
import { sweepMap } from "./sweep";

const token = (position: number, label: string, other = ""): SweepColumn => ({
  position,
  head: null,
  label,
  other,
});
const heads = (...labels: string[]) =>
  labels.map((label, head) => ({ position: null, head, label, other: "" }));

describe("a column", () => {
  const columns = [token(0, "‹bos›"), token(1, "␣Mary", "␣John")];

  test("where the prompts differ has the clean token first, whichever is edited", () => {
    for (const base of ["corrupted", "clean"] as const) {
      const map = sweepMap({ base, columns });
      const [clean, corrupted] = base === "clean" ? ["␣Mary", "␣John"] : ["␣John", "␣Mary"];
      expect(headingOf(map, 0)).toEqual([{ text: "‹bos›" }]);
      expect(headingOf(map, 1)).toEqual([
        { text: clean, side: "clean" },
        { text: corrupted, side: "corrupted" },
      ]);
      expect(columnName(map, 1)).toBe(`${clean} / ${corrupted} (1)`);
    }
  });

  test("of a key-value head has its name, and under it the heads it serves", () => {
    const map = sweepMap({ axis: "head", site: "k", columns: heads("kv0 (H0-H3)", "H1") });
    expect(headingOf(map, 0)).toEqual([{ text: "kv0" }, { text: "H0-H3" }]);
    expect(headingOf(map, 1)).toEqual([{ text: "H1" }]);
    expect(columnName(map, 0)).toBe("kv0 (H0-H3)");
  });

  test("that a token names is no head: brackets in tokens stay", () => {
    expect(headingOf(sweepMap({ columns: [token(0, "f (x)")] }), 0)).toEqual([{ text: "f (x)" }]);
  });
});

test("rectangles are told by their layers and positions", () => {
  const map = sweepMap({ layers: [3, 4, 5], columns: [token(7, "a"), token(8, "b")] });
  const rect = rectOf({ row: 2, column: 1 }, { row: 0, column: 1 });
  expect(rectName(map, rect)).toBe("layers 3 to 5, positions 8");
  expect(rectName(map, rectOf({ row: 1, column: 0 }, { row: 1, column: 1 }))).toBe(
    "layers 4, positions 7 to 8",
  );
  expect([cellsText(1), cellsText(4)]).toEqual(["1 cell", "4 cells"]);
});
