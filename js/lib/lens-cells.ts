// The lens as the page holds it: which rows and positions there are, and those of their cells that have arrived.
import { decodeAll, type Grid } from "./arrays";
import type { ArrayEntries, Provenance, Run } from "./protocol";

export interface LensRow {
  /** resid_pre (the input), resid_mid, attn_out, mlp_out or resid_post. */
  site: string;
  layer: number;
  label: string;
  /** A contribution has logits and no probabilities. */
  kind: "stream" | "contribution";
}

export interface LensCell {
  /** Number of a row in `Lens.rows`. */
  row: number;
  position: number;
}

export interface MeasureFacts {
  name: string;
  label: string;
  card: string;
  /** Why it cannot be shown of this question; null when it can. */
  reason: string | null;
}

/** What the colour of a measure runs over. */
export interface LensScale {
  low: number;
  high: number;
  signed: boolean;
  unit: string;
}

/** What a picture says of itself besides its cells. */
interface LensFacts {
  rev: number;
  run: Run;
  measure: string;
  sublayers: boolean;
  tuned: boolean;
  positions: number;
  rows: LensRow[];
  /** Top tokens that each cell has. */
  k: number;
  provenance: Provenance;
  card: { title: string; formula: string; source: string };
  scale: LensScale;
  measures: MeasureFacts[];
  /** Where the answer of this run is read: prompts may differ in length. */
  answer?: { position: number };
}

/** The trait `lens`: the picture's facts and the cells it opens with. */
export interface LensEntry extends LensFacts {
  n_layers: number;
  /** Rows that came along, and the positions from low up to high. */
  shown: { rows: number[]; columns: [low: number, high: number] };
  tokens: Record<string, string>;
  /** Why there is no tuned lens to switch on, or null; absent where translators were never given. */
  translators?: string | null;
  arrays: ArrayEntries;
}

export interface Lens extends LensFacts {
  layers: number;
  shown: LensEntry["shown"];
  /** Label of each token that a cell names. */
  tokens: Map<number, string>;
  /** Why there is no tuned lens to switch on, or null; undefined where no translators were given. */
  translators: string | null | undefined;
  cells: Cells;
  /** The largest logit that a contribution promotes in the cells that came first: the end of their colour scale. */
  reach: number;
}

export interface TopToken {
  id: number;
  /** Probability; on contributions the centred logit. */
  value: number;
}

interface RowCells {
  ids: Int32Array;
  tops: Float32Array;
  values: Float32Array;
  changed: Uint8Array;
  arrived: Uint8Array;
}

/** Cells [row, position] of a picture; rows take room once they have a cell. */
export class Cells {
  #rows: RowCells[] = [];
  /** Grows whenever cells arrive. */
  version = 0;
  /** Does any cell say whether the edit changed its token? */
  compared = false;

  constructor(
    readonly positions: number,
    readonly k: number,
  ) {}

  /** Lays in a block: `top_ids`, `top_values` [row, column, k], `value` and perhaps `changed` [row, column]. */
  put(rows: readonly number[], low: number, arrays: Record<string, Grid>): void {
    const { top_ids, top_values, value, changed } = arrays;
    if (!top_ids || !top_values || !value) return;
    const { k } = this;
    // The arrays themselves say how wide the block is.
    const width = Math.min(value.shape[1] ?? 0, this.positions - low);
    const stride = value.shape[1] ?? 0;
    for (const [at, row] of rows.entries()) {
      const into = this.#row(row);
      const from = at * stride;
      into.values.set(value.raw.subarray(from, from + width), low);
      into.ids.set(top_ids.raw.subarray(from * k, (from + width) * k), low * k);
      into.tops.set(top_values.raw.subarray(from * k, (from + width) * k), low * k);
      if (changed) into.changed.set(changed.raw.subarray(from, from + width), low);
      into.arrived.fill(1, low, low + width);
    }
    this.compared ||= changed !== undefined;
    this.version++;
  }

  #row(row: number): RowCells {
    const { positions, k } = this;
    this.#rows[row] ??= {
      ids: new Int32Array(positions * k),
      tops: new Float32Array(positions * k),
      values: new Float32Array(positions),
      changed: new Uint8Array(positions),
      arrived: new Uint8Array(positions),
    };
    return this.#rows[row];
  }

  has({ row, position }: LensCell): boolean {
    return this.#rows[row]?.arrived[position] === 1;
  }

  /** The measure; NaN where it is not defined, or has not arrived. */
  value(cell: LensCell): number {
    return this.has(cell) ? (this.#rows[cell.row]?.values[cell.position] as number) : Number.NaN;
  }

  changed({ row, position }: LensCell): boolean {
    return this.#rows[row]?.changed[position] === 1;
  }

  /** The likeliest (of a contribution: most promoted) tokens, the first first; none before the cell has arrived. */
  top(cell: LensCell): TopToken[] {
    const row = this.#rows[cell.row];
    if (!row || !this.has(cell)) return [];
    const from = cell.position * this.k;
    const ids = [...row.ids.subarray(from, from + this.k)];
    return ids.map((id, at) => ({ id, value: row.tops[from + at] as number }));
  }

  /** The rows that lack a cell from `low` up to `high`, and the positions that hold all that lack; null when none does. */
  missing(
    rows: readonly number[],
    low: number,
    high: number,
  ): { rows: number[]; columns: [low: number, high: number] } | null {
    let [first, end] = [high, low];
    const lacking = rows.filter((row) => {
      const arrived = this.#rows[row]?.arrived;
      let lacks = false;
      for (let position = low; position < high; position++) {
        if (arrived?.[position]) continue;
        lacks = true;
        first = Math.min(first, position);
        end = Math.max(end, position + 1);
      }
      return lacks;
    });
    return lacking.length ? { rows: lacking, columns: [first, end] } : null;
  }
}

/** @throws BuffersMissing when the host dropped the arrays. */
export function readLens(entry: LensEntry, buffers: readonly unknown[] = []): Lens {
  const { n_layers: layers, tokens, arrays, translators, ...facts } = entry;
  const cells = new Cells(entry.positions, entry.k);
  const { rows, columns } = entry.shown;
  cells.put(rows, columns[0], decodeAll(arrays, buffers));
  let reach = 0;
  for (const row of rows.filter((at) => entry.rows[at]?.kind === "contribution"))
    for (let position = columns[0]; position < entry.positions; position++)
      reach = Math.max(reach, cells.top({ row, position })[0]?.value || 0);
  const lens = { ...facts, layers, translators, tokens: new Map<number, string>(), cells, reach };
  nameTokens(lens, tokens);
  return lens;
}

/** Notes the labels that came with cells. */
export function nameTokens(lens: Lens, tokens: Record<string, string> = {}): void {
  for (const [id, label] of Object.entries(tokens)) lens.tokens.set(Number(id), label);
}

/** The row of a site; -1 when the picture has none. `L5.resid_pre` is the stream after layer 4. */
export function rowOf(lens: Lens, site: string, layer: number): number {
  const after = site === "resid_pre" && layer > 0;
  const [name, at] = after ? ["resid_post", layer - 1] : [site, layer];
  return lens.rows.findIndex((row) => row.site === name && row.layer === at);
}

/** The site of a cell as text, the words of `selection`: "L3.resid_post@10". */
export function cellSite(lens: Lens, { row, position }: LensCell): string {
  const { site, layer } = lens.rows[row] as LensRow;
  return `L${layer}.${site}@${position}`;
}

const SITE = /^L(\d+)(H\d+)?\.(\w+)@(\d+)/;

/** The cell that a site's text names: its own, or for a head's site that of the stream after its layer; else null. */
export function parseCell(lens: Lens, text: string): LensCell | null {
  const match = SITE.exec(text);
  if (!match) return null;
  const [, layer, head, site, position] = match;
  const own = head ? -1 : rowOf(lens, site as string, Number(layer));
  const row = own >= 0 ? own : rowOf(lens, "resid_post", Number(layer));
  return row >= 0 && Number(position) < lens.positions ? { row, position: Number(position) } : null;
}

export const sameCell = (a: LensCell | null, b: LensCell | null) =>
  a === b || (!!a && !!b && a.row === b.row && a.position === b.position);
