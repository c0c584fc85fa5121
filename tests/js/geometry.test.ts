import { describe, expect, test } from "vitest";
import { cellAt, focusLayout, labelled } from "../../js/lib/geometry";
import { cellOf, cellStart, combine, isFuture, type Pattern, weight } from "../../js/lib/patterns";

describe("focus", () => {
  test("cells are whole device pixels while there is room", () => {
    for (const ratio of [1, 1.5, 2]) {
      const { cell } = focusLayout(15, 340, 50, ratio);
      expect((cell * ratio) % 1).toBeCloseTo(0);
    }
  });

  test("long patterns fill the room and thin their labels", () => {
    const layout = focusLayout(200, 340, 50);
    expect(layout.width).toBeLessThanOrEqual(340);
    expect(layout.every * layout.cell).toBeGreaterThanOrEqual(12);
    expect(focusLayout(15, 340, 50).every).toBe(1);
  });

  test("the point of a cell is that cell", () => {
    const layout = focusLayout(200, 340, 50);
    for (const at of [0, 1, 77, 199]) {
      const x = layout.left + (at + 0.5) * layout.cell;
      const y = layout.top + (199 - at + 0.5) * layout.cell;
      expect(cellAt(layout, x, y)).toEqual([199 - at, at]);
    }
    expect(cellAt(layout, layout.left - 1, 10)).toBeNull();
  });

  test("labels keep their distance, and the wanted one is always there", () => {
    for (const wanted of [0, 3, 100, 199]) {
      const shown = labelled(200, 8, [wanted]);
      expect(shown).toContain(wanted);
      for (const [place, index] of shown.entries()) {
        if (place) expect(index - (shown[place - 1] as number)).toBeGreaterThanOrEqual(8);
      }
    }
    expect(labelled(5, 1, [])).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("pooled patterns", () => {
  const shape = { size: 48, span: 200 };

  test("every token is in the cell that starts at or before it", () => {
    for (let token = 0; token < 200; token++) {
      const cell = cellOf(shape, token);
      expect(cellStart(shape, cell)).toBeLessThanOrEqual(token);
      expect(cellStart(shape, cell + 1)).toBeGreaterThan(token);
    }
  });

  test("a cell is the future only when all its pairs are", () => {
    expect(isFuture(shape, 3, 3)).toBe(false);
    expect(isFuture(shape, 3, 4)).toBe(true);
    expect(isFuture({ size: 4, span: 4 }, 1, 2)).toBe(true);
    expect(isFuture({ size: 4, span: 4 }, 2, 1)).toBe(false);
  });

  const pattern = (size: number, values: number[], positions = size): Pattern => ({
    size,
    span: positions,
    dest: 0,
    src: 0,
    twoSided: false,
    top: 1,
    numbers: Float32Array.from(values),
  });

  test("mean, max and difference of heads", () => {
    const [a, b] = [pattern(2, [1, 0, 0.5, 0.5]), pattern(2, [1, 0, 0.25, 0.75])];
    expect([...(combine([a, b], "mean") as Pattern).numbers]).toEqual([1, 0, 0.375, 0.625]);
    expect([...(combine([a, b], "max") as Pattern).numbers]).toEqual([1, 0, 0.5, 0.75]);
    const difference = combine([a, b], "difference") as Pattern;
    expect([...difference.numbers]).toEqual([0, 0, 0.25, -0.25]);
    expect(difference.twoSided).toBe(true);
    expect(combine([], "mean")).toBeNull();
  });

  test("heads known at different resolutions meet at the coarser one, strongest weight kept", () => {
    const fine = pattern(4, [1, 0, 0, 0, 0.9, 0.1, 0, 0, 0, 0, 1, 0, 0, 0, 0.3, 0.7]);
    const coarse = pattern(2, [1, 0, 0.5, 1], 4);
    expect([...(combine([fine, coarse], "max") as Pattern).numbers]).toEqual([1, 0, 0.5, 1]);
  });

  test("a weight is read by token; the future weighs nothing", () => {
    const shown = pattern(2, [1, 0, 0.5, 1], 4);
    expect(weight(shown, 3, 0)).toBe(0.5);
    expect(weight(shown, 0, 3)).toBe(0);
  });
});
