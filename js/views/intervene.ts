// Intervene on the chosen heads: choose how, see the effect, keep it; or read what the head writes.
import { actionButton, Switch } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import { WHATS, type What } from "../lib/intervention";
import { shortLabel } from "../lib/labels";
import type { Failure } from "../lib/protocol";
import type { View, ViewContext } from "./context";
import { createEffectPanel } from "./effect-panel";
import { createPatchChips } from "./patch-chips";
import { createRowEditor } from "./row-editor";
import { createWrites } from "./writes";

const TOTAL = "Total effect: everything after it is computed again.";
const KINDS: Record<What, { label: string; lines: string[] }> = {
  zero: { label: "zero", lines: ["z ← 0 at every position: the head writes nothing.", TOTAL] },
  mean: {
    label: "mean",
    lines: [
      "z ← its mean over unedited runs: what the head says on average, not what it says here.",
      TOTAL,
      "Wang et al. 2022",
    ],
  },
  resample: { label: "resample", lines: ["z ← the z of another prompt's run.", TOTAL] },
  knockout: {
    label: "knock out",
    lines: [
      "score[dest, src] ← −∞ before the softmax, for the cell that is picked: that edge is cut and the row's other weights share the rest.",
      TOTAL,
      "Geva et al. 2023",
    ],
  },
  pattern: {
    label: "pattern…",
    lines: ["A[dest, :] ← the row you draw, used as given: it is not rescaled.", TOTAL],
  },
};

export function createIntervene(context: ViewContext): View {
  const { session, tip } = context;
  const { intervention } = session;
  const title = h("b", {});
  const tabs = new Switch("what to show of the head", tip, (name) =>
    intervention.setTab(name as "intervene" | "writes"),
  );
  const kinds = new Switch("intervention", tip, (name) => {
    intervention.choose(name as What);
    if (intervention.lacks) context.say(intervention.lacks);
  });
  const hint = h("div", { class: "mi-note", "data-part": "intervene-hint" });
  const row = createRowEditor(context);
  const retry = actionButton("Retry", tip, () => failing()?.retry(), {
    class: "mi-link",
    name: "retry-effect",
  });
  const trouble = h("span", { dir: "auto" });
  const failed = h("div", { class: "mi-trouble", role: "alert" }, trouble, " ", retry);
  const effect = createEffectPanel(context);
  const writes = createWrites(context);
  const keep = actionButton("Keep", tip, () => intervention.keep(), {
    name: "keep",
    card: () => ({
      title: "keep",
      lines: [
        "Adds this to the experiment's edits, which all its widgets share, and sets the base to this prompt.",
      ],
    }),
  });
  const away = actionButton("put away", tip, () => intervention.choose(null), {
    class: "mi-link",
    name: "away",
  });
  const after = h("div", { class: "mi-keep" }, keep, away);
  const chips = createPatchChips(context);
  const running = h("span", { class: "mi-note", "aria-hidden": "true" }, "running…");
  const head = h("div", { class: "mi-side-head" }, title, tabs.element);
  const intervening = h("div", {}, kinds.element, row.element);
  const element = h(
    "section",
    { class: "mi-intervene", "data-part": "intervene" },
    head,
    intervening,
    hint,
    failed,
    effect.element,
    writes.element,
    after,
    running,
    chips.element,
  );

  const asked = () => (intervention.tab === "writes" ? intervention.writes : intervention.effect);
  const failing = () => (asked().failure ? asked() : null);
  const words = (failure: Failure) => [failure.message, failure.hint].filter(Boolean).join(" ");

  function update(): void {
    const { tab, what, heads, off } = intervention;
    const names = heads.map(([layer, hd]) => `L${layer}.H${hd}`).join(", ");
    show(element, session.shown !== null);
    setText(title, `${tab === "writes" ? "Written by" : "Intervene on"} ${shortLabel(names, 24)}`);
    const tabChoice = (name: "intervene" | "writes", lines: string[]) => ({
      name,
      label: name,
      chosen: tab === name,
      off: null,
      card: { title: name, lines },
    });
    tabs.update([
      tabChoice("intervene", ["Change what the head does and see what the model answers (total effect)."]),
      tabChoice("writes", ["The tokens that the head's output promotes and suppresses (direct effect)."]),
    ]);
    show(intervening, tab === "intervene");
    kinds.update(
      WHATS.map((name) => ({
        name,
        label: KINDS[name].label,
        chosen: what === name,
        off,
        card: { title: KINDS[name].label, lines: KINDS[name].lines },
      })),
    );
    setText(hint, off ?? (tab === "intervene" ? intervention.lacks : null) ?? "");
    row.update();
    const failure = failing()?.failure ?? null;
    show(failed, failure !== null && off === null);
    if (failure) setText(trouble, words(failure));
    show(retry, failure?.retryable === true);
    show(effect.element, tab === "intervene");
    effect.update();
    show(writes.element, tab === "writes");
    writes.update();
    show(after, tab === "intervene" && what !== null && off === null);
    const ready = intervention.params !== null && !intervention.effect.failure && !session.stale;
    attribute(keep, "aria-disabled", ready ? null : "true");
    show(running, asked().running && (tab === "writes" || what !== null));
    chips.update();
  }
  return { element, update };
}
