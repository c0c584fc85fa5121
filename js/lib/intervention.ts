// What an intervention on the chosen heads would do to the prompt displayed: previewed while it is chosen, added to the
// experiment's edits when it is kept. Nothing runs before a person chooses.
import { Asked } from "./asked";
import { clamp } from "./geometry";
import type { Head } from "./heads";
import type { HeadsSession } from "./heads-session";
import type { Edit, Params, Provenance } from "./protocol";

export type What = "zero" | "mean" | "resample" | "knockout" | "pattern";
export type Tab = "intervene" | "writes";
export type Preset = "shown" | "here" | "uniform" | "first" | "sum";

export interface Effect {
  metric: {
    name: string;
    label: string;
    base: number | null;
    after: number | null;
    recovered: number | null;
    destroyed: number | null;
  };
  tokens: { id: number; label: string; before: number | null; after: number | null }[];
  edits: Edit[];
  note: string;
  provenance: Provenance;
}

type Logit = { id: number; label: string; logit: number | null };
export interface Writes {
  layer: number;
  head: number;
  position: number;
  promoted: Logit[];
  suppressed: Logit[];
  logit_effect: number | null;
  card: string;
}

/** Rows of the pattern are edited by hand: the weights settle before they are tried. */
const REST_MS = 180;
const WRITTEN = 6;

export class Intervention {
  tab: Tab = "intervene";
  what: What | null = null;
  /** The row that overwrites the pattern: weights of the sources 0..dest. */
  row: { dest: number; weights: number[] } | null = null;
  readonly effect: Asked<Effect>;
  readonly writes: Asked<Writes>;
  #off: () => void;

  constructor(private readonly session: HeadsSession) {
    this.effect = new Asked<Effect>(session, "heads.effect");
    this.writes = new Asked<Writes>(session, "heads.writes");
    this.#off = session.on("change", () => this.#follow());
  }

  close(): void {
    this.#off();
    this.effect.close();
    this.writes.close();
  }

  /** The heads that are intervened on: the locked ones, else what the focus shows. */
  get heads(): readonly Head[] {
    return this.session.locked.length ? this.session.locked : this.session.focus;
  }

  /** The row that an overwrite replaces and that "writes" reads: the token picked, else the answer position. */
  get dest(): number {
    return this.session.pickedToken;
  }

  /** Why nothing can be intervened on now, or null. */
  get off(): string | null {
    const { session } = this;
    if (session.question?.arrays) return "These patterns were made from arrays: there is no model to run.";
    if (session.offReason) return session.offReason;
    if (session.shown?.run === "other")
      return "The other experiment is shown, and this one is intervened on: show clean first.";
    return null;
  }

  /** What is still to be chosen, in words; null when the intervention is complete. */
  get lacks(): string | null {
    const { cell } = this.session;
    const cuts = cell && cell.src <= cell.dest;
    if (this.what !== "knockout" || cuts) return null;
    return "Pick a cell of the pattern: the edge it stands for is cut.";
  }

  /** Chooses a kind of intervention; the one that is chosen already, or null, is put away. */
  choose(what: What | null): void {
    const { session } = this;
    this.tab = "intervene";
    this.what = what === this.what ? null : what;
    // The heads must not change under the reader while the pointer crosses the atlas.
    if (this.what && session.locked.length === 0 && session.focus[0]) session.lock(session.focus[0]);
    if (this.what !== "pattern") this.row = null;
    session.changed();
  }

  setTab(tab: Tab): void {
    this.tab = tab;
    this.session.changed();
  }

  get params(): Params | null {
    const { session, what, row } = this;
    if (!what || this.lacks || this.off || !session.atlas) return null;
    const base = { run: session.atlas.run, what, heads: this.heads };
    if (what === "knockout") return { ...base, ...session.cell };
    return what === "pattern" ? { ...base, dest: row?.dest, weights: this.#whole() } : base;
  }

  #follow(): void {
    const { session } = this;
    if (this.what === "pattern" && this.row?.dest !== this.dest) {
      this.row = { dest: this.dest, weights: [] };
      this.preset("shown");
    }
    // While the picture is of another question, what is asked about it waits.
    if (session.stale || session.growing || !session.channel.usable) return;
    this.effect.ask(this.params, this.what === "pattern" ? REST_MS : 0);
    const [layer, head] = this.heads[0] ?? [];
    const open = this.tab === "writes" && this.off === null && layer !== undefined && session.atlas;
    const position = this.dest;
    const asked = { run: session.atlas?.run, layer, head, position, k: WRITTEN };
    this.writes.ask(open ? asked : null, REST_MS);
  }

  // --- the row that overwrites --------------------------------------------------------------------------------------

  /** All sources, those after dest with nothing. */
  #whole(): number[] {
    const { weights = [] } = this.row ?? {};
    return Array.from({ length: this.session.shown?.positions ?? 0 }, (_, src) => weights[src] ?? 0);
  }

  setWeight(src: number, value: number): void {
    if (!this.row || src < 0 || src > this.row.dest || !Number.isFinite(value)) return;
    const weights = this.row.weights.slice();
    weights[src] = clamp(value, 0, 1);
    this.row = { ...this.row, weights };
    this.session.changed();
  }

  /** Fills the row: as it is shown, all on source `at`, evenly, all on the first token, or scaled to sum to 1. */
  preset(name: Preset, at = 0): void {
    if (!this.row) return;
    const { dest, weights } = this.row;
    const row = (weight: (src: number) => number) =>
      Array.from({ length: dest + 1 }, (_, src) => weight(src));
    const only = (chosen: number) => row((src) => Number(src === chosen));
    const even = row(() => 1 / (dest + 1));
    const head = this.heads[0];
    const shown = (head && this.session.focusing.rowOf(head, dest)) ?? even;
    const filled = {
      shown: () => scaled(shown, even),
      here: () => only(at),
      uniform: () => even,
      first: () => only(0),
      sum: () => scaled(weights, even),
    }[name]();
    this.row = { dest, weights: filled };
    this.session.changed();
  }

  // --- keeping ------------------------------------------------------------------------------------------------------

  keep(): void {
    const { session, params } = this;
    if (!params) return;
    const current = () => ({ ...params, base_rev: session.question?.rev ?? 0 });
    const pending = session.ask("heads.keep", current, "This edit could not be kept", { slot: "edits" });
    void pending.reply.then((reply) => {
      if (reply.kind === "done" && this.what) this.choose(null);
    });
  }
}

/** The weights divided by their sum; `otherwise` when there is nothing to divide. */
function scaled(weights: readonly number[], otherwise: number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return sum > 0 ? weights.map((it) => it / sum) : otherwise;
}
