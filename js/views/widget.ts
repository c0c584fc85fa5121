// What one widget brings to the frame that all share.
import type { Figure } from "../lib/display-list";
import type { Child, Props } from "../lib/dom";
import type { Run } from "../lib/protocol";
import type { RunSession } from "../lib/run-session";
import type { View, ViewContext } from "./context";

/** What is explained, and its words. */
export type Term = readonly [what: Child, words: string];

export interface Kind<S extends RunSession> {
  /** The class of its root; files of its figures begin with it. */
  name: string;
  title: string;
  compose(context: ViewContext<S>): Composition;
}

export interface Composition {
  /** The widget's own switches in the first header line, and what stands there beside the model. */
  main: View;
  lead?: View;
  /** The words of the model chip where there is no model. */
  unmodelled?(): string[];
  /** The runs that it offers. */
  runs(): readonly Run[];
  /** The picture's parts. */
  parts: readonly HTMLElement[];
  /** Drawn in this order, at most once per animation frame. */
  views: readonly View[];
  /** What is exported: figures side by side, or rows of them one below the other. */
  figures(): readonly (Figure | null)[];
  rows?(): readonly (readonly (Figure | null)[])[];
  /** What C shows in place of the run in view: the first of these that can be. */
  compared: readonly Run[];
  /** What [ and ] do. */
  step(layers: number): void;
  /** Its other keys, in small letters. */
  keys?: Readonly<Record<string, () => void>>;
  /** The pointer is gone. */
  leave(): void;
  /** Marks on the root that tests wait for. */
  marks(): Props;
  /** How what is shown came to be, beyond what every picture says; and what can be done next. */
  provenance?(): (string | false | null | undefined)[];
  hint(): string;
  /** The "?" card: keys, how the picture is read, and the widget's own terms. */
  help: { title: string; keys: readonly Term[]; reading: string; terms(): readonly Term[] };
  /** What to write to have something to show. */
  example: string;
}
