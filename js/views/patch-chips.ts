// The experiment's edits as chips: switched on and off, moved, removed, undone. All widgets of an experiment share them.
import { chipWords } from "../lib/board-words";
import { actionButton } from "../lib/controls";
import { type Child, disable, focusedIn, h, set, show, watchFacts } from "../lib/dom";
import { onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import type { Edit, Params } from "../lib/protocol";
import type { Session } from "../lib/session";
import type { Tooltip } from "../lib/tooltip";

interface ChipContext {
  session: Session;
  tip: Tooltip;
  say(text: string): void;
}
export interface PatchChips {
  element: HTMLElement;
  update(): void;
}

/** How a widget has its chips. */
interface ChipKind {
  /** What it calls the edits. */
  noun: string;
  /** What a chip says, and the same as a voice says it. */
  words(edit: Edit): [text: string, spoken: string];
  /** Changes the list, and tells what was done. */
  change(verb: string, params: Params, done: string): void;
  /** What stands before and behind the words. */
  lead?(edit: Edit): Child;
  rest?(edit: Edit, index: number, spoken: string): Child;
  /** A chip was made. */
  made?(chip: HTMLElement, handle: HTMLElement, index: number): void;
}

/** Undoes or redoes one step where there is one; says whether there was. */
export function stepBack({ session, say }: ChipContext, verb: "undo" | "redo"): boolean {
  if (!session.question?.history?.[verb] || session.offReason) return false;
  session.askChange(`edits.${verb}`, {});
  say(verb === "undo" ? "last edit undone" : "edit redone");
  return true;
}

/** Undo and redo, off while there is nothing to. */
export function createSteps(context: ChipContext, look: string) {
  const { session, tip } = context;
  return (["undo", "redo"] as const).map((verb) => {
    const element = actionButton(verb === "undo" ? "↶" : "↷", tip, () => stepBack(context, verb), {
      class: look,
      name: verb,
      says: `${verb} the last change of the edits`,
      card: () => tip.card(verb, "", session.offReason),
    });
    const update = () => disable(element, session.offReason || !session.question?.history?.[verb]);
    return { element, update };
  });
}

/** Keys of a chip: Delete removes, arrows go to its neighbours, with Shift they take it along. */
function chipKeys(
  list: HTMLElement,
  handle: HTMLElement,
  index: number,
  drop: () => void,
  move: (index: number, to: number) => void,
): void {
  const go = (by: number) => (event: KeyboardEvent) => {
    const to = index + by;
    if (to < 0 || to >= list.childElementCount) return;
    if (event.shiftKey) move(index, to);
    focusChip(list, to);
  };
  const [back, ahead] = [go(-1), go(1)];
  onKeys(handle, {
    Delete: drop,
    Backspace: drop,
    ArrowLeft: back,
    ArrowUp: back,
    ArrowRight: ahead,
    ArrowDown: ahead,
  });
}
const focusChip = (list: HTMLElement, index: number) =>
  list.children[index]?.querySelector<HTMLElement>("[data-action=toggle-edit]")?.focus();

/** The list of the chips, and what clears it. */
export function createChipList({ session, tip }: ChipContext, kind: ChipKind) {
  const { noun, words, change } = kind;
  const list = h("div.edit-list", { role: "list", "aria-label": `${noun} of the experiment` });
  const clear = actionButton("clear", tip, () => change("clear", {}, `all ${noun} removed`), {
    class: "mi-link",
    name: "clear-edits",
    card: () => tip.card("clear-edits", "", session.offReason),
  });
  const isNew = watchFacts();
  let drawn: readonly Edit[] = [];
  const move = (index: number, to: number) => change("move", { index, to }, `moved to place ${to + 1}`);

  function chip(edit: Edit, index: number): HTMLElement {
    const { label, on, site, note } = edit;
    const [text, spoken] = words(edit);
    const state = on ? "off" : "on";
    const drop = () => change("remove", { index }, `removed ${spoken}`);
    const toggle = actionButton("", tip, () => change("toggle", { index }, `${spoken} ${state}`), {
      class: "mi-edit-label",
      name: "toggle-edit",
      says: `${spoken}, ${on ? "on" : "off"}`,
      card() {
        const { lines = [] } = tip.card("toggle-edit", "", session.offReason) ?? {};
        return { title: label, lines: [site, note, ...lines] };
      },
    });
    toggle.append(kind.lead?.(edit) || "", h("span", { dir: "auto" }, text));
    set(toggle, { "aria-pressed": on });
    chipKeys(list, toggle, index, drop, move);
    const remove = actionButton("×", tip, drop, {
      class: "mi-icon",
      name: "remove-edit",
      says: `remove ${spoken}`,
    });
    for (const button of [toggle, remove]) disable(button, session.offReason);
    const made = h(
      "span.edit",
      { role: "listitem", "data-on": String(on), "data-site": site },
      toggle,
      kind.rest?.(edit, index, spoken),
      remove,
      note && h("span.edit-note", { dir: "auto" }, shortLabel(note, 80)),
    );
    kind.made?.(made, toggle, index);
    return made;
  }

  return {
    list,
    clear,
    move,
    update(): void {
      const { offReason } = session;
      const { edits = [] } = session.question ?? {};
      show(clear, edits.length > 0);
      disable(clear, offReason);
      if (!isNew(edits, edits.map(words), offReason)) return;
      const held = [...list.children].findIndex((it) => focusedIn(it as HTMLElement));
      const slid = focusedIn(list)?.matches("input");
      const was = drawn[held];
      drawn = edits;
      list.replaceChildren(...edits.map(chip));
      // The keyboard stays on its chip, wherever that went, or on its neighbour when that one is gone.
      const same = edits.findIndex((it) => it.label === was?.label && it.site === was.site);
      if (slid) list.children[held]?.querySelector<HTMLElement>("input")?.focus();
      else if (held >= 0) focusChip(list, same < 0 ? Math.min(held, edits.length - 1) : same);
    },
  };
}

export function createPatchChips(context: ChipContext): PatchChips {
  const { session, say } = context;
  const chips = createChipList(context, {
    noun: "edits",
    words: (edit) => chipWords(session.question, edit),
    change(verb, params, done) {
      session.askChange(`edits.${verb}`, params);
      say(done);
    },
  });
  const steps = createSteps(context, "mi-icon");
  const head = h("div.edits-head", h("b", "Edits"), ...steps.map((it) => it.element), chips.clear);
  const element = h("div.edits#edits", head, chips.list);
  return {
    element,
    update() {
      const { edits = [], history } = session.question ?? {};
      show(element, edits.length > 0 || history?.undo === true || history?.redo === true);
      for (const it of [...steps, chips]) it.update();
    },
  };
}
