// The two header lines: what this is and what it shows; what is asked.
import { actionButton, createSelect, menuButton, Switch } from "../lib/controls";
import { attribute, h, set, setText, show } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import { COMPARED, RUNS, type Run } from "../lib/protocol";
import { createChips } from "./chips";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";
import { createScores } from "./scores";

const RUN_CARDS: Record<Run, string> = {
  clean: "The clean prompt as it is.",
  corrupted: "The corrupted prompt as it is.",
  edited: "The base prompt with the edits that are switched on.",
  difference: "Clean minus corrupted, cell by cell: blue is more in clean, red is more in corrupted.",
  other: "The clean prompt in the experiment that this one is compared with.",
  against: "Clean minus the same run of the other experiment: blue is more here, red is more there.",
};

export interface HeaderActions {
  exports: () => { label: string; name: string; run: () => void }[];
  projector(): boolean;
  toggleProjector(): void;
}

export function createHeader(context: ViewContext, actions: HeaderActions): View {
  const { session, tip } = context;
  const model = h("span.chip.model");
  const scores = createScores(context);
  const square = (label: string, name: string, says: string, action: () => void, card = "") =>
    actionButton(label, tip, action, { class: "mi-button mi-square", name, says, card });
  const larger = "Larger type and stronger contrast, for talks.";
  const projector = square("◱", "projector", "projector", actions.toggleProjector, larger);
  const help = square("?", "help", "help: keys and scores", context.toggleHelp);
  const title = h("h2.title");
  const first = h(
    "div.line.line-first",
    h("div.group.lead", title, model),
    scores.element,
    h("div.group", projector, menuButton("Export ▾", context.signal, actions.exports), help),
  );

  const prompt = createPrompt(context);
  const run = new Switch("run", tip, (name) => session.setRun(name as Run));
  const select = (name: string, words: string) =>
    createSelect(
      name,
      tip,
      words,
      () => session.offReason,
      (value) => void session.setQuestion({ [name]: value }),
    );
  const base = select("base", "Where edited runs start: the clean or the corrupted prompt.");
  const chips = createChips(context);
  const metric = select("metric", "How the answer is scored at the answer position.");
  const baseGroup = h("span.group", h("span.word", "base"), base.element);
  const controls = h("div.group.controls", run.element, baseGroup, chips.element, metric.element);
  const second = h("div.line.line-second", prompt.element, controls);
  const element = h("header.header", { "data-part": "header" }, first, second);

  function choice(name: Run) {
    const label = session.runLabel(name);
    const card = { title: label, lines: [RUN_CARDS[name]] };
    const off = session.runReason(name);
    return { name, label: shortLabel(label, 24), chosen: session.run === name, off, card };
  }

  function update(): void {
    const { question, atlas } = session;
    const facts = question?.model;
    const size = (layers: number, heads: number) => `${layers} layers × ${heads} heads`;
    const words = facts
      ? [facts.name, size(facts.n_layers, facts.n_heads), facts.dtype, facts.device]
      : question?.arrays && atlas
        ? ["from arrays", size(atlas.layers, atlas.heads)]
        : [];
    const text = words.join(" · ");
    set(model, { text, title: text || null, hidden: text === "" });
    setText(title, question?.title || "Attention heads");
    scores.update();
    attribute(projector, "aria-pressed", actions.projector());
    show(second, !!facts);
    if (!question || !facts) return;
    const { prompts, metrics, metric: chosen, metric_label } = question;
    prompt.update();
    run.update((question.compare ? [...RUNS, ...COMPARED] : RUNS).map(choice));
    show(baseGroup, prompts.corrupted !== null);
    const bases = ["clean", "corrupted"].map((name) => [name, name] as const);
    base.update(bases, question.base);
    chips.update();
    metric.update(metrics.length ? metrics : [[chosen, metric_label]], chosen);
  }
  return { element, update };
}
