// A board as the kernel sends it, of numbers that a test chooses: three layers, six positions, ids 100 · row + position.
import type { ArrayEntry } from "../../js/lib/protocol";

const entry = (dtype: ArrayEntry["dtype"], shape: number[], data: ArrayBufferView): ArrayEntry => ({
  dtype,
  shape,
  layout: "full",
  data: new Uint8Array(data.buffer),
});

/** Arrays [row, column, 1] of a grid whose cells have this probability. */
export function gridArrays(
  name: string,
  rows: number,
  columns: number,
  value = 0.5,
  low = 0,
): Record<string, ArrayEntry> {
  const at = Array.from({ length: rows * columns }, (_, it) => it);
  const id = (it: number) => 100 * Math.floor(it / columns) + (it % columns) + low;
  return {
    [`${name}_top_ids`]: entry("i32", [rows, columns, 1], Int32Array.from(at.map(id))),
    [`${name}_top_values`]: entry("f32", [rows, columns, 1], Float32Array.from(at.map(() => value))),
    ...(name === "edited" && {
      edited_changed: entry(
        "u8",
        [rows, columns],
        Uint8Array.from(at.map((it) => Number(it === at.length - 1))),
      ),
      edited_cone: entry("u8", [rows, columns], Uint8Array.from(at.map((it) => Number(it % columns > 2)))),
    }),
  };
}

export const ROWS = ["input", "L0", "L1", "L2"].map((label, at) => ({
  site: at ? "resid_post" : "resid_pre",
  layer: Math.max(0, at - 1),
  label,
}));

export const effectOf = (facts: Record<string, unknown> = {}) => ({
  metric: "logit_diff",
  label: "logit difference",
  clean: 4,
  corrupted: -4,
  base: "corrupted",
  before: -4,
  after: -4,
  recovered: 0,
  destroyed: null,
  stderr: null,
  n_prompts: 1,
  noise_floor: 1e-6,
  tokens: [],
  note: "",
  provenance: {},
  ...facts,
});

const CARRIES = [
  ["residual", "resid_post", "position"],
  ["attention", "attn_out", "position"],
  ["z", "z", "head"],
  ["k", "k", "head"],
] as const;

/** The trait `board`; with `lengths` the prompts' lengths, paired from the start unless `pairs` says otherwise. */
export function boardEntry(facts: Record<string, unknown> = {}): Record<string, unknown> {
  const {
    lengths = [6, 6],
    alone = false,
    base = "corrupted",
    ...others
  } = facts as {
    lengths?: [number, number];
    alone?: boolean;
    base?: "clean" | "corrupted";
  };
  const [clean, corrupted] = lengths;
  const edited = base === "clean" ? clean : corrupted;
  const grid = (positions: number) => ({ positions, columns: [0, positions] });
  return {
    rev: 1,
    run: "edited",
    base,
    n_layers: 3,
    n_heads: 4,
    n_kv_heads: 2,
    rows: ROWS,
    shown: { rows: [0, 1, 2, 3] },
    grids: { clean: grid(clean), corrupted: alone ? null : grid(corrupted), edited: grid(edited) },
    k: 1,
    tokens: { 100: "␣t100" },
    pairs: Array.from({ length: Math.min(clean, corrupted) }, (_, at) => [at, at]),
    align: "start",
    aligns: [],
    differs: { clean: [3], corrupted: alone ? [] : [3] },
    carries: CARRIES.map(([name, site, axis]) => ({ name, site, axis, reason: null })),
    effect: effectOf(),
    run_number: 1,
    n_runs: 1,
    provenance: { forward_ms: 1, notes: [] },
    notes: [],
    ...others,
    arrays: {
      ...gridArrays("clean", 4, clean),
      ...(!alone && gridArrays("corrupted", 4, corrupted)),
      ...gridArrays("edited", 4, edited),
    },
  };
}
