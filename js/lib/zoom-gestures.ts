// The gestures on a picture that can be zoomed: hover, click, drag to pan, two fingers or the wheel to zoom. The wheel
// scrolls the page as ever until the picture was clicked; two fingers on a trackpad (ctrl) always mean the picture.

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

  const distance = () => {
    const [a, b] = [...down.values()] as [PointerEvent, PointerEvent];
    return Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY));
  };
  element.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event);
    moved = down.size > 1;
    start = down.size === 1 && event.button === 0 ? event : null;
    dragging = false;
  });
  element.addEventListener("pointermove", (event) => {
    if (down.size === 2 && down.has(event.pointerId)) {
      const before = distance();
      down.set(event.pointerId, event);
      return act.zoom(before / distance(), event);
    }
    if (!start || event.buttons === 0) return act.hover(event);
    const [x, y] = [event.clientX - start.clientX, event.clientY - start.clientY];
    if (!dragging && Math.hypot(x, y) < SLACK) return;
    if (!dragging) {
      if (!act.grab()) return act.hover(event);
      dragging = moved = true;
      element.setPointerCapture(event.pointerId);
      act.hover(null);
    }
    element.toggleAttribute("data-dragging", true);
    act.drag(x, y);
  });
  const end = (event: PointerEvent) => {
    down.delete(event.pointerId);
    start = null;
    dragging = false;
    element.toggleAttribute("data-dragging", false);
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", (event) => {
    if (!dragging) act.hover(null);
    if (!element.hasPointerCapture(event.pointerId)) end(event);
  });
  element.addEventListener("click", (event) => {
    if (!moved) act.click(event);
    moved = false;
  });
  element.addEventListener("dblclick", () => act.reset());
  element.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !element.matches(":focus")) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      const factor = Math.exp(event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015));
      act.zoom(Math.min(2, Math.max(0.5, factor)), event);
    },
    { passive: false },
  );
}
