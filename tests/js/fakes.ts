// A host model and timers that tests drive by hand.
import type { Timers } from "../../js/lib/channel";
import type { HostProbe } from "../../js/lib/host";
import type { HostModel } from "../../js/lib/protocol";

export class FakeModel implements HostModel {
  readonly sent: Record<string, unknown>[] = [];
  saves = 0;
  #listeners = new Map<string, Set<(...values: unknown[]) => void>>();

  constructor(readonly state: Record<string, unknown> = { epoch: "e", protocol: 1, revs: {} }) {}
  get = (name: string) => this.state[name];
  set = (name: string, value: unknown) => {
    this.state[name] = value;
  };
  on = (name: string, callback: (...values: unknown[]) => void) => {
    this.#listeners.set(name, (this.#listeners.get(name) ?? new Set()).add(callback));
  };
  off = (name: string, callback?: (...values: unknown[]) => void) => {
    if (callback) this.#listeners.get(name)?.delete(callback);
    else this.#listeners.delete(name);
  };
  save_changes = () => {
    this.saves++;
  };
  send = (message: unknown) => {
    this.sent.push(message as Record<string, unknown>);
  };
  update(state: Record<string, unknown>): void {
    Object.assign(this.state, state);
    for (const name of Object.keys(state)) this.fire(`change:${name}`);
  }
  receive(message: Record<string, unknown>, buffers: unknown[] = []): void {
    this.fire("msg:custom", { v: 1, ...message }, buffers);
  }
  fire(name: string, ...values: unknown[]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(...values);
  }
  listeners(): number {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
  of(kind: string): Record<string, unknown>[] {
    return this.sent.filter((message) => message.kind === kind);
  }
}

/** A clock that moves when told to. */
export class FakeTimers implements Timers {
  now = 0;
  #next = 0;
  #due = new Map<number, { at: number; callback: () => void }>();

  set(callback: () => void, ms: number): number {
    this.#due.set(++this.#next, { at: this.now + ms, callback });
    return this.#next;
  }
  clear(timer: unknown): void {
    this.#due.delete(timer as number);
  }
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = [...this.#due].filter(([, it]) => it.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!next) break;
      this.#due.delete(next[0]);
      this.now = next[1].at;
      next[1].callback();
    }
    this.now = end;
  }
}

export class FakeHost implements HostProbe {
  live: boolean | null = true;
  kernelBusy: boolean | null = false;
  #listeners: (() => void)[] = [];
  commLive = () => this.live;
  busy = () => this.kernelBusy;
  onChange = (listener: () => void) => {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((it) => it !== listener);
    };
  };
  become(live: boolean): void {
    this.live = live;
    for (const listener of this.#listeners) listener();
  }
}

export const tick = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
