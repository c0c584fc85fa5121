// The patch board as the page holds it: the top tokens of three runs, which positions pair, what can be carried, and
// what the edits did to the answer.
import { decodeAll, Grid } from "./arrays";
import { Cells, type TopToken } from "./lens-cells";
import type { ArrayEntries, EditEffect, EditSpec, Provenance, Run } from "./protocol";
import type { Side } from "./run-session";

export type GridName = Side | "edited";
export const GRIDS: readonly GridName[] = ["clean", "corrupted", "edited"];

export interface BoardRow {
  /** resid_pre (the input) or resid_post. */
  site: string;
  layer: number;
  label: string;
}

/** What edits did to the answer. */
export type BoardEffect = EditEffect;
export type EffectToken = EditEffect["tokens"][number];
/** One edit as it is asked for. */
export type Spec = EditSpec;

/** A kind of activation, and why it cannot be carried here; null when it can. */
export interface Carry {
  name: string;
  site: string;
  axis: "position" | "head";
  reason: string | null;
}

/** What a picture says of itself besides its cells. */
interface BoardFacts {
  rev: number;
  run: Run;
  base: Side;
  n_layers: number;
  n_heads: number;
  n_kv_heads: number;
  rows: BoardRow[];
  shown: { rows: number[] };
  /** [clean position, corrupted position] of those that stand for each other. */
  pairs: [number, number][];
  align: string;
  aligns: { name: string; label: string; reason: string | null }[];
  /** Positions whose tokens the other prompt has not there. */
  differs: { clean: number[]; corrupted: number[] };
  carries: Carry[];
  effect: BoardEffect | null;
  run_number: number | null;
  n_runs: number;
  provenance: Provenance;
  notes: string[];
}

/** Positions of a prompt, and those whose cells came along. */
interface GridFacts {
  positions: number;
  columns: [low: number, high: number];
}

/** The trait `board`. */
export interface BoardEntry extends BoardFacts {
  grids: { clean: GridFacts; corrupted: GridFacts | null; edited: GridFacts };
  tokens: Record<string, string>;
  arrays: ArrayEntries;
}

export interface Board extends BoardFacts {
  /** Label of each token that a cell names. */
  tokens: Map<number, string>;
  grids: { clean: GridCells; corrupted: GridCells | null; edited: GridCells };
  /** The columns that came along. */
  columns: Record<GridName, [low: number, high: number]>;
}

/** The likeliest token of each cell, what the edits changed, and what they can change. */
export class GridCells {
  #cells: Cells;
  /** Row -> 1 where a cell can change. */
  #cone = new Map<number, Uint8Array>();

  constructor(readonly positions: number) {
    this.#cells = new Cells(positions, 1);
  }

  get version(): number {
    return this.#cells.version;
  }

  /** Lays in a block [row, column, k] and what is known of its cells [row, column]. */
  put(rows: readonly number[], low: number, arrays: Record<string, Grid>): void {
    const { top_ids, top_values, changed, cone } = arrays;
    if (!top_ids || !top_values) return;
    const [ids, values] = [firsts(top_ids), firsts(top_values)];
    const width = ids.shape[1] ?? 0;
    this.#cells.put(rows, low, {
      top_ids: ids,
      top_values: values,
      value: values,
      ...(changed && { changed }),
    });
    for (const [at, row] of cone ? rows.entries() : []) {
      const into = this.#cone.get(row) ?? new Uint8Array(this.positions).fill(1);
      const taken = Math.min(width, this.positions - low);
      into.set(cone?.raw.subarray(at * width, at * width + taken) ?? [], low);
      this.#cone.set(row, into);
    }
  }

  has = (row: number, position: number) => this.#cells.has({ row, position });
  changed = (row: number, position: number) => this.#cells.changed({ row, position });
  /** Can the cell change? What nobody said of can. */
  canChange = (row: number, position: number) => this.#cone.get(row)?.[position] !== 0;
  top = (row: number, position: number): TopToken | null => this.#cells.top({ row, position })[0] ?? null;
  missing = (rows: readonly number[], low: number, high: number) => this.#cells.missing(rows, low, high);
}

/** The first of each cell's tokens, whatever number came. */
function firsts({ shape, raw, dtype }: Grid): Grid {
  const [rows = 0, columns = 0, k = 1] = shape;
  const taken = k === 1 ? raw : raw.filter((_, at) => at % k === 0);
  return new Grid(dtype, [rows, columns], "full", taken);
}

/** The arrays whose names begin with the name of a grid, without it. */
export function arraysOf(name: string, arrays: Record<string, Grid>): Record<string, Grid> {
  const prefix = `${name}_`;
  const own = Object.entries(arrays).filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(own.map(([key, grid]) => [key.slice(prefix.length), grid]));
}

/** @throws BuffersMissing when the host dropped the arrays. */
export function readBoard(entry: BoardEntry, buffers: readonly unknown[] = []): Board {
  const { grids, tokens, arrays, ...facts } = entry;
  const found = decodeAll(arrays, buffers);
  const { rows } = entry.shown;
  const read = (name: GridName, of: GridFacts) => {
    const cells = new GridCells(of.positions);
    cells.put(rows, of.columns[0], arraysOf(name, found));
    return cells;
  };
  const board: Board = {
    ...facts,
    tokens: new Map(),
    grids: {
      clean: read("clean", grids.clean),
      corrupted: grids.corrupted && read("corrupted", grids.corrupted),
      edited: read("edited", grids.edited),
    },
    columns: {
      clean: grids.clean.columns,
      corrupted: grids.corrupted?.columns ?? [0, 0],
      edited: grids.edited.columns,
    },
  };
  nameTokens(board, tokens);
  return board;
}

/** Notes the labels that came with cells. */
export function nameTokens({ tokens }: Board, names: Record<string, string> = {}): void {
  for (const [id, label] of Object.entries(names)) tokens.set(Number(id), label);
}
