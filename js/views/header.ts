// The two header lines: what this is and what it shows; what is asked.
import { actionButton, menuButton, Switch } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import { RUNS, type Run } from "../lib/protocol";
import { createChips } from "./chips";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";

/** Scores in the order of the header, with the words of a score that has not arrived yet. */
const SCORES = ["previous", "induction", "duplicate", "first", "entropy", "logit_effect"];
const RUN_CARDS: Record<Run, string> = {
  clean: "The clean prompt as it is.",
  corrupted: "The corrupted prompt as it is.",
  edited: "The base prompt with the edits that are switched on.",
  difference: "Clean minus corrupted, cell by cell: blue is more in clean, red is more in corrupted.",
};

export interface HeaderActions {
  exports: () => { label: string; name: string; run: () => void }[];
  projector(): boolean;
  toggleProjector(): void;
}

export function createHeader(context: ViewContext, actions: HeaderActions): View {
  const { session, tip } = context;
  const model = h("span", { class: "mi-chip mi-model" });
  const score = new Switch("score", tip, (name) => session.setScore(name));
  const projector = actionButton("◱", tip, actions.toggleProjector, {
    class: "mi-button mi-square",
    name: "projector",
    card: () => ({ title: "projector", lines: ["Larger type and stronger contrast, for talks."] }),
  });
  attribute(projector, "aria-label", "projector");
  const help = actionButton("?", tip, () => context.toggleHelp(), {
    class: "mi-button mi-square",
    name: "help",
  });
  attribute(help, "aria-label", "help: keys and scores");
  const title = h("h2", { class: "mi-title" }, "Attention heads");
  const first = h(
    "div",
    { class: "mi-line mi-line-first" },
    h("div", { class: "mi-group mi-lead" }, title, model),
    h("div", { class: "mi-group mi-scores" }, h("span", { class: "mi-word" }, "score"), score.element),
    h("div", { class: "mi-group" }, projector, menuButton("Export ▾", context.signal, actions.exports), help),
  );

  const prompt = createPrompt(context);
  const run = new Switch("run", tip, (name) => session.setRun(name as Run));
  const base = select(
    "base",
    context,
    (value) => void session.setQuestion({ base: value }),
    "Where edited runs start: the clean or the corrupted prompt.",
  );
  const chips = createChips(context);
  const metric = select(
    "metric",
    context,
    (value) => void session.setQuestion({ metric: value }),
    "How the answer is scored at the answer position.",
  );
  const baseGroup = h("span", { class: "mi-group" }, h("span", { class: "mi-word" }, "base"), base.element);
  const second = h(
    "div",
    { class: "mi-line mi-line-second" },
    prompt.element,
    h("div", { class: "mi-group mi-controls" }, run.element, baseGroup, chips.element, metric.element),
  );
  const element = h("header", { class: "mi-header", "data-part": "header" }, first, second);

  function scores() {
    return SCORES.map((name) => {
      const found = session.atlas?.scores[name];
      const label = found?.label ?? name.replace("_", " ");
      const lines = found
        ? [found.card, found.n !== null ? `${found.n} eligible rows` : "", found.source]
        : [];
      const off = found ? found.reason : "This score has not arrived yet.";
      return { name, label, chosen: session.score === name, off, card: { title: label, lines } };
    });
  }
  function runs() {
    return RUNS.map((name) => {
      const off = session.runReason(name);
      return {
        name,
        label: name as string,
        chosen: session.run === name,
        off,
        card: { title: name as string, lines: [RUN_CARDS[name]] },
      };
    });
  }

  function update(): void {
    const { question } = session;
    const facts = question?.model;
    show(model, !!facts);
    if (facts)
      setText(
        model,
        `${facts.name} · ${facts.n_layers} layers × ${facts.n_heads} heads · ${facts.dtype} · ${facts.device}`,
      );
    attribute(model, "title", facts ? model.textContent : null);
    score.update(scores());
    attribute(projector, "aria-pressed", String(actions.projector()));
    show(second, !!facts);
    if (!question || !facts) return;
    prompt.update();
    run.update(runs());
    show(baseGroup, question.prompts.corrupted !== null);
    base.update(
      [
        ["clean", "clean"],
        ["corrupted", "corrupted"],
      ],
      question.base,
    );
    chips.update();
    metric.update(
      question.metrics.length ? question.metrics : [[question.metric, question.metric_label]],
      question.metric,
    );
  }
  return { element, update };
}

/** A native menu, so that it works with every input device; off with a reason like every other control. */
function select(name: string, context: ViewContext, choose: (value: string) => void, words: string) {
  const element = h("select", { class: "mi-select", "aria-label": name, "data-select": name });
  element.addEventListener("change", () => choose(element.value));
  element.addEventListener("keydown", (event) => event.stopPropagation());
  context.tip.attach(element, () => ({ title: name, lines: [context.session.offReason ?? words] }));
  let drawn = "";
  return {
    element,
    update(choices: readonly (readonly [string, string])[], chosen: string) {
      const facts = JSON.stringify(choices);
      if (facts !== drawn) {
        drawn = facts;
        element.replaceChildren(...choices.map(([value, label]) => h("option", { value }, label)));
      }
      if (element.value !== chosen) element.value = chosen;
      element.disabled = context.session.offReason !== null;
    },
  };
}
