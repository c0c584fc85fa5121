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
  if (known === undefined) {
    sizes ??= new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const width = target.clientWidth;
        const same = width === widths.get(target);
        widths.set(target, width);
        if (width && !same) target.dispatchEvent(new Event(RESIZED, { bubbles: true }));
      }
    });
    sizes.observe(element);
  }
  const width = element.clientWidth;
  widths.set(element, width);
  return width;
}
