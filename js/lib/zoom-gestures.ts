// The gestures on a picture that can be zoomed: hover, click, drag to pan, two fingers or the wheel to zoom. The wheel
// scrolls the page as ever until the picture was clicked; two fingers on a trackpad (ctrl) always mean the picture.

import { attribute, set } from "./dom";
import { clamp } from "./geometry";

export interface Gestures {
  hover(event: PointerEvent | null): void;
  click(event: MouseEvent): void;
  /** So many times as much is to be seen, round the point of the event. */
  zoom(factor: number, event: MouseEvent): void;
  reset(): void;
  /** A drag may begin: can the picture be moved now? */
  grab(): boolean;
  /** Moved by so many pixels since it was grabbed. */
  drag(x: number, y: number): void;
}

const SLACK = 4;

export function watchGestures(element: HTMLElement, act: Gestures): void {
  const down = new Map<number, PointerEvent>();
  let start: PointerEvent | null = null;
  let dragging = false;
  /** The click that ends a drag or a pinch picks nothing. */
  let moved = false;

  const between = (a: PointerEvent, b: PointerEvent) =>
    [a.clientX - b.clientX, a.clientY - b.clientY] as const;
  const distance = () => {
    const [a, b] = [...down.values()] as [PointerEvent, PointerEvent];
    return Math.max(1, Math.hypot(...between(a, b)));
  };
  function move(event: PointerEvent): void {
    if (down.size === 2 && down.has(event.pointerId)) {
      const before = distance();
      down.set(event.pointerId, event);
      return act.zoom(before / distance(), event);
    }
    if (!start || event.buttons === 0) return act.hover(event);
    const [x, y] = between(event, start);
    if (!dragging && Math.hypot(x, y) < SLACK) return;
    if (!dragging) {
      if (!act.grab()) return act.hover(event);
      dragging = moved = true;
      element.setPointerCapture(event.pointerId);
      act.hover(null);
    }
    attribute(element, "data-dragging", true);
    act.drag(x, y);
  }
  function end(event: PointerEvent): void {
    down.delete(event.pointerId);
    start = null;
    dragging = false;
    attribute(element, "data-dragging", false);
  }
  set(element, {
    onpointerdown(event: PointerEvent) {
      down.set(event.pointerId, event);
      moved = down.size > 1;
      start = down.size === 1 && event.button === 0 ? event : null;
      dragging = false;
    },
    onpointermove: move,
    onpointerup: end,
    onpointercancel: end,
    onpointerleave(event: PointerEvent) {
      if (!dragging) act.hover(null);
      if (!element.hasPointerCapture(event.pointerId)) end(event);
    },
    onclick(event: MouseEvent) {
      if (!moved) act.click(event);
      moved = false;
    },
    ondblclick: act.reset,
  });
  element.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !element.matches(":focus")) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      const factor = Math.exp(event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015));
      act.zoom(clamp(factor, 0.5, 2), event);
    },
    { passive: false },
  );
}
