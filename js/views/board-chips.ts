// The patches as chips: on and off, strength, order, removal. All widgets of an experiment share them.
import type { BoardSession } from "../lib/board-session";
import { readBy } from "../lib/board-specs";
import { chipWords } from "../lib/board-words";
import { attribute, h, onEnd, set, setText, show } from "../lib/dom";
import { stop } from "../lib/keyboard";
import type { View, ViewContext } from "./context";
import { createChipList } from "./patch-chips";

/** Keys on a strength rest this long before it is taken. */
const KEYS_REST_MS = 400;
const THRESHOLD = 5;

export function createBoardChips(context: ViewContext<BoardSession>, form: HTMLElement): View {
  const { session, say } = context;
  const chips = createChipList(context, {
    noun: "patches",
    words: (edit) => chipWords(session.question, edit, session.board),
    change(verb, params, done) {
      if (session.offReason) return say(session.offReason);
      session.askChange(`edits.${verb}`, params);
      session.tellWithEffect(done);
    },
    lead({ on, spec }) {
      const run = readBy(spec, session.question?.base ?? "clean");
      return h("span.chip-dot", { "data-run": run, "aria-hidden": true }, on ? "●" : "○");
    },
    rest: ({ alpha }, index, spoken) => (alpha == null ? null : slider(spoken, alpha, index)),
    made: holdToMove,
  });
  const { list } = chips;
  const hint = h("span.note");
  const element = h(
    "section.edits.board-chips#edits",
    h("span.word", "patches"),
    list,
    hint,
    chips.clear,
    form,
  );
  /** The chip that is being moved, and where it would go. */
  let moving: { index: number; to: number } | null = null;

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
        if (to !== index) chips.move(index, to);
      },
      onpointercancel: end,
    });
    const click = (event: Event) => {
      if (swallowed) event.stopImmediatePropagation();
      swallowed = false;
    };
    handle.addEventListener("click", click, { capture: true });
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
    const way = edits.length ? "drag-more" : board?.grids.corrupted ? "drag" : "drag-alone";
    setText(hint, offReason ? "" : session.why(way));
    // A strength that is being moved keeps its slider.
    if (!session.drag.sliding && !moving) chips.update();
  }
  return { element, update };
}
