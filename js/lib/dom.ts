// Elements without markup: text reaches the page as text nodes and attributes only, so a token can never be code.

export type Child = Node | string | null | undefined | false;
export type Props = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** An element with attributes, `on…` listeners and children; strings become text nodes. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else attribute(element, name, value);
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/** Sets, or with null, undefined or false removes, an attribute; true is the bare attribute. */
export function attribute(
  element: Element,
  name: string,
  value: string | number | boolean | null | undefined,
): void {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
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
  element.hidden = !shown;
}

let ids = 0;
export const uniqueId = (name: string) => `mi-${name}-${++ids}-${Math.random().toString(36).slice(2, 7)}`;
