// What the notebook host knows about the kernel and does not say through anywidget's model proxy: whether the comm
// lives, and whether the kernel is busy. Everything is optional: a host that says nothing answers null.
import type { HostModel } from "./protocol";

export interface HostProbe {
  /** Is the line to the kernel open? null: the host does not say. */
  commLive(): boolean | null;
  /** Is the kernel busy? null: the host does not say. */
  busy(): boolean | null;
  /** Calls back whenever `commLive` may have changed. */
  onChange(listener: () => void): void;
}

interface LiveModel {
  comm_live?: boolean;
  get?(name: string): unknown;
}
interface Manager {
  _models?: Record<string, Promise<LiveModel>>;
  kernel?: { status?: string } | null;
  context?: { sessionContext?: { session?: { kernel?: { status?: string } | null } | null } };
}

export function probeHost(model: HostModel): HostProbe {
  const manager = (model.widget_manager ?? {}) as Manager;
  const listeners: (() => void)[] = [];
  const notify = () => {
    for (const listener of listeners) listener();
  };
  let real: LiveModel | null = null;
  // ipywidgets raises the event on every change of `comm_live`, but anywidget's proxy hides the property and the
  // model's id, so the model is found among the manager's by its epoch, which no two Python objects share.
  const epoch = model.get("epoch");
  for (const entry of Object.values(manager._models ?? {})) {
    Promise.resolve(entry).then(
      (candidate) => {
        if (real || !epoch || candidate?.get?.("epoch") !== epoch) return;
        real = candidate;
        notify();
      },
      () => undefined,
    );
  }
  model.on("comm_live_update", notify);
  return {
    commLive: () => real?.comm_live ?? null,
    busy() {
      let status: string | undefined;
      try {
        status = manager.kernel?.status ?? manager.context?.sessionContext?.session?.kernel?.status;
      } catch {
        status = undefined; // A manager may throw when it has no kernel yet.
      }
      if (status === undefined || status === "unknown") return null;
      return ["busy", "starting", "restarting", "autorestarting"].includes(status);
    },
    onChange: (listener) => listeners.push(listener),
  };
}
