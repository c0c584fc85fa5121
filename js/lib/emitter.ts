// The smallest event source that is typed: listeners by event name, removed by the function that `on` returns.

export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<(value: never) => void>>();

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as (value: never) => void);
    return () => listeners.delete(listener as (value: never) => void);
  }

  emit<Name extends keyof Events>(
    name: Name,
    ...value: Events[Name] extends undefined ? [] : [value: Events[Name]]
  ): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])])
      (listener as (...it: unknown[]) => void)(...value);
  }
}
