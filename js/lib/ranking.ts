// Which head comes first: the order and the filter of the atlas, and the scores that are asked for on their own,
// on random tokens or for one cell. They stand beside the atlas's scores under names of their own.
import { type Atlas, scoreText, strongestFirst } from "./atlas";
import { memo } from "./dom";
import { type Cell, type Head, headKey } from "./heads";
import type { HeadsSession } from "./heads-session";
import type { Params, Question, Score } from "./protocol";

export type Order = "layer" | "score";
export const TOPS: readonly (number | null)[] = [null, 8, 24];
/** A list longer than this is a picture nobody reads; the table has them all. */
export const LISTED = 256;

type Scores = Record<string, Score>;

export class Ranking {
  order: Order = "layer";
  /** Only so many of the strongest heads; null is all. */
  top: number | null = null;
  /** What has just been ranked, in words for the live region. */
  news = "";
  /** What is being asked for. */
  waiting: "random" | "rank" | null = null;
  #random: { model: string; scores: Scores } | null = null;
  #cell: { params: Params; tokens: string; run: string; rev: number; score: Score } | null = null;
  readonly #strongest = memo<Head[]>();
  readonly #listed = memo<Head[]>();
  readonly #kept = memo<Set<string>>();

  constructor(private readonly session: HeadsSession) {}

  /** The atlas with the scores that came on their own and still hold for it. */
  join(atlas: Atlas): Atlas {
    const { question } = this.session;
    const random = this.#random?.model === modelOf(question) ? this.#random.scores : {};
    const cell = this.#cell;
    const holds = cell && cell.run === atlas.run && cell.rev === atlas.rev;
    return { ...atlas, scores: { ...atlas.scores, ...random, ...(holds && { cell: cell.score }) } };
  }

  /** After another run or question: the cell is ranked again where it is still the same cell. */
  renew(): void {
    const { session } = this;
    const cell = this.#cell;
    const atlas = session.atlas;
    if (!cell || !atlas || (cell.run === atlas.run && cell.rev === atlas.rev)) return;
    this.#cell = null;
    const same = cell.tokens === this.#tokens;
    if (session.score === "cell" && same && session.channel.usable) this.#askCell(cell.params);
  }

  get #tokens(): string {
    return (this.session.shownPrompt?.ids ?? []).join();
  }

  // --- order and filter ---------------------------------------------------------------------------------------------

  setOrder(order: Order): void {
    this.order = order;
    this.session.changed();
  }

  setTop(top: number | null): void {
    this.top = top;
    this.session.changed();
  }

  /** All heads that have the score in view, strongest first. */
  get strongest(): Head[] {
    const { shown, score } = this.session;
    // While an atlas streams in it has no scores yet: the order stays as it was.
    const atlas = shown?.scores[score] ? shown : this.session.atlas;
    return atlas ? this.#strongest([atlas, score], () => strongestFirst(atlas, score)) : [];
  }

  /** The heads as a list, strongest first; null while the atlas keeps the order of layers. */
  get listed(): Head[] | null {
    const { strongest, top } = this;
    if (this.order === "layer" || strongest.length === 0) return null;
    return this.#listed([strongest, top], () => strongest.slice(0, top ?? LISTED));
  }

  /** In the order of layers: the heads that the filter lets through; null is all. */
  get kept(): Set<string> | null {
    const { strongest, top } = this;
    if (top === null || this.order === "score" || strongest.length === 0) return null;
    return this.#kept([strongest, top], () => new Set(strongest.slice(0, top).map(headKey)));
  }

  // --- scores of their own ------------------------------------------------------------------------------------------

  /** Scores on seeded repeated random tokens; `choose` names the one to show when they are there. */
  askRandom(choose = "induction_random"): void {
    const { session } = this;
    if (this.waiting === "random") return;
    const known = session.atlas?.scores[choose];
    if (known) return session.setScore(choose);
    this.#ask("random", "heads.random", {}, "The scores on random tokens failed", (data) => {
      const scores = data.scores as Scores;
      this.#random = { model: modelOf(session.question), scores };
      return scores[choose] ? choose : (Object.keys(scores)[0] ?? "");
    });
  }

  /** Ranks all heads by how much they attend from `dest` to `src`. */
  byCell({ dest, src }: Cell): void {
    this.#askCell({ dest, src, weighting: this.session.focusing.weighting });
  }

  #askCell(params: Params): void {
    const { session } = this;
    const run = session.shown?.run ?? session.run;
    const tokens = this.#tokens;
    this.#ask("rank", "heads.rank", { run, ...params }, "The heads could not be ranked", (data, rev) => {
      this.#cell = { params, tokens, run, rev, score: data.score as Score };
      this.order = "score";
      return "cell";
    });
  }

  #ask(
    what: "random" | "rank",
    op: string,
    params: Params,
    title: string,
    take: (data: Record<string, unknown>, rev: number) => string,
  ): void {
    const { session } = this;
    this.waiting = what;
    session.trouble = null;
    void session.channel.request(op, params, { slot: what }).reply.then((reply) => {
      if (reply.kind === "cancelled" && reply.reason === "superseded") return;
      this.waiting = null;
      if (reply.kind === "failed") session.fail(title, reply, () => this.#ask(what, op, params, title, take));
      if (reply.kind === "done") this.#show(take(reply.data, reply.rev));
      else if (!session.scoreDefined(session.score)) session.fallBack();
      session.changed();
    });
    session.changed();
  }

  /** Makes a score that has just come the one in view, if it is one of the atlas in view. */
  #show(name: string): void {
    const { session } = this;
    if (session.picture) session.picture = this.join(session.picture);
    session.setScore(name);
    const { shown, score } = session;
    const best = this.strongest[0];
    if (shown && best && score === name)
      this.news = `heads ranked by ${shown.scores[name]?.label}: L${best[0]} H${best[1]} first, ${scoreText(shown, name, best)}`;
  }
}

const modelOf = (question: Question | null) => question?.model?.name ?? "";
