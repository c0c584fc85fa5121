// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Carried, createDragSource, type DragDetail, type DragSource } from "../../js/lib/pointer-drag";

const L1H2: Carried = { site: "z", layer: 1, head: 2 };
let element: HTMLElement;
let life: AbortController;
let source: DragSource;
let told: DragDetail[];
let said: string[];
let clicks: number;
let changes: (Carried | null)[];
const hear = (event: Event) => told.push((event as CustomEvent<DragDetail>).detail);

beforeEach(() => {
  vi.useFakeTimers();
  [told, said, clicks, changes] = [[], [], 0, []];
  life = new AbortController();
  element = document.createElement("div");
  document.body.append(element);
  window.addEventListener("mi-widgets:drag", hear);
  source = createDragSource(element, {
    experiment: "x",
    pick: (x) => (x < 100 ? L1H2 : null),
    ghost: () => Object.assign(document.createElement("i"), { id: "ghost" }),
    named: ({ site, layer, head }) => `${site} of L${layer} H${head}`,
    say: (text) => said.push(text),
    changed: () => changes.push(source?.carrying ?? null),
    signal: life.signal,
  });
  element.addEventListener("click", () => clicks++);
});
afterEach(() => {
  life.abort();
  window.removeEventListener("mi-widgets:drag", hear);
  document.body.replaceChildren();
  vi.useRealTimers();
});

function pointer(type: string, clientX: number, clientY = 10, more: object = {}): void {
  const event = new Event(type, { bubbles: true, cancelable: true });
  element.dispatchEvent(
    Object.assign(event, { clientX, clientY, pointerId: 1, button: 0, pointerType: "mouse", ...more }),
  );
}
const key = (name: string) =>
  window.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const phases = () => told.map((it) => it.phase);
const ghost = () => document.querySelector<HTMLElement>("#ghost");

describe("by pointer", () => {
  test("a hand that is out of the element with its first move is followed: the pointer is caught when it goes down", () => {
    const caught: number[] = [];
    element.setPointerCapture = (id) => caught.push(id);
    pointer("pointerdown", 500);
    expect(caught).toEqual([]);
    pointer("pointerdown", 10);
    expect(caught).toEqual([1]);
    pointer("pointerup", 10);
    pointer("pointerdown", 10, 10, { pointerType: "touch" });
    expect(caught).toEqual([1]);
  });

  test("past the threshold it is told where it goes, with site, layer and head, until it is let go", () => {
    pointer("pointerdown", 10);
    pointer("pointermove", 12);
    expect([told, ghost(), source.carrying]).toEqual([[], null, null]);
    pointer("pointermove", 40);
    expect(source.carrying).toEqual(L1H2);
    expect(ghost()?.style.transform).toMatch(/^translate\(min\(50px, .*min\(20px, /);
    pointer("pointermove", 300, 200);
    pointer("pointerup", 310, 220);
    expect(phases()).toEqual(["start", "move", "move", "end"]);
    expect(told.at(-1)).toEqual({
      phase: "end",
      experiment: "x",
      carried: { site: "z", layer: 1, head: 2 },
      clientX: 310,
      clientY: 220,
      keyboard: false,
      cancelled: false,
    });
    expect([ghost(), source.carrying]).toEqual([null, null]);
  });

  test("the click that ends a drag selects nothing; a click without one does", () => {
    pointer("pointerdown", 10);
    pointer("pointermove", 60);
    pointer("pointerup", 60);
    element.click();
    expect(clicks).toBe(0);
    pointer("pointerdown", 10);
    pointer("pointerup", 11);
    element.click();
    expect([clicks, phases().length]).toEqual([1, 3]);
  });

  test("Escape puts it back, wherever the focus is, and the page does not see that key", () => {
    const page = vi.fn();
    document.addEventListener("keydown", page);
    pointer("pointerdown", 10);
    pointer("pointermove", 60);
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(told.at(-1)).toMatchObject({ phase: "end", cancelled: true });
    expect([ghost(), said.at(-1)]).toEqual([null, "put back z of L1 H2"]);
    expect(page).not.toHaveBeenCalled();
    pointer("pointerup", 60);
    expect(phases().filter((it) => it === "end")).toHaveLength(1);
    document.removeEventListener("keydown", page);
  });

  test("nothing to carry, other buttons, other pointers and a lost pointer", () => {
    pointer("pointerdown", 200);
    pointer("pointermove", 240);
    pointer("pointerdown", 10, 10, { button: 2 });
    pointer("pointermove", 40);
    pointer("pointerdown", 10);
    pointer("pointermove", 90, 10, { pointerId: 2 });
    expect(told).toEqual([]);
    pointer("pointermove", 90);
    pointer("pointercancel", 0);
    expect(told.at(-1)).toMatchObject({ phase: "end", cancelled: true });
  });

  test("a finger that moves at once scrolls; one that rests picks up", () => {
    const touch = { pointerType: "touch" };
    pointer("pointerdown", 10, 10, touch);
    pointer("pointermove", 40, 10, touch);
    vi.advanceTimersByTime(1000);
    expect(told).toEqual([]);
    pointer("pointerdown", 10, 10, touch);
    vi.advanceTimersByTime(1000);
    expect(phases()).toEqual(["start"]);
    const scroll = new Event("touchmove", { cancelable: true });
    element.dispatchEvent(scroll);
    expect(scroll.defaultPrevented).toBe(true);
  });

  test("a view that goes away leaves no ghost", () => {
    pointer("pointerdown", 10);
    pointer("pointermove", 60);
    life.abort();
    expect(ghost()).toBeNull();
    expect(told.at(-1)).toMatchObject({ phase: "end", cancelled: true });
  });
});

describe("by keyboard", () => {
  test("what is picked up is said and told, and Escape puts it back", () => {
    source.pickUp(L1H2, 5, 6);
    expect(told).toEqual([
      {
        phase: "start",
        experiment: "x",
        carried: L1H2,
        clientX: 5,
        clientY: 6,
        keyboard: true,
        cancelled: false,
      },
    ]);
    expect(said[0]).toMatch(/picked up z of L1 H2.*Escape/);
    key("Escape");
    expect(told.at(-1)).toMatchObject({ phase: "end", cancelled: true, keyboard: true });
    key("Escape");
    expect(told).toHaveLength(2);
  });

  test("a target of the same experiment that takes it ends it; one of another does not", () => {
    source.pickUp(L1H2, 5, 6);
    const take = (experiment: string) =>
      window.dispatchEvent(
        new CustomEvent("mi-widgets:drag", { detail: { ...told[0], phase: "end", experiment } }),
      );
    take("other");
    expect(source.carrying).toEqual(L1H2);
    take("x");
    expect(source.carrying).toBeNull();
    expect(changes).toEqual([L1H2, null]);
  });
});
