// A sweep as the page holds it: one number for each layer and column, filled as the cells arrive, and what it is of.
import { decodeAll, type Grid } from "./arrays";
import type { ArrayEntries, Provenance, Run } from "./protocol";

/** What is known of a cell, as numbers on the wire. */
export const PENDING = 0;
export const ESTIMATE = 1;
export const EXACT = 2;
/** Both prompts have the same tokens up to there: the cell equals the base run, and was not run. */
export const SAME = 3;
/** There is no such cell: the layer lacks the site, or the edit cannot be done there. */
export const NONE = 4;

export interface SweepColumn {
  position: number | null;
  head: number | null;
  /** Token of the base prompt, or "H3". */
  label: string;
  /** Token of the prompt that is patched from, where it is another one; else "". */
  other: string;
}

/** A choice, and why it cannot be made now; null when it can. */
export interface SweepChoice {
  name: string;
  label?: string;
  reason: string | null;
}

/** What tells one sweep of a question from another. */
export interface SweepWish {
  site: string;
  edit: "patch" | "zero" | "mean";
  base: "clean" | "corrupted";
  on_top: boolean;
}

/** What a map says of itself besides its cells. */
export interface SweepMap extends SweepWish {
  rev: number;
  run: Run;
  axis: "position" | "head";
  layers: number[];
  columns: SweepColumn[];
  /** Name and label of what the answer is scored by. */
  metric: string;
  label: string;
  baselines: { clean: number | null; corrupted: number | null };
  n_prompts: number;
  noise_floor: number | null;
  /** Cells that were run, and that are to be run: those that cannot differ are not counted. */
  done: number;
  total: number;
  complete: boolean;
  cancelled: boolean;
  /** It was known before it was asked for. */
  from_table: boolean;
  sites: SweepChoice[];
  edits_allowed: SweepChoice[];
  /** Layer -> why it has no such site. */
  missing: Record<string, string>;
  provenance: Provenance;
  notes: string[];
}

/** The trait `sweep`. */
export interface SweepEntry extends SweepMap {
  arrays: ArrayEntries;
}

export interface SweepCell {
  /** Mean of the metric over the prompts; NaN where there is none. */
  metric: number;
  /** Share of the way from corrupted to clean; NaN where there is none. */
  recovered: number;
  /** Of `recovered`, over prompts; NaN of one prompt. */
  stderr: number;
  state: number;
}

export const sameWish = (a: SweepWish, b: SweepWish) =>
  a.site === b.site && a.edit === b.edit && a.base === b.base && a.on_top === b.on_top;

/** Cells [layer, column] of a map, row by row. */
export class SweepTable {
  readonly metric: Float32Array;
  readonly recovered: Float32Array;
  readonly stderr: Float32Array;
  readonly state: Uint8Array;
  /** Grows whenever cells arrive. */
  version = 0;

  constructor(public map: SweepMap) {
    const size = map.layers.length * map.columns.length;
    const unknown = () => new Float32Array(size).fill(Number.NaN);
    this.metric = unknown();
    this.recovered = unknown();
    this.stderr = unknown();
    this.state = new Uint8Array(size);
  }

  get rev(): number {
    return this.map.rev;
  }
  get run(): Run {
    return this.map.run;
  }
  get provenance(): Provenance {
    return this.map.provenance;
  }

  /** Lays in the cells numbered `at`, or without `at` all of them. An estimate never replaces an exact cell. */
  put({ at, metric, recovered, stderr, state }: Record<string, Grid>): void {
    if (!metric || !state) return;
    const count = Math.min(state.raw.length, at?.raw.length ?? this.state.length);
    for (let from = 0; from < count; from++) {
      const cell = at ? (at.raw[from] as number) : from;
      const now = state.raw[from] as number;
      if (!(cell in this.state) || (now <= ESTIMATE && (this.state[cell] as number) > now)) continue;
      this.state[cell] = now;
      this.metric[cell] = metric.raw[from] as number;
      this.recovered[cell] = recovered?.raw[from] ?? Number.NaN;
      this.stderr[cell] = stderr?.raw[from] ?? Number.NaN;
    }
    this.version++;
  }

  /** The number of a cell, by rows and columns of the map. */
  index(row: number, column: number): number {
    return row * this.map.columns.length + column;
  }

  cell(row: number, column: number): SweepCell {
    const at = this.index(row, column);
    const { metric, recovered, stderr, state } = this;
    return {
      metric: metric[at] ?? Number.NaN,
      recovered: recovered[at] ?? Number.NaN,
      stderr: stderr[at] ?? Number.NaN,
      state: state[at] ?? NONE,
    };
  }

  set(row: number, column: number, { metric, recovered, stderr, state }: SweepCell): void {
    const at = this.index(row, column);
    if (row < 0 || !(at in this.state)) return;
    this.metric[at] = metric;
    this.recovered[at] = recovered;
    this.stderr[at] = stderr;
    this.state[at] = state;
    this.version++;
  }

  /** The cell of a layer at a position (or of a head); null where the map has none. */
  find(layer: number, place: { position?: number | null; head?: number | null }): SweepCell | null {
    const row = this.map.layers.indexOf(layer);
    const column = this.columnOf(place);
    return row < 0 || column < 0 ? null : this.cell(row, column);
  }

  /** The column of a position or of a head; -1 where the map has none. */
  columnOf({ position = null, head = null }: { position?: number | null; head?: number | null }): number {
    const { axis, columns } = this.map;
    const wanted = axis === "head" ? head : position;
    return wanted === null ? -1 : columns.findIndex((it) => it[axis] === wanted);
  }

  /** How many cells are in a state. */
  count(state: number): number {
    return this.state.reduce((sum, it) => sum + Number(it === state), 0);
  }
}

/** The map of a trait or a snapshot, with its cells.
 *
 * @throws BuffersMissing when the host dropped the arrays.
 */
export function readSweep({ arrays, ...map }: SweepEntry, buffers: readonly unknown[] = []): SweepTable {
  const table = new SweepTable(map);
  table.put(decodeAll(arrays, buffers));
  return table;
}
