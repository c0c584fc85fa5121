// Carrying a site from one widget to another: by pointer with a ghost that follows it, or by keyboard. What is carried
// is told on `window`, keyed by the experiment, so that a target in another cell or shadow root can take it.

const EVENT = "mi-widgets:drag";
const THRESHOLD = 5;
/** A finger that rests this long picks up; one that moves before that scrolls. */
const HOLD_MS = 350;

export interface Carried {
  site: string;
  layer: number;
  head: number;
}

export interface DragDetail {
  phase: "start" | "move" | "end";
  experiment: string;
  carried: Carried;
  clientX: number;
  clientY: number;
  /** Picked up with Enter: a target takes it with Enter and tells "end" itself. */
  keyboard: boolean;
  /** Only of "end": nothing was dropped. */
  cancelled: boolean;
}

export interface DragOptions {
  experiment: string;
  /** What lies at a point of the page; null when nothing there can be carried. */
  pick(clientX: number, clientY: number): Carried | null;
  /** What follows the pointer. */
  ghost(carried: Carried): HTMLElement;
  say(text: string): void;
  /** What is carried has changed. */
  changed(): void;
  signal: AbortSignal;
}

interface Carrying {
  carried: Carried;
  x: number;
  y: number;
  /** null: by keyboard. */
  pointer: number | null;
  ghost: HTMLElement | null;
  /** Past the threshold: it is told. */
  on: boolean;
}

const named = ({ site, layer, head }: Carried) => `${site} of L${layer} H${head}`;

export class DragSource {
  #now: Carrying | null = null;
  #hold: ReturnType<typeof setTimeout> | undefined;
  /** The click that ends a drag selects nothing. */
  #swallow = false;
  #telling = false;

  constructor(
    private readonly element: HTMLElement,
    private readonly options: DragOptions,
  ) {
    const { signal } = options;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#end(false, event));
    element.addEventListener("pointercancel", () => this.#end(true));
    element.addEventListener("contextmenu", (event) => this.#still(event));
    element.addEventListener("touchmove", (event) => this.#still(event), { passive: false });
    element.addEventListener(
      "click",
      (event) => {
        if (this.#swallow) event.stopImmediatePropagation();
        this.#swallow = false;
      },
      { capture: true },
    );
    // The focus may be anywhere while something is carried.
    const onEscape = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !this.#now?.on) return;
      event.preventDefault();
      event.stopPropagation();
      this.cancel();
    };
    window.addEventListener("keydown", onEscape, { capture: true, signal });
    window.addEventListener(EVENT, (event) => this.#heard((event as CustomEvent<DragDetail>).detail), {
      signal,
    });
    signal.addEventListener("abort", () => this.#end(true));
  }

  /** What is being carried; null when nothing is. */
  get carrying(): Carried | null {
    return this.#now?.on ? this.#now.carried : null;
  }

  get byPointer(): boolean {
    return this.#now?.on === true && this.#now.pointer !== null;
  }

  /** Picks up by keyboard; the point tells targets where it comes from. */
  pickUp(carried: Carried, clientX: number, clientY: number): void {
    this.#end(true);
    this.#now = { carried, x: clientX, y: clientY, pointer: null, ghost: null, on: true };
    this.options.changed();
    this.#tell("start");
    this.options.say(`picked up ${named(carried)}: Enter on a target drops it, Escape puts it back`);
  }

  cancel(): void {
    const carried = this.carrying;
    this.#end(true);
    if (carried) this.options.say(`put back ${named(carried)}`);
  }

  /** Neither a menu nor scrolling comes between while something is carried. */
  #still(event: Event): void {
    if (this.#now?.on) event.preventDefault();
  }

  #down(event: PointerEvent): void {
    this.#swallow = false;
    if (event.button !== 0 || this.#now?.on) return;
    const carried = this.options.pick(event.clientX, event.clientY);
    if (!carried) return;
    const { clientX: x, clientY: y, pointerId: pointer } = event;
    this.#now = { carried, x, y, pointer, ghost: null, on: false };
    if (event.pointerType === "touch") this.#hold = setTimeout(() => this.#start(), HOLD_MS);
  }

  #start(): void {
    const now = this.#now;
    if (!now || now.pointer === null) return;
    now.on = true;
    this.#swallow = true;
    this.element.setPointerCapture?.(now.pointer);
    now.ghost = this.options.ghost(now.carried);
    // In the body, so that neither the widget nor its notebook cell clips it.
    document.body.append(now.ghost);
    this.#place(now);
    this.#tell("start");
    this.options.say(`dragging ${named(now.carried)}`);
  }

  #move(event: PointerEvent): void {
    const now = this.#now;
    if (!now || now.pointer !== event.pointerId) return;
    if (!now.on) {
      if (Math.hypot(event.clientX - now.x, event.clientY - now.y) < THRESHOLD) return;
      if (event.pointerType === "touch") return this.#end(true);
      this.#start();
    }
    now.x = event.clientX;
    now.y = event.clientY;
    this.#place(now);
    this.#tell("move");
  }

  #place({ ghost, x, y }: Carrying): void {
    if (ghost) ghost.style.transform = `translate(${x + 10}px, ${y + 10}px)`;
  }

  #end(cancelled: boolean, at?: PointerEvent): void {
    clearTimeout(this.#hold);
    const now = this.#now;
    if (!now || (at && now.pointer !== at.pointerId)) return;
    if (at) [now.x, now.y] = [at.clientX, at.clientY];
    now.ghost?.remove();
    if (now.on) this.#tell("end", cancelled);
    this.#now = null;
    this.options.changed();
  }

  #tell(phase: DragDetail["phase"], cancelled = false): void {
    const now = this.#now as Carrying;
    const { carried, x: clientX, y: clientY } = now;
    const { experiment } = this.options;
    const keyboard = now.pointer === null;
    const detail: DragDetail = { phase, experiment, carried, clientX, clientY, keyboard, cancelled };
    this.#telling = true;
    window.dispatchEvent(new CustomEvent(EVENT, { detail }));
    this.#telling = false;
  }

  /** A target took what the keyboard carried. */
  #heard(detail: DragDetail): void {
    if (this.#telling || detail?.phase !== "end" || detail.experiment !== this.options.experiment) return;
    if (this.#now?.pointer !== null) return;
    this.#now = null;
    this.options.changed();
  }
}
