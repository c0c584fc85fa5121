// What anywidget asks of an entry: one session per front-end model, any number of views of it.
import type { HostModel } from "./protocol";
import type { Session } from "./session";

export interface Module {
  initialize(facts: { model: HostModel; signal?: AbortSignal }): void;
  render(facts: { model: HostModel; el: HTMLElement; signal?: AbortSignal }): () => void;
}

/** anywidget hands `initialize` and each `render` proxies of one model that are not the same object: the session is
 * found by the model's epoch, which no two Python objects share. */
const keyOf = (model: HostModel) => String(model.get("epoch") ?? "");

export function widgetModule<S extends Session>(
  make: (model: HostModel) => S,
  draw: (session: S, el: HTMLElement, signal: AbortSignal) => void,
): Module {
  const sessions = new Map<string, S>();

  function open(model: HostModel, signal: AbortSignal | undefined): S {
    const key = keyOf(model);
    sessions.get(key)?.close();
    const session = make(model);
    sessions.set(key, session);
    signal?.addEventListener("abort", () => {
      session.close();
      if (sessions.get(key) === session) sessions.delete(key);
    });
    session.start();
    return session;
  }
  return {
    initialize({ model, signal }) {
      open(model, signal);
    },
    render({ model, el, signal }) {
      const session = sessions.get(keyOf(model)) ?? open(model, undefined);
      const view = new AbortController();
      signal?.addEventListener("abort", () => view.abort());
      draw(session, el, view.signal);
      return () => view.abort();
    },
  };
}
