// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { type Module, widgetModule } from "../../js/lib/entry";
import type { Session } from "../../js/lib/session";
import { FakeModel } from "./fakes";

let closed: number;
let ended: string[];
let module: Module;
let model: FakeModel;
let drawn: number;

beforeEach(() => {
  document.body.replaceChildren();
  [closed, ended, drawn] = [0, [], 0];
  model = new FakeModel({ epoch: "e" });
  const session = { start() {}, close: () => closed++ } as unknown as Session;
  module = widgetModule(
    () => session,
    (_, el, signal) => {
      const root = document.createElement("div");
      root.id = `view-${++drawn}`;
      el.append(root);
      signal.addEventListener("abort", () => {
        ended.push(root.id);
        root.remove();
      });
    },
  );
  module.initialize({ model });
});

/** An output of a host, with a view in it that has been seen. */
function show(host = document.body.appendChild(document.createElement("section"))) {
  const el = document.createElement("div");
  const life = new AbortController();
  module.render({ model, el, signal: life.signal });
  host.append(el);
  const root = el.firstElementChild as HTMLElement;
  root.dataset.size = "wide";
  return { host, el, root, life };
}

test("each output has a view of its own", () => {
  const [one, two] = [show(), show()];
  expect(drawn).toBe(2);
  one.life.abort();
  expect(ended).toEqual([one.root.id]);
  expect(two.el.contains(two.root)).toBe(true);
});

test("drawn anew, an output keeps the view it had; it ends with the new element, not with the old one", () => {
  const before = show();
  before.host.textContent = "";
  const after = show(before.host);
  expect([drawn, after.root]).toEqual([1, before.root]);
  before.life.abort();
  expect(ended).toEqual([]);
  after.life.abort();
  expect(ended).toEqual([before.root.id]);
  // Nothing is left to move over.
  after.host.textContent = "";
  show(after.host);
  expect(drawn).toBe(2);
});

test("a view whose cell is out of the page, or that was not shown yet, stays where it is", () => {
  const hidden = show();
  hidden.host.remove();
  expect(show().root).not.toBe(hidden.root);
  const el = document.createElement("div");
  module.render({ model, el });
  expect(show().root).not.toBe(el.firstElementChild);
  expect(drawn).toBe(4);
});

test("every view that is left behind finds one element", () => {
  const [one, two] = [show(), show()];
  one.host.textContent = two.host.textContent = "";
  expect(new Set([show(one.host).root, show(two.host).root])).toEqual(new Set([one.root, two.root]));
  expect(drawn).toBe(2);
});
