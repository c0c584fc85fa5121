// A sweep as the kernel sends it, of numbers that a test chooses.
import type { ArrayEntry } from "../../js/lib/protocol";
import type { SweepMap } from "../../js/lib/sweep-table";

type Number2 = (row: number, column: number) => number;
const ARRAYS = ["metric", "recovered", "stderr", "state"] as const;

/** Facts of a map: three layers, five positions of which the last three can differ. */
export function sweepMap(facts: Partial<SweepMap> = {}): SweepMap {
  const choices = (names: string[]) => names.map((name) => ({ name, label: name, reason: null }));
  return {
    rev: 1,
    run: "edited",
    site: "resid_pre",
    edit: "patch",
    base: "corrupted",
    on_top: false,
    axis: "position",
    layers: [0, 1, 2],
    columns: ["‹bos›", "␣a", "␣b", "␣c", "␣d"].map((label, position) => ({
      position,
      head: null,
      label,
      other: position === 2 ? "␣x" : "",
    })),
    metric: "logit_diff",
    label: "logit difference",
    baselines: { clean: 4, corrupted: -4 },
    n_prompts: 1,
    noise_floor: 1e-6,
    done: 0,
    total: 9,
    complete: false,
    cancelled: false,
    from_table: false,
    sites: choices([
      "resid_pre",
      "resid_mid",
      "resid_post",
      "attn_out",
      "mlp_out",
      "z",
      "q",
      "k",
      "v",
      "pattern",
    ]),
    edits_allowed: choices(["patch", "zero", "mean"]),
    missing: {},
    provenance: { forward_ms: 2 },
    notes: [],
    ...facts,
  };
}

/** What a cell is when nothing else is said: exact, recovered = row + column / 10, metric -4 + 8 times that. */
export const recoveredAt: Number2 = (row, column) => row + column / 10;
export const metricAt: Number2 = (row, column) => -4 + 8 * recoveredAt(row, column);
export const stateAt: Number2 = (_, column) => (column < 2 ? 3 : 2);

const bytes = (it: Float32Array | Int32Array | Uint8Array) => new Uint8Array(it.buffer);

function entries(cells: readonly (readonly [number, number])[], shape: number[], state: Number2) {
  const f32 = (value: Number2) => bytes(Float32Array.from(cells.map(([row, column]) => value(row, column))));
  const data = {
    metric: f32(metricAt),
    recovered: f32(recoveredAt),
    stderr: f32(() => Number.NaN),
    state: Uint8Array.from(cells.map(([row, column]) => state(row, column))),
  };
  return ARRAYS.map((name): [string, ArrayEntry & { data: Uint8Array }] => [
    name,
    { dtype: name === "state" ? "u8" : "f32", shape, layout: "full", data: data[name] },
  ]);
}

/** All cells, as a trait or a reply has them. */
export function whole({ layers, columns }: SweepMap, state: Number2 = stateAt) {
  const cells = layers.flatMap((_, row) => columns.map((_, column) => [row, column] as const));
  return Object.fromEntries(entries(cells, [layers.length, columns.length], state));
}

/** Some cells, as a partial has them. */
export function some({ columns }: SweepMap, cells: readonly (readonly [number, number])[], state: Number2) {
  const at = bytes(Int32Array.from(cells.map(([row, column]) => row * columns.length + column)));
  const numbers: ArrayEntry = { dtype: "i32", shape: [cells.length], layout: "full", data: at };
  return { at: numbers, ...Object.fromEntries(entries(cells, [cells.length], state)) };
}

/** Arrays of a trait as those of a message: entries that name buffers, and the buffers. */
export function sent(arrays: Record<string, ArrayEntry>) {
  const names = Object.keys(arrays);
  return {
    arrays: Object.fromEntries(
      names.map((name, buffer) => [name, { ...arrays[name], data: undefined, buffer }]),
    ),
    buffers: names.map((name) => arrays[name]?.data),
  };
}

/** The trait `sweep`. */
export function sweepEntry(facts: Partial<SweepMap> = {}, state: Number2 = stateAt): Record<string, unknown> {
  const map = sweepMap({ done: 9, complete: true, ...facts });
  return { ...map, arrays: whole(map, state) };
}
