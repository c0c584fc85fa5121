// What the attention-heads widget knows beyond the question: atlas, run, score, heads in view.
import { type Atlas, growAtlas, readAtlas } from "./atlas";
import type { Partial } from "./channel";
import { createFocus, type Focus } from "./focus";
import { clamp } from "./geometry";
import { type Cell, type Head, sameHead } from "./heads";
import { createIntervention, type Intervention } from "./intervention";
import type { AtlasEntry, Run } from "./protocol";
import { createRanking, type Ranking } from "./ranking";
import { RunSession } from "./run-session";
import { parsePatternSite, patternSite } from "./sites";

const REST_MS = 120;
const COMPARED = new Set<Run>(["other", "against"]);

export class HeadsSession extends RunSession<Atlas> {
  protected readonly topic = "atlas";
  protected readonly op = "heads.atlas";
  protected override readonly quiet = new Set(["heads.pattern", "heads.value"]);
  scoreName = "induction";
  locked: Head[] = [];
  hovered: Head | null = null;
  /** The token in focus; null until one is chosen: then it is the answer position. */
  token: number | null = null;
  /** A clicked cell of the focus pattern. */
  lockedCell: Cell | null = null;
  hoverCell: Cell | null = null;
  hoverToken: number | null = null;
  /** The patterns of the heads in view. */
  readonly focusing: Focus = createFocus(this);
  /** What is tried on them. */
  readonly intervention: Intervention = createIntervention(this);
  /** Their order, and the scores that are asked for on their own. */
  readonly ranking: Ranking = createRanking(this);
  #scoreChosen = false;

  override close(): void {
    super.close();
    this.focusing.close();
    this.intervention.close();
  }

  /** The last whole atlas. */
  get atlas(): Atlas | null {
    return this.picture;
  }

  protected override read(value: unknown, buffers: readonly unknown[]): Atlas {
    return this.ranking.join(readAtlas(value as AtlasEntry, buffers));
  }

  protected override renew(): void {
    const atlas = this.atlas;
    if (!atlas) return;
    const inside = ([layer, head]: Head) => layer < atlas.layers && head < atlas.heads;
    this.locked = this.locked.filter(inside);
    if (this.hovered && !inside(this.hovered)) this.hovered = null;
    if (this.token !== null && this.token >= atlas.span) this.token = null;
    if (this.lockedCell && Math.max(this.lockedCell.dest, this.lockedCell.src) >= atlas.span)
      this.lockedCell = null;
    this.hoverCell = null;
    this.ranking.renew();
    const gone = !(this.scoreName in atlas.scores) && this.ranking.waiting !== "rank";
    if (gone || !(this.#scoreChosen || this.scoreDefined(this.scoreName))) this.fallBack();
    this.focusing.renew();
  }

  protected override grow(partial: Partial): void {
    const model = this.question?.model;
    const facts = { layers: model?.n_layers ?? this.atlas?.layers ?? 0, kvHeads: model?.n_kv_heads };
    this.growing = growAtlas(this.growing, partial, facts) ?? this.growing;
  }

  scoreDefined(name: string): boolean {
    const score = this.shown?.scores[name];
    return !!score && score.reason === null;
  }

  /** Shows a score that is defined, in place of one that is not. */
  fallBack(): void {
    const others = ["duplicate", "previous", "first", "entropy"];
    this.scoreName = others.find((name) => this.scoreDefined(name)) ?? this.scoreName;
  }

  setScore(name: string): void {
    if (!this.scoreDefined(name)) return;
    this.#scoreChosen = true;
    this.scoreName = name;
    this.focusing.want();
    this.changed();
  }

  /** What is compared has a name of its own. */
  override runLabel(run: Run): string {
    const other = this.question?.compare?.label ?? "other";
    return run === "other" ? other : run === "against" ? `clean − ${other}` : run;
  }

  override runReason(run: Run): string | null {
    if (COMPARED.has(run) && !this.question?.compare) return this.why("no-compare");
    return super.runReason(run);
  }

  // --- heads in view ----------------------------------------------------------------------------------------------

  /** What the focus shows: the hovered head, else the locked ones, else the strongest head of the score. */
  get inFocus(): Head[] {
    const { hovered, linkedHover, locked, shown: atlas } = this;
    if (hovered) return [hovered];
    if (!atlas) return [];
    const { layer = atlas.layers, head = atlas.heads } = linkedHover ?? {};
    if (layer < atlas.layers && head < atlas.heads) return [[layer, head]];
    if (locked.length) return locked;
    const there = (at: number) => atlas.arrived[at] && atlas.absent[at] === undefined;
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
    return this.within(this.lockedCell?.dest ?? this.token ?? this.question?.answer_position);
  }

  /** The position nearest to this one that the picture has; the last one when there is none. */
  private within(position = Number.POSITIVE_INFINITY): number {
    return clamp(position, 0, Math.max(0, (this.shown?.span ?? 1) - 1));
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
    this.lockedCell = null;
    this.token = null;
    this.hovered = null;
    this.#tellSelection();
  }

  pickToken(token: number): void {
    this.token = this.token === token && this.lockedCell === null ? null : token;
    this.lockedCell = null;
    this.#tellSelection();
  }

  pickCell(cell: Cell): void {
    const same = this.lockedCell?.dest === cell.dest && this.lockedCell.src === cell.src;
    this.lockedCell = same ? null : cell;
    this.token = cell.dest;
    if (this.locked.length === 0) this.locked = this.inFocus.slice();
    this.#tellSelection();
    this.focusing.wantValue(0);
  }

  #tellSelection(): void {
    const place = { dest: this.lockedCell?.dest ?? this.token, src: this.lockedCell?.src ?? null };
    this.select(this.locked.map(([layer, head]) => patternSite({ layer, head, ...place })));
    this.focusing.want();
  }

  protected override applySelection(selection: readonly string[]): void {
    const sites = selection.map(parsePatternSite).filter((site) => site !== null);
    const { layers, heads, span: positions } = this.atlas ?? { layers: 1 / 0, heads: 1 / 0, span: 1 / 0 };
    this.locked = sites
      .filter(({ layer, head }) => layer < layers && head < heads)
      .map(({ layer, head }) => [layer, head] as const);
    const { dest = null, src = null } = sites.find((site) => site.dest !== null) ?? {};
    this.token = dest !== null && dest < positions ? dest : null;
    this.lockedCell =
      this.token !== null && src !== null && src < positions ? { dest: this.token, src } : null;
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
