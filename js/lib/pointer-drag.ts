// Carrying a site from one widget to another: by pointer with a ghost that follows it, or by keyboard. What is carried
// is told on `window`, keyed by the experiment, so that a target in another cell or shadow root can take it.
import { onEnd, set } from "./dom";
import { stop } from "./keyboard";

export const EVENT = "mi-widgets:drag";
const THRESHOLD = 5;
/** A finger that rests this long picks up; one that moves before that scrolls. */
const HOLD_MS = 350;

/** An activation, or a block of them. */
export interface Carried {
  site: string;
  /** Where it was taken hold of; with `layers`, one of them. */
  layer: number;
  head?: number | null;
  /** Positions of the prompt it comes from; null is all of them. */
  positions?: number[] | null;
  layers?: number[];
  heads?: number[];
  /** The run it comes from: the one that is not the target's where nobody says. */
  source?: "clean" | "corrupted";
  /** The one of `positions` where it was taken hold of. */
  from?: number;
}

export interface DragDetail {
  phase: "start" | "move" | "end";
  experiment: string;
  carried: Carried;
  clientX: number;
  clientY: number;
  /** Picked up with Enter: a target takes it with Enter and tells "end" itself. */
  keyboard: boolean;
  /** Only of "end": nothing was dropped. */
  cancelled: boolean;
}

export interface DragOptions {
  experiment: string;
  /** What lies at a point of the page; null when nothing there can be carried. */
  pick(clientX: number, clientY: number): Carried | null;
  /** What follows the pointer. */
  ghost(carried: Carried): HTMLElement;
  /** What is carried, in words. */
  named(carried: Carried): string;
  say(text: string): void;
  /** What is carried has changed. */
  changed(): void;
  signal: AbortSignal;
}

interface Carrying {
  carried: Carried;
  x: number;
  y: number;
  /** null: by keyboard. */
  pointer: number | null;
  ghost: HTMLElement | null;
  /** Past the threshold: it is told. */
  on: boolean;
}

export interface DragSource {
  /** What is being carried; null when nothing is. */
  readonly carrying: Carried | null;
  readonly byPointer: boolean;
  /** Picks up by keyboard; the point tells targets where it comes from. */
  pickUp(carried: Carried, clientX: number, clientY: number): void;
  cancel(): void;
}

export function createDragSource(element: HTMLElement, options: DragOptions): DragSource {
  const { experiment, signal, say, named } = options;
  let now: Carrying | null = null;
  let hold: ReturnType<typeof setTimeout> | undefined;
  /** The click that ends a drag selects nothing. */
  let swallow = false;
  let telling = false;

  function tell({ carried, x, y, pointer }: Carrying, phase: DragDetail["phase"], cancelled = false): void {
    const keyboard = pointer === null;
    const detail: DragDetail = { phase, experiment, carried, clientX: x, clientY: y, keyboard, cancelled };
    telling = true;
    window.dispatchEvent(new CustomEvent(EVENT, { detail }));
    telling = false;
  }
  function place({ ghost, x, y }: Carrying): void {
    // Percentages are of its own size: it stays in the window.
    const [right, down] = [`min(${x + 10}px, 100vw - 100% - 16px)`, `min(${y + 10}px, 100vh - 100% - 16px)`];
    if (ghost) ghost.style.transform = `translate(${right}, ${down})`;
  }
  function start(): void {
    if (!now || now.pointer === null) return;
    now.on = swallow = true;
    element.setPointerCapture?.(now.pointer);
    now.ghost = options.ghost(now.carried);
    // In the body, so that neither the widget nor its notebook cell clips it.
    document.body.append(now.ghost);
    place(now);
    tell(now, "start");
    say(`dragging ${named(now.carried)}`);
  }
  function end(cancelled: boolean, at?: PointerEvent): void {
    clearTimeout(hold);
    const ended = now;
    if (!ended || (at && ended.pointer !== at.pointerId)) return;
    if (at) [ended.x, ended.y] = [at.clientX, at.clientY];
    ended.ghost?.remove();
    if (ended.on) tell(ended, "end", cancelled);
    now = null;
    options.changed();
  }
  function cancel(): void {
    const carried = now?.on && now.carried;
    end(true);
    if (carried) say(`put back ${named(carried)}`);
  }
  /** Neither a menu nor scrolling comes between while something is carried. */
  const still = (event: Event) => {
    if (now?.on) event.preventDefault();
  };

  set(element, {
    onpointerdown({ clientX: x, clientY: y, pointerId: pointer, button, pointerType }: PointerEvent) {
      swallow = false;
      if (button !== 0 || now?.on) return;
      const carried = options.pick(x, y);
      if (!carried) return;
      now = { carried, x, y, pointer, ghost: null, on: false };
      if (pointerType === "touch") hold = setTimeout(start, HOLD_MS);
      // A quick hand is out of the element with its first move.
      else element.setPointerCapture?.(pointer);
    },
    onpointermove({ clientX: x, clientY: y, pointerId, pointerType }: PointerEvent) {
      if (now?.pointer !== pointerId) return;
      if (!now.on) {
        if (Math.hypot(x - now.x, y - now.y) < THRESHOLD) return;
        if (pointerType === "touch") return end(true);
        start();
      }
      now.x = x;
      now.y = y;
      place(now);
      tell(now, "move");
    },
    onpointerup: (event: PointerEvent) => end(false, event),
    onpointercancel: () => end(true),
    oncontextmenu: still,
  });
  element.addEventListener("touchmove", still, { passive: false });
  const swallowed = (event: MouseEvent) => {
    if (swallow) event.stopImmediatePropagation();
    swallow = false;
  };
  element.addEventListener("click", swallowed, { capture: true });
  // The focus may be anywhere while something is carried.
  const onEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !now?.on) return;
    stop(event);
    cancel();
  };
  window.addEventListener("keydown", onEscape, { capture: true, signal });
  /** A target took what the keyboard carried. */
  const heard = (event: Event) => {
    const { detail } = event as CustomEvent<DragDetail | null>;
    if (telling || detail?.phase !== "end" || detail.experiment !== experiment || now?.pointer !== null)
      return;
    now = null;
    options.changed();
  };
  window.addEventListener(EVENT, heard, { signal });
  onEnd(signal, () => end(true));

  return {
    get carrying() {
      return now?.on ? now.carried : null;
    },
    get byPointer() {
      return now?.on === true && now.pointer !== null;
    },
    pickUp(carried, x, y) {
      end(true);
      now = { carried, x, y, pointer: null, ghost: null, on: true };
      options.changed();
      tell(now, "start");
      say(`picked up ${named(carried)}: Enter on a target drops it, Escape puts it back`);
    },
    cancel,
  };
}
