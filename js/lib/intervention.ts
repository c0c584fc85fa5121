// What an intervention on the chosen heads would do to the prompt displayed: previewed while it is chosen, added to the
// experiment's edits when it is kept. Nothing runs before a person chooses.
import { Asked } from "./asked";
import { clamp, times } from "./geometry";
import type { Head } from "./heads";
import type { HeadsSession } from "./heads-session";
import type { Edit, Params, Provenance } from "./protocol";

export type What = "zero" | "mean" | "resample" | "knockout" | "pattern";
export type Tab = "intervene" | "writes";
export type Preset = "own" | "here" | "uniform" | "first" | "sum";

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

export type Intervention = ReturnType<typeof createIntervention>;

export function createIntervention(session: HeadsSession) {
  const self = {
    tab: "intervene" as Tab,
    what: null as What | null,
    /** The row that overwrites the pattern: weights of the sources 0..dest. */
    row: null as { dest: number; weights: number[] } | null,
    effect: new Asked<Effect>(session, "heads.effect"),
    writes: new Asked<Writes>(session, "heads.writes"),
    get heads() {
      return heads();
    },
    get dest() {
      return dest();
    },
    get off() {
      return off();
    },
    get lacks() {
      return lacks();
    },
    get params() {
      return params();
    },
    close,
    choose,
    setTab,
    setWeight,
    preset,
    keep,
  };
  const stop = session.on("change", follow);

  function close(): void {
    stop();
    self.effect.close();
    self.writes.close();
  }

  /** The heads that are intervened on: the locked ones, else what the focus shows. */
  function heads(): readonly Head[] {
    return session.locked.length ? session.locked : session.inFocus;
  }

  /** The row that an overwrite replaces and that "writes" reads: the token picked, else the answer position. */
  function dest(): number {
    return session.pickedToken;
  }

  /** Why nothing can be intervened on now, or null. */
  function off(): string | null {
    if (session.question?.arrays) return session.why("no-model");
    if (session.offReason) return session.offReason;
    return session.shown?.run === "other" ? session.why("other-shown") : null;
  }

  /** What is still to be chosen, in words; null when the intervention is complete. */
  function lacks(): string | null {
    const { lockedCell: cell } = session;
    const cuts = cell && cell.src <= cell.dest;
    if (self.what !== "knockout" || cuts) return null;
    return session.why("no-cell");
  }

  /** Chooses a kind of intervention; the one that is chosen already, or null, is put away. */
  function choose(what: What | null): void {
    self.tab = "intervene";
    self.what = what === self.what ? null : what;
    // The heads must not change under the reader while the pointer crosses the atlas.
    if (self.what && session.locked.length === 0 && session.inFocus[0]) session.lock(session.inFocus[0]);
    if (self.what !== "pattern") self.row = null;
    session.changed();
  }

  function setTab(tab: Tab): void {
    self.tab = tab;
    session.changed();
  }

  function params(): Params | null {
    const { what, row } = self;
    if (!what || lacks() || off() || !session.atlas) return null;
    const base = { run: session.atlas.run, what, heads: heads() };
    if (what === "knockout") return { ...base, ...session.lockedCell };
    return what === "pattern" ? { ...base, dest: row?.dest, weights: whole() } : base;
  }

  function follow(): void {
    if (self.what === "pattern" && self.row?.dest !== dest()) {
      self.row = { dest: dest(), weights: [] };
      preset("own");
    }
    // While the picture is of another question, what is asked about it waits.
    if (session.stale || session.growing || !session.channel.usable) return;
    self.effect.ask(params(), self.what === "pattern" ? REST_MS : 0);
    const [layer, head] = heads()[0] ?? [];
    const open = self.tab === "writes" && off() === null && layer !== undefined && session.atlas;
    const position = dest();
    const asked = { run: session.atlas?.run, layer, head, position, k: WRITTEN };
    self.writes.ask(open ? asked : null, REST_MS);
  }

  // --- the row that overwrites --------------------------------------------------------------------------------------

  /** All sources, those after dest with nothing. */
  function whole(): number[] {
    const { weights = [] } = self.row ?? {};
    return times(session.shown?.span ?? 0, (src) => weights[src] ?? 0);
  }

  function setWeight(src: number, value: number): void {
    if (!self.row || src < 0 || src > self.row.dest || !Number.isFinite(value)) return;
    const weights = self.row.weights.slice();
    weights[src] = clamp(value, 0, 1);
    self.row = { ...self.row, weights };
    session.changed();
  }

  /** Fills the row: as it is shown, all on source `at`, evenly, all on the first token, or scaled to sum to 1. */
  function preset(name: Preset, at = 0): void {
    if (!self.row) return;
    const { dest, weights } = self.row;
    const row = (weight: (src: number) => number) => times(dest + 1, weight);
    const only = (chosen: number) => row((src) => Number(src === chosen));
    const even = row(() => 1 / (dest + 1));
    const head = heads()[0];
    const shown = (head && session.focusing.rowOf(head, dest)) ?? even;
    const filled = {
      own: () => scaled(shown, even),
      here: () => only(at),
      uniform: () => even,
      first: () => only(0),
      sum: () => scaled(weights, even),
    }[name]();
    self.row = { dest, weights: filled };
    session.changed();
  }

  // --- keeping ------------------------------------------------------------------------------------------------------

  function keep(): void {
    const kept = params();
    if (!kept) return;
    void session.askChange("heads.keep", kept).then((reply) => {
      if (reply.kind === "done" && self.what) choose(null);
    });
  }
  return self;
}

/** The weights divided by their sum; `otherwise` when there is nothing to divide. */
function scaled(weights: readonly number[], otherwise: number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return sum > 0 ? weights.map((it) => it / sum) : otherwise;
}
