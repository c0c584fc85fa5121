// What the notebook host knows about the kernel and does not say through anywidget's model proxy: whether the comm
// lives, and whether the kernel is busy. Everything is optional: a host that says nothing answers null.
import type { HostModel } from "./protocol";

export interface HostProbe {
  /** Is the line to the kernel open? null: the host does not say. */
  commLive(): boolean | null;
  /** Is the kernel busy? null: the host does not say. */
  busy(): boolean | null;
  /** Calls back whenever `commLive` may have changed, until the function it returns is called. */
  onChange(listener: () => void): () => void;
}

interface LiveModel {
  comm_live?: boolean;
  get?(name: string): unknown;
}
type Things = Record<string, unknown> | null | undefined;

/** What lies at the end of a path of names, as far as there is one. */
const reach = (start: unknown, path: string) =>
  path.split(".").reduce((at, name) => (at as Things)?.[name], start);

export function probeHost(model: HostModel): HostProbe {
  const manager = model.widget_manager;
  const listeners = new Set<() => void>();
  const notify = () => {
    for (const listener of listeners) listener();
  };
  let real: LiveModel | null = null;
  // ipywidgets raises the event on every change of `comm_live`, but anywidget's proxy hides the property and the
  // model's id, so the model is found among the manager's by its epoch, which no two Python objects share.
  const epoch = model.get("epoch");
  for (const entry of Object.values((reach(manager, "_models") ?? {}) as Record<string, unknown>)) {
    Promise.resolve(entry as LiveModel).then(
      (candidate) => {
        if (real || !epoch || candidate?.get?.("epoch") !== epoch) return;
        real = candidate;
        notify();
      },
      () => undefined,
    );
  }
  return {
    commLive: () => real?.comm_live ?? null,
    busy() {
      let status: unknown;
      try {
        status =
          reach(manager, "kernel.status") ?? reach(manager, "context.sessionContext.session.kernel.status");
      } catch {
        // A manager may throw when it has no kernel yet.
      }
      if (typeof status !== "string" || status === "unknown") return null;
      return /^busy$|starting$/.test(status);
    },
    onChange(listener) {
      listeners.add(listener);
      model.on("comm_live_update", listener);
      return () => {
        listeners.delete(listener);
        model.off("comm_live_update", listener);
      };
    },
  };
}
