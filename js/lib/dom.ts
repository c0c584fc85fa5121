// Elements without markup: text reaches the page as text nodes and attributes only, so a token can never be code.

export type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | null | undefined;
export type Props = Record<string, Value | ((event: never) => void)>;

/** An element with classes, attributes, `on…` listeners and children; strings become text nodes.
 *
 * Classes follow the tag and get our prefix: `h("div.line.line-first")` is `<div class="mi-line mi-line-first">`.
 * After # stands what part of the widget it is, which tests ask for: `data-part`. A button submits nothing.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  spec: Tag | `${Tag}.${string}` | `${Tag}#${string}`,
  ...parts: (Props | Child)[]
): HTMLElementTagNameMap[Tag] {
  const [kind = "", part] = spec.split("#");
  const [tag, ...classes] = kind.split(".") as [Tag, ...string[]];
  const element = document.createElement(tag);
  if (classes[0]) element.className = classes.map((name) => `mi-${name}`).join(" ");
  if (tag === "button") attribute(element, "type", "button");
  attribute(element, "data-part", part);
  for (const part of parts) {
    if (typeof part === "string" || part instanceof Node) element.append(part);
    else if (part) set(element, part);
  }
  return element;
}

/** Sets attributes, `on…` listeners and, as `text`, the text. */
export function set(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "text") setText(element, value as string);
    else attribute(element, name, value);
  }
}

/** Sets, or with null, undefined or false removes, an attribute; true is the bare attribute, in aria-… both are words. */
export function attribute(element: Element, name: string, value: Value): void {
  if (typeof value === "boolean" && name.startsWith("aria-")) value = String(value);
  if (value == null || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Replaces the text only when it differs, so that selections and live regions are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element: HTMLElement, shown: boolean): void {
  attribute(element, "hidden", !shown);
}

/** Are these facts others than those of the last call? */
export function watchFacts(): (...facts: unknown[]) => boolean {
  let known = "";
  return (...facts) => {
    const before = known;
    known = JSON.stringify(facts);
    return known !== before;
  };
}

/** What was made from these facts, each compared by identity; made again when one of them is another. */
export function memo<T>(): <Fact>(facts: readonly Fact[], make: () => T) => T {
  let known: { facts: readonly unknown[]; made: T } | null = null;
  return (facts, make) => {
    if (!known || facts.some((fact, at) => fact !== known?.facts[at])) known = { facts, made: make() };
    return known.made;
  };
}

/** A control that is off stays reachable, and does nothing. */
export const disable = (element: Element, off: unknown) =>
  attribute(element, "aria-disabled", off ? "true" : null);

/** Calls `act` when a life ends. */
export const onEnd = (life: AbortSignal | undefined, act: () => void) => life?.addEventListener("abort", act);

/** What has the focus in an element, also where that stands in a shadow root. */
export function focusedIn(element: HTMLElement): HTMLElement | null {
  const { activeElement } = element.getRootNode() as unknown as DocumentOrShadowRoot;
  return element.contains(activeElement) ? (activeElement as HTMLElement) : null;
}

/** Where in an element a pointer is, as shares of its width and height. */
export function shareOf(element: Element, event: MouseEvent): [across: number, down: number] {
  const { left, top, width, height } = element.getBoundingClientRect();
  return [(event.clientX - left) / width, (event.clientY - top) / height];
}

/** Calls `move` while a pointer is held down on the element, wherever it goes. */
export function onHeld(element: Element, move: (event: PointerEvent) => void): void {
  set(element, {
    onpointerdown(event: PointerEvent) {
      element.setPointerCapture(event.pointerId);
      move(event);
    },
    onpointermove(event: PointerEvent) {
      if (element.hasPointerCapture(event.pointerId)) move(event);
    },
  });
}

let ids = 0;
export const uniqueId = (name: string) => `mi-${name}-${++ids}-${Math.random().toString(36).slice(2, 7)}`;
