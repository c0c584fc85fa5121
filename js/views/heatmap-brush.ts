// Brushing cells of the heat map: a drag of the mouse or a pen, or of a finger that has rested.
import { set } from "../lib/dom";
import { stop } from "../lib/keyboard";
import { rectOf, type SweepPlace, type SweepRect } from "../lib/sweep-places";

/** A drag that goes so far is a brush. */
const SLACK = 5;
/** A finger that rests this long brushes; one that moves before that scrolls. */
const HOLD_MS = 350;

export interface Brush {
  /** What is brushed; null while nothing is. */
  readonly rect: SweepRect | null;
  /** Takes a move of the pointer; says whether it is a brush's. */
  moved(event: PointerEvent): boolean;
  /** Is this click the end of a brush? */
  ends(): boolean;
}

export function createBrush(
  canvas: HTMLElement,
  signal: AbortSignal,
  act: {
    /** The cell under the pointer, and the one nearest to it. */
    at(event: PointerEvent): SweepPlace | null;
    nearest(event: PointerEvent): SweepPlace;
    /** The rectangle has changed: it has begun, has grown, or is gone. */
    changed(): void;
    run(rect: SweepRect): void;
  },
): Brush {
  /** From the cell where the pointer went down, once it has gone far enough. */
  let now: { x: number; y: number; from: SweepPlace; to: SweepPlace | null; pointer: number } | null = null;
  let hold: ReturnType<typeof setTimeout> | undefined;
  /** The click that ends a brush adds nothing. */
  let swallow = false;
  const rect = () => (now?.to ? rectOf(now.from, now.to) : null);

  function reach(event: PointerEvent): void {
    if (!now) return;
    if (!now.to) {
      swallow = true;
      canvas.setPointerCapture?.(event.pointerId);
    }
    now.to = act.nearest(event);
    act.changed();
  }
  function end(run: boolean): void {
    clearTimeout(hold);
    const brushed = rect();
    now = null;
    if (brushed && run) act.run(brushed);
    act.changed();
  }
  /** Neither a menu nor scrolling comes between. */
  const still = (event: Event) => {
    if (rect()) event.preventDefault();
  };
  set(canvas, {
    onpointerdown(event: PointerEvent) {
      swallow = false;
      const from = event.button === 0 && !rect() ? act.at(event) : null;
      if (!from) return;
      now = { x: event.clientX, y: event.clientY, from, to: null, pointer: event.pointerId };
      if (event.pointerType === "touch") hold = setTimeout(() => reach(event), HOLD_MS);
    },
    onpointerup: (event: PointerEvent) => now?.pointer === event.pointerId && end(true),
    onpointercancel: () => end(false),
    oncontextmenu: still,
  });
  canvas.addEventListener("touchmove", still, { passive: false });
  const onEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !rect()) return;
    stop(event);
    end(false);
  };
  window.addEventListener("keydown", onEscape, { capture: true, signal });
  signal.addEventListener("abort", () => clearTimeout(hold));
  return {
    get rect() {
      return rect();
    },
    moved(event) {
      if (now?.pointer !== event.pointerId) return false;
      const far = Math.hypot(event.clientX - now.x, event.clientY - now.y) >= SLACK;
      // A finger that moves before it has rested scrolls.
      if (far && !now.to && event.pointerType === "touch") end(false);
      else if (far || now.to) reach(event);
      return rect() !== null;
    },
    ends() {
      const ended = swallow;
      swallow = false;
      return ended;
    },
  };
}
