// The runs so far: each with its edits and its number, one click to go back to it, and two of them compared.

import type { RunEntry } from "../lib/board-runs";
import type { BoardSession } from "../lib/board-session";
import { actionButton } from "../lib/controls";
import { drawCanvas } from "../lib/display-list";
import { attribute, disable, focusedIn, h, setText, show, watchFacts } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { effectItems, LINE_HEIGHT, shareText } from "./effect-line";
import { numberText } from "./effect-panel";

export function createRunsHistory(context: ViewContext<BoardSession>): View {
  const { session, tip, say } = context;
  const { runs } = session;
  const head = actionButton("history of runs", tip, () => runs.toggle(), {
    class: "mi-fold",
    name: "history",
  });
  const note = h("span.note");
  const list = h("ol.runs", { "aria-label": "runs" });
  const compared = h("div.runs-compared");
  const body = h("div", { hidden: true }, note, list, compared);
  const element = h("section.history#history", head, body);
  const news = watchFacts();
  const comparedNews = watchFacts();

  function row({ number, base, labels, metric, recovered, current }: RunEntry): HTMLElement {
    const what = labels.length ? labels.map((it) => shortLabel(it, 32)).join(" + ") : "unedited";
    const share = recovered === null ? "" : ` · ${Math.round(recovered * 100)} %`;
    const restore = actionButton(
      `${number}  ${what}`,
      tip,
      () => {
        if (session.offReason) return say(session.offReason);
        runs.restore(number);
        session.tellWithEffect(`run ${number} restored`);
      },
      {
        class: "mi-run",
        name: "restore-run",
        card: () => ({
          title: `run ${number}`,
          lines: [`base ${base}`, ...labels, "Click to bring it back."],
        }),
      },
    );
    disable(restore, current || session.offReason);
    const chosen = runs.chosen.indexOf(number);
    const compare = actionButton(
      chosen < 0 ? "compare" : `compared ${"AB"[chosen]}`,
      tip,
      () => runs.choose(number),
      {
        class: "mi-link",
        name: "compare-run",
        says: `compare run ${number}`,
      },
    );
    attribute(compare, "aria-pressed", chosen >= 0);
    const value = h("span.run-value", metric === null ? "" : `${numberText(metric, true)}${share}`);
    return h("li", { "data-run-number": number, "data-current": current }, restore, value, compare);
  }

  function compare(): void {
    const { theme, scale } = context;
    const found = runs.chosen.map((number) => ({ number, effect: runs.effects.get(number) }));
    const room = widthOf(compared) || 420;
    const width = Math.min(560, room > 784 ? room / 2 - 12 : room);
    if (!comparedNews(found, width, scale, theme.dark, runs.effect.failure)) return;
    const made: HTMLElement[] = found.map(({ number, effect }, at) => {
      const title = h(
        "div.note",
        `${"AB"[at]} · run ${number}${effect ? ` · ${effect.label}` : " · on its way"}`,
      );
      if (!effect) return h("div", title);
      const canvas = h("canvas", { role: "img", "aria-label": `run ${number}: ${numberText(effect.after)}` });
      const facts = { effect, word: `run ${number}`, estimate: false, live: null, width, theme, scale };
      const height = LINE_HEIGHT * scale;
      drawCanvas(canvas, { width, height, background: theme.background, items: effectItems(facts) });
      return h("div", title, canvas);
    });
    const [a, b] = found.map((it) => it.effect);
    if (a && b && a.after !== null && b.after !== null) {
      const share = [shareText(a), shareText(b)].filter(Boolean).join(" against ");
      const words = `B − A: ${numberText(b.after - a.after, true)}${share && ` · ${share}`}`;
      made.push(h("div.readout", words));
    }
    compared.replaceChildren(...made);
  }
  function update(): void {
    const { board, offReason } = session;
    show(element, board !== null);
    if (!board) return;
    const { run_number, n_runs } = board;
    setText(head, `history of runs${n_runs ? ` (${n_runs})` : ""}`);
    attribute(head, "aria-expanded", runs.open);
    show(body, runs.open);
    if (!runs.open) return;
    const { answer, failure, running } = runs.list;
    const entries = answer?.runs ?? [];
    const empty = running ? "on its way" : session.why("no-run");
    setText(note, failure?.message ?? offReason ?? (entries.length ? "" : empty));
    if (news(entries, runs.chosen, offReason, run_number)) {
      const held = focusedIn(list);
      const [number, action] = [held?.closest("li")?.dataset.runNumber, held?.dataset.action];
      list.replaceChildren(...[...entries].reverse().map(row));
      if (number)
        list.querySelector<HTMLElement>(`[data-run-number="${number}"] [data-action="${action}"]`)?.focus();
    }
    compare();
  }
  return { element, update };
}
