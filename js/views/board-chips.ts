// The patches as chips: on and off, strength, order, removal. All widgets of an experiment share them.
import type { BoardSession } from "../lib/board-session";
import { otherSide } from "../lib/board-specs";
import { actionButton } from "../lib/controls";
import { attribute, disable, focusedIn, h, onEnd, set, setText, show, watchFacts } from "../lib/dom";
import { onKeys, stop } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import type { Edit } from "../lib/protocol";
import type { View, ViewContext } from "./context";

/** Keys on a strength rest this long before it is taken. */
const KEYS_REST_MS = 400;
const THRESHOLD = 5;

export function createBoardChips(context: ViewContext<BoardSession>, form: HTMLElement): View {
  const { session, tip, say } = context;
  const list = h("div.edit-list", { role: "list", "aria-label": "patches of the experiment" });
  const hint = h("span.note");
  const clear = actionButton("clear", tip, () => change("clear", {}, "all patches removed"), {
    class: "mi-link",
    name: "clear-edits",
    card: () => tip.card("clear-edits", "", session.offReason),
  });
  const element = h("section.edits.board-chips#edits", h("span.word", "patches"), list, hint, clear, form);
  const isNew = watchFacts();
  let drawnOf: readonly Edit[] = [];
  /** The chip that is being moved, and where it would go. */
  let moving: { index: number; to: number } | null = null;

  function change(verb: string, params: Record<string, number>, done: string): void {
    if (session.offReason) return say(session.offReason);
    session.change(`edits.${verb}`, params, "The patches could not be changed");
    session.tellWithEffect(done);
  }
  const focusChip = (index: number) =>
    list.children[index]?.querySelector<HTMLElement>("[data-action=toggle-edit]")?.focus();
  const move = (index: number, to: number) => {
    change("move", { index, to }, `moved to place ${to + 1}`);
  };

  function chip({ label, on, note, site, alpha, spec }: Edit, index: number): HTMLElement {
    const flip = () => change("toggle", { index }, `${label} ${on ? "off" : "on"}`);
    const drop = () => change("remove", { index }, `removed ${label}`);
    const dot = h("span.chip-dot", { "data-run": sourceRun(spec), "aria-hidden": true }, on ? "●" : "○");
    const card = () => {
      const { lines = [] } = tip.card("toggle-edit", "", session.offReason) ?? {};
      return { title: label, lines: [site, note, ...lines] };
    };
    const toggle = actionButton("", tip, () => swallow() || flip(), {
      class: "mi-edit-label",
      name: "toggle-edit",
      card,
    });
    toggle.append(dot, h("span", { dir: "auto" }, shortLabel(label, 44)));
    set(toggle, { "aria-pressed": on, "aria-label": `${label}, ${on ? "on" : "off"}` });
    const remove = actionButton("×", tip, drop, {
      class: "mi-icon",
      name: "remove-edit",
      says: `remove ${label}`,
    });
    const go = (by: number) => (event: KeyboardEvent) => {
      const to = index + by;
      if (to < 0 || to >= list.childElementCount) return;
      if (event.shiftKey) move(index, to);
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
    const made = h(
      "span.edit",
      { role: "listitem", "data-on": String(on), "data-site": site },
      toggle,
      alpha == null ? null : slider(label, alpha, index),
      remove,
      note ? h("span.edit-note", { dir: "auto" }, shortLabel(note, 80)) : null,
    );
    for (const button of [toggle, remove]) disable(button, session.offReason);
    holdToMove(made, toggle, index);
    return made;
  }

  /** The run that a patch reads; "" of what reads none. */
  function sourceRun(spec: Edit["spec"]): string {
    if (spec?.kind !== "patch") return "";
    return spec.source === "other" ? otherSide(session.question?.base ?? "clean") : spec.source;
  }

  /** The strength: tried out while it moves, asked for once it is let go. */
  function slider(label: string, alpha: number, index: number): HTMLElement {
    const number = h("span.alpha-value", `α ${alpha.toFixed(2)}`);
    /** Moved by keys, each of which changes it: it is let go when they rest. */
    let rest: ReturnType<typeof setTimeout> | null = null;
    let keyed = false;
    const still = () => {
      if (rest !== null) clearTimeout(rest);
      rest = null;
    };
    const letGo = () => {
      still();
      const value = Number(input.value);
      session.drag.slide(index, null);
      if (value === alpha) return;
      session.setAlpha(index, value);
      session.tellWithEffect(`strength ${value.toFixed(2)}`);
    };
    const input = h("input.alpha", {
      type: "range",
      min: Math.min(0, alpha),
      max: Math.max(1, alpha),
      step: 0.01,
      value: alpha,
      "aria-label": `strength of ${label}`,
      "data-input": "alpha",
      disabled: session.offReason !== null,
      oninput() {
        setText(number, `α ${Number(input.value).toFixed(2)}`);
        session.drag.slide(index, Number(input.value));
      },
      onchange() {
        still();
        if (keyed) rest = setTimeout(letGo, KEYS_REST_MS);
        else letGo();
      },
      onpointerdown() {
        keyed = false;
      },
      onblur: () => rest !== null && letGo(),
      onkeydown: (event: KeyboardEvent) => {
        keyed = true;
        if (event.key !== "Escape") return event.stopPropagation();
        still();
        input.value = String(alpha);
        setText(number, `α ${alpha.toFixed(2)}`);
        session.drag.slide(index, null);
        stop(event);
      },
    });
    input.value = String(alpha);
    return h("label.alpha-holder", input, number);
  }

  // --- order by pointer ---------------------------------------------------------------------------------------------
  let swallowed = false;
  function swallow(): boolean {
    const was = swallowed;
    swallowed = false;
    return was;
  }
  function holdToMove(made: HTMLElement, handle: HTMLElement, index: number): void {
    let from: { x: number; y: number } | null = null;
    const end = () => {
      from = moving = null;
      mark();
    };
    set(handle, {
      onpointerdown({ clientX: x, clientY: y, button, pointerId }: PointerEvent) {
        swallowed = false;
        if (button !== 0 || list.childElementCount < 2 || session.offReason) return;
        from = { x, y };
        handle.setPointerCapture(pointerId);
      },
      onpointermove({ clientX, clientY }: PointerEvent) {
        if (!from || (!moving && Math.hypot(clientX - from.x, clientY - from.y) < THRESHOLD)) return;
        moving = { index, to: placeAt(clientX, clientY, index) };
        mark();
      },
      onpointerup() {
        const { to = index } = moving ?? {};
        swallowed = moving !== null;
        end();
        if (to !== index) move(index, to);
      },
      onpointercancel: end,
    });
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !moving) return;
      stop(event);
      swallowed = true;
      end();
    });
  }
  /** The place in the list that a point stands for. */
  function placeAt(x: number, y: number, from: number): number {
    let place = 0;
    for (const [at, it] of [...list.children].entries()) {
      const { left, width, top, bottom } = it.getBoundingClientRect();
      if (at !== from && (y > bottom || (y >= top && x > left + width / 2))) place++;
    }
    return place;
  }
  function mark(): void {
    for (const [at, it] of [...list.children].entries()) {
      attribute(it, "data-moving", moving?.index === at);
      const place = moving && (moving.to >= moving.index ? moving.to : moving.to - 1);
      attribute(it, "data-after", moving !== null && place === at && at !== moving.index);
      attribute(it, "data-before", moving?.to === 0 && at === 0 && moving.index !== 0);
    }
  }
  onEnd(context.signal, () => {
    moving = null;
  });

  function update(): void {
    const { board, question, offReason } = session;
    const edits = question?.edits ?? [];
    show(element, board !== null);
    show(clear, edits.length > 0);
    disable(clear, offReason);
    setText(
      hint,
      offReason
        ? ""
        : !board?.grids.corrupted
          ? "drag a cell to another position, or press Enter on one to pick it up"
          : edits.length
            ? "drop another cell, or press Enter on one to pick it up"
            : "drag a cell from one run onto the other, or press Enter on one to pick it up",
    );
    // A strength that is being moved keeps its slider.
    if (session.drag.sliding || moving) return;
    if (!isNew(edits, offReason)) return;
    const held = [...list.children].findIndex((it) => focusedIn(it as HTMLElement));
    const slid = held >= 0 && focusedIn(list)?.matches("input");
    const before = drawnOf[held];
    drawnOf = edits;
    list.replaceChildren(...edits.map(chip));
    if (held < 0) return;
    // The keyboard stays on its chip, wherever that went, or on its neighbour.
    const same = edits.findIndex((it) => it.label === before?.label && it.site === before?.site);
    const at = same >= 0 && edits.length === list.childElementCount ? same : Math.min(held, edits.length - 1);
    if (slid) list.children[held]?.querySelector<HTMLElement>("input")?.focus();
    else if (at >= 0) focusChip(at);
  }
  return { element, update };
}
