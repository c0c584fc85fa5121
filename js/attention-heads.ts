// The entry of the AttentionHeads widget: one session per front-end model, any number of views of it.
import { browserTimers } from "./lib/channel";
import { HeadsSession } from "./lib/heads-session";
import type { HostModel } from "./lib/protocol";
import { renderHeads } from "./views/frame";

// anywidget hands `initialize` and each `render` proxies of one model that are not the same object: the session is
// found by the model's epoch, which no two Python objects share.
const sessions = new Map<string, HeadsSession>();
const keyOf = (model: HostModel) => String(model.get("epoch") ?? "");

function open(model: HostModel, signal: AbortSignal | undefined): HeadsSession {
  const key = keyOf(model);
  sessions.get(key)?.close();
  const session = new HeadsSession(model, browserTimers);
  sessions.set(key, session);
  signal?.addEventListener("abort", () => {
    session.close();
    if (sessions.get(key) === session) sessions.delete(key);
  });
  session.start();
  return session;
}

function initialize({ model, signal }: { model: HostModel; signal?: AbortSignal }): void {
  open(model, signal);
}

function render({
  model,
  el,
  signal,
}: {
  model: HostModel;
  el: HTMLElement;
  signal?: AbortSignal;
}): () => void {
  const session = sessions.get(keyOf(model)) ?? open(model, undefined);
  const view = new AbortController();
  signal?.addEventListener("abort", () => view.abort());
  renderHeads(session, el, view.signal);
  return () => view.abort();
}

export default { initialize, render };
