// Intervene on the chosen heads: choose how, see the effect, keep it; or read what the head writes.

import { actionButton, Switch } from "../lib/controls";
import { disable, h, setText, show } from "../lib/dom";
import { headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { Tab, What } from "../lib/intervention";
import { shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";
import { createEffectPanel } from "./effect-panel";
import { createPatchChips } from "./patch-chips";
import { createRowEditor } from "./row-editor";
import { createWrites } from "./writes";

const KINDS: Record<What, string> = {
  zero: "zero",
  mean: "mean",
  resample: "resample",
  knockout: "knock out",
  pattern: "pattern…",
};
const TABS: Record<Tab, string> = { intervene: "intervene", writes: "writes" };

const choices = (labels: Record<string, string>, chosen: string | null, off: string | null) =>
  Object.entries(labels).map(([name, label]) => ({ name, label, chosen: name === chosen, off }));

export function createIntervene(context: ViewContext<HeadsSession>): View {
  const { session, tip } = context;
  const { intervention } = session;
  const title = h("b");
  const tabs = new Switch("what to show of the head", tip, (name) => intervention.setTab(name as Tab));
  const kinds = new Switch("intervention", tip, (name) => {
    intervention.choose(name as What);
    if (intervention.lacks) context.say(intervention.lacks);
  });
  const hint = h("div.note#intervene-hint");
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
    "section.intervene#intervene",
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
