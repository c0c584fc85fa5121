// What every widget on the page shares: frame, theme, sizes, keys, one redraw per animation frame, and the marks tests
// wait for. The widget itself is composed in a file of its own.
import { LiveRegion } from "../lib/a11y";
import { css, mix } from "../lib/colour";
import { attribute, h, onEnd, set, show } from "../lib/dom";
import { keepHostShortcutsOut, stop } from "../lib/keyboard";
import type { RunSession } from "../lib/run-session";
import { stateOf } from "../lib/state-name";
import { readTheme, type Theme, watchTheme } from "../lib/theme";
import { Tooltip } from "../lib/tooltip";
import { RESIZED, widthOf } from "../lib/width";
import type { ViewContext } from "./context";
import { createExport } from "./export-menu";
import { createFooter } from "./footer";
import { createHeader } from "./header";
import { createHelp } from "./help";
import { stepBack } from "./patch-chips";
import { createStates } from "./states";
import type { Composition, Kind } from "./widget";

const PROJECTOR_SCALE = 1.3;

/** Draws a widget into an element; what it has to export is returned. */
export function renderWidget<S extends RunSession>(
  { name, title, compose }: Kind<S>,
  session: S,
  el: HTMLElement,
  signal: AbortSignal,
): Composition["figures"] {
  const root = h(`div.widget.${name}`, { role: "group", "aria-label": title });
  el.append(root);
  let projector = false;
  const live = new LiveRegion();
  const context: ViewContext<S> = {
    session,
    root,
    signal,
    tip: new Tooltip(root, session.words),
    scale: 1,
    theme: readTheme(root, false),
    say: (text) => live.say(text),
    toggleHelp: () => help.toggle(),
  };
  const widget = compose(context);
  const header = createHeader(context, widget, {
    title,
    exports: createExport(context, name, title, widget.rows ?? (() => [widget.figures()])),
    projector: () => projector,
    toggleProjector() {
      projector = !projector;
      context.scale = projector ? PROJECTOR_SCALE : 1;
      retheme();
    },
  });
  const states = createStates(context, widget);
  const footer = createFooter(context, widget);
  const help = createHelp(context, widget.help);
  const progress = h("div.progress#progress", { hidden: true });
  const stale = h("div.stale", { hidden: true }, "prompt changed");
  const picture = h("div.picture", ...widget.parts);
  const body = h("div.body", states.empty, picture, stale, states.floating);
  root.append(progress, header.element, states.element, body, footer.element, help.element, live.element);
  keepHostShortcutsOut(root);
  watchKeys(context, widget);

  // --- drawing: at most once per animation frame ------------------------------------------------------------------
  let frame = 0;
  let drawnOnce = false;
  const views = [header, states, ...widget.views, footer, help];
  function draw(): void {
    frame = 0;
    if (signal.aborted) return;
    const { shown, drafted, question, work } = session;
    const state = stateOf(session);
    attribute(root, "data-state", state);
    show(picture, shown !== null || state === "loading" || state === "waiting");
    for (const view of views) view.update();
    set(picture, { "data-stale": session.stale && !session.growing, "data-old": state === "restarted" });
    attribute(body, "data-loading", shown === null);
    show(stale, drafted && shown !== null);
    const { done, total } = work?.progress ?? { done: 0, total: 0 };
    set(progress, { hidden: !work || !session.busyLong, "data-open": !total });
    progress.style.width = total ? `${Math.max(2, (done / total) * 100)}%` : "";
    set(root, {
      "data-replies": session.replies,
      "data-question-rev": question?.rev ?? 0,
      "data-run": shown?.run ?? "",
      "data-selection": session.selection.join(" "),
      ...widget.marks(),
    });
    if (drawnOnce || !(shown || state === "empty")) return;
    drawnOnce = true;
    requestAnimationFrame(() => requestAnimationFrame(() => attribute(root, "data-ready", "true")));
  }
  const schedule = () => {
    // A hidden tab gets no animation frames, but the state's marks should still be right when it shows again.
    if (!frame) frame = requestAnimationFrame(draw);
  };

  // --- theme and size ---------------------------------------------------------------------------------------------
  let themed = "";
  function retheme(): void {
    const theme = readTheme(root, projector);
    // A host's page changes often, its theme seldom.
    const facts = [css(theme.background), theme.font, theme.mono, projector].join();
    if (facts === themed) return;
    themed = facts;
    context.theme = theme;
    applyTheme(root, theme, projector);
    schedule();
  }
  watchTheme(root, signal, retheme);
  // A host that changes its style sheets may give the parts other widths in a frame of the same width.
  root.addEventListener(RESIZED, ({ target }) => {
    // Coming from hidden the frame had no theme to read either.
    if (target === root) resize();
    schedule();
  });
  function resize(): void {
    retheme();
    const width = widthOf(root);
    if (width) attribute(root, "data-size", width < 640 ? "narrow" : width < 900 ? "medium" : "wide");
  }

  // --- life -------------------------------------------------------------------------------------------------------
  const off = session.on("change", schedule);
  onEnd(signal, () => {
    off();
    cancelAnimationFrame(frame);
    widget.leave();
    root.remove();
  });
  resize();
  draw();
  return widget.figures;
}

/** Keys that mean the same in every grid of the widget. */
function watchKeys(context: ViewContext, { compared, step, keys }: Composition): void {
  const { session, root, say } = context;
  const acts: Record<string, () => void> = {
    c: () => say(session.flip(...compared) ?? ""),
    e: () => say(session.flip("edited") ?? ""),
    "[": () => step(-1),
    "]": () => step(1),
    ...keys,
  };
  root.addEventListener("keydown", (event) => {
    if (event.altKey || !(event.target as Element).closest("canvas, [role=grid], [role=listbox], .mi-edits"))
      return;
    const key = event.key.toLowerCase();
    const act = acts[key];
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" && stepBack(context, event.shiftKey ? "redo" : "undo")) stop(event);
    } else if (act) {
      act();
      stop(event);
    }
  });
}

/** The theme's colours as variables for the style sheet. */
function applyTheme(root: HTMLElement, theme: Theme, projector: boolean): void {
  const { dark, background, diverging, text, muted, line, future, accent } = theme;
  set(root, { "data-theme": dark ? "dark" : "light", "data-projector": projector });
  const raised = mix(background, dark ? [255, 255, 255] : [16, 24, 40], dark ? 0.05 : 0.035);
  const [up, down] = [diverging.colour(0.8), diverging.colour(-0.8)];
  const colours = { background, text, muted, line, future, accent, up, down, raised };
  for (const [name, colour] of Object.entries(colours)) root.style.setProperty(`--mi-${name}`, css(colour));
}
