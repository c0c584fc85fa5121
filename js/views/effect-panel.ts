// What an intervention does to the answer: the metric before and after, and the next tokens.

import { attribute, h, set, watchFacts } from "../lib/dom";
import { barEnds, barSpan } from "../lib/geometry";
import { headKey } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { Effect, What } from "../lib/intervention";
import { bare, dotted, shortLabel } from "../lib/labels";
import type { Question } from "../lib/protocol";
import type { View, ViewContext } from "./context";
import { valueText } from "./pattern-figure";

/** What an answer is called after it; the others ablate. */
const AFTER: Partial<Record<What, string>> = { knockout: "cut", pattern: "new row" };
const LOGITS = new Set(["logit_diff", "logit", "logprob"]);

/** A number for a label: two decimals where they say something, powers of ten beyond. */
export function numberText(value: number | null, withSign = false): string {
  const size = Math.abs(value ?? 0);
  const sign = (value ?? 0) < 0 ? "−" : withSign ? "+" : "";
  if ((size >= 1e5 && size < Number.POSITIVE_INFINITY) || (size > 0 && size < 0.005))
    return sign + size.toExponential(1).replace("e+", "e");
  return valueText(value, sign !== "");
}

/** A row of a bar chart: what it is about, its bars, and the number. */
export const barRow = (name: HTMLElement, text: string, ...bars: HTMLElement[]) =>
  h("div.bar-row", name, h("span.bar-rail", ...bars), h("span.bar-value", text));

export const tokenName = (label: string) =>
  h("span", { dir: "auto", title: shortLabel(label, 200) }, shortLabel(bare(label), 10));

/** One bar from 0, on a scale from `low` to `high`; hatched when there is no number. */
export function bar(role: string, value: number | null, low: number, high: number): HTMLElement {
  const span = barSpan(value, low, high);
  const element = h(`span.bar.${role}`, { "data-hole": !span });
  element.style.marginLeft = `${span?.left ?? 0}%`;
  element.style.width = `${Math.max(1, span?.width ?? 100)}%`;
  return element;
}

/** "Mary − John", the tokens that the metric is about. */
export function direction(question: Question): string {
  return [question.answer, question.distractor]
    .filter((it) => it !== null)
    .map((it) => it.labels.map((label) => shortLabel(bare(label), 16)).join("/"))
    .join(" − ");
}

export function createEffectPanel(context: ViewContext<HeadsSession>): View {
  const { session } = context;
  const { intervention } = session;
  const element = h("div.effect#effect");
  const isNew = watchFacts();

  /** What is scored in which direction, and bars of it on one scale. */
  function metricRows(
    question: Question,
    name: string,
    label: string,
    rows: readonly (readonly [role: string, name: string, value: number | null])[],
  ): HTMLElement[] {
    const [low, high] = barEnds(rows.map(([, , value]) => value));
    const bars = rows.map(([role, words, value]) => {
      const row = barRow(h("span", words), numberText(value, LOGITS.has(name)), bar(role, value, low, high));
      const rail = row.children[1] as HTMLElement;
      if (low < 0) rail.style.setProperty("--zero", `${barSpan(low, low, high)?.width}%`);
      attribute(rail, "data-zero", low < 0);
      return row;
    });
    return [h("div.note", label.replace("@", direction(question))), ...bars];
  }

  /** Nothing is tried: the metric of the runs there are. */
  function baselines(question: Question): HTMLElement[] {
    const { baselines: lines, metric, metric_label } = question;
    if (!lines) return [];
    const runs = (["clean", "corrupted", "edited"] as const).filter((run) => (lines[run] ?? null) !== null);
    return metricRows(
      question,
      metric,
      `${metric_label} @`,
      runs.map((run) => [run, run, lines[run]] as const),
    );
  }

  function effected({ metric, tokens, note }: Effect, what: What, question: Question): HTMLElement[] {
    const side = session.promptOf(session.shown?.run ?? "clean");
    const shares = (["recovered", "destroyed"] as const)
      .filter((name) => metric[name] !== null)
      .map((name) => `${Math.round((metric[name] as number) * 100)} % ${name}`);
    const most = Math.max(1e-9, ...tokens.flatMap((it) => [it.before ?? 0, it.after ?? 0]));
    const scale = most > 0.2 ? 1 : most * 1.2;
    const next = tokens.map(({ label, before, after }) => {
      const row = barRow(
        tokenName(label),
        `${numberText(before)} → ${numberText(after)}`,
        bar(side, before, 0, scale),
        bar("edited", after, 0, scale),
      );
      row.classList.add("mi-next");
      return row;
    });
    return [
      ...metricRows(question, metric.name, `${metric.label} @ · total effect`, [
        [side, "base", metric.base],
        ["edited", AFTER[what] ?? "ablated", metric.after],
      ]),
      ...(shares.length ? [h("div.note", dotted(shares))] : []),
      h("b.side-title", "Next token"),
      ...next,
      ...(note ? [h("div.note", { dir: "auto" }, note)] : []),
    ];
  }

  function update(): void {
    const { question } = session;
    const { what, effect } = intervention;
    const answer = what && effect.answer;
    const running = what !== null && effect.running;
    set(element, { "data-running": running, "aria-busy": running });
    const facts = answer ?? [question?.baselines, question?.metric];
    if (!isNew(what, facts, question && direction(question))) return;
    const rows = !question ? [] : answer ? effected(answer, what, question) : baselines(question);
    element.replaceChildren(...rows);
    if (!answer) return;
    const { label, base, after } = answer.metric;
    const heads = intervention.heads.map(headKey).join(", ");
    context.say(`${what} ${heads}: ${label} ${valueText(after, false)}, was ${valueText(base, false)}`);
  }
  return { element, update };
}
