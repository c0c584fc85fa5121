// Where a token's way through the rows is drawn, as pure numbers: the axis of a quantity, its ticks, the pieces of a line,
// and labels at the ends of lines that do not cover each other.

export type Quantity = "prob" | "logit" | "rank";
export const QUANTITIES: readonly Quantity[] = ["prob", "logit", "rank"];

export interface Axis {
  /** Where a value lies, 0 at the bottom, 1 at the top; NaN where there is no number. */
  share(value: number): number;
  ticks: { share: number; label: string }[];
}

/** Round numbers from `low` to `high`, at most `most` steps between them: a step is 1, 2 or 5 of a power of ten. */
export function roundTicks(low: number, high: number, most = 4): number[] {
  const rough = (high - low) / most;
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((it) => it * power >= rough * (1 - 1e-9)) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first;
  return Array.from({ length: count + 1 }, (_, at) => (first + at) * step);
}

/** The axis of a quantity over these values: a probability 0..1, a rank by powers of ten with 0 on top. */
export function axisOf(quantity: Quantity, values: readonly number[]): Axis {
  const finite = values.filter(Number.isFinite);
  if (quantity === "prob")
    return {
      share: (value) => value,
      ticks: [0, 0.5, 1].map((share) => ({ share, label: share.toFixed(1) })),
    };
  if (quantity === "rank") {
    const depth = (rank: number) => Math.log10(rank + 1);
    const deepest = Math.max(9, ...finite);
    const power = 10 ** Math.floor(Math.log10(deepest));
    const bottom = power * ([1, 2, 5].find((it) => it * power >= deepest) ?? 10);
    // A power close to the bottom gives way to it.
    const powers = Array.from({ length: 12 }, (_, at) => 10 ** (at + 1));
    const ranks = [0, ...powers.filter((it) => depth(it) < 0.87 * depth(bottom)), bottom];
    const share = (rank: number) => 1 - depth(rank) / depth(bottom);
    const label = (rank: number) => (rank >= 1000 ? `${rank / 1000}k` : String(rank));
    return { share, ticks: ranks.map((rank) => ({ share: share(rank), label: label(rank) })) };
  }
  const [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  const room = Math.max((high - low) * 0.06, 0.5 * Number(high === low), 1e-6);
  const [bottom, top] = [low - room, high + room];
  const share = (value: number) => (value - bottom) / (top - bottom);
  const ticks = roundTicks(bottom, top);
  const [first = 0, second = first + 1] = ticks;
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(second - first) + 1e-9)));
  const label = (value: number) => value.toFixed(digits).replace("-", "−");
  return { share, ticks: ticks.map((value) => ({ share: share(value), label: label(value) })) };
}

export type Point = readonly [x: number, y: number];

/** A line cut where there is no number; a point between two holes is a piece of its own. */
export function pieces(points: readonly Point[]): Point[][] {
  const found: Point[][] = [[]];
  for (const point of points) {
    if (point.every(Number.isFinite)) found.at(-1)?.push(point);
    else if (found.at(-1)?.length) found.push([]);
  }
  return found.filter((piece) => piece.length > 0);
}

/** Heights moved apart until neighbours are `gap` apart and all lie in `low`..`high`, as far as there is room. */
export function apart(heights: readonly number[], gap: number, low: number, high: number): number[] {
  const order = heights.map((_, at) => at).sort((a, b) => (heights[a] as number) - (heights[b] as number));
  const step = Math.min(gap, (high - low) / Math.max(1, heights.length - 1));
  const moved = [...heights];
  let edge = low;
  for (const at of order) {
    moved[at] = Math.max(edge, moved[at] as number);
    edge = (moved[at] as number) + step;
  }
  edge = high;
  for (const at of order.reverse()) {
    moved[at] = Math.min(edge, moved[at] as number);
    edge = (moved[at] as number) - step;
  }
  return moved;
}
