// What anywidget asks of an entry: one session per front-end model, any number of views of it.
import { onEnd } from "./dom";
import type { HostModel } from "./protocol";
import type { Session } from "./session";

export interface Module {
  initialize(facts: { model: HostModel; signal?: AbortSignal }): void;
  render(facts: { model: HostModel; el: HTMLElement; signal?: AbortSignal }): () => void;
}

/** anywidget hands `initialize` and each `render` proxies of one model that are not the same object: the session is
 * found by the model's epoch, which no two Python objects share. */
const keyOf = (model: HostModel) => String(model.get("epoch") ?? "");

/** A view, and the element of the host that it stands in. */
interface Placed {
  root: HTMLElement;
  el: HTMLElement;
  life: AbortController;
  /** What has the keyboard. */
  focused: HTMLElement | null;
}

export function widgetModule<S extends Session>(
  make: (model: HostModel) => S,
  draw: (session: S, el: HTMLElement, signal: AbortSignal) => void,
): Module {
  const sessions = new Map<string, S>();
  const views = new Map<S, Placed[]>();

  function open(model: HostModel, signal: AbortSignal | undefined): S {
    const key = keyOf(model);
    sessions.get(key)?.close();
    const session = make(model);
    sessions.set(key, session);
    onEnd(signal, () => {
      session.close();
      if (sessions.get(key) === session) sessions.delete(key);
    });
    session.start();
    return session;
  }
  /** A view for an element. A host that draws an output anew takes the old element out without a word, and asks for
   * another view: the one that was there moves over as it is, so that the reader sees nothing of it. */
  function place(session: S, el: HTMLElement): Placed {
    const there = views.get(session) ?? [];
    // Drawn once, and now in no element at all: one that is only out of sight still has its cell around it.
    const moved = there.find((it) => it.root.dataset.size && !it.el.parentNode);
    if (moved) {
      el.append(moved.root);
      moved.el = el;
      // The host puts the element into the page when it has it.
      const { focused } = moved;
      if (focused) requestAnimationFrame(() => focused.focus({ preventScroll: true }));
      return moved;
    }
    const life = new AbortController();
    draw(session, el, life.signal);
    const root = el.lastElementChild as HTMLElement;
    const placed: Placed = { root, el, life, focused: null };
    root.addEventListener("focusin", (event) => {
      placed.focused = event.target as HTMLElement;
    });
    root.addEventListener("focusout", () =>
      // Taken out of the page it does not give the keyboard away.
      queueMicrotask(() => {
        if (root.isConnected && !root.contains(document.activeElement)) placed.focused = null;
      }),
    );
    views.set(session, [...there, placed]);
    onEnd(life.signal, () => {
      const left = (views.get(session) ?? []).filter((it) => it !== placed);
      if (left.length) views.set(session, left);
      else views.delete(session);
    });
    return placed;
  }
  return {
    initialize({ model, signal }) {
      open(model, signal);
    },
    render({ model, el, signal }) {
      const session = sessions.get(keyOf(model)) ?? open(model, undefined);
      const view = place(session, el);
      const leave = () => view.el === el && view.life.abort();
      onEnd(signal, leave);
      return leave;
    },
  };
}
