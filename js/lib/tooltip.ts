// One card per widget that explains what the pointer or the keyboard focus is on. It stays inside the widget, so no
// host clips it, and is tied to its target for screen readers.
import { attribute, h, set, show, uniqueId } from "./dom";
import { clamp } from "./geometry";

/** A title in bold, then plain lines. */
export interface Card {
  title?: string;
  lines: string[];
}

export class Tooltip {
  readonly element = h("div.tip", { role: "tooltip", id: uniqueId("tip"), hidden: true });
  #target: Element | null = null;

  /** @param words the cards that the kernel sent, by the names of what they are about. */
  constructor(
    private readonly root: HTMLElement,
    private readonly words: Readonly<Record<string, string>> = {},
  ) {
    root.append(this.element);
  }

  /** The card of that name, or in place of its words the reason for being off; null when there are no words. */
  card(name: string | undefined, title?: string, off?: string | null): Card | null {
    const text = off ?? this.words[name ?? ""];
    return text ? { ...(title && { title }), lines: text.split("\n") } : null;
  }

  /** Shows `card()` while `target` is hovered or focused; null shows nothing. */
  attach(target: HTMLElement, card: () => Card | null): void {
    const open = () => this.#open(target, card());
    const close = () => this.close(target);
    set(target, {
      onpointerenter: open,
      onfocusin(event: Event) {
        // Focus that a click brought is no question; the pointer was there and has been answered.
        if ((event.target as Element).matches(":focus-visible")) open();
      },
      onpointerleave: close,
      onfocusout: close,
      onpointerdown: close,
    });
  }

  close(target: Element | null = this.#target): void {
    if (target !== this.#target) return;
    if (this.#target) attribute(this.#target, "aria-describedby", null);
    this.#target = null;
    this.element.hidden = true;
  }

  #open(target: HTMLElement, card: Card | null): void {
    if (!card) return this.close();
    this.#target = target;
    attribute(target, "aria-describedby", this.element.id);
    const { element, root } = this;
    element.replaceChildren(
      ...(card.title ? [h("b", card.title)] : []),
      ...card.lines.filter(Boolean).map((line) => h("div", { dir: "auto" }, line)),
    );
    show(element, true);
    const frame = root.getBoundingClientRect();
    const box = target.getBoundingClientRect();
    const { width, height } = element.getBoundingClientRect();
    const left = clamp(box.left - frame.left, 4, Math.max(4, frame.width - width - 6));
    const below = box.bottom - frame.top + 6;
    const above = box.top - frame.top - height - 6;
    element.style.left = `${left}px`;
    element.style.top = `${below + height > frame.height && above > 0 ? above : below}px`;
  }
}
