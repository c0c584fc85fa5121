// The sweep's own switches: which site, which edit, what the numbers are; how much of the map is exact; Cancel.
import { actionButton, type Choice, Switch } from "../lib/controls";
import { attribute, disable, h, setText, show } from "../lib/dom";
import type { SweepSession } from "../lib/sweep-session";
import type { SweepChoice, SweepWish } from "../lib/sweep-table";
import { type SweepView, VIEWS, viewLabel, viewReason } from "../lib/sweep-values";
import type { View, ViewContext } from "./context";
import { createPatchChips } from "./patch-chips";
import { createPrompt } from "./prompt";

/** "[resid_pre | resid_mid | …]": where, with why it cannot be where it cannot. */
export function createSites(context: ViewContext<SweepSession>): View {
  const { session, tip } = context;
  const site = new Switch("site", tip, (name) => session.setSite(name));
  const element = h("div.group.scores.sweep-sites", site.element);
  function update(): void {
    const { table } = session;
    show(element, table !== null);
    if (table) site.update(table.map.sites.map((it) => choiceOf(context, it, session.site)));
  }
  return { element, update };
}

function choiceOf({ session, tip }: ViewContext<SweepSession>, it: SweepChoice, chosen: string): Choice {
  const { name, label = name } = it;
  const off = name === chosen ? null : session.choiceReason(it);
  return { name, label, chosen: name === chosen, off, card: tip.card(name, label) };
}

/** "[recovered | raw | change] [patch | zero | mean]  85 % exact  [Cancel]" */
function createTools(context: ViewContext<SweepSession>): View {
  const { session, tip } = context;
  const view = new Switch("numbers", tip, (name) => session.setView(name as SweepView));
  const edit = new Switch("edit", tip, (name) => session.setEdit(name as SweepWish["edit"]));
  const exact = h("span.sweep-exact#exact");
  tip.attach(exact, () => tip.card("exact"));
  const again = actionButton("Go on", tip, () => session.rerun(), {
    name: "sweep-again",
    card: () => ({ lines: [session.offReason ?? "Runs the cells that are not exact yet."] }),
  });
  const cancel = actionButton("Cancel", tip, () => session.work?.cancel(), {
    name: "sweep-cancel",
    card: () => tip.card("cancel-sweep"),
  });
  const element = h("div.group.sweep-tools", view.element, edit.element, exact, again, cancel);
  function update(): void {
    const { table, work } = session;
    show(element, table !== null);
    if (!table) return;
    const { map } = table;
    view.update(
      VIEWS.map((name) => {
        const label = viewLabel(map, name);
        const chosen = name === session.shownView;
        return { name, label, chosen, off: viewReason(table, name), card: tip.card(name, label) };
      }),
    );
    edit.update(map.edits_allowed.map((it) => choiceOf(context, it, session.edit)));
    const share = session.exactShare;
    // All but one of a thousand cells are not yet all of them.
    setText(exact, `${share < 1 ? Math.min(99, Math.floor(share * 100)) : 100} % exact`);
    show(again, session.stopped);
    disable(again, session.offReason);
    show(cancel, work !== null);
  }
  return { element, update };
}

/** "[ ] on top  [patch L1.resid_pre@10 ×]": whether cells come on top of the live edits, and these. */
export function createOnTop(context: ViewContext<SweepSession>): View {
  const { session, tip } = context;
  const chips = createPatchChips(context);
  const toggle = actionButton("on top of edits", tip, () => session.setOnTop(!session.onTop), {
    name: "on-top",
    card: () => tip.card("on-top", "on top of the edits", session.onTopReason),
  });
  const element = h("span.group.edited", { "data-part": "edited" }, toggle, chips.element);
  function update(): void {
    chips.update();
    const some = (session.question?.edits.length ?? 0) > 0;
    show(toggle, some || session.onTop);
    show(element, !chips.element.hidden || session.onTop);
    attribute(toggle, "aria-pressed", session.onTop);
    attribute(element, "data-edited", session.onTop);
    disable(toggle, session.onTopReason);
  }
  return { element, update };
}

/** The line over the map: the prompt that activations come from, where it can be edited (the header has the one that
 * they go into), and what the map is of. */
export function createMapLine(context: ViewContext<SweepSession>): View {
  const { session } = context;
  const prompts = { clean: createPrompt(context, "clean"), corrupted: createPrompt(context, "corrupted") };
  const word = h("span.word", "no second prompt to patch from; write one:");
  const source = h("div.sweep-source", word, prompts.clean.element, prompts.corrupted.element);
  const tools = createTools(context);
  const element = h("div.sweep-line", source, tools.element);
  function update(): void {
    const { question, table } = session;
    tools.update();
    show(element, table !== null);
    show(source, !!question?.model);
    if (!question?.model) return;
    const alone = question.prompts.corrupted === null;
    const side = !alone && question.base === "corrupted" ? "clean" : "corrupted";
    for (const name of ["clean", "corrupted"] as const) {
      prompts[name].update();
      show(prompts[name].element, name === side);
    }
    show(word, alone);
  }
  return { element, update };
}
