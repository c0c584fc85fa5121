// What an intervention does to the answer: the metric before and after, and the next tokens.
import { attribute, h } from "../lib/dom";
import { barEnds, barSpan } from "../lib/geometry";
import type { Effect, What } from "../lib/intervention";
import { bare, shortLabel, signed } from "../lib/labels";
import type { Question } from "../lib/protocol";
import type { View, ViewContext } from "./context";

const AFTER: Record<What, string> = {
  zero: "ablated",
  mean: "ablated",
  resample: "ablated",
  knockout: "cut",
  pattern: "new row",
};
const LOGITS = new Set(["logit_diff", "logit", "logprob"]);

/** A number for a label: two decimals where they say something, powers of ten beyond. */
export function numberText(value: number | null, withSign = false): string {
  if (value === null || !Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 0.005)) {
    const text = size.toExponential(1).replace("e+", "e");
    return `${value < 0 ? "−" : withSign ? "+" : ""}${text}`;
  }
  return withSign || value < 0 ? signed(value) : value.toFixed(2);
}

/** One bar from 0, on a scale from `low` to `high`; hatched when there is no number. */
export function bar(role: string, value: number | null, low: number, high: number): HTMLElement {
  const span = barSpan(value, low, high);
  const element = h("span", { class: `mi-bar mi-${role}`, "data-hole": span === null });
  element.style.marginLeft = `${span?.left ?? 0}%`;
  element.style.width = `${Math.max(1, span?.width ?? 100)}%`;
  return element;
}

function metricRow(role: string, name: string, value: number | null, ends: [number, number], sign: boolean) {
  const rail = h("span", { class: "mi-bar-rail" }, bar(role, value, ...ends));
  if (ends[0] < 0) rail.style.setProperty("--zero", `${barSpan(ends[0], ...ends)?.width ?? 0}%`);
  attribute(rail, "data-zero", ends[0] < 0);
  const text = h("span", { class: "mi-bar-value" }, numberText(value, sign));
  return h("div", { class: "mi-bar-row" }, h("span", {}, name), rail, text);
}

/** "Mary − John", the tokens that the metric is about. */
function direction(question: Question): string {
  return [question.answer, question.distractor]
    .filter((it) => it !== null)
    .map((it) => it.labels.map((label) => shortLabel(bare(label), 16)).join("/"))
    .join(" − ");
}

export function createEffectPanel(context: ViewContext): View {
  const { session } = context;
  const { intervention } = session;
  const element = h("div", { class: "mi-effect", "data-part": "effect" });
  let drawn = "";

  /** Nothing is tried: the metric of the runs there are. */
  function baselines(question: Question): HTMLElement[] {
    const lines = question.baselines;
    if (!lines) return [];
    const runs = (["clean", "corrupted", "edited"] as const).filter((run) => (lines[run] ?? null) !== null);
    const ends = barEnds(runs.map((run) => lines[run]));
    const sign = LOGITS.has(question.metric);
    return [
      h("div", { class: "mi-note" }, `${question.metric_label} ${direction(question)}`),
      ...runs.map((run) => metricRow(run, run, lines[run], ends, sign)),
    ];
  }

  function effected({ metric, tokens, note }: Effect, what: What, question: Question): HTMLElement[] {
    const ends = barEnds([metric.base, metric.after]);
    const sign = LOGITS.has(metric.name);
    const side = session.promptOf(session.shown?.run ?? "clean");
    const percent = (share: number) => `${Math.round(share * 100)} %`;
    const shares = [
      metric.recovered !== null && `${percent(metric.recovered)} recovered`,
      metric.destroyed !== null && `${percent(metric.destroyed)} destroyed`,
    ].filter(Boolean);
    const most = Math.max(1e-9, ...tokens.flatMap((it) => [it.before ?? 0, it.after ?? 0]));
    const scale = most > 0.2 ? 1 : most * 1.2;
    const next = tokens.map((token) =>
      h(
        "div",
        { class: "mi-bar-row mi-next" },
        h("span", { dir: "auto", title: shortLabel(token.label, 200) }, shortLabel(bare(token.label), 10)),
        h(
          "span",
          { class: "mi-bar-rail" },
          bar(side, token.before, 0, scale),
          bar("edited", token.after, 0, scale),
        ),
        h("span", { class: "mi-bar-value" }, `${numberText(token.before)} → ${numberText(token.after)}`),
      ),
    );
    return [
      h("div", { class: "mi-note" }, `${metric.label} ${direction(question)} · total effect`),
      metricRow(side, "base", metric.base, ends, sign),
      metricRow("edited", AFTER[what], metric.after, ends, sign),
      ...(shares.length ? [h("div", { class: "mi-note" }, shares.join(" · "))] : []),
      h("b", { class: "mi-side-title" }, "Next token"),
      ...next,
      ...(note ? [h("div", { class: "mi-note", dir: "auto" }, note)] : []),
    ];
  }

  function update(): void {
    const { question } = session;
    const { what, effect } = intervention;
    const answer = what && effect.answer;
    const facts = JSON.stringify([
      what,
      answer ?? [question?.baselines, question?.metric],
      question && direction(question),
    ]);
    attribute(element, "data-running", what !== null && effect.running);
    attribute(element, "aria-busy", String(what !== null && effect.running));
    if (facts === drawn) return;
    drawn = facts;
    if (!question) element.replaceChildren();
    else element.replaceChildren(...(answer ? effected(answer, what, question) : baselines(question)));
    if (answer) context.say(intervention.sentence(answer));
  }
  return { element, update };
}
