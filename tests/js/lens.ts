// A lens as the kernel sends it, of numbers that a test chooses: token ids are 100 · row + position.
import { decodeAll, type Grid } from "../../js/lib/arrays";
import type { ArrayEntry } from "../../js/lib/protocol";

type Number2 = (row: number, position: number) => number;

/** Arrays of rows x positions with two tokens a cell, as entries, as buffers and decoded. */
export function block(
  rows: readonly number[],
  [low, high]: readonly [number, number],
  value: Number2,
  changed?: Number2,
  top: Number2 = () => 0.5,
) {
  const cells = rows.flatMap((row) =>
    Array.from({ length: high - low }, (_, at) => [row, low + at] as const),
  );
  const shape = [rows.length, high - low];
  const bytes = (it: Float32Array | Int32Array | Uint8Array) => new Uint8Array(it.buffer);
  const entry = (dtype: ArrayEntry["dtype"], size: number[], data: Uint8Array): ArrayEntry => ({
    dtype,
    shape: size,
    layout: "full",
    data,
  });
  const entries: Record<string, ArrayEntry> = {
    top_ids: entry(
      "i32",
      [...shape, 2],
      bytes(Int32Array.from(cells.flatMap(([row, at]) => [row * 100 + at, row * 100 + at + 1]))),
    ),
    top_values: entry(
      "f32",
      [...shape, 2],
      bytes(Float32Array.from(cells.flatMap(([row, at]) => [top(row, at), top(row, at) / 2]))),
    ),
    value: entry("f32", shape, bytes(Float32Array.from(cells.map(([row, at]) => value(row, at))))),
    ...(changed && {
      changed: entry("u8", shape, Uint8Array.from(cells.map(([row, at]) => changed(row, at)))),
    }),
  };
  const grids: Record<string, Grid> = decodeAll(entries);
  const names = Object.keys(entries);
  const sent = Object.fromEntries(
    names.map((name, buffer) => [name, { ...entries[name], data: undefined, buffer }]),
  );
  return { entries, grids, sent, buffers: names.map((name) => entries[name]?.data) };
}

const ROWS = ["input", "L0", "L1", "L2"].map((label, at) => ({
  site: at ? "resid_post" : "resid_pre",
  layer: Math.max(0, at - 1),
  label,
  kind: "stream",
}));
const MEASURES = ["prob", "rank", "entropy", "kl", "logit_diff", "cross_entropy"];

/** The trait `lens`: three layers, six positions, all of them shown unless `shown` says otherwise. */
export function lensEntry(facts: Record<string, unknown> = {}): Record<string, unknown> {
  const {
    value = () => 0.5,
    top,
    run = "clean",
    rows = ROWS,
    positions = 6,
    ...others
  } = facts as {
    value?: Number2;
    top?: Number2;
    run?: string;
    rows?: typeof ROWS;
    positions?: number;
    shown?: { rows: number[]; columns: [number, number] };
  };
  const shown = others.shown ?? { rows: [...rows.keys()], columns: [0, positions] };
  const edited = run === "edited" || run === "change";
  const changed = (row: number, position: number) =>
    Number(row === rows.length - 1 && position === positions - 1);
  const { entries } = block(shown.rows, shown.columns, value, edited ? changed : undefined, top);
  return {
    rev: 1,
    run,
    measure: "prob",
    sublayers: rows.some((row) => row.kind === "contribution"),
    tuned: false,
    n_layers: 3,
    positions,
    rows,
    k: 2,
    tokens: { 100: "␣t100", 305: "␣t305" },
    provenance: { forward_ms: 2, lens_ms: 1, notes: [] },
    card: { title: "prob", formula: "p", source: "s" },
    scale: { low: 0, high: 1, signed: false, unit: "" },
    measures: MEASURES.map((name) => ({
      name,
      label: name === "cross_entropy" ? "cross-entropy" : name,
      card: "",
      reason: null,
    })),
    ...others,
    shown,
    arrays: entries,
  };
}
