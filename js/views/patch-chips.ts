// The experiment's edits as chips: switched on and off, moved, removed, undone. All widgets of an experiment share them.
import { actionButton } from "../lib/controls";
import { attribute, h, show } from "../lib/dom";
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
  const current = () => ({ ...params, base_rev: session.question?.rev ?? 0 });
  session.ask(`edits.${verb}`, current, "The edits could not be changed", { slot: "edits" });
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
  const chips = h("div", { class: "mi-edit-list", role: "list", "aria-label": "edits of the experiment" });
  const step = (verb: "undo" | "redo", label: string, key: string) => {
    const button = actionButton(label, tip, () => stepBack(context, verb), {
      class: "mi-icon",
      name: verb,
      card: () => ({ lines: [session.offReason ?? `${verb} (${key})`] }),
    });
    attribute(button, "aria-label", `${verb} the last change of the edits`);
    return button;
  };
  const undo = step("undo", "↶", "Ctrl+Z");
  const redo = step("redo", "↷", "Shift+Ctrl+Z");
  const clear = actionButton("clear", tip, () => changeEdits(session, "clear"), {
    class: "mi-link",
    name: "clear-edits",
    card: () => ({ lines: [session.offReason ?? "Removes all edits; undo brings them back."] }),
  });
  const head = h("div", { class: "mi-edits-head" }, h("b", {}, "Edits"), undo, redo, clear);
  const element = h("div", { class: "mi-edits", "data-part": "edits" }, head, chips);
  let drawn = "";

  function chip(edit: Edit, index: number): HTMLElement {
    const toggle = actionButton(
      shortLabel(edit.label, 40),
      tip,
      () => {
        changeEdits(session, "toggle", { index });
        say(`${edit.label} ${edit.on ? "off" : "on"}`);
      },
      {
        class: "mi-edit-label",
        name: "toggle-edit",
        card: () => ({
          title: edit.label,
          lines: [
            edit.site,
            edit.note,
            session.offReason ?? "click: on or off · Delete removes · Shift + arrows move",
          ],
        }),
      },
    );
    attribute(toggle, "aria-pressed", String(edit.on));
    attribute(toggle, "dir", "auto");
    const drop = () => {
      changeEdits(session, "remove", { index });
      say(`removed ${edit.label}`);
    };
    const remove = actionButton("×", tip, drop, { class: "mi-icon", name: "remove-edit" });
    attribute(remove, "aria-label", `remove ${edit.label}`);
    const holder = h(
      "span",
      { class: "mi-edit", role: "listitem", "data-on": String(edit.on) },
      toggle,
      remove,
    );
    if (edit.note)
      holder.append(h("span", { class: "mi-edit-note", dir: "auto" }, shortLabel(edit.note, 60)));
    const go = (by: number) => (event: KeyboardEvent) => {
      const to = index + by;
      if (to < 0 || to >= chips.childElementCount) return;
      if (event.shiftKey) changeEdits(session, "move", { index, to });
      focusChip(to);
    };
    const [back, on] = [go(-1), go(1)];
    onKeys(toggle, {
      Delete: drop,
      Backspace: drop,
      ArrowLeft: back,
      ArrowUp: back,
      ArrowRight: on,
      ArrowDown: on,
    });
    return holder;
  }
  const focusChip = (index: number) =>
    chips.children[index]?.querySelector<HTMLElement>("[data-action=toggle-edit]")?.focus();

  function update(): void {
    const edits = session.question?.edits ?? [];
    const history = session.question?.history;
    show(element, edits.length > 0 || history?.undo === true || history?.redo === true);
    const off = (enabled: boolean | undefined) => (enabled && !session.offReason ? null : "true");
    attribute(undo, "aria-disabled", off(history?.undo));
    attribute(redo, "aria-disabled", off(history?.redo));
    attribute(clear, "aria-disabled", off(edits.length > 0));
    const facts = JSON.stringify([edits, session.offReason]);
    if (facts === drawn) return;
    drawn = facts;
    // The keyboard stays on the chip it was on, or on its neighbour when that one went.
    const held = [...chips.children].findIndex((it) => it.contains(document.activeElement));
    chips.replaceChildren(...edits.map(chip));
    if (session.offReason)
      for (const button of chips.querySelectorAll("button")) attribute(button, "aria-disabled", "true");
    if (held >= 0) focusChip(Math.min(held, edits.length - 1));
  }
  return { element, update };
}
