// What the focus shows: a window of one head's pattern, or of several combined, fetched only as far as it is seen and
// at the resolution it is drawn. What is known already is drawn in the meantime.
import type { Grid } from "./arrays";
import { type Atlas, thumbsAreExact } from "./atlas";
import { clamp } from "./geometry";
import { type Cell, type Head, headKey } from "./heads";
import type { HeadsSession } from "./heads-session";
import {
  type Combine,
  combine,
  covers,
  isOf,
  type Pattern,
  patternFromReply,
  patternFromThumb,
  resample,
  type Window,
} from "./patterns";
import type { Params } from "./protocol";

export type Weighting = "attention" | "value";

/** Numbers kept of fetched patterns: 16 MB. */
const KEPT_VALUES = 4_000_000;
/** The closest look: so many tokens on a side. */
export const CLOSEST = 6;
const REST_MS = 120;

export class Focus {
  combine: Combine = "mean";
  weighting: Weighting = "attention";
  /** Column 0 is left blank; nothing is renormalised. */
  hideSink = false;
  /** The exact value of the cell that the pointer rests on. */
  exact: { key: string; value: number | null } | null = null;
  /** How many pixels (device) the focus pattern can show on a side; set by the view. */
  pixels = 512;
  #window: Window | null = null;
  #cache = new Map<string, Pattern[]>();
  #memos = new Map<string, { key: string; pattern: Pattern | null }>();
  #version = 0;
  #restTimer: unknown = null;
  #valueTimer: unknown = null;
  #asked = "";

  constructor(private readonly session: HeadsSession) {}

  close(): void {
    this.session.timers.clear(this.#restTimer);
    this.session.timers.clear(this.#valueTimer);
  }

  /** A new atlas is there: nothing fetched before belongs to it. */
  renew(): void {
    this.#cache.clear();
    this.#version++;
    this.#asked = "";
    this.exact = null;
    this.want();
  }

  // --- the window ---------------------------------------------------------------------------------------------------

  get positions(): number {
    return this.session.shown?.positions ?? 0;
  }

  /** What is in view, in tokens. */
  get window(): Window {
    const all = this.positions;
    const { dest = 0, src = 0, span: wanted = all } = this.#window ?? {};
    const span = Math.min(all, wanted);
    const window = { dest: clamp(dest, 0, all - span), src: clamp(src, 0, all - span), span };
    // A cell of several tokens would take them along with the first one: the window begins behind it instead.
    if (!this.hideSink || window.src > 0 || span <= this.#side) return window;
    const behind = Math.max(1, window.dest);
    return { dest: behind, src: 1, span: Math.min(span, all - behind) };
  }

  get zoomed(): boolean {
    return (this.#window?.span ?? this.positions) < this.positions;
  }

  /** Shows `factor` times as many tokens a side; what lies at the shares (0..1) `down` and `across` stays there. */
  zoom(factor: number, down = 0.5, across = 0.5): void {
    const { dest, src, span } = this.window;
    const all = this.positions;
    // Rounding must not swallow a step.
    const wanted = Math.min(Math.round(span * factor), factor < 1 ? span - 1 : all);
    const next = clamp(wanted, Math.min(CLOSEST, factor < 1 ? span : all), all);
    const start = (first: number, share: number) => Math.round(first + (span - next) * clamp(share, 0, 1));
    this.show({ dest: start(dest, down), src: start(src, across), span: next });
  }

  /** Moves the window to these first tokens. */
  show(window: Window): void {
    const before = Object.values(this.window).join();
    this.#window = window.span >= this.positions ? null : window;
    const now = this.window;
    if (Object.values(now).join() === before) return;
    if (this.#window) this.#window = now;
    this.want(REST_MS);
    this.session.changed();
  }

  reset(): void {
    this.show({ dest: 0, src: 0, span: this.positions });
  }

  /** Scrolls just as far as it takes to see a cell. */
  reveal({ dest, src }: Cell): void {
    const now = this.window;
    const near = (token: number, start: number) => clamp(start, token - now.span + 1, token);
    this.show({ dest: near(dest, now.dest), src: near(src, now.src), span: now.span });
  }

  // --- what is drawn ------------------------------------------------------------------------------------------------

  setCombine(how: Combine): void {
    this.combine = how;
    this.session.changed();
  }

  setWeighting(weighting: Weighting): void {
    this.weighting = weighting;
    this.exact = null;
    this.#redraw();
  }

  setHideSink(hide: boolean): void {
    this.hideSink = hide;
    this.#redraw();
  }

  #redraw(): void {
    this.want();
    this.session.changed();
  }

  get #side(): number {
    return clamp(Math.floor(this.pixels), 16, 1024);
  }

  #key(head: Head, atlas: Atlas): string {
    return `${atlas.run}:${atlas.rev}:${headKey(head)}:${this.weighting}`;
  }

  /** Where a window can be read from, the finest first. */
  #known(head: Head, atlas: Atlas, window: Window): Pattern[] {
    const kept = (this.#cache.get(this.#key(head, atlas)) ?? []).filter((it) => covers(it, window));
    const thumb = this.weighting === "attention" && (kept.length === 0 || thumbsAreExact(atlas));
    const all = thumb ? [...kept, patternFromThumb(atlas, head)] : kept;
    return all.sort((a, b) => a.positions / a.size - b.positions / b.size);
  }

  /** Is the head known as well as it can be drawn? */
  #sharp(head: Head, atlas: Atlas): boolean {
    const [best] = this.#known(head, atlas, this.window);
    if (!best) return false;
    return best.size === best.positions || (isOf(best, this.window) && best.size >= 0.8 * this.#side);
  }

  /** The pattern of one head as well as it is known in a window; null while nothing of it is. */
  patternOf(head: Head, window = this.window): Pattern | null {
    const atlas = this.session.shown;
    if (!atlas?.arrived[head[0]] || atlas.missing[head[0]] !== undefined) return null;
    const [best] = this.#known(head, atlas, window);
    if (!best || isOf(best, window)) return best ?? null;
    return resample(best, window, Math.min(window.span, this.#side));
  }

  /** Row `dest` of a head's attention, sources 0..dest, when all of it is known token by token; else null. */
  rowOf(head: Head, dest: number): number[] | null {
    const atlas = this.session.shown;
    if (!atlas || this.weighting !== "attention") return null;
    const kept = this.#cache.get(this.#key(head, atlas)) ?? [];
    const known = thumbsAreExact(atlas) ? [patternFromThumb(atlas, head)] : kept;
    const whole = known.find((it) => it.size === atlas.positions);
    if (!whole) return null;
    const row = Array.from(whole.values.subarray(dest * whole.size, dest * whole.size + dest + 1));
    return row.every(Number.isFinite) ? row : null;
  }

  /** What the focus draws: one head's pattern, or several combined. */
  get pattern(): Pattern | null {
    return this.#combined("window", this.window);
  }

  /** The same of all tokens, as well as it is known: what the token strip is tinted by. */
  get whole(): Pattern | null {
    return this.#combined("whole", { dest: 0, src: 0, span: this.positions });
  }

  #combined(name: string, window: Window): Pattern | null {
    const atlas = this.session.shown;
    const { weighting } = this;
    const shown = [atlas?.run, atlas?.rev, atlas?.arrived, weighting, this.combine, this.#version];
    const key = [this.session.focus, Object.values(window), this.#side, shown].join();
    const known = this.#memos.get(name);
    if (known?.key === key) return known.pattern;
    const patterns = this.session.focus.map((head) => this.patternOf(head, window));
    const there = patterns.filter((it) => it !== null);
    // Half of the heads would be another mean than the one asked for.
    const whole = there.length === patterns.length || weighting === "attention";
    const pattern = whole ? combine(there, this.combine) : null;
    this.#memos.set(name, { key, pattern });
    return pattern;
  }

  /** Something of what is in view has been asked for and is not here yet. */
  get pending(): boolean {
    return this.#asked !== "";
  }

  // --- fetching -----------------------------------------------------------------------------------------------------

  /** Fetches what the focus shows when less than that is known; after the pointer rests. */
  want(rest = 0): void {
    const { session } = this;
    session.timers.clear(this.#restTimer);
    const atlas = session.atlas;
    if (!atlas || session.growing || !session.channel.usable) return;
    if (this.weighting === "attention" && thumbsAreExact(atlas)) return;
    if (rest) this.#restTimer = session.timers.set(() => this.#ask(), rest);
    else this.#ask();
  }

  #ask(): void {
    const { session } = this;
    const atlas = session.atlas;
    if (!atlas || atlas.rev !== session.question?.rev) return;
    const heads = session.focus.filter((it) => atlas.missing[it[0]] === undefined && !this.#sharp(it, atlas));
    const window = this.window;
    const { dest, src, span } = window;
    const keys = heads.map((it) => this.#key(it, atlas));
    const wanted = [...keys, dest, src, span].join(" ");
    if (heads.length === 0 || wanted === this.#asked) return;
    this.#asked = wanted;
    const { weighting } = this;
    const part = { dest: [dest, dest + span], src: [src, src + span], side: this.#side };
    void this.#request("pattern", { heads, ...part }).then((reply) => {
      if (this.#asked === wanted) this.#asked = "";
      if (reply.kind === "failed") {
        // What cannot be weighted by values is shown by attention, not as a blank.
        if (weighting === "value") this.setWeighting("attention");
        return session.fail("This pattern could not be fetched", reply, () => this.#ask());
      }
      if (reply.kind !== "done" || reply.rev < (session.atlas?.rev ?? 0)) return session.changed();
      const grid = reply.arrays.pattern as Grid;
      const top = typeof reply.data.top === "number" ? reply.data.top : 1;
      for (const [place, key] of keys.entries())
        this.#keep(key, window, patternFromReply(grid, place, atlas.run, window, top));
      this.#version++;
      session.changed();
    });
  }

  /** Asks about the run in view, weighted as it is shown; the newest question of an op wins. */
  #request(slot: "pattern" | "value", asked: Params) {
    const { weighting, session } = this;
    const params = { run: session.atlas?.run, ...asked, ...(weighting === "value" && { weighting }) };
    return session.channel.request(`heads.${slot}`, params, { slot }).reply;
  }

  /** The newest stand last, and the oldest go first. */
  #keep(key: string, window: Window, pattern: Pattern): void {
    const others = (this.#cache.get(key) ?? []).filter((it) => !isOf(it, window));
    this.#cache.delete(key);
    this.#cache.set(key, [...others, pattern].slice(-4));
    const count = () => [...this.#cache.values()].flat().reduce((sum, it) => sum + it.values.length, 0);
    for (const old of this.#cache.keys()) {
      if (count() <= KEPT_VALUES || old === key) break;
      this.#cache.delete(old);
    }
  }

  // --- one exact value ----------------------------------------------------------------------------------------------

  /** Key of the cell whose value is read out, for the one head in focus. */
  valueKey(cell: Cell): string | null {
    const { focus, atlas } = this.session;
    const [head, more] = focus;
    return head && !more && atlas ? `${this.#key(head, atlas)}:${cell.dest}<${cell.src}` : null;
  }

  /** Asks for the exact value of the cell under the cursor, once it rests there. */
  wantValue(rest: number): void {
    const { session } = this;
    session.timers.clear(this.#valueTimer);
    const cell = session.hoverCell ?? session.cell;
    const key = cell && this.valueKey(cell);
    const [layer, head] = session.focus[0] ?? [];
    const askable = !session.stale && session.channel.usable;
    if (!cell || !key || this.exact?.key === key || !askable || cell.src > cell.dest) return;
    this.#valueTimer = session.timers.set(() => {
      if (this.valueKey(cell) !== key) return;
      void this.#request("value", { layer, head, ...cell }).then((reply) => {
        if (reply.kind !== "done" || reply.rev < (session.atlas?.rev ?? 0)) return;
        this.exact = { key, value: (reply.data.value as number | null) ?? null };
        session.changed();
      });
    }, rest);
  }
}
