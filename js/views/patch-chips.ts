// The experiment's edits as chips: switched on and off, moved, removed, undone. All widgets of an experiment share them.
import { actionButton } from "../lib/controls";
import { disable, focusedIn, h, set, show, watchFacts } from "../lib/dom";
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

/** Asks the kernel to change the list of edits; it comes back as part of the question. */
export function changeEdits(session: Session, verb: string, params: Params = {}): void {
  session.askChange(`edits.${verb}`, params, "The edits could not be changed", "edits");
}

/** Undoes or redoes one step where there is one; says whether there was. */
export function stepBack({ session, say }: ChipContext, verb: "undo" | "redo"): boolean {
  if (!session.question?.history?.[verb] || session.offReason) return false;
  changeEdits(session, verb);
  say(verb === "undo" ? "last edit undone" : "edit redone");
  return true;
}

export function createPatchChips(context: ChipContext): PatchChips {
  const { session, tip, say } = context;
  const chips = h("div.edit-list", { role: "list", "aria-label": "edits of the experiment" });
  const card = (name: string) => () => tip.card(name, "", session.offReason);
  const step = (verb: "undo" | "redo", label: string) =>
    actionButton(label, tip, () => stepBack(context, verb), {
      class: "mi-icon",
      name: verb,
      says: `${verb} the last change of the edits`,
      card: card(verb),
    });
  const undo = step("undo", "↶");
  const redo = step("redo", "↷");
  const clear = actionButton("clear", tip, () => changeEdits(session, "clear"), {
    class: "mi-link",
    name: "clear-edits",
    card: card("clear-edits"),
  });
  const head = h("div.edits-head", h("b", "Edits"), undo, redo, clear);
  const element = h("div.edits#edits", head, chips);
  const isNew = watchFacts();

  function chip(edit: Edit, index: number): HTMLElement {
    const { label, on, note } = edit;
    const flip = () => {
      changeEdits(session, "toggle", { index });
      say(`${label} ${on ? "off" : "on"}`);
    };
    const drop = () => {
      changeEdits(session, "remove", { index });
      say(`removed ${label}`);
    };
    const toggle = actionButton(shortLabel(label, 40), tip, flip, {
      class: "mi-edit-label",
      name: "toggle-edit",
      card: () => ({
        title: label,
        lines: [edit.site, note, ...(card("toggle-edit")()?.lines ?? [])],
      }),
    });
    set(toggle, { "aria-pressed": on, dir: "auto" });
    const remove = actionButton("×", tip, drop, {
      class: "mi-icon",
      name: "remove-edit",
      says: `remove ${label}`,
    });
    for (const button of [toggle, remove]) disable(button, session.offReason);
    const go = (by: number) => (event: KeyboardEvent) => {
      const to = index + by;
      if (to < 0 || to >= chips.childElementCount) return;
      if (event.shiftKey) changeEdits(session, "move", { index, to });
      focusChip(to);
    };
    const [back, ahead] = [go(-1), go(1)];
    onKeys(toggle, {
      Delete: drop,
      Backspace: drop,
      ArrowLeft: back,
      ArrowUp: back,
      ArrowRight: ahead,
      ArrowDown: ahead,
    });
    return h(
      "span.edit",
      { role: "listitem", "data-on": String(on) },
      toggle,
      remove,
      note ? h("span.edit-note", { dir: "auto" }, shortLabel(note, 60)) : null,
    );
  }
  const focusChip = (index: number) =>
    chips.children[index]?.querySelector<HTMLElement>("[data-action=toggle-edit]")?.focus();

  function update(): void {
    const { edits = [], history } = session.question ?? {};
    const off = session.offReason;
    show(element, edits.length > 0 || history?.undo === true || history?.redo === true);
    disable(undo, off || !history?.undo);
    disable(redo, off || !history?.redo);
    disable(clear, off || !edits.length);
    if (!isNew(edits, off)) return;
    // The keyboard stays on the chip it was on, or on its neighbour when that one went.
    const held = [...chips.children].findIndex((it) => focusedIn(it as HTMLElement));
    chips.replaceChildren(...edits.map(chip));
    if (held >= 0) focusChip(Math.min(held, edits.length - 1));
  }
  return { element, update };
}
