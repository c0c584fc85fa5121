// What the attention-heads widget knows beyond the question: atlas, run, score, heads in view.
import { BuffersMissing } from "./arrays";
import { type Atlas, growAtlas, readAtlas } from "./atlas";
import type { Partial } from "./channel";
import { Focus } from "./focus";
import { clamp } from "./geometry";
import { type Cell, type Head, sameHead } from "./heads";
import { Intervention } from "./intervention";
import type { AtlasEntry, Run } from "./protocol";
import { Ranking } from "./ranking";
import { Session } from "./session";
import { parsePatternSite, patternSite } from "./sites";

const REST_MS = 120;
const COMPARED = new Set<Run>(["other", "against"]);

export class HeadsSession extends Session {
  atlas: Atlas | null = null;
  growing: Atlas | null = null;
  /** The binary data of the atlas did not arrive: why, in words. */
  atlasTrouble: string | null = null;
  run: Run = "clean";
  score = "induction";
  locked: Head[] = [];
  hovered: Head | null = null;
  /** The token in focus; null until one is chosen: then it is the answer position. */
  token: number | null = null;
  /** A clicked cell of the focus pattern. */
  cell: Cell | null = null;
  hoverCell: Cell | null = null;
  hoverToken: number | null = null;
  /** The patterns of the heads in view. */
  readonly focusing = new Focus(this);
  /** What is tried on them. */
  readonly intervention = new Intervention(this);
  /** Their order, and the scores that are asked for on their own. */
  readonly ranking = new Ranking(this);
  #scoreChosen = false;
  #runAsked: Run | null = null;

  override start(): void {
    this.listen("change:atlas", () => this.#readTrait());
    this.listen("change:status", () => {
      // Work that was cancelled or failed leaves half a picture: the last whole one is shown again.
      if (!this.work) this.growing = null;
    });
    this.#readTrait();
    super.start();
  }

  override close(): void {
    super.close();
    this.focusing.close();
    this.intervention.close();
  }

  /** The atlas to draw: the one that streams in once a part of it is there, else the last complete one. */
  get shown(): Atlas | null {
    return this.growing ?? this.atlas;
  }

  /** Is the picture of an older question or run than the one asked for? */
  get stale(): boolean {
    const atlas = this.shown;
    if (!atlas) return false;
    return atlas.rev < (this.question?.rev ?? 0) || atlas.run !== this.run || this.drafted || this.asking;
  }

  #readTrait(): void {
    this.hold("atlas");
    this.#takeAtlas(this.model.get("atlas"));
  }

  protected override readSnapshot(
    snapshot: Record<string, Record<string, unknown>>,
    buffers: readonly unknown[],
  ) {
    this.#takeAtlas(snapshot.atlas, buffers);
  }

  #takeAtlas(value: unknown, buffers: readonly unknown[] = []): void {
    const entry = value as AtlasEntry | null | undefined;
    if (typeof entry?.rev !== "number" || entry.rev < (this.atlas?.rev ?? 0)) return;
    try {
      const atlas = this.ranking.join(readAtlas(entry, buffers));
      const first = this.atlas === null;
      this.atlas = atlas;
      this.atlasTrouble = null;
      if (this.growing && (this.growing.rev < atlas.rev || this.growing.run === atlas.run))
        this.growing = null;
      // Another view or Python may have chosen the run; only a run this page asks for is waited for.
      if (first || this.#runAsked === null || this.#runAsked === atlas.run) {
        this.run = atlas.run;
        this.#runAsked = null;
      }
      this.#afterAtlas();
    } catch (error) {
      if (!(error instanceof BuffersMissing)) throw error;
      this.atlasTrouble = error.message;
    }
    this.changed();
  }

  #afterAtlas(): void {
    const atlas = this.atlas;
    if (!atlas) return;
    const inside = ([layer, head]: Head) => layer < atlas.layers && head < atlas.heads;
    this.locked = this.locked.filter(inside);
    if (this.hovered && !inside(this.hovered)) this.hovered = null;
    if (this.token !== null && this.token >= atlas.positions) this.token = null;
    if (this.cell && Math.max(this.cell.dest, this.cell.src) >= atlas.positions) this.cell = null;
    this.hoverCell = null;
    this.ranking.renew();
    const gone = !(this.score in atlas.scores) && this.ranking.waiting !== "rank";
    if (gone || !(this.#scoreChosen || this.scoreDefined(this.score))) this.fallBack();
    this.focusing.renew();
  }

  protected override onKernelPartial(partial: Partial): void {
    this.#grow(partial);
    super.onKernelPartial(partial);
  }

  #grow(partial: Partial): void {
    const rev = Number(partial.data.rev ?? -1);
    if (rev < (this.atlas?.rev ?? 0) || rev < (this.question?.rev ?? 0)) return;
    const model = this.question?.model;
    const facts = { layers: model?.n_layers ?? this.atlas?.layers ?? 0, kvHeads: model?.n_kv_heads };
    this.growing = growAtlas(this.growing, partial, facts) ?? this.growing;
    this.changed();
  }

  scoreDefined(name: string): boolean {
    const score = this.shown?.scores[name];
    return !!score && score.reason === null;
  }

  /** Shows a score that is defined, in place of one that is not. */
  fallBack(): void {
    const others = ["duplicate", "previous", "first", "entropy"];
    this.score = others.find((name) => this.scoreDefined(name)) ?? this.score;
  }

  setScore(name: string): void {
    if (!this.scoreDefined(name)) return;
    this.#scoreChosen = true;
    this.score = name;
    this.focusing.want();
    this.changed();
  }

  /** A run as people call it: what is compared has a name of its own. */
  runLabel(run: Run): string {
    const other = this.question?.compare?.label ?? "other";
    return run === "other" ? other : run === "against" ? `clean − ${other}` : run;
  }

  /** Why a run cannot be shown, or null when it can. */
  runReason(run: Run): string | null {
    const { question } = this;
    if (question?.arrays) return "Made from arrays: there is no model to run.";
    if (!question?.model) return "Nothing was asked yet.";
    if (COMPARED.has(run) && !question.compare)
      return "This needs another experiment: mi.AttentionHeads(exp, compare=other).";
    if ((run === "corrupted" || run === "difference") && !question.prompts.corrupted)
      return "This needs a corrupted prompt: mi.Experiment(model, clean, corrupted).";
    if (run === "edited" && !question.edits.some((edit) => edit.on)) return "No edit is switched on.";
    return run === this.run ? null : this.offReason;
  }

  setRun(run: Run): void {
    if (this.runReason(run) !== null || (run === this.run && !this.#runAsked)) return;
    const before = this.atlas?.run ?? run;
    this.run = run;
    this.#runAsked = run;
    void this.#askAtlas((partial) => this.#grow(partial)).then((reply) => {
      if (reply.kind !== "done" && this.#runAsked === run) {
        this.#runAsked = null;
        this.run = before;
        this.growing = null;
      }
      this.changed();
    });
  }

  /** Asks once more for the atlas of the run that is wanted, after work of the kernel's own failed. */
  rerun(): void {
    void this.#askAtlas();
  }

  #askAtlas(onPartial?: (partial: Partial) => void) {
    const { run } = this;
    this.trouble = null;
    const options = { slot: "atlas", ...(onPartial && { onPartial }) };
    const pending = this.ask("heads.atlas", () => ({ run }), `The ${run} run failed`, options);
    this.changed();
    return pending.reply;
  }

  /** Shows the first of these runs that can be shown, or when one of them is shown the run without it.
   *
   * Returns why none can be, or null.
   */
  flip(...runs: Run[]): string | null {
    const back = this.run === "edited" ? (this.question?.base ?? "clean") : "clean";
    const reasons = runs.map((run) => this.runReason(run));
    const at = reasons.indexOf(null);
    if (runs.includes(this.run)) this.setRun(back);
    else if (at >= 0) this.setRun(runs[at] as Run);
    else return reasons.at(-1) ?? null;
    return null;
  }

  /** The prompt whose tokens label the picture. */
  get shownPrompt() {
    const prompts = this.question?.prompts;
    return prompts ? (prompts[this.promptOf(this.shown?.run ?? this.run)] ?? prompts.clean) : null;
  }

  promptOf(run: Run): "clean" | "corrupted" {
    if (run === "corrupted") return "corrupted";
    return run === "edited" && this.question?.base === "corrupted" ? "corrupted" : "clean";
  }

  // --- heads in view ----------------------------------------------------------------------------------------------

  /** What the focus shows: the hovered head, else the locked ones, else the strongest head of the score. */
  get focus(): Head[] {
    const { hovered, linkedHover, locked, shown: atlas } = this;
    if (hovered) return [hovered];
    if (!atlas) return [];
    const { layer = atlas.layers, head = atlas.heads } = linkedHover ?? {};
    if (layer < atlas.layers && head < atlas.heads) return [[layer, head]];
    if (locked.length) return locked;
    const there = (at: number) => atlas.arrived[at] && atlas.missing[at] === undefined;
    const strongest = this.ranking.strongest.find(([at]) => there(at));
    const first = atlas.arrived.findIndex((_, at) => there(at));
    return strongest ? [strongest] : first < 0 ? [] : [[first, 0]];
  }

  /** The token in focus: the hovered, the clicked, or the answer position. */
  get focusToken(): number {
    return this.within(
      this.hoverToken ?? this.hoverCell?.dest ?? this.linkedHover?.position ?? this.pickedToken,
    );
  }

  /** The token that was clicked, or the answer position. */
  get pickedToken(): number {
    return this.within(this.cell?.dest ?? this.token ?? this.question?.answer_position);
  }

  /** The position nearest to this one that the picture has; the last one when there is none. */
  private within(position = Number.POSITIVE_INFINITY): number {
    return clamp(position, 0, Math.max(0, (this.shown?.positions ?? 1) - 1));
  }

  hoverHead(head: Head | null): void {
    if (head === this.hovered || sameHead(head, this.hovered)) return;
    this.hovered = head;
    this.tellHover(head ? { layer: head[0], head: head[1] } : null);
    this.focusing.want(REST_MS);
    this.changed();
  }

  hoverPosition(token: number | null): void {
    if (token === this.hoverToken) return;
    this.hoverToken = token;
    this.tellHover(token === null ? null : { position: token });
    this.changed();
  }

  /** Locks a head; with `add` it joins or leaves the locked ones. Locking the only locked head frees it. */
  lock(head: Head, add = false): void {
    const others = this.locked.filter((it) => !sameHead(it, head));
    const held = others.length < this.locked.length;
    if (add) this.locked = held ? others : [...others, head].slice(-16);
    else this.locked = held && others.length === 0 ? [] : [head];
    this.hovered = null;
    this.#tellSelection();
  }

  clearSelection(): void {
    this.locked = [];
    this.cell = null;
    this.token = null;
    this.hovered = null;
    this.#tellSelection();
  }

  pickToken(token: number): void {
    this.token = this.token === token && this.cell === null ? null : token;
    this.cell = null;
    this.#tellSelection();
  }

  pickCell(cell: Cell): void {
    const same = this.cell?.dest === cell.dest && this.cell.src === cell.src;
    this.cell = same ? null : cell;
    this.token = cell.dest;
    if (this.locked.length === 0) this.locked = this.focus.slice();
    this.#tellSelection();
    this.focusing.wantValue(0);
  }

  #tellSelection(): void {
    const place = { dest: this.cell?.dest ?? this.token, src: this.cell?.src ?? null };
    this.select(this.locked.map(([layer, head]) => patternSite({ layer, head, ...place })));
    this.focusing.want();
  }

  protected override applySelection(selection: readonly string[]): void {
    const sites = selection.map(parsePatternSite).filter((site) => site !== null);
    const { layers, heads, positions } = this.atlas ?? { layers: 1 / 0, heads: 1 / 0, positions: 1 / 0 };
    this.locked = sites
      .filter(({ layer, head }) => layer < layers && head < heads)
      .map(({ layer, head }) => [layer, head] as const);
    const { dest = null, src = null } = sites.find((site) => site.dest !== null) ?? {};
    this.token = dest !== null && dest < positions ? dest : null;
    this.cell = this.token !== null && src !== null && src < positions ? { dest: this.token, src } : null;
    super.applySelection(selection);
    this.focusing.want();
  }

  hoverAt(cell: Cell | null): void {
    if (cell?.dest === this.hoverCell?.dest && cell?.src === this.hoverCell?.src) return;
    this.hoverCell = cell;
    this.tellHover(cell ? { position: cell.dest } : null);
    this.focusing.wantValue(200);
    this.changed();
  }
}
