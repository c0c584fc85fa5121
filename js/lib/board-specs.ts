// From what is carried to the edits it would make: which positions meet, and what cannot be.
import type { Board, BoardRow, Carry, Spec } from "./board-cells";
import { times } from "./geometry";
import type { Carried } from "./pointer-drag";
import type { Side } from "./run-session";

export type Stream = "post" | "pre";

/** The run that a patch reads; null of an edit that reads none. */
export const readBy = (spec: Spec | null | undefined, base: Side): Side | null =>
  spec?.kind !== "patch" ? null : spec.source === "other" ? otherSide(base) : spec.source;

/** A place that something is dropped on: a run, and the position in it; null is where it comes from. */
export interface Target {
  side: Side;
  position: number | null;
}

export const otherSide = (side: Side): Side => (side === "clean" ? "corrupted" : "clean");

/** The site that a row carries; null where it has none.
 *
 * Row n is the stream after layer n, or before it with `pre`, where the rows begin one higher: the last row is the
 * stream before a layer that is not there.
 */
export function siteOfRow(row: BoardRow, { name, site }: Carry, stream: Stream): [string, number] | null {
  const input = row.site === "resid_pre";
  if (name !== "residual") return input ? null : [site, row.layer];
  if (stream === "pre") return ["resid_pre", input ? 0 : row.layer + 1];
  return ["resid_post", input ? -1 : row.layer];
}

/** The stream before layer 0 and after the last one go by the name that the model has for them. */
export function realSite(site: string, layer: number, layers: number): [string, number] {
  if (site === "resid_post" && layer < 0) return ["resid_pre", 0];
  return site === "resid_pre" && layer >= layers ? ["resid_post", layers - 1] : [site, layer];
}

/** The name of a row as the board shows it. */
export function rowName(row: BoardRow, { n_layers }: Board, stream: Stream): string {
  if (stream === "post") return row.label;
  if (row.site === "resid_pre") return "L0";
  return row.layer + 1 < n_layers ? `L${row.layer + 1}` : "out";
}

/** Where the row of a site is; -1 for none. */
export function rowOfSite({ rows, n_layers }: Board, site: string, layer: number): number {
  const [name, at] = realSite(site, layer, n_layers);
  // The stream before a layer is the one after the layer above it.
  const after = name === "resid_pre" ? at - 1 : at;
  return rows.findIndex((row) => (row.site === "resid_pre" ? -1 : row.layer) === after);
}

/** Heads that there are of a site. */
export const headsOf = ({ n_heads, n_kv_heads }: Board, site: string) =>
  site === "k" || site === "v" ? n_kv_heads : n_heads;

/** "H3", or of keys and values the heads that share one: "kv1 (H2–H3)". */
export function headLabel(board: Board, site: string, head: number): string {
  const count = headsOf(board, site);
  if (count === board.n_heads) return `H${head}`;
  const each = board.n_heads / count;
  return `kv${head} (H${head * each}–H${(head + 1) * each - 1})`;
}

/** The position of one run that stands for a position of another; -1 for none. */
export function partner({ pairs }: Pick<Board, "pairs">, position: number, from: Side, to: Side): number {
  if (from === to) return position;
  const [mine, theirs] = from === "clean" ? ([0, 1] as const) : ([1, 0] as const);
  return pairs.find((pair) => pair[mine] === position)?.[theirs] ?? -1;
}

export const lengthOf = ({ grids }: Board, side: Side) => grids[side]?.positions ?? 0;

/** The run that something is carried from when it is dropped on another. */
export const sourceOf = (board: Board, { source }: Carried, side: Side): Side =>
  source ?? (board.grids.corrupted ? otherSide(side) : side);

/** Where each carried position lands, as [source, target]; null for all of them on their partners. */
function landing(board: Board, carried: Carried, { side, position }: Target): [number, number][] | null {
  const source = sourceOf(board, carried, side);
  const { positions, from = positions?.[0] } = carried;
  if (!positions) return null;
  const shifts = position !== null && from !== undefined && partner(board, from, source, side) !== position;
  const lands = shifts
    ? positions.map((it): [number, number] => [it, position + it - (from as number)])
    : positions.map((it): [number, number] => [it, partner(board, it, source, side)]);
  return lands.filter(([, to]) => to >= 0 && to < lengthOf(board, side));
}

/** Does everything land on its partner? */
export function isNatural(board: Board, carried: Carried, target: Target): boolean {
  const source = sourceOf(board, carried, target.side);
  const lands = landing(board, carried, target);
  return lands?.every(([from, to]) => partner(board, from, source, target.side) === to) ?? true;
}

/** Positions of the target that would be written; null is all, none where nothing can land. */
export const landsOn = (board: Board, carried: Carried, target: Target) =>
  landing(board, carried, target)?.map(([, to]) => to) ?? null;

/** The edits that a drop makes; none where it would change nothing. */
export function specsFor(board: Board, carried: Carried, target: Target): Spec[] {
  const { side } = target;
  if (!board.grids[side]) return [];
  const source = sourceOf(board, carried, side);
  const natural = isNatural(board, carried, target);
  // A run's own activation in its own place is what is there.
  if (source === side && natural) return [];
  const lands = landing(board, carried, target);
  if (lands && !lands.length) return [];
  const { site, layer, layers = [layer], head = null, heads = [head] } = carried;
  const places = {
    positions: lands?.map(([, to]) => to) ?? null,
    source: source === side ? side : ("other" as const),
    source_positions: natural ? null : (lands?.map(([from]) => from) ?? null),
  };
  return layers.flatMap((at) => {
    const [name, real] = realSite(site, at, board.n_layers);
    return heads.map((one) => ({
      kind: "patch" as const,
      site: name,
      layer: real,
      head: one,
      ...places,
      src: null,
      alpha: 1,
    }));
  });
}

/** "resid_post L1–L3 positions 4–6", as a voice says it. */
export function carriedName(board: Board, carried: Carried): string {
  const { site, layer, layers = [layer], head = null, heads, positions } = carried;
  const [name, first] = realSite(site, Math.min(...layers), board.n_layers);
  const last = realSite(site, Math.max(...layers), board.n_layers)[1];
  const low = layers.length > 1 && layers.includes(-1) ? "input" : `L${first}`;
  const depth = layers.length > 1 ? `${low}–L${last}` : `L${first}`;
  const which = heads ?? (head === null ? [] : [head]);
  const of = which.map((it) => headLabel(board, site, it)).join(", ");
  const where = positions ? `position${positions.length > 1 ? "s" : ""} ${ranges(positions)}` : "";
  const main = layers.length > 1 && site.startsWith("resid") ? site : name;
  return [main, depth, of, where].filter(Boolean).join(" ");
}

/** "4–6, 9" */
export function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const it of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && it <= last[1] + 1) last[1] = it;
    else found.push([it, it]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}

/** The numbers from one to another, whichever is larger. */
export const between = (a: number, b: number) => times(Math.abs(a - b) + 1, (at) => Math.min(a, b) + at);
