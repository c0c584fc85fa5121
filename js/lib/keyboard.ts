// Keys inside a widget: what a grid's keys mean, and that the host's own shortcuts stay out.

export interface Keys {
  [key: string]: ((event: KeyboardEvent) => void) | undefined;
}

/** The event is ours: neither page nor host acts on it. */
export function stop(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}

/** Is a key held that makes a shortcut of the one pressed? */
const held = (event: KeyboardEvent) => event.ctrlKey || event.metaKey || event.altKey;

/** Calls the handler of a pressed key and keeps the event from page and host; other keys pass. */
export function onKeys(element: HTMLElement, keys: Keys): void {
  element.addEventListener("keydown", (event) => {
    const handler = keys[event.key];
    if (!handler || held(event)) return;
    stop(event);
    handler(event);
  });
}

/** Arrow keys, Home, End and page keys as steps on a grid. */
export function arrows(move: (rows: number, cols: number, event: KeyboardEvent) => void): Keys {
  const by = (rows: number, cols: number) => (event: KeyboardEvent) => move(rows, cols, event);
  const far = 1e6;
  return {
    ArrowUp: by(-1, 0),
    ArrowDown: by(1, 0),
    ArrowLeft: by(0, -1),
    ArrowRight: by(0, 1),
    Home: by(0, -far),
    End: by(0, far),
    PageUp: by(-far, 0),
    PageDown: by(far, 0),
  };
}

/** Hosts such as JupyterLab bind single letters ("d d" deletes a cell): inside the widget they mean nothing to them. */
export function keepHostShortcutsOut(root: HTMLElement): void {
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.addEventListener("keydown", (event) => {
    if (!held(event)) event.stopPropagation();
  });
}
