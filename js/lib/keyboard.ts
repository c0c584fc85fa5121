// Keys inside a widget: what a grid's keys mean, and that the host's own shortcuts stay out.

export interface Keys {
  [key: string]: ((event: KeyboardEvent) => void) | undefined;
}

/** Calls the handler of a pressed key and keeps the event from page and host; other keys pass. */
export function onKeys(element: HTMLElement, keys: Keys): void {
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const handler = keys[event.key];
    if (!handler) return;
    event.preventDefault();
    event.stopPropagation();
    handler(event);
  });
}

/** Arrow keys, Home, End and page keys as steps on a grid. */
export function arrows(move: (rows: number, cols: number, event: KeyboardEvent) => void): Keys {
  const far = 1e6;
  return {
    ArrowUp: (event) => move(-1, 0, event),
    ArrowDown: (event) => move(1, 0, event),
    ArrowLeft: (event) => move(0, -1, event),
    ArrowRight: (event) => move(0, 1, event),
    Home: (event) => move(0, -far, event),
    End: (event) => move(0, far, event),
    PageUp: (event) => move(-far, 0, event),
    PageDown: (event) => move(far, 0, event),
  };
}

/** Hosts such as JupyterLab bind single letters ("d d" deletes a cell): inside the widget they mean nothing to them. */
export function keepHostShortcutsOut(root: HTMLElement): void {
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}
