// The atlas as the page holds it: decoded thumbnails, filled layer by layer while they stream, and the scores.
import { decode, Grid, NOT_FINITE } from "./arrays";
import type { Partial } from "./channel";
import { allHeads, type Head } from "./heads";
import { signed } from "./labels";
import { isSigned } from "./patterns";
import type { AtlasEntry, Provenance, Run, Score } from "./protocol";

export interface Atlas {
  rev: number;
  run: Run;
  layers: number;
  heads: number;
  kvHeads: number;
  /** Tokens on a side of each pattern. */
  span: number;
  side: number;
  /** u8 [layer, head, side, side], mostly the lower triangle; layers that are still to come are not finite. */
  thumbnails: Grid;
  /** Which layers have arrived. */
  arrived: boolean[];
  scores: Record<string, Score>;
  absent: Record<string, string>;
  provenance: Provenance;
}

/** @throws BuffersMissing when the host dropped the thumbnails. */
export function readAtlas(entry: AtlasEntry, buffers: readonly unknown[] = []): Atlas {
  const { rev, run, n_layers: layers, n_heads: heads, n_kv_heads: kvHeads, positions, side } = entry;
  const { scores = {}, missing = {}, provenance = {}, arrays } = entry;
  if (!arrays.thumbs) throw new TypeError("an atlas without thumbnails");
  const thumbs = decode(arrays.thumbs, buffers);
  const arrived = new Array(layers).fill(true);
  return {
    rev,
    run,
    layers,
    heads,
    kvHeads,
    span: positions,
    side,
    thumbnails: thumbs,
    arrived,
    scores,
    absent: missing,
    provenance,
  };
}

/** A streamed part of an atlas laid into the one that is growing, or into a new one when it is of another question.
 *
 * Returns null when the partial carries no thumbnails.
 */
export function growAtlas(
  growing: Atlas | null,
  partial: Partial,
  model: { layers: number; kvHeads?: number | undefined },
): Atlas | null {
  const { layers } = model;
  const {
    run,
    rev,
    positions,
    side,
    layers: range,
  } = partial.data as {
    run?: Run;
    layers?: [number, number];
    rev?: number;
    positions?: number;
    side?: number;
  };
  const part = partial.arrays.thumbs;
  if (!part || !range || run === undefined || rev === undefined || !side || !positions) return null;
  // The range's end may be inclusive or not; the array itself says how many layers it has.
  const [count = 0, heads = 0] = part.shape;
  const kvHeads = model.kvHeads ?? heads;
  const same = growing?.rev === rev && growing.run === run && growing.side === side;
  const atlas = same
    ? growing
    : emptyAtlas({ rev, run, layers, heads, kvHeads, span: positions, side }, part);
  (atlas.thumbnails.raw as Uint8Array).set(part.raw as Uint8Array, range[0] * heads * part.planeSize);
  atlas.arrived.fill(true, range[0], range[0] + count);
  return { ...atlas };
}

type Facts = Pick<Atlas, "rev" | "run" | "layers" | "heads" | "kvHeads" | "span" | "side">;

function emptyAtlas(facts: Facts, like: Grid): Atlas {
  const shape = [facts.layers, facts.heads, facts.side, facts.side];
  const raw = new Uint8Array(facts.layers * facts.heads * like.planeSize).fill(NOT_FINITE);
  return {
    ...facts,
    thumbnails: new Grid("u8", shape, like.storage, raw, like.scale, like.offset),
    arrived: new Array(facts.layers).fill(false),
    scores: {},
    absent: {},
    provenance: {},
  };
}

/** Is the thumbnail the pattern itself? Then a focus needs nothing more from the kernel. */
export const thumbsAreExact = (atlas: Atlas) => atlas.span <= atlas.side;

/** Does the score have a sign: an effect, or what two runs differ by? */
export const hasSign = (atlas: Atlas, name: string) =>
  name === "logit_effect" || (isSigned(atlas.run) && !name.endsWith("_random"));

/** A head's score as text: two decimals, with a sign where the score has one. */
export function scoreText(atlas: Atlas, name: string, [layer, head]: Head): string {
  const value = atlas.scores[name]?.values[layer]?.[head];
  if (value == null) return "–";
  return hasSign(atlas, name) ? signed(value) : value.toFixed(2);
}

/** Heads that have the score, strongest first; equal ones in the order of layers. */
export function strongestFirst(atlas: Atlas, name: string): Head[] {
  const bars = atlas.scores[name]?.bars ?? [];
  const bar = ([layer, head]: Head) => bars[layer]?.[head] ?? null;
  return allHeads(atlas.layers, atlas.heads)
    .filter((head) => atlas.absent[head[0]] === undefined && bar(head) !== null)
    .sort((a, b) => (bar(b) as number) - (bar(a) as number));
}

/** How many query heads share one key-value head. */
export function groupSize(atlas: Atlas): number {
  const size = atlas.heads / Math.max(1, atlas.kvHeads);
  return Number.isInteger(size) ? size : 1;
}

/** Query heads that share the key-value head of this one, when several do: "kv2 (H4–H5)". */
export function sharedKv(atlas: Atlas, head: number): string | null {
  const size = groupSize(atlas);
  if (size <= 1) return null;
  const kv = Math.floor(head / size);
  return `kv${kv} (H${kv * size}–H${(kv + 1) * size - 1})`;
}
