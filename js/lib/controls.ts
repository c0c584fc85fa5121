// The controls that every header uses. A control that is off stays reachable and says why; it is never just dead.
import { attribute, disable, h, set, show, watchFacts } from "./dom";
import { stop } from "./keyboard";
import type { Card, Tooltip } from "./tooltip";

export interface Choice {
  name: string;
  label: string;
  chosen: boolean;
  /** Why it cannot be chosen now; null when it can. */
  off: string | null;
  /** Without one it is the card of that name. */
  card?: Card | null;
  /** What a click does instead while it is off: the way out that its reason names. */
  wayOut?: (() => void) | null;
}

/** A row of buttons of which one is chosen: a radio group with one tab stop, arrows move. */
export class Switch {
  readonly element: HTMLElement;
  #choices: Choice[] = [];

  constructor(
    label: string,
    private readonly tip: Tooltip,
    private readonly choose: (name: string) => void,
  ) {
    const onkeydown = (event: KeyboardEvent) => this.#key(event);
    this.element = h("div.switch", { role: "radiogroup", "aria-label": label, onkeydown });
  }

  update(choices: Choice[]): void {
    const names = (list: Choice[]) => list.map((it) => it.name).join();
    if (names(choices) !== names(this.#choices)) {
      const held = this.#choices[[...this.element.children].findIndex((it) => it.matches(":focus"))]?.name;
      this.element.replaceChildren(...choices.map((_, at) => this.#make(at)));
      (this.element.children[choices.findIndex((it) => it.name === held)] as HTMLElement)?.focus();
    }
    this.#choices = choices;
    const stop = Math.max(
      0,
      choices.findIndex((it) => it.chosen),
    );
    for (const [at, { name, label, chosen, off }] of choices.entries()) {
      const tabindex = at === stop ? 0 : -1;
      const button = this.element.children[at] as HTMLElement;
      set(button, { text: label, "data-name": name, "aria-checked": chosen, tabindex });
      disable(button, off !== null);
    }
  }

  #make(at: number): HTMLButtonElement {
    const choice = () => this.#choices[at] as Choice;
    const onclick = () => {
      if (choice().off) choice().wayOut?.();
      else this.#pick(at);
    };
    const button = h("button", { role: "radio", onclick });
    this.tip.attach(button, () => {
      const { off, wayOut, label, name, card = this.tip.card(name, label) } = choice();
      if (!off) return card;
      return { title: card?.title ?? label, lines: [off, wayOut ? "Click to do that." : ""] };
    });
    return button;
  }

  #pick(at: number): void {
    const { off, name } = this.#choices[at] as Choice;
    if (off === null) this.choose(name);
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.element.children] as HTMLElement[];
    const next = (buttons.indexOf(event.target as HTMLElement) + step + buttons.length) % buttons.length;
    // Moving onto a choice that is off reads its reason; moving onto another one chooses it.
    buttons[next]?.focus();
    this.#pick(next);
  }
}

/** A button whose reason for being off, if any, is shown on hover and focus. */
export function actionButton(
  label: string,
  tip: Tooltip,
  action: () => void,
  facts: {
    class?: string;
    name?: string;
    /** What it is called where its label is a sign. */
    says?: string;
    /** A text is a card of one line; without one it is the card of that name. */
    card?: string | (() => Card | null);
  } = {},
) {
  const { name, card = () => tip.card(name) } = facts;
  const button = h(
    "button",
    {
      class: facts.class ?? "mi-button",
      "data-action": name,
      "aria-label": facts.says,
      onclick: () => {
        if (button.getAttribute("aria-disabled") !== "true") action();
      },
    },
    label,
  );
  tip.attach(button, typeof card === "string" ? () => ({ lines: [card] }) : card);
  return button;
}

export interface Entry {
  label: string;
  name: string;
  run: () => void;
  /** One of several choices, and whether it is the one. */
  chosen?: boolean;
  /** Why it cannot be done now. */
  off?: string | null;
}

/** A button that opens a small list of actions below it; Escape and a click elsewhere close it. */
export function menuButton(label: string, signal: AbortSignal, entries: () => Entry[], name = "menu") {
  const list = h("div.menu", { role: "menu", hidden: true });
  const open = (opened: boolean) => {
    show(list, opened);
    attribute(button, "aria-expanded", opened);
  };
  const close = () => {
    open(false);
    button.focus();
  };
  const button = h(
    "button.button",
    {
      "aria-haspopup": "menu",
      "aria-expanded": false,
      "data-action": name,
      onclick() {
        if (list.hidden) list.replaceChildren(...entries().map(entryButton));
        open(list.hidden);
        if (!list.hidden) (list.firstElementChild as HTMLElement | null)?.focus();
      },
    },
    label,
  );
  function entryButton({ label, name, run, chosen, off }: Entry): HTMLButtonElement {
    const onclick = () => {
      if (off) return;
      close();
      run();
    };
    const role = chosen === undefined ? "menuitem" : "menuitemradio";
    const props = { role, "aria-checked": chosen, title: off, "data-action": name, onclick };
    const made = h("button", props, chosen ? `✓ ${label}` : label);
    disable(made, off);
    return made;
  }
  list.addEventListener("keydown", (event) => {
    const items = [...list.children] as HTMLElement[];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Tab") return open(false);
    if (step)
      items[(items.indexOf(event.target as HTMLElement) + step + items.length) % items.length]?.focus();
    else if (event.key === "Escape") close();
    else return;
    stop(event);
  });
  const element = h("div.menu-holder", button, list);
  const elsewhere = (event: Event) => {
    if (!event.composedPath().includes(element)) open(false);
  };
  document.addEventListener("pointerdown", elsewhere, { signal, capture: true });
  return element;
}

/** A native menu, so that it works with every input device; off with a reason like every other control. */
export function createSelect(
  name: string,
  tip: Tooltip,
  off: () => string | null,
  choose: (value: string) => void,
) {
  const element = h("select.select", {
    "aria-label": name,
    "data-select": name,
    onchange: () => choose(element.value),
    onkeydown: (event: Event) => event.stopPropagation(),
  });
  tip.attach(element, () => tip.card(name, name, off()));
  const news = watchFacts();
  return {
    element,
    /** A choice with a reason is off, and says why. */
    update(choices: readonly (readonly [value: string, label: string, why?: string])[], chosen: string) {
      if (news(choices))
        element.replaceChildren(
          ...choices.map(([value, label, why]) => h("option", { value, title: why, disabled: !!why }, label)),
        );
      if (element.value !== chosen) element.value = chosen;
      element.disabled = off() !== null;
    },
  };
}
