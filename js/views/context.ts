// What a view is given: the session it draws, the theme and size it draws in, and the widget's voice and card.
import type { RunSession } from "../lib/run-session";
import type { Theme } from "../lib/theme";
import type { Tooltip } from "../lib/tooltip";

export interface ViewContext<S extends RunSession = RunSession> {
  session: S;
  root: HTMLElement;
  signal: AbortSignal;
  tip: Tooltip;
  /** Type is drawn this many times as large: 1, or more on a projector. */
  scale: number;
  theme: Theme;
  say(text: string): void;
  toggleHelp(): void;
}

export interface View {
  element: HTMLElement;
  update(): void;
}
