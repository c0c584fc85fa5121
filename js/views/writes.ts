// What a head writes at a position, read through the unembedding: the tokens it promotes and suppresses, in logits.

import { attribute, h, watchFacts } from "../lib/dom";
import { headKey, headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { Writes } from "../lib/intervention";
import { bare, shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";
import { bar, barRow, numberText, tokenName } from "./effect-panel";

export function createWrites(context: ViewContext<HeadsSession>): View {
  const { session } = context;
  const { writes } = session.intervention;
  const element = h("div.writes#writes");
  const isNew = watchFacts();

  function list(title: string, role: string, entries: Writes["promoted"], most: number): HTMLElement {
    const rows = entries.map(({ label, logit }) =>
      barRow(tokenName(label), numberText(logit, true), bar(role, logit && Math.abs(logit), 0, most)),
    );
    return h("div", { role: "group", "aria-label": title }, h("div.note", title), ...rows);
  }

  function filled(answer: Writes): HTMLElement[] {
    const { layer, head, position, promoted, suppressed, logit_effect, card } = answer;
    const token = shortLabel(bare(session.shownPrompt?.labels[position] ?? ""), 14);
    const most = Math.max(1e-9, ...[...promoted, ...suppressed].map((it) => Math.abs(it.logit ?? 0)));
    const effect =
      logit_effect === null ? "" : ` · answer direction ${numberText(logit_effect, true)} logits`;
    return [
      h("div.note", `${headName([layer, head])} at ${token} (${position}) · direct effect${effect}`),
      list("promotes", "up", promoted, most),
      list("suppresses", "down", suppressed, most),
      h("div.note", { dir: "auto" }, card),
    ];
  }

  function update(): void {
    const { answer, running } = writes;
    attribute(element, "data-running", running);
    if (!isNew(answer, running && !answer)) return;
    const waiting = h("div.note", running ? "computing what it writes" : "");
    element.replaceChildren(...(answer ? filled(answer) : [waiting]));
    const best = answer?.promoted[0];
    if (answer && best) {
      const head = headKey([answer.layer, answer.head]);
      context.say(`${head} promotes ${best.label} most, ${numberText(best.logit, true)}`);
    }
  }
  return { element, update };
}
