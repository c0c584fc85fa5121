import { describe, expect, test } from "vitest";
import { MAPS, source, table, written } from "../../js/colour-maps.mjs";
import {
  barColour,
  ColourTable,
  css,
  luminance,
  mix,
  parseColour,
  type Rgb,
  textOn,
} from "../../js/lib/colour";

const WHITE: Rgb = [255, 255, 255];
const NIGHT: Rgb = [17, 20, 24];
const contrast = (a: Rgb, b: Rgb) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
};

test("the written tables are the ones the generator makes", () => {
  expect(written()).toBe(source());
});

test.each([
  [
    "sequentialLight",
    (i: number) => new ColourTable("sequential", false, WHITE).rgb.subarray(i * 3, i * 3 + 3),
  ],
  [
    "sequentialDark",
    (i: number) => new ColourTable("sequential", true, NIGHT).rgb.subarray(i * 3, i * 3 + 3),
  ],
  [
    "divergingLight",
    (i: number) => new ColourTable("diverging", false, WHITE).rgb.subarray(i * 3, i * 3 + 3),
  ],
  ["divergingDark", (i: number) => new ColourTable("diverging", true, NIGHT).rgb.subarray(i * 3, i * 3 + 3)],
  ["viridis", (i: number) => barColour(i / 255)],
] as const)("%s has the map's colours, between the written knots too", (name, entry) => {
  const whole = table(MAPS[name] as string[]);
  for (let i = 0; i < 256; i++)
    for (const axis of [0, 1, 2])
      expect(Math.abs((entry(i)[axis] as number) - (whole[i * 3 + axis] as number))).toBeLessThanOrEqual(4);
});

describe.each([
  ["light", false, WHITE],
  ["dark", true, NIGHT],
  ["dark on another host's ground", true, [30, 30, 30] as Rgb],
] as const)("%s", (_name, dark, ground) => {
  const sequential = new ColourTable("sequential", dark, ground);
  const diverging = new ColourTable("diverging", dark, ground);

  test("nothing is the background itself", () => {
    expect(sequential.colour(0)).toEqual(ground);
    const centre = diverging.colour(0);
    for (const axis of [0, 1, 2])
      expect(Math.abs((centre[axis] as number) - (ground[axis] as number))).toBeLessThan(3);
  });

  test("more attention is always further from the background", () => {
    const steps = Array.from({ length: 17 }, (_, i) => contrast(sequential.colour(i / 16), ground));
    expect([...steps].sort((a, b) => a - b)).toEqual(steps);
    expect(steps.at(-1)).toBeGreaterThan(4.5);
  });

  test("both signs are told apart, also without hue", () => {
    expect(contrast(diverging.colour(1), ground)).toBeGreaterThan(3);
    expect(contrast(diverging.colour(-1), ground)).toBeGreaterThan(3);
    const [positive, negative] = [diverging.colour(0.8), diverging.colour(-0.8)];
    expect(positive[2] - positive[0]).toBeGreaterThan(60); // blue
    expect(negative[0] - negative[2]).toBeGreaterThan(60); // vermilion
  });

  test("text on any cell has contrast", () => {
    for (let i = 0; i <= 20; i++) {
      const cell = sequential.colour(i / 20);
      expect(contrast(cell, parseColour(textOn(cell)) as Rgb)).toBeGreaterThan(4.4);
    }
  });

  test("beyond the ends is the end's colour", () => {
    expect(sequential.colour(7)).toEqual(sequential.colour(1));
    expect(diverging.colour(-7)).toEqual(diverging.colour(-1));
  });
});

test("colours are read as browsers write them; transparent is none", () => {
  expect(parseColour("rgb(1, 2, 3)")).toEqual([1, 2, 3]);
  expect(parseColour("rgba(1, 2, 3, 0.9)")).toEqual([1, 2, 3]);
  expect(parseColour("rgba(0, 0, 0, 0)")).toBeNull();
  expect(parseColour("#0a10ff")).toEqual([10, 16, 255]);
  expect(parseColour("var(--x)")).toBeNull();
});

test("mixing, printing, bars", () => {
  expect(mix([0, 0, 0], [100, 200, 50], 0.5)).toEqual([50, 100, 25]);
  expect(css([1.4, 2.6, 3])).toBe("rgb(1,3,3)");
  expect(luminance(barColour(1))).toBeGreaterThan(luminance(barColour(0)) + 0.5);
});
