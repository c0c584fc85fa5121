import { expect, test } from "vitest";
import type { Attribution } from "../../js/lib/lens-card";
import { parsePatternSite } from "../../js/lib/sites";
import { themeFor } from "../../js/lib/theme";
import { headAt, headValues, largest, mapFigure, mapLayout } from "../../js/views/attribution";
import { golden } from "./contract";

const theme = themeFor([255, 255, 255], { font: "sans", mono: "mono" });
const answer = golden("done-lens-attribution").message.data as unknown as Attribution;

test("the largest shares come first by magnitude, and what is left adds up with them to the whole", () => {
  const shares = answer.components.map(({ name, value }) => ({ name, value: value as number }));
  const { shown, rest, sum } = largest(shares, 5);
  expect(shown).toHaveLength(5);
  expect(rest).toBe(shares.length - 5);
  const sizes = shares.map((it) => Math.abs(it.value)).sort((a, b) => b - a);
  expect(shown.map((it) => Math.abs(it.value))).toEqual(sizes.slice(0, 5));
  const whole = shares.reduce((all, it) => all + it.value, 0);
  expect(shown.reduce((all, it) => all + it.value, 0) + sum).toBeCloseTo(whole, 9);
  expect(largest(shares.slice(0, 6), 5).shown).toHaveLength(6);
  expect(largest([{ name: "x", value: Number.NaN }]).shown).toEqual([]);
});

test("the map holds every head's share, and a layer without heads has none", () => {
  const values = headValues(answer, 4, 4);
  const of = (layer: number, head: number) =>
    answer.components.find((it) => it.layer === layer && it.head === head)?.value;
  for (let at = 0; at < 16; at++) expect(values[at]).toBe(of(Math.floor(at / 4), at % 4));
  const lacking = { ...answer, components: answer.components.filter((it) => it.layer !== 2) };
  expect([...headValues(lacking, 4, 4).subarray(8, 12)].every(Number.isNaN)).toBe(true);
});

test("the middle of a cell is that head at any size, and outside there is none", () => {
  for (const [layers, heads, width] of [
    [4, 4, 280],
    [12, 12, 280],
    [40, 32, 320],
    [1, 1, 200],
    [48, 64, 700],
  ] as const) {
    const layout = mapLayout(layers, heads, width);
    expect(layout.width).toBeLessThanOrEqual(width);
    const { left, top, cell, row } = layout;
    for (const [layer, head] of [
      [0, 0],
      [layers - 1, heads - 1],
      [layers >> 1, heads >> 1],
    ] as const)
      expect(headAt(layout, left + (head + 0.5) * cell, top + (layer + 0.5) * row)).toEqual([layer, head]);
    expect(headAt(layout, left - 1, top + 1)).toBeNull();
    expect(headAt(layout, left + heads * cell + 1, top + 1)).toBeNull();
  }
});

test("colours are centred on 0 and as strong either way; heads without a number are hatched", () => {
  const values = [0.5, -2, 0, Number.NaN];
  const layout = mapLayout(2, 2, 280);
  const figure = mapFigure(layout, values, { picked: [0, 1], cursor: null }, theme, 1);
  const [cells] = figure.items.filter((it) => it.kind === "cells");
  const at = (place: number) => [...(cells?.rgba.subarray(place * 4, place * 4 + 4) ?? [])];
  expect(at(1)).toEqual([...theme.diverging.colour(-1), 255]);
  expect(at(0)).toEqual([...theme.diverging.colour(0.25), 255]);
  expect(at(2)).toEqual([...theme.diverging.colour(0), 255]);
  expect(at(3)).toEqual([0, 0, 0, 0]);
  const marks = figure.items.filter((it) => it.kind === "rect" && String(it.stroke) === String(theme.accent));
  expect(marks).toHaveLength(1);
  expect(marks[0]).toMatchObject({ x: layout.left + layout.cell, y: layout.top });
});

test("a head that is selected here is one that the heads widget locks", () => {
  expect(parsePatternSite("L1H2.z")).toEqual({ layer: 1, head: 2, dest: null, src: null });
  expect(parsePatternSite("L1H2.pattern@3<1")).toEqual({ layer: 1, head: 2, dest: 3, src: 1 });
  expect(parsePatternSite("L1.resid_post@3")).toBeNull();
});
