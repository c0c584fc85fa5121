// Where an edited run stands between the corrupted and the clean one, on a line, as a display list.
import type { BoardEffect } from "../lib/board-cells";
import { runColour } from "../lib/board-colours";
import { mix, type Rgb } from "../lib/colour";
import type { Item } from "../lib/display-list";
import { clamp } from "../lib/geometry";
import { ADVANCE } from "../lib/lens-labels";
import type { Theme } from "../lib/theme";
import { numberText } from "./effect-panel";

export interface LineLook {
  effect: BoardEffect;
  /** What the mark is called: patched, preview, unedited. */
  word: string;
  /** An estimate is drawn hollow. */
  estimate: boolean;
  /** Where the run that is in the list stands, while another is tried out. */
  live: number | null;
  width: number;
  theme: Theme;
  scale: number;
}

export const LINE_HEIGHT = 62;
const BAR = { top: 18, height: 26 };
const isNumber = (value: number | null): value is number => value !== null && Number.isFinite(value);

/** The ends of the line: corrupted on the left and clean on the right, whichever is larger, with room for all marks.
 *
 * With one prompt there is no other end to measure a change by: the line then holds zero.
 */
export function lineEnds({ clean, corrupted, before, after }: BoardEffect, live: number | null = null) {
  const marks = [clean, corrupted ?? 0, before, after, live].filter(isNumber);
  const [low, high] = [Math.min(...marks), Math.max(...marks)];
  if (!marks.length) return { left: 0, right: 1 };
  // Equal marks stand in the middle.
  const pad = high > low ? (high - low) * 0.12 : Math.max(1, Math.abs(high) * 0.1);
  const turned = isNumber(clean) && isNumber(corrupted) && clean < corrupted;
  return turned ? { left: high + pad, right: low - pad } : { left: low - pad, right: high + pad };
}

/** "74 % recovered ± 3 %", of the clean base "26 % destroyed"; or why there is no share. */
export function shareText({ base, recovered, destroyed, stderr, clean, corrupted }: BoardEffect): string {
  const share = base === "clean" ? destroyed : recovered;
  const spread = isNumber(stderr) ? ` ± ${percent(stderr)}` : "";
  if (isNumber(share)) return `${percent(share)} ${base === "clean" ? "destroyed" : "recovered"}${spread}`;
  if (!isNumber(corrupted) || !isNumber(clean)) return "";
  return "no share: clean and corrupted are too close";
}

const percent = (share: number) => {
  const size = Math.abs(share) * 100;
  const text =
    size > 0 && size < 0.95 ? size.toFixed(1) : size >= 1e4 ? size.toExponential(1) : size.toFixed(0);
  return `${share < 0 && Number(text) !== 0 ? "−" : ""}${text} %`;
};

export function effectItems({ effect, word, estimate, live, width, theme, scale }: LineLook): Item[] {
  const { clean, corrupted, before, after, stderr, base } = effect;
  const { left, right } = lineEnds(effect, live);
  const size = 11 * scale;
  const [top, height] = [BAR.top * scale, BAR.height * scale];
  const box = { x: 0.5, y: top + 0.5, width: width - 1, height: height - 1 };
  const x = (value: number) => clamp(((value - left) / (right - left || 1)) * width, 2, width - 2);
  const type = { kind: "text", size, font: theme.mono } as const;
  const items: Item[] = [{ kind: "rect", ...box, fill: theme.future, stroke: theme.line, radius: 2 }];
  const tick = (
    value: number,
    thick: number,
    inset: number,
    paint: { fill?: Rgb; stroke?: Rgb; line?: number },
  ) =>
    items.push({
      kind: "rect",
      x: x(value) - thick / 2,
      y: top + inset,
      width: thick,
      height: height - 2 * inset,
      radius: thick > 3 ? 1 : 0,
      ...paint,
    });
  const halfOf = (text: string) => (text.length * size * ADVANCE) / 2;
  /** Of a text round a mark: where it has room. */
  const room = (half: number, at: number) => clamp(at, half, Math.max(half, width - half));
  // The unedited base has a mark of its own where it is no end of the line.
  const ends = [
    corrupted === null ? (["zero", 0] as const) : (["corrupted", corrupted] as const),
    ["clean", clean],
  ] as const;
  const words = ends.flatMap(([name, value]) => {
    if (!isNumber(value)) return [];
    const text = name === "zero" ? name : `${name} ${numberText(value, true)}`;
    const fill = name === "zero" ? theme.muted : runColour(theme, name);
    const half = halfOf(text);
    return [{ name, value, text, fill, half, at: room(half, x(value)) }];
  });
  const [first, second] = [...words].sort((a, b) => a.at - b.at);
  if (first && second && first.at + first.half + 8 > second.at - second.half) {
    // Close together: each keeps its side.
    const middle = clamp((first.at + second.at) / 2, first.half * 2 + 4, width - second.half * 2 - 4);
    first.at = Math.max(first.half, middle - first.half - 4);
    second.at = Math.min(width - second.half, middle + second.half + 4);
  }
  for (const { value, text, fill, at } of words) {
    tick(value, 2 * scale, 3 * scale, { fill });
    items.push({ ...type, x: at, y: top + height + 9 * scale, text, align: "middle", fill });
  }
  if (isNumber(before) && !words.some(({ name }) => name === base))
    tick(before, 2 * scale, 3 * scale, { fill: theme.muted });
  if (isNumber(live)) tick(live, 2 * scale, 2 * scale, { fill: mix(theme.background, theme.accent, 0.45) });
  const share = shareText(effect);
  const mark = isNumber(after)
    ? `${word} ${estimate ? "~" : ""}${numberText(after, true)}${share && ` · ${share}`}`
    : `${word}: no number`;
  if (isNumber(after)) {
    const spread =
      isNumber(stderr) && isNumber(clean) && isNumber(corrupted) ? stderr * Math.abs(clean - corrupted) : 0;
    if (spread) {
      const y = top + height / 2;
      const points = [
        [x(after - spread), y],
        [x(after + spread), y],
      ] as const;
      items.push({ kind: "path", points, stroke: theme.accent, line: 1.5 * scale });
    }
    tick(after, 4 * scale, 1, estimate ? { stroke: theme.accent, line: 1.5 } : { fill: theme.accent });
  }
  const at = room(halfOf(mark), isNumber(after) ? x(after) : width / 2);
  items.push({ ...type, x: at, y: 8 * scale, text: mark, align: "middle", fill: theme.accent, bold: true });
  return items;
}
