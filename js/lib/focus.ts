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

const placeOf = ({ dest, src, span }: Window) => [dest, src, span].join();

export type Focus = ReturnType<typeof createFocus>;

export function createFocus(session: HeadsSession) {
  let chosen: Window | null = null;
  let version = 0;
  let restTimer: unknown = null;
  let valueTimer: unknown = null;
  let asked = "";
  const cache = new Map<string, Pattern[]>();
  const memos = new Map<string, { key: string; pattern: Pattern | null }>();
  const self = {
    combine: "mean" as Combine,
    weighedBy: "attention" as Weighting,
    /** Column 0 is left blank; nothing is renormalised. */
    hideSink: false,
    /** The exact value of the cell that the pointer rests on. */
    exact: null as { key: string; value: number | null } | null,
    /** How many pixels (device) the focus pattern can show on a side; set by the view. */
    pixels: 512,
    get all() {
      return positions();
    },
    /** What is in view, in tokens. */
    get window() {
      return inView();
    },
    get zoomed() {
      return zoomed();
    },
    /** What the focus draws: one head's pattern, or several combined. */
    get pattern() {
      return pattern();
    },
    /** The same of all tokens, as well as it is known: what the token strip is tinted by. */
    get whole() {
      return whole();
    },
    /** Something of what is in view has been asked for and is not here yet. */
    get pending() {
      return asked !== "";
    },
    close,
    renew,
    zoom,
    show,
    reset,
    reveal,
    setCombine,
    setWeighting,
    setHideSink,
    patternOf,
    rowOf,
    want,
    valueKey,
    wantValue,
  };

  function close(): void {
    session.timers.clear(restTimer);
    session.timers.clear(valueTimer);
  }

  /** A new atlas is there: nothing fetched before belongs to it. */
  function renew(): void {
    cache.clear();
    version++;
    asked = "";
    self.exact = null;
    want();
  }

  // --- the window ---------------------------------------------------------------------------------------------------

  function positions(): number {
    return session.shown?.span ?? 0;
  }

  /** What is in view, in tokens. */
  function inView(): Window {
    const all = positions();
    const { dest = 0, src = 0, span: wanted = all } = chosen ?? {};
    const span = Math.min(all, wanted);
    const window = { dest: clamp(dest, 0, all - span), src: clamp(src, 0, all - span), span };
    // A cell of several tokens would take them along with the first one: the window begins behind it instead.
    if (!self.hideSink || window.src > 0 || span <= side()) return window;
    const behind = Math.max(1, window.dest);
    return { dest: behind, src: 1, span: Math.min(span, all - behind) };
  }

  function zoomed(): boolean {
    return (chosen?.span ?? positions()) < positions();
  }

  /** Shows `factor` times as many tokens a side; what lies at the shares (0..1) `down` and `across` stays there. */
  function zoom(factor: number, down = 0.5, across = 0.5): void {
    const { dest, src, span } = inView();
    const all = positions();
    // Rounding must not swallow a step.
    const wanted = Math.min(Math.round(span * factor), factor < 1 ? span - 1 : all);
    const next = clamp(wanted, Math.min(CLOSEST, factor < 1 ? span : all), all);
    const start = (first: number, share: number) => Math.round(first + (span - next) * clamp(share, 0, 1));
    show({ dest: start(dest, down), src: start(src, across), span: next });
  }

  /** Moves the window to these first tokens. */
  function show(window: Window): void {
    const before = placeOf(inView());
    chosen = window.span >= positions() ? null : window;
    const now = inView();
    if (placeOf(now) === before) return;
    if (chosen) chosen = now;
    want(REST_MS);
    session.changed();
  }

  function reset(): void {
    show({ dest: 0, src: 0, span: positions() });
  }

  /** Scrolls just as far as it takes to see a cell. */
  function reveal({ dest, src }: Cell): void {
    const now = inView();
    const near = (token: number, start: number) => clamp(start, token - now.span + 1, token);
    show({ dest: near(dest, now.dest), src: near(src, now.src), span: now.span });
  }

  // --- what is drawn ------------------------------------------------------------------------------------------------

  function setCombine(how: Combine): void {
    self.combine = how;
    session.changed();
  }

  function setWeighting(weighting: Weighting): void {
    self.weighedBy = weighting;
    self.exact = null;
    redraw();
  }

  function setHideSink(hide: boolean): void {
    self.hideSink = hide;
    redraw();
  }

  function redraw(): void {
    want();
    session.changed();
  }

  function side(): number {
    return clamp(Math.floor(self.pixels), 16, 1024);
  }

  function key(head: Head, atlas: Atlas): string {
    return `${atlas.run}:${atlas.rev}:${headKey(head)}:${self.weighedBy}`;
  }

  /** Where a window can be read from, the finest first. */
  function known(head: Head, atlas: Atlas, window: Window): Pattern[] {
    const kept = (cache.get(key(head, atlas)) ?? []).filter((it) => covers(it, window));
    const thumb = self.weighedBy === "attention" && (kept.length === 0 || thumbsAreExact(atlas));
    const all = thumb ? [...kept, patternFromThumb(atlas, head)] : kept;
    return all.sort((a, b) => a.span / a.size - b.span / b.size);
  }

  /** Is the head known as well as it can be drawn? */
  function sharp(head: Head, atlas: Atlas): boolean {
    const [best] = known(head, atlas, inView());
    if (!best) return false;
    return best.size === best.span || (isOf(best, inView()) && best.size >= 0.8 * side());
  }

  /** The pattern of one head as well as it is known in a window; null while nothing of it is. */
  function patternOf(head: Head, window = inView()): Pattern | null {
    const atlas = session.shown;
    if (!atlas?.arrived[head[0]] || atlas.absent[head[0]] !== undefined) return null;
    const [best] = known(head, atlas, window);
    if (!best || isOf(best, window)) return best ?? null;
    return resample(best, window, Math.min(window.span, side()));
  }

  /** Row `dest` of a head's attention, sources 0..dest, when all of it is known token by token; else null. */
  function rowOf(head: Head, dest: number): number[] | null {
    const atlas = session.shown;
    if (!atlas || self.weighedBy !== "attention") return null;
    const kept = cache.get(key(head, atlas)) ?? [];
    const known = thumbsAreExact(atlas) ? [patternFromThumb(atlas, head)] : kept;
    const whole = known.find((it) => it.size === atlas.span);
    if (!whole) return null;
    const row = Array.from(whole.numbers.subarray(dest * whole.size, dest * whole.size + dest + 1));
    return row.every(Number.isFinite) ? row : null;
  }

  const pattern = () => combined("window", inView());

  const whole = () => combined("whole", { dest: 0, src: 0, span: positions() });

  function combined(name: string, window: Window): Pattern | null {
    const atlas = session.shown;
    const { weighedBy: weighting } = self;
    const shown = [atlas?.run, atlas?.rev, atlas?.arrived, weighting, self.combine, version];
    const key = [session.inFocus, placeOf(window), side(), shown].join();
    const known = memos.get(name);
    if (known?.key === key) return known.pattern;
    const patterns = session.inFocus.map((head) => patternOf(head, window));
    const there = patterns.filter((it) => it !== null);
    // Half of the heads would be another mean than the one asked for.
    const whole = there.length === patterns.length || weighting === "attention";
    const pattern = whole ? combine(there, self.combine) : null;
    memos.set(name, { key, pattern });
    return pattern;
  }

  // --- fetching -----------------------------------------------------------------------------------------------------

  /** Fetches what the focus shows when less than that is known; after the pointer rests. */
  function want(rest = 0): void {
    session.timers.clear(restTimer);
    const atlas = session.atlas;
    if (!atlas || session.growing || !session.channel.usable) return;
    if (self.weighedBy === "attention" && thumbsAreExact(atlas)) return;
    if (rest) restTimer = session.timers.set(ask, rest);
    else ask();
  }

  function ask(): void {
    const atlas = session.atlas;
    if (!atlas || atlas.rev !== session.question?.rev) return;
    const heads = session.inFocus.filter((it) => atlas.absent[it[0]] === undefined && !sharp(it, atlas));
    const window = inView();
    const { dest, src, span } = window;
    const keys = heads.map((it) => key(it, atlas));
    const wanted = [...keys, dest, src, span].join(" ");
    if (heads.length === 0 || wanted === asked) return;
    asked = wanted;
    const { weighedBy: weighting } = self;
    const part = { dest: [dest, dest + span], src: [src, src + span], side: side() };
    void request("pattern", { heads, ...part }).then((reply) => {
      if (asked === wanted) asked = "";
      if (reply.kind === "failed") {
        // What cannot be weighted by values is shown by attention, not as a blank.
        if (weighting === "value") setWeighting("attention");
        return session.fail("heads.pattern", reply, ask);
      }
      if (reply.kind !== "done" || reply.rev < (session.atlas?.rev ?? 0)) return session.changed();
      const grid = reply.arrays.pattern as Grid;
      const top = typeof reply.data.top === "number" ? reply.data.top : 1;
      for (const [place, key] of keys.entries())
        keep(key, window, patternFromReply(grid, place, atlas.run, window, top));
      version++;
      session.changed();
    });
  }

  /** Asks about the run in view, weighted as it is shown; the newest question of an op wins. */
  function request(slot: "pattern" | "value", asked: Params) {
    const { weighedBy: weighting } = self;
    const params = { run: session.atlas?.run, ...asked, ...(weighting === "value" && { weighting }) };
    return session.channel.request(`heads.${slot}`, params, { slot }).reply;
  }

  /** The newest stand last, and the oldest go first. */
  function keep(key: string, window: Window, pattern: Pattern): void {
    const others = (cache.get(key) ?? []).filter((it) => !isOf(it, window));
    cache.delete(key);
    cache.set(key, [...others, pattern].slice(-4));
    const count = () => [...cache.values()].flat().reduce((sum, it) => sum + it.numbers.length, 0);
    for (const old of cache.keys()) {
      if (count() <= KEPT_VALUES || old === key) break;
      cache.delete(old);
    }
  }

  // --- one exact value ----------------------------------------------------------------------------------------------

  /** Key of the cell whose value is read out, for the one head in focus. */
  function valueKey(cell: Cell): string | null {
    const { inFocus: focus, atlas } = session;
    const [head, more] = focus;
    return head && !more && atlas ? `${key(head, atlas)}:${cell.dest}<${cell.src}` : null;
  }

  /** Asks for the exact value of the cell under the cursor, once it rests there. */
  function wantValue(rest: number): void {
    session.timers.clear(valueTimer);
    const cell = session.hoverCell ?? session.lockedCell;
    const key = cell && valueKey(cell);
    const [layer, head] = session.inFocus[0] ?? [];
    const askable = !session.stale && session.channel.usable;
    if (!cell || !key || self.exact?.key === key || !askable || cell.src > cell.dest) return;
    valueTimer = session.timers.set(() => {
      if (valueKey(cell) !== key) return;
      void request("value", { layer, head, ...cell }).then((reply) => {
        if (reply.kind !== "done" || reply.rev < (session.atlas?.rev ?? 0)) return;
        self.exact = { key, value: (reply.data.value as number | null) ?? null };
        session.changed();
      });
    }, rest);
  }
  return self;
}
