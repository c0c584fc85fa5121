// What a head writes at a position, read through the unembedding: the tokens it promotes and suppresses, in logits.
import { attribute, h } from "../lib/dom";
import type { Writes } from "../lib/intervention";
import { bare, shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";
import { bar, numberText } from "./effect-panel";

export function createWrites(context: ViewContext): View {
  const { session } = context;
  const { writes } = session.intervention;
  const element = h("div", { class: "mi-writes", "data-part": "writes" });
  let drawn = "";

  function list(title: string, role: string, entries: Writes["promoted"], most: number): HTMLElement {
    const rows = entries.map(({ label, logit }) =>
      h(
        "div",
        { class: "mi-bar-row" },
        h("span", { dir: "auto", title: shortLabel(label, 200) }, shortLabel(bare(label), 10)),
        h("span", { class: "mi-bar-rail" }, bar(role, logit === null ? null : Math.abs(logit), 0, most)),
        h("span", { class: "mi-bar-value" }, numberText(logit, true)),
      ),
    );
    return h("div", { role: "group", "aria-label": title }, h("div", { class: "mi-note" }, title), ...rows);
  }

  function filled(answer: Writes): HTMLElement[] {
    const { layer, head, position, promoted, suppressed, logit_effect, card } = answer;
    const token = shortLabel(bare(session.shownPrompt?.labels[position] ?? ""), 14);
    const most = Math.max(1e-9, ...[...promoted, ...suppressed].map((it) => Math.abs(it.logit ?? 0)));
    const effect =
      logit_effect === null ? "" : ` · answer direction ${numberText(logit_effect, true)} logits`;
    return [
      h("div", { class: "mi-note" }, `L${layer}.H${head} at ${token} (${position}) · direct effect${effect}`),
      list("promotes", "up", promoted, most),
      list("suppresses", "down", suppressed, most),
      h("div", { class: "mi-note", dir: "auto" }, card),
    ];
  }

  function update(): void {
    const { answer, running } = writes;
    attribute(element, "data-running", running);
    const facts = JSON.stringify(answer) + (running && !answer);
    if (facts === drawn) return;
    drawn = facts;
    if (answer) {
      element.replaceChildren(...filled(answer));
      const best = answer.promoted[0];
      const [layer, head] = [answer.layer, answer.head];
      if (best) context.say(`L${layer}H${head} promotes ${best.label} most, ${numberText(best.logit, true)}`);
    } else element.replaceChildren(h("div", { class: "mi-note" }, running ? "computing what it writes" : ""));
  }
  return { element, update };
}
