// How wide an element is, without asking it: in the middle of a redraw that question lays the whole page out anew.

/** Told on an element that is not as wide as it was when it was drawn; it bubbles. */
export const RESIZED = "mi-widgets:width";

/** Widths as the last layout had them; those that were hidden then are asked. */
const widths = new WeakMap<Element, number>();
let sizes: ResizeObserver | undefined;

/** The element's `clientWidth`, known from the first call on. */
export function widthOf(element: Element): number {
  const known = widths.get(element);
  if (known) return known;
  const width = element.clientWidth;
  // From hidden to shown is the observer's to tell.
  if (known === undefined) {
    widths.set(element, width);
    sizes ??= new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const now = target.clientWidth;
        const same = now === widths.get(target);
        widths.set(target, now);
        if (now && !same) target.dispatchEvent(new Event(RESIZED, { bubbles: true }));
      }
    });
    sizes.observe(element);
  }
  return width;
}
