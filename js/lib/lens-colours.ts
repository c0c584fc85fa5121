// What colours a cell of the lens, and its number in words.
import { mix, type Rgb } from "./colour";
import { signed } from "./labels";
import type { Lens, LensCell, LensRow } from "./lens-cells";
import type { Theme } from "./theme";

/** Folded rows, positions out of view, and what an edit changed. */
export const amber = ({ dark, background }: Theme) => {
  const mark: Rgb = dark ? [240, 160, 75] : [180, 83, 9];
  const dot: Rgb = [245, 158, 11];
  return { mark, dot, stripe: mix(background, dot, dark ? 0.22 : 0.2) };
};

/** Where on its scale a value lies: 0..1, or −1..1 on a scale with both signs; ranks by their logarithm, the best at 1. */
export function shareOf({ measure, scale }: Lens, value: number): number {
  const { low, high, signed: both } = scale;
  const rank = measure === "rank";
  const size = (it: number) => (rank ? Math.log1p(Math.abs(it)) : Math.abs(it));
  if (both) {
    const reach = Math.max(size(low), size(high));
    return reach > 0 ? (Math.sign(value) * size(value)) / reach : 0;
  }
  if (high <= low) return rank ? 1 : 0;
  const share = rank ? (size(value) - size(low)) / (size(high) - size(low)) : (value - low) / (high - low);
  return rank ? 1 - share : share;
}

/** A cell's colour; null where its measure is not defined. */
export function cellColour(lens: Lens, cell: LensCell, theme: Theme): Rgb | null {
  const value = lens.cells.value(cell);
  if (Number.isFinite(value))
    return (lens.scale.signed ? theme.diverging : theme.sequential).colour(shareOf(lens, value));
  if (lens.rows[cell.row]?.kind !== "contribution") return null;
  const logit = lens.cells.top(cell)[0]?.value ?? Number.NaN;
  return Number.isFinite(logit) ? theme.diverging.colour(logit / (lens.reach || 1)) : null;
}

/** A number of the measure, as short as it stays honest. */
export function measureText({ measure, scale }: Lens, value: number): string {
  const { signed: both, unit } = scale;
  if (measure === "rank") return both ? signed(value, 0) : String(Math.round(value));
  const tiny = measure === "prob" && value !== 0 && Math.abs(value) < 0.005;
  const text = both ? signed(value, tiny ? 4 : 2) : value.toFixed(tiny ? 4 : 2);
  return unit ? `${text} ${unit}` : text;
}

/** What the measure is of a cell, in words, or why it is not defined there. */
export function spokenMeasure(lens: Lens, cell: LensCell): string {
  const { cells, measures, measure, rows, positions } = lens;
  const label = measureLabel(lens);
  const reason = measures.find((it) => it.name === measure)?.reason;
  const value = cells.value(cell);
  if (Number.isFinite(value)) return `${label} ${measureText(lens, value)}`;
  if (!cells.has(cell)) return "not computed yet";
  const { kind } = rows[cell.row] as LensRow;
  const logit = cells.top(cell)[0]?.value;
  if (kind === "contribution") return logit === undefined ? "no logits" : `logit ${signed(logit)}`;
  if (measure === "cross_entropy" && cell.position === positions - 1)
    return `no ${label}: no token comes after this one`;
  return `no ${label}: ${reason ?? "not finite here"}`;
}

export const measureLabel = ({ measures, measure }: Lens) =>
  measures.find(({ name }) => name === measure)?.label ?? measure;

/** What stands at the two ends of the colours: the palest, with the measure's name, and the strongest. */
export function scaleEnds(lens: Lens): [pale: string, strong: string] {
  const { measure, scale } = lens;
  const ends = [scale.low, scale.high].map((it) => measureText(lens, it));
  if (measure === "rank" && !scale.signed) ends.reverse();
  return [`${measureLabel(lens)} ${ends[0]}`, ends[1] as string];
}

/** The colour at a share of the way from the one end to the other. */
export const rampColour = ({ scale: { signed } }: Lens, theme: Theme, share: number) =>
  signed ? theme.diverging.colour(2 * share - 1) : theme.sequential.colour(share);
