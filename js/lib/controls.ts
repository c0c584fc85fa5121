// The controls that every header uses. A control that is off stays reachable and says why; it is never just dead.
import { attribute, h, setText } from "./dom";
import type { Card, Tooltip } from "./tooltip";

export interface Choice {
  name: string;
  label: string;
  chosen: boolean;
  /** Why it cannot be chosen now; null when it can. */
  off: string | null;
  card: Card | null;
  /** What a click does instead while it is off: the way out that its reason names. */
  wayOut?: (() => void) | null;
}

/** A row of buttons of which one is chosen: a radio group with one tab stop, arrows move. */
export class Switch {
  readonly element: HTMLElement;
  #buttons = new Map<string, HTMLButtonElement>();
  #choices: Choice[] = [];

  constructor(
    label: string,
    private readonly tip: Tooltip,
    private readonly choose: (name: string) => void,
  ) {
    this.element = h("div.switch", { role: "radiogroup", "aria-label": label });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  update(choices: Choice[]): void {
    this.#choices = choices;
    if ([...this.#buttons.keys()].join() !== choices.map((it) => it.name).join()) {
      this.#buttons = new Map(choices.map((choice) => [choice.name, this.#make(choice.name)]));
      this.element.replaceChildren(...this.#buttons.values());
    }
    const stop = choices.find((it) => it.chosen)?.name ?? choices[0]?.name;
    for (const choice of choices) {
      const button = this.#buttons.get(choice.name) as HTMLButtonElement;
      setText(button, choice.label);
      attribute(button, "aria-checked", String(choice.chosen));
      attribute(button, "aria-disabled", choice.off === null ? null : "true");
      attribute(button, "tabindex", choice.name === stop ? "0" : "-1");
    }
  }

  #find = (name: string) => this.#choices.find((it) => it.name === name);

  #make(name: string): HTMLButtonElement {
    const button = h("button", {
      role: "radio",
      "data-name": name,
      onclick: () => {
        const choice = this.#find(name);
        if (choice?.off) choice.wayOut?.();
        else this.#pick(name);
      },
    });
    this.tip.attach(button, () => {
      const choice = this.#find(name);
      if (!choice?.off) return choice?.card ?? null;
      const lines = choice.wayOut ? [choice.off, "Click to do that."] : [choice.off];
      return { title: choice.card?.title ?? choice.label, lines };
    });
    return button;
  }

  #pick(name: string): void {
    const choice = this.#find(name);
    if (choice && choice.off === null) this.choose(name);
  }

  #key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const names = [...this.#buttons.keys()];
    const at = names.indexOf((event.target as HTMLElement).dataset.name ?? "");
    const next = names[(at + step + names.length) % names.length] as string;
    // Moving onto a choice that is off reads its reason; moving onto another one chooses it.
    this.#buttons.get(next)?.focus();
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
    /** A text is a card of one line. */
    card?: string | (() => Card | null);
  } = {},
) {
  const { card } = facts;
  const button = h(
    "button",
    {
      class: facts.class ?? "mi-button",
      "data-action": facts.name,
      "aria-label": facts.says,
      onclick: () => {
        if (button.getAttribute("aria-disabled") !== "true") action();
      },
    },
    label,
  );
  if (card) tip.attach(button, typeof card === "string" ? () => ({ lines: [card] }) : card);
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

function menuEntry({ label, name, run, chosen, off }: Entry, done: () => void): HTMLButtonElement {
  const choose = () => {
    if (off) return;
    done();
    run();
  };
  return h(
    "button",
    {
      role: chosen === undefined ? "menuitem" : "menuitemradio",
      "aria-checked": chosen === undefined ? null : String(chosen),
      "aria-disabled": off ? "true" : null,
      title: off,
      "data-action": name,
      onclick: choose,
    },
    chosen ? `✓ ${label}` : label,
  );
}

/** A button that opens a small list of actions below it; Escape and a click elsewhere close it. */
export function menuButton(label: string, signal: AbortSignal, entries: () => Entry[], name = "menu") {
  const list = h("div.menu", { role: "menu", hidden: true });
  const button = h(
    "button.button",
    {
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "data-action": name,
    },
    label,
  );
  const close = (refocus: boolean) => {
    if (list.hidden) return;
    list.hidden = true;
    attribute(button, "aria-expanded", "false");
    if (refocus) button.focus();
  };
  button.addEventListener("click", () => {
    if (!list.hidden) return close(false);
    list.replaceChildren(...entries().map((entry) => menuEntry(entry, () => close(true))));
    list.hidden = false;
    attribute(button, "aria-expanded", "true");
    (list.firstElementChild as HTMLElement | null)?.focus();
  });
  list.addEventListener("keydown", (event) => {
    const items = [...list.children] as HTMLElement[];
    const at = items.indexOf(event.target as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length]?.focus();
    else if (event.key === "Escape" || event.key === "Tab") close(event.key === "Escape");
    if (step || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  const element = h("div.menu-holder", button, list);
  document.addEventListener(
    "pointerdown",
    (event) => {
      if (!event.composedPath().includes(element)) close(false);
    },
    { signal, capture: true },
  );
  return element;
}
