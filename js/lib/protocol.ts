// The words that travel between kernel and page, as types. tests/contract/README.md is the contract.

export const PROTOCOL = 1;

/** `other` is the clean run of the experiment that this one is compared with, `against` clean minus that; `change` is
 * the edited run minus the unedited base. */
export type Run = "clean" | "corrupted" | "edited" | "difference" | "change" | "other" | "against";

/** One array: where its bytes are (`buffer` in a message, `data` in a trait) and how to read them. */
export interface ArrayEntry {
  dtype: "u8" | "i32" | "f32";
  shape: number[];
  layout: "full" | "lower";
  scale?: number;
  offset?: number;
  buffer?: number;
  data?: unknown;
}
export type ArrayEntries = Record<string, ArrayEntry>;

export interface ModelFacts {
  name: string;
  n_layers: number;
  n_heads: number;
  n_kv_heads: number;
  d_model: number;
  dtype: string;
  device: string;
  missing: Record<string, string>;
}

export interface Prompt {
  text: string;
  ids: number[];
  labels: string[];
  special: number[];
}

export interface Answer {
  texts: string[];
  labels: string[];
  ids: number[];
  guessed: boolean;
}

/** An edit as the page asks for it. */
export interface EditSpec {
  kind: "patch" | "zero" | "mean";
  site: string;
  layer: number;
  head: number | null;
  /** null is all of them. */
  positions: number[] | null;
  source: "other" | "clean" | "corrupted";
  /** As many as positions; null is the partner of each. */
  source_positions: number[] | null;
  src: number | null;
  alpha: number;
}

export interface Edit {
  label: string;
  on: boolean;
  site: string;
  note: string;
  /** Strength; null where it has none. */
  alpha?: number | null;
  /** The edit as a page could have asked for it; null for one that it could not. */
  spec?: EditSpec | null;
}

/** What edits do to the answer. */
export interface EditEffect {
  metric: string;
  label: string;
  clean: number | null;
  corrupted: number | null;
  base: "clean" | "corrupted";
  before: number | null;
  after: number | null;
  recovered: number | null;
  destroyed: number | null;
  stderr: number | null;
  n_prompts: number;
  noise_floor: number | null;
  /** Probabilities without any edit and with them; 0 is the top rank. */
  tokens: {
    id: number;
    label: string;
    before: number | null;
    after: number | null;
    before_rank: number;
    after_rank: number;
  }[];
  note: string;
  provenance: Provenance;
}

export interface Question {
  rev: number;
  model: ModelFacts | null;
  prompts: { clean: Prompt; corrupted: Prompt | null };
  prompt: number;
  n_prompts: number;
  /** Of several prompts, where their mean can be drawn: is it what is shown, and why it cannot be. */
  mean?: { shown: boolean; reason: string | null };
  answer: Answer | null;
  distractor: Answer | null;
  metric: string;
  metric_label: string;
  metrics: [string, string][];
  base: "clean" | "corrupted";
  answer_position: number;
  edits: Edit[];
  /** Can the last change of the edits be taken back, or made again? */
  history?: { undo: boolean; redo: boolean };
  baselines: { clean: number | null; corrupted: number | null; edited: number | null } | null;
  warnings: string[];
  /** The experiment that this one is compared with: a model's name, or a step of its training. */
  compare?: { label: string } | null;
  /** Made from arrays: there is no model behind the picture. */
  arrays?: boolean;
  /** What the header says in place of the widget's name. */
  title?: string | null;
}

export interface Failure {
  error: string;
  message: string;
  hint: string;
  retryable: boolean;
}

export interface Status {
  state: "empty" | "running" | "idle" | "failed";
  op: string | null;
  job: string | null;
  done: number | null;
  total: number | null;
  seconds_left: number | null;
  error: Failure | null;
}

export interface Progress {
  done: number;
  total: number;
  seconds_left: number | null;
}

export interface Score {
  label: string;
  card: string;
  source: string;
  values: (number | null)[][];
  bars: (number | null)[][];
  n: number | null;
  reason: string | null;
}

export interface Provenance {
  model?: string;
  dtype?: string;
  device?: string;
  kernel?: string;
  forward_ms?: number | null;
  lens_ms?: number | null;
  notes?: string[];
  patterns?: number;
  bytes?: number;
  recomputed?: string | null;
  noise_floor?: number | null;
}

/** The atlas as it travels; `arrays.thumbs` is u8 [layer, head, dest, src]. */
export interface AtlasEntry {
  rev: number;
  run: Run;
  n_layers: number;
  n_heads: number;
  n_kv_heads: number;
  positions: number;
  side: number;
  provenance: Provenance;
  missing: Record<string, string>;
  scores: Record<string, Score>;
  arrays: ArrayEntries;
}

export type Revs = Record<string, number>;
export type Params = Record<string, unknown>;

export interface Welcome {
  kind: "welcome";
  v: number;
  client: string;
  epoch: string;
  revs: Revs;
  snapshot: Record<string, Record<string, unknown>>;
  running: { id: string; op: string; done: number; total: number }[];
}
export interface Accepted {
  kind: "accepted";
  v: number;
  id: string;
}
export interface PartialReply {
  kind: "partial";
  v: number;
  id: string;
  seq: number;
  progress: Progress | null;
  data: Record<string, unknown>;
  arrays: ArrayEntries;
}
export interface Done {
  kind: "done";
  v: number;
  id: string;
  rev: number;
  data: Record<string, unknown>;
  arrays: ArrayEntries;
}
export interface Failed extends Failure {
  kind: "failed";
  v: number;
  id: string;
}
export interface Cancelled {
  kind: "cancelled";
  v: number;
  id: string;
  reason: "user" | "superseded" | "closed";
}
export type KernelMessage = Welcome | Accepted | PartialReply | Done | Failed | Cancelled;

/** What the widget needs of the host's model; the page tests and exported pages bring their own. */
export interface HostModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  on(name: string, callback: (...values: unknown[]) => void): void;
  off(name: string, callback?: (...values: unknown[]) => void): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: unknown): void;
  widget_manager?: unknown;
}
