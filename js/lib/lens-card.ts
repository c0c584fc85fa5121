// What the side panel of the lens knows: the card of the cell in focus, the pinned tokens and their way through the rows,
// and what each component writes along the answer direction. Each is asked for only while it is shown.
import { Asked } from "./asked";
import { css, type Rgb } from "./colour";
import { memo } from "./dom";
import { type Head, headKey } from "./heads";
import { cellSite, type LensCell, type LensRow, sameCell } from "./lens-cells";
import type { LensSession } from "./lens-session";
import type { Params, Run } from "./protocol";
import type { Theme } from "./theme";
import { QUANTITIES, type Quantity } from "./trajectory-layout";

export interface CardToken {
  id: number;
  label: string;
  /** Probability; on a contribution the centred logit. */
  value: number | null;
  logit?: number | null;
  /** The value in the run that this one is compared with: without the edits, or of the corrupted prompt. */
  before?: number | null;
  /** Its place among all tokens there, 0 is the first. */
  before_rank?: number | null;
}

interface CardReply {
  tokens: CardToken[];
  suppressed?: CardToken[];
  measures: Record<string, number | null>;
}

interface TrackReply {
  position: number;
  tokens: { id: number; label: string }[];
  rows: number[];
}
type Lines = Record<Quantity, readonly number[]>;
export interface Tracks extends TrackReply {
  /** [token, row], end to end; NaN where a quantity is not defined. */
  lines: Lines;
  /** The same without the edits. */
  before: Lines | null;
}

export interface Component {
  name: string;
  layer: number | null;
  head: number | null;
  value: number | null;
}
export interface Attribution {
  total: number | null;
  residue: number | null;
  softcap: boolean;
  note: string;
  card: { title: string; formula: string; source: string };
  components: Component[];
}

export interface Pin {
  id: number;
  label: string;
  role: "answer" | "distractor" | null;
  /** Number of its colour. */
  slot: number;
}

const HEAD = /^L(\d+)H(\d+)\./;
/** As many as one request tracks. */
export const MOST_PINS = 12;
export const FEW = 5;
export const MANY = 20;
const REST_MS = 120;

/** Answer, distractor, then the others; told apart by colour-blind readers too, at least 4.5 to 1 on the background. */
const PINS: { [mode in "light" | "dark"]: readonly Rgb[] } = {
  light: [
    [15, 127, 134],
    [176, 42, 124],
    [82, 91, 104],
    [178, 74, 0],
    [91, 63, 200],
    [69, 117, 12],
    [2, 104, 176],
    [133, 77, 46],
  ],
  dark: [
    [60, 195, 208],
    [240, 120, 184],
    [176, 184, 196],
    [244, 150, 84],
    [182, 164, 255],
    [156, 208, 92],
    [104, 184, 250],
    [212, 172, 134],
  ],
};

/** Runs that are differences have no numbers of their own to follow: those of the run they begin with are shown. */
export const trackedRun = (run: Run): Run =>
  run === "change" ? "edited" : run === "difference" ? "clean" : run;

/** The run that a picture of two is compared with, as its marks are called; null where there is none. */
export const otherRun = (run: Run): string | null =>
  run === "difference" ? "corrupted" : run === "edited" || run === "change" ? "unedited" : null;

export class LensCard {
  /** So many tokens are listed. */
  count = FEW;
  /** Are all measures of the cell shown? */
  measuring = false;
  /** What the trajectories show. */
  quantity: Quantity = "prob";
  /** Is attribution unfolded? */
  attributing = false;
  /** The head whose sources are shown. */
  head: Head | null = null;
  readonly asked: Asked<CardReply>;
  readonly tracking: Asked<Tracks>;
  readonly attribution: Asked<Attribution>;
  readonly sources: Asked<readonly number[]>;
  /** Tokens that the reader pinned, and those of the question that they unpinned. */
  #own: number[] = [];
  #unpinned = new Set<number>();
  #labels = new Map<number, string>();
  #slots = new Map<number, number>();
  #model = "";
  #version = 0;
  #selection: readonly string[] = [];
  readonly #pins = memo<readonly Pin[]>();
  #off: () => void;

  constructor(private readonly session: LensSession) {
    this.asked = new Asked(session, "lens.card");
    this.tracking = new Asked(session, "lens.track", ({ data, arrays }) => {
      const { rows: all, ...facts } = data as unknown as TrackReply;
      // What attention or an MLP adds is no stop on a token's way.
      const kept = [...all.keys()].filter((at) => session.lens?.rows[all[at] as number]?.kind === "stream");
      const line = (raw: ArrayLike<number>) =>
        facts.tokens.flatMap((_, token) => kept.map((at) => raw[token * all.length + at] ?? Number.NaN));
      const lines = (prefix: string) =>
        Object.fromEntries(
          QUANTITIES.map((name) => [name, line(arrays[`${prefix}${name}s`]?.raw ?? [])]),
        ) as unknown as Lines;
      const before = arrays.unedited_probs ? lines("unedited_") : null;
      return { ...facts, rows: kept.map((at) => all[at] as number), lines: lines(""), before };
    });
    this.attribution = new Asked(session, "lens.attribution");
    this.sources = new Asked(session, "lens.attribution", ({ arrays }) => [...(arrays.values?.raw ?? [])]);
    this.#off = session.on("change", () => this.#follow());
  }

  close(): void {
    this.#off();
    for (const asked of [this.asked, this.tracking, this.attribution, this.sources]) asked.close();
  }

  // --- asking -------------------------------------------------------------------------------------------------------

  /** Pins of another model's vocabulary mean nothing in this one. */
  #followModel(): void {
    const model = this.session.question?.model?.name;
    if (!model || model === this.#model) return;
    const before = this.#model;
    this.#model = model;
    if (!before) return;
    this.#own = [];
    this.#unpinned.clear();
    this.#labels.clear();
    this.head = null;
    this.#version++;
  }

  /** A head that was selected anywhere is the one whose sources are shown; a selected cell puts none away. */
  #followSelection(): void {
    const { selection, question } = this.session;
    if (selection === this.#selection) return;
    this.#selection = selection;
    const { n_layers: layers = 0, n_heads: heads = 0 } = question?.model ?? {};
    const [, layer = layers, head = heads] = selection.map((it) => HEAD.exec(it)).find((it) => it) ?? [];
    if (Number(layer) < layers && Number(head) < heads) this.head = [Number(layer), Number(head)];
  }

  #follow(): void {
    this.#followModel();
    this.#followSelection();
    const { session } = this;
    const { lens, question } = session;
    // What is shown of a picture that is being replaced stands, dimmed with it.
    if (!lens || session.stale || session.offReason || lens.rev !== question?.rev) return;
    const { run, tuned } = lens;
    const { sublayers } = session;
    const cell = session.focusCell;
    const exact = cell && this.#needsExact(lens.rows[cell.row]);
    this.asked.ask(exact ? { run, ...cell, k: this.count, sublayers, tuned } : null, REST_MS);
    const tokens = this.pins.map(({ id }) => id);
    const position = session.pickedCell?.position;
    const tracks = tokens.length > 0 && position !== undefined;
    const track = { run: trackedRun(run), position, tokens, sublayers, tuned };
    this.tracking.ask(tracks ? track : null, this.tracking.answer ? REST_MS : 0);
    const direct: Params = { run: trackedRun(run) };
    this.attribution.ask(this.attributing && question.answer ? { ...direct, by: "component" } : null);
    const { head, attribution } = this;
    // The two go by one slot, in which a newer request takes the place of an older one.
    if (head && (attribution.running || attribution.failure)) return;
    const [layer, of] = head ?? [];
    this.sources.ask(attribution.answer && head ? { ...direct, by: "source", layer, head: of } : null);
  }

  /** Is more to be shown of a cell than the table brought along? */
  #needsExact(row: LensRow | undefined): boolean {
    const { lens } = this.session;
    if (!lens || !row) return false;
    return (
      this.count > lens.k || this.measuring || row.kind === "contribution" || otherRun(lens.run) !== null
    );
  }

  setCount(count: number): void {
    this.count = count;
    this.session.changed();
  }

  setMeasuring(measuring: boolean): void {
    this.measuring = measuring;
    this.session.changed();
  }

  setQuantity(quantity: Quantity): void {
    this.quantity = quantity;
    this.session.changed();
  }

  setAttributing(attributing: boolean): void {
    this.attributing = attributing;
    this.session.changed();
  }

  /** Selects a head for every widget of the experiment and shows its sources; null puts it away. */
  pickHead(head: Head | null): void {
    const { session } = this;
    const { lens, cell } = session;
    this.head = head;
    session.select(head ? [`${headKey(head)}.z`] : lens && cell ? [cellSite(lens, cell)] : []);
  }

  // --- the card -----------------------------------------------------------------------------------------------------

  /** The exact card of this cell; null while it is not here. */
  exact(cell: LensCell): CardReply | null {
    const { answer, answered, running } = this.asked;
    return !running && sameCell(answered as unknown as LensCell | null, cell) ? answer : null;
  }

  /** The tokens of a cell, as many as are wanted and known. */
  tokens(cell: LensCell): CardToken[] {
    const exact = this.exact(cell)?.tokens;
    const top = this.session.lens?.cells.top(cell) ?? [];
    return (exact ?? top.map((it) => ({ ...it, label: this.labelOf(it.id) }))).slice(0, this.count);
  }

  labelOf(id: number): string {
    return this.session.lens?.tokens.get(id) ?? this.#labels.get(id) ?? `#${id}`;
  }

  // --- pins ---------------------------------------------------------------------------------------------------------

  /** The tokens that are followed: those of the question, then those that the reader pinned. */
  get pins(): readonly Pin[] {
    const { answer = null, distractor = null } = this.session.question ?? {};
    return this.#pins([answer, distractor, this.#version], () => {
      const pins: Omit<Pin, "slot">[] = [];
      const add = (id: number, label: string, role: Pin["role"]) => {
        if (pins.length < MOST_PINS && !pins.some((it) => it.id === id)) pins.push({ id, label, role });
      };
      for (const [role, of] of [
        ["answer", answer],
        ["distractor", distractor],
      ] as const)
        for (const [at, id] of (of?.ids ?? []).entries())
          if (!this.#unpinned.has(id)) add(id, of?.labels[at] ?? this.labelOf(id), role);
      for (const id of this.#own) add(id, this.#labels.get(id) ?? this.labelOf(id), null);
      return this.#coloured(pins);
    });
  }

  /** A token keeps its colour as long as it is pinned. */
  #coloured(pins: Omit<Pin, "slot">[]): Pin[] {
    const first = (role: Pin["role"]) => pins.find((it) => it.role === role)?.id;
    const roles = [first("answer"), first("distractor")];
    const slots = pins.map(({ id }) => {
      const known = this.#slots.get(id) ?? 0;
      return roles.includes(id) ? roles.indexOf(id) : known < 2 ? -1 : known;
    });
    for (const [at, slot] of slots.entries()) {
      if (slot >= 0) continue;
      slots[at] = 2;
      while (slots.filter((it) => it === slots[at]).length > 1) slots[at]++;
    }
    const made = pins.map((pin, at) => ({ ...pin, slot: slots[at] as number }));
    this.#slots = new Map(made.map(({ id, slot }) => [id, slot]));
    return made;
  }

  /** Another one whenever pins or their colours are others. */
  get pinsVersion(): unknown {
    return this.pins;
  }

  isPinned(id: number): boolean {
    return this.pins.some((pin) => pin.id === id);
  }

  /** Pins a token or unpins it; says whether it is pinned now. The oldest of the reader's own gives way to a thirteenth. */
  togglePin(id: number, label = this.labelOf(id)): boolean {
    const pinned = !this.isPinned(id);
    this.#own = this.#own.filter((it) => it !== id);
    const { answer, distractor } = this.session.question ?? {};
    const asked = [answer, distractor].some((it) => it?.ids.includes(id));
    if (asked) this.#unpinned[pinned ? "delete" : "add"](id);
    else if (pinned) {
      const others = this.pins.filter((pin) => pin.role).length;
      this.#own = [...this.#own, id].slice(-Math.max(1, MOST_PINS - others));
      this.#labels.set(id, label);
    }
    this.#version++;
    this.session.changed();
    return pinned;
  }

  /** Pins the token whose text is this; tells what it did, in words. */
  async pinText(text: string): Promise<string> {
    const reply = await this.session.channel.request("lens.find", { text }, { slot: "find" }).reply;
    if (reply.kind === "failed") return `${reply.message} ${reply.hint}`.trim();
    if (reply.kind !== "done") return "";
    const { tokens } = reply.data as unknown as { tokens: { id: number; label: string }[] };
    // A word within a text begins with its space, which is easily left out: typed again, it is the other one.
    if (!/^\s/.test(text)) tokens.sort((a, b) => b.label.length - a.label.length);
    const found = tokens.find(({ id }) => !this.isPinned(id)) ?? tokens[0];
    const other = tokens.find((it) => it !== found);
    if (!found) return `no single token is “${text}”`;
    if (!this.isPinned(found.id)) this.togglePin(found.id, found.label);
    return `${found.label} pinned${other ? `; there is ${other.label} too` : ""}`;
  }

  /** The colour of a pinned token; null of any other. */
  pinColour(id: number, theme: Theme): Rgb | null {
    const pin = this.pins.find((it) => it.id === id);
    return pin ? slotColour(pin.slot, theme) : null;
  }
}

export function slotColour(slot: number, { dark }: Theme): Rgb {
  const colours = PINS[dark ? "dark" : "light"];
  return colours[slot < 2 ? slot : 2 + ((slot - 2) % (colours.length - 2))] as Rgb;
}
export const slotCss = (slot: number, theme: Theme) => css(slotColour(slot, theme));
