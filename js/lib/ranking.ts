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

export type Ranking = ReturnType<typeof createRanking>;

export function createRanking(session: HeadsSession) {
  let random: { model: string; scores: Scores } | null = null;
  let ranked: { params: Params; tokens: string; run: string; rev: number; score: Score } | null = null;
  const memoStrongest = memo<Head[]>();
  const memoListed = memo<Head[]>();
  const memoKept = memo<Set<string>>();
  const self = {
    order: "layer" as Order,
    /** Only so many of the strongest heads; null is all. */
    top: null as number | null,
    /** What has just been ranked, in words for the live region. */
    news: "",
    /** What is being asked for. */
    waiting: null as "random" | "rank" | null,
    get strongest() {
      return strongest();
    },
    get listed() {
      return listed();
    },
    get kept() {
      return kept();
    },
    join,
    renew,
    setOrder,
    setTop,
    askRandom,
    byCell,
  };

  /** The atlas with the scores that came on their own and still hold for it. */
  function join(atlas: Atlas): Atlas {
    const { question } = session;
    const held = random?.model === modelOf(question) ? random.scores : {};
    const cell = ranked;
    const holds = cell && cell.run === atlas.run && cell.rev === atlas.rev;
    return { ...atlas, scores: { ...atlas.scores, ...held, ...(holds && { cell: cell.score }) } };
  }

  /** After another run or question: the cell is ranked again where it is still the same cell. */
  function renew(): void {
    const cell = ranked;
    const atlas = session.atlas;
    if (!cell || !atlas || (cell.run === atlas.run && cell.rev === atlas.rev)) return;
    ranked = null;
    const same = cell.tokens === tokens();
    if (session.scoreName === "cell" && same && session.channel.usable) askCell(cell.params);
  }

  const tokens = () => (session.shownPrompt?.ids ?? []).join();

  // --- order and filter ---------------------------------------------------------------------------------------------

  function setOrder(order: Order): void {
    self.order = order;
    session.changed();
  }

  function setTop(top: number | null): void {
    self.top = top;
    session.changed();
  }

  /** All heads that have the score in view, strongest first. */
  function strongest(): Head[] {
    const { shown, scoreName: score } = session;
    // While an atlas streams in it has no scores yet: the order stays as it was.
    const atlas = shown?.scores[score] ? shown : session.atlas;
    return atlas ? memoStrongest([atlas, score], () => strongestFirst(atlas, score)) : [];
  }

  /** The heads as a list, strongest first; null while the atlas keeps the order of layers. */
  function listed(): Head[] | null {
    const { strongest, top } = self;
    if (self.order === "layer" || strongest.length === 0) return null;
    return memoListed([strongest, top], () => strongest.slice(0, top ?? LISTED));
  }

  /** In the order of layers: the heads that the filter lets through; null is all. */
  function kept(): Set<string> | null {
    const { strongest, top } = self;
    if (top === null || self.order === "score" || strongest.length === 0) return null;
    return memoKept([strongest, top], () => new Set(strongest.slice(0, top).map(headKey)));
  }

  // --- scores of their own ------------------------------------------------------------------------------------------

  /** Scores on seeded repeated random tokens; `choose` names the one to show when they are there. */
  function askRandom(choose = "induction_random"): void {
    if (self.waiting === "random") return;
    const known = session.atlas?.scores[choose];
    if (known) return session.setScore(choose);
    ask("random", "heads.random", {}, (data) => {
      const scores = data.scores as Scores;
      random = { model: modelOf(session.question), scores };
      return scores[choose] ? choose : (Object.keys(scores)[0] ?? "");
    });
  }

  /** Ranks all heads by how much they attend from `dest` to `src`. */
  function byCell({ dest, src }: Cell): void {
    askCell({ dest, src, weighting: session.focusing.weighedBy });
  }

  function askCell(params: Params): void {
    const run = session.shown?.run ?? session.run;
    const asked = tokens();
    ask("rank", "heads.rank", { run, ...params }, (data, rev) => {
      ranked = { params, tokens: asked, run, rev, score: data.score as Score };
      self.order = "score";
      return "cell";
    });
  }

  function ask(
    what: "random" | "rank",
    op: string,
    params: Params,
    take: (data: Record<string, unknown>, rev: number) => string,
  ): void {
    self.waiting = what;
    session.trouble = null;
    void session.channel.request(op, params, { slot: what }).reply.then((reply) => {
      if (reply.kind === "cancelled" && reply.reason === "superseded") return;
      self.waiting = null;
      if (reply.kind === "failed") session.fail(op, reply, () => ask(what, op, params, take));
      if (reply.kind === "done") show(take(reply.data, reply.rev));
      else if (!session.scoreDefined(session.scoreName)) session.fallBack();
      session.changed();
    });
    session.changed();
  }

  /** Makes a score that has just come the one in view, if it is one of the atlas in view. */
  function show(name: string): void {
    if (session.picture) session.picture = join(session.picture);
    session.setScore(name);
    const { shown, scoreName: score } = session;
    const best = strongest()[0];
    if (shown && best && score === name)
      self.news = `heads ranked by ${shown.scores[name]?.label}: L${best[0]} H${best[1]} first, ${scoreText(shown, name, best)}`;
  }
  return self;
}

const modelOf = (question: Question | null) => question?.model?.name ?? "";
