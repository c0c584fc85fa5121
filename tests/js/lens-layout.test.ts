import { describe, expect, test } from "vitest";
import { fitLabel, lettersOf } from "../../js/lib/lens-labels";
import {
  columnLeft,
  type LensLayout,
  lensLayout,
  lineAt,
  lineOf,
  linesBetween,
  linesHeight,
  linesOf,
  spotAt,
  turned,
  widthOfAll,
  windowRound,
  windowWith,
} from "../../js/lib/lens-layout";

const laid = (positions: number, width: number, first = Number.POSITIVE_INFINITY, open = [0, 1, 5, 8]) =>
  lensLayout(linesOf(9, open), { width, names: 40, positions, first });

describe("lines", () => {
  test("every row is in exactly one line, in order, and only what is closed is folded", () => {
    for (const open of [[], [0], [8], [0, 1, 5, 8], [3, 4], [...Array(9).keys()]]) {
      const lines = linesOf(9, open);
      const rows = lines.flatMap(({ first, last }) =>
        Array.from({ length: last - first + 1 }, (_, at) => first + at),
      );
      expect(rows).toEqual([...Array(9).keys()]);
      expect(lines.filter(({ folded }) => !folded).map(({ first }) => first)).toEqual(open);
      // Neighbouring folds would be one fold.
      for (const [at, { folded }] of lines.entries()) expect(folded && lines[at + 1]?.folded).toBeFalsy();
    }
  });

  test("the lines between two heights are those that can be seen", () => {
    const layout = laid(5, 600);
    const height = linesHeight(layout);
    for (let top = 0; top < height; top += 7) {
      for (const bottom of [top + 1, top + 30, height]) {
        const [from, end] = linesBetween(layout, top, bottom);
        const seen = layout.lines
          .map((_, at) => at)
          .filter((at) => (layout.tops[at + 1] as number) > top && (layout.tops[at] as number) < bottom);
        expect([from, end]).toEqual([seen[0], (seen.at(-1) as number) + 1]);
      }
    }
  });
});

describe("positions", () => {
  test("all of a short prompt are in view and fill the room", () => {
    const layout = laid(15, 720);
    expect([layout.first, layout.end, layout.before, layout.after]).toEqual([0, 15, 0, 0]);
    expect(layout.width).toBeLessThanOrEqual(720);
    expect(layout.width).toBeGreaterThan(720 - 15 - 2);
  });

  test("no position is folded that columns a little narrower have room for", () => {
    const need = widthOfAll(40, 15, 2000);
    for (let width = 300; width <= need + 20; width++) {
      const { first, end, cell, before, after, gutter, width: taken } = laid(15, width);
      expect(taken).toBeLessThanOrEqual(width);
      expect(before > 0 || after > 0).toBe(end - first < 15);
      if (width >= need) expect([end - first, cell >= 40]).toEqual([15, true]);
      // Folded only where all columns, each as narrow as a token of four letters, would not fit.
      if (end - first < 15) expect(gutter + 15 * 34 + 2).toBeGreaterThan(width);
      // The room that is asked for is asked for where it keeps a fold away, and is enough for that.
      const claimed = widthOfAll(40, 15, width);
      expect(claimed).toBeLessThanOrEqual(width);
      expect(claimed > 0).toBe(end - first === 15);
      if (claimed) expect(laid(15, claimed).first).toBe(0);
    }
  });

  test("names of rows stand off both the edge and the cells", () => {
    expect(laid(15, 720).gutter).toBeGreaterThanOrEqual(40 + 2 * 5);
  });

  test("of a long prompt as many as fit, never wider than the room, the rest counted on both sides", () => {
    for (const width of [200, 300, 456, 720, 1400]) {
      for (const first of [0, 3, 250, 1e9]) {
        const { end, before, after, cell, positions, ...layout } = laid(512, width, first);
        expect(layout.width).toBeLessThanOrEqual(width);
        expect(layout.first).toBeGreaterThanOrEqual(0);
        expect(end).toBeLessThanOrEqual(positions);
        expect(before > 0).toBe(layout.first > 0);
        expect(after > 0).toBe(end < positions);
        expect(cell).toBeGreaterThanOrEqual(40);
      }
    }
  });

  test("columns stay where they are while a long prompt is paged", () => {
    const at = (first: number) => columnLeft(laid(512, 720, first), laid(512, 720, first).first);
    expect(new Set([0, 1, 100, 511].map(at)).size).toBe(1);
  });

  test("paging reaches every position and comes back", () => {
    let layout = laid(512, 720, 0);
    const seen = new Set<number>();
    for (let pages = 0; pages < 200; pages++) {
      for (let position = layout.first; position < layout.end; position++) seen.add(position);
      layout = laid(512, 720, turned(layout, 1));
    }
    expect(seen.size).toBe(512);
    expect(layout.end).toBe(512);
    for (let pages = 0; pages < 200; pages++) layout = laid(512, 720, turned(layout, -1));
    expect(layout.first).toBe(0);
  });

  test("a position comes into view with the least move, and one in view moves nothing", () => {
    const layout = laid(512, 720, 100);
    for (let position = 0; position < 512; position += 3) {
      const first = windowWith(layout, position);
      const moved = laid(512, 720, first);
      expect(moved.first <= position && position < moved.end).toBe(true);
      if (position >= layout.first && position < layout.end) expect(first).toBe(layout.first);
      else expect([moved.first, moved.end - 1]).toContain(position);
    }
  });

  test("a position that was picked elsewhere comes with some of what is before and after it", () => {
    const layout = laid(512, 720, 497);
    const count = layout.end - layout.first;
    for (const position of [0, 1, 100, 300, 480]) {
      const moved = laid(512, 720, windowRound(layout, position));
      expect(position - moved.first).toBe(Math.min(position, Math.floor(count * 0.75)));
    }
    expect(windowRound(layout, 505)).toBe(layout.first);
  });

  test("larger type gives fewer and larger cells", () => {
    const sizes = { width: 720, names: 40, positions: 512, first: 0 };
    const [usual, large] = [1, 1.3].map((scale) => lensLayout(linesOf(2, [0, 1]), { ...sizes, scale })) as [
      LensLayout,
      LensLayout,
    ];
    expect(large.end).toBeLessThan(usual.end);
    expect(large.cell).toBeGreaterThanOrEqual(52);
    expect(large.row).toBe(26);
  });
});

describe("what is under a point", () => {
  test("the middle of each cell is that cell, of each fold that fold, left of them the row's name", () => {
    const layout = laid(512, 720, 100);
    for (const [line, { folded }] of layout.lines.entries()) {
      const y = ((layout.tops[line] as number) + (layout.tops[line + 1] as number)) / 2;
      expect(lineAt(layout, y)).toBe(line);
      for (let position = layout.first; position < layout.end; position++) {
        const x = columnLeft(layout, position) + layout.cell / 2;
        expect(spotAt(layout, x, y)).toEqual(
          folded ? { kind: "fold", line } : { kind: "cell", line, position },
        );
      }
      expect(spotAt(layout, 5, y)).toEqual({ kind: folded ? "fold" : "row", line });
      expect(spotAt(layout, layout.left - 3, y)).toEqual({ kind: "before" });
      expect(spotAt(layout, layout.width - 5, y)).toEqual({ kind: "after" });
    }
  });

  test("headings are positions; beside and below everything there is nothing", () => {
    const layout = laid(15, 720);
    expect(spotAt(layout, columnLeft(layout, 4) + 2, -8)).toEqual({ kind: "position", position: 4 });
    expect(spotAt(layout, 3, -8)).toBeNull();
    expect(spotAt(layout, 100, linesHeight(layout))).toBeNull();
    expect(spotAt(layout, layout.width + 40, 10)).toBeNull();
    expect(lineOf(layout, 3)).toBe(2);
    expect(lineOf(layout, 99)).toBe(-1);
  });
});

test("a label never takes more letters than there is room for, and is never empty", () => {
  const hostile = [
    "",
    " ",
    "\n",
    "\u200b",
    "\u202eabc",
    "x".repeat(20_000),
    "漢字かな交じり文",
    "👩‍👩‍👧‍👦 family",
    "</script>",
    "␣Mary",
    "שלום",
  ];
  for (const label of hostile) {
    for (const letters of [1, 3, 5, 9]) {
      const text = fitLabel(label, letters);
      expect(text.trim()).not.toBe("");
      expect(lettersOf(text)).toBeLessThanOrEqual(Math.max(letters, 2));
    }
  }
  expect(fitLabel("␣Mary", 6)).toBe("Mary");
  expect(fitLabel("␣", 6)).toBe("␣");
  expect(fitLabel("understanding", 7)).toBe("und…ing");
});
