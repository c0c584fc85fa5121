// Intervene on the chosen heads: choose how, see the effect, keep it; or read what the head writes.

import { actionButton, Switch } from "../lib/controls";
import { disable, h, setText, show } from "../lib/dom";
import { headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { Tab, What } from "../lib/intervention";
import { shortLabel } from "../lib/labels";
import type { Card } from "../lib/tooltip";
import type { View, ViewContext } from "./context";
import { createEffectPanel } from "./effect-panel";
import { createPatchChips } from "./patch-chips";
import { createRowEditor } from "./row-editor";
import { createWrites } from "./writes";

/** A kind of intervention: all of them are followed to the end of the network. */
const kind = (title: string, what: string, source = ""): Card => ({
  title,
  lines: [what, "Total effect: everything after it is computed again.", source],
});
const KINDS: Record<What, Card> = {
  zero: kind("zero", "z ← 0 at every position: the head writes nothing."),
  mean: kind(
    "mean",
    "z ← its mean over unedited runs: what the head says on average, not what it says here.",
    "Wang et al. 2022",
  ),
  resample: kind("resample", "z ← the z of another prompt's run."),
  knockout: kind(
    "knock out",
    "score[dest, src] ← −∞ before the softmax, for the cell that is picked: that edge is cut and the row's other weights share the rest.",
    "Geva et al. 2023",
  ),
  pattern: kind("pattern…", "A[dest, :] ← the row you draw, used as given: it is not rescaled."),
};
const TABS: Record<Tab, Card> = {
  intervene: {
    title: "intervene",
    lines: ["Change what the head does and see what the model answers (total effect)."],
  },
  writes: {
    title: "writes",
    lines: ["The tokens that the head's output promotes and suppresses (direct effect)."],
  },
};

/** Choices that are named by the titles of their cards. */
const choices = (cards: Record<string, Card>, chosen: string | null, off: string | null) =>
  Object.entries(cards).map(([name, card]) => ({
    name,
    label: card.title ?? "",
    chosen: name === chosen,
    off,
    card,
  }));

export function createIntervene(context: ViewContext<HeadsSession>): View {
  const { session, tip } = context;
  const { intervention } = session;
  const title = h("b");
  const tabs = new Switch("what to show of the head", tip, (name) => intervention.setTab(name as Tab));
  const kinds = new Switch("intervention", tip, (name) => {
    intervention.choose(name as What);
    if (intervention.lacks) context.say(intervention.lacks);
  });
  const hint = h("div.note", { "data-part": "intervene-hint" });
  const row = createRowEditor(context);
  const asked = () => (intervention.tab === "writes" ? intervention.writes : intervention.effect);
  const retry = actionButton("Retry", tip, () => asked().retry(), {
    class: "mi-link",
    name: "retry-effect",
  });
  const trouble = h("span", { dir: "auto" });
  const failed = h("div.trouble", { role: "alert" }, trouble, " ", retry);
  const effect = createEffectPanel(context);
  const writes = createWrites(context);
  const keep = actionButton("Keep", tip, () => intervention.keep(), {
    name: "keep",
    card: "Adds this to the experiment's edits, which all its widgets share, and sets the base to this prompt.",
  });
  const away = actionButton("put away", tip, () => intervention.choose(null), {
    class: "mi-link",
    name: "away",
  });
  const after = h("div.keep", keep, away);
  const chips = createPatchChips(context);
  const running = h("span.note", { "aria-hidden": true }, "running…");
  const intervening = h("div", kinds.element, row.element);
  const element = h(
    "section.intervene",
    { "data-part": "intervene" },
    h("div.side-head", title, tabs.element),
    intervening,
    hint,
    failed,
    effect.element,
    writes.element,
    after,
    running,
    chips.element,
  );

  function update(): void {
    const { tab, what, heads, off, lacks, params } = intervention;
    const writing = tab === "writes";
    const { failure, running: busy } = asked();
    show(element, session.shown !== null);
    const names = shortLabel(heads.map(headName).join(", "), 24);
    setText(title, `${writing ? "Written by" : "Intervene on"} ${names}`);
    tabs.update(choices(TABS, tab, null));
    kinds.update(choices(KINDS, what, off));
    setText(hint, off ?? (writing ? null : lacks) ?? "");
    setText(trouble, [failure?.message, failure?.hint].filter(Boolean).join(" "));
    show(failed, failure !== null && off === null);
    show(retry, failure?.retryable === true);
    for (const part of [intervening, effect.element]) show(part, !writing);
    show(writes.element, writing);
    show(after, !writing && what !== null && off === null);
    disable(keep, !params || failure || session.stale);
    show(running, busy && (writing || what !== null));
    for (const view of [row, effect, writes, chips]) view.update();
  }
  return { element, update };
}
