// One hover and one selection for all widgets of an experiment on this page, also across shadow roots and in
// exported pages: a CustomEvent on `window`, keyed by the experiment's id.

const EVENT = "mi-widgets:link";

export interface Hover {
  layer?: number;
  head?: number;
  /** A token position. */
  position?: number;
}
interface Detail {
  experiment: string;
  source: object;
  hover?: Hover | null;
  selection?: readonly string[];
}

export interface Link {
  hover(hover: Hover | null): void;
  select(selection: readonly string[]): void;
  close(): void;
}

/** Joins the link of `experiment`; without an experiment ("") nothing is linked. What this side sends it does not hear. */
export function joinLink(
  experiment: string,
  heard: { hover(hover: Hover | null): void; select(selection: readonly string[]): void },
): Link {
  const source = {};
  const listen = (event: Event) => {
    const detail = (event as CustomEvent<Detail>).detail;
    if (!experiment || detail?.experiment !== experiment || detail.source === source) return;
    if (detail.hover !== undefined) heard.hover(detail.hover);
    if (detail.selection !== undefined) heard.select(detail.selection);
  };
  window.addEventListener(EVENT, listen);
  const tell = (detail: Omit<Detail, "experiment" | "source">) => {
    if (experiment)
      window.dispatchEvent(new CustomEvent(EVENT, { detail: { experiment, source, ...detail } }));
  };
  return {
    hover: (hover) => tell({ hover }),
    select: (selection) => tell({ selection }),
    close: () => window.removeEventListener(EVENT, listen),
  };
}
