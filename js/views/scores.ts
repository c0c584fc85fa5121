// The score under the thumbnails: those of the prompt as a switch, further ones beside them as far as there is room, the
// rest in a menu; and the way to scores on random tokens.

import { type Choice, type Entry, menuButton, Switch } from "../lib/controls";
import { attribute, h, show } from "../lib/dom";
import type { HeadsSession } from "../lib/heads-session";
import { shortLabel } from "../lib/labels";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";

/** The scores every prompt has, with the words of one that has not arrived yet. */
const USUAL = ["previous", "induction", "duplicate", "first", "entropy", "logit_effect"];

export function createScores(context: ViewContext<HeadsSession>): View {
  const { session, tip, root } = context;
  const { ranking } = session;
  const choice = new Switch("score", tip, (name) => session.setScore(name));
  let folded: Choice[] = [];
  const more = menuButton("⋯", context.signal, entries, "more-scores");
  const button = more.firstElementChild as HTMLElement;
  attribute(button, "aria-label", "more scores");
  tip.attach(button, () => tip.card("more-scores", "more scores"));
  const word = h("span.word", "score");
  const element = h("div.group.scores", word, choice.element, more);

  const randomReason = () => {
    if (session.question?.arrays || !session.question?.model) return session.why("no-model");
    return session.offReason ?? (ranking.waiting === "random" ? "This is being computed." : null);
  };

  function choices(): Choice[] {
    const found = session.atlas?.scores ?? {};
    const names = [...USUAL, ...Object.keys(found).filter((name) => !USUAL.includes(name))];
    return names.map((name) => {
      const score = found[name];
      const label = score?.label ?? name.replace("_", " ");
      const rows = score?.n != null ? `${score.n} eligible rows` : "";
      const card = { title: label, lines: score ? [score.card, rows, score.source] : [] };
      const off = score ? score.reason : "This score has not arrived yet.";
      const random = off?.includes("random tokens") && randomReason() === null;
      return {
        name,
        label: shortLabel(label, 28),
        chosen: session.scoreName === name,
        off,
        card,
        wayOut: random ? () => ranking.askRandom(`${name}_random`) : null,
      };
    });
  }

  function entries(): Entry[] {
    const scores = folded.map(({ name, label, chosen, off }) => {
      const run = () => session.setScore(name);
      return { name: `score-${name}`, label, chosen, off, run };
    });
    if (Object.keys(session.atlas?.scores ?? {}).some((name) => name.endsWith("_random"))) return scores;
    const run = () => ranking.askRandom();
    return [...scores, { name: "random-tokens", label: "use random tokens", off: randomReason(), run }];
  }

  /** Those that fit beside the title; the chosen one is always among them. */
  function fold(all: Choice[]): Choice[] {
    const width = widthOf(root);
    let room = width - (width >= 900 ? 520 : 80);
    const shown = all.filter((it) => {
      room -= it.label.length * 6.6 * context.scale + 20;
      return room > 0 || it.chosen || USUAL.includes(it.name);
    });
    folded = all.filter((it) => !shown.includes(it));
    return shown;
  }

  function update(): void {
    choice.update(fold(choices()));
    const arrays = session.question?.arrays === true;
    show(more, folded.length > 0 || !arrays);
  }
  return { element, update };
}
