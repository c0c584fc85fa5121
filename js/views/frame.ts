// The whole widget on the page: frame, theme, sizes, one redraw per animation frame, and the marks tests wait for.
import { LiveRegion } from "../lib/a11y";
import { css, mix } from "../lib/colour";
import type { Entry } from "../lib/controls";
import { type Figure, toPng, toSvg } from "../lib/display-list";
import { attribute, h, set, show } from "../lib/dom";
import { headKey } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import { keepHostShortcutsOut, stop } from "../lib/keyboard";
import type { Run } from "../lib/protocol";
import { stateOf } from "../lib/state-name";
import { readTheme, type Theme, watchTheme } from "../lib/theme";
import { Tooltip } from "../lib/tooltip";
import type { ViewContext } from "./context";
import { createFooter } from "./footer";
import { createHeadAtlas } from "./head-atlas";
import { createHeader } from "./header";
import { createHelp } from "./help";
import { createIntervene } from "./intervene";
import { stepBack } from "./patch-chips";
import { createPattern } from "./pattern";
import { createStates } from "./states";
import { createTokenStrip } from "./token-strip";

const PROJECTOR_SCALE = 1.3;

export function renderHeads(session: HeadsSession, el: HTMLElement, signal: AbortSignal): void {
  const root = h("div.widget.attention-heads", {
    role: "group",
    "aria-label": "Attention heads",
  });
  el.append(root);
  let projector = false;
  const live = new LiveRegion();
  const context: ViewContext = {
    session,
    root,
    signal,
    tip: new Tooltip(root),
    scale: 1,
    theme: readTheme(root, false),
    say: (text) => live.say(text),
    toggleHelp: () => help.toggle(),
  };
  const header = createHeader(context, {
    exports: () => exportEntries(),
    projector: () => projector,
    toggleProjector: () => {
      projector = !projector;
      context.scale = projector ? PROJECTOR_SCALE : 1;
      retheme();
    },
  });
  const states = createStates(context);
  const atlas = createHeadAtlas(context);
  const focus = createPattern(context);
  const strip = createTokenStrip(context);
  const intervene = createIntervene(context);
  const footer = createFooter(context);
  const help = createHelp(context);
  const progress = h("div.progress", { "data-part": "progress", hidden: true });
  const stale = h("div.stale", { hidden: true }, "prompt changed");
  const side = h("div.side", strip.element, intervene.element);
  const picture = h("div.picture", atlas.element, focus.element, side);
  const body = h("div.body", states.empty, picture, stale, states.floating);
  root.append(progress, header.element, states.element, body, footer.element, help.element, live.element);
  keepHostShortcutsOut(root);
  watchKeys(root, context);

  // --- drawing: at most once per animation frame ------------------------------------------------------------------
  let frame = 0;
  let drawnOnce = false;
  const views = [header, states, atlas, focus, strip, intervene, footer, help];
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
    checkWidths();
    set(root, {
      "data-replies": session.replies,
      "data-atlas-rev": session.atlas?.rev ?? 0,
      "data-question-rev": question?.rev ?? 0,
      "data-run": shown?.run ?? "",
      "data-focus": session.focus.map(headKey).join(" "),
      "data-selection": session.selection.join(" "),
    });
    if (drawnOnce || !(shown || state === "empty")) return;
    drawnOnce = true;
    requestAnimationFrame(() => requestAnimationFrame(() => attribute(root, "data-ready", "true")));
  }
  const widths = () => [atlas, focus].map((view) => view.element.clientWidth).join();
  /** A host that is changing its style sheets may have shown us sizes that it never settled on. */
  function checkWidths(): void {
    const drawn = widths();
    requestAnimationFrame(() => {
      if (widths() !== drawn) schedule();
    });
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
  let width = 0;
  const sizes = new ResizeObserver(() => {
    const now = root.clientWidth;
    if (now === width || now === 0) return;
    // Coming from hidden the element had no theme to read either.
    if (width === 0) retheme();
    width = now;
    attribute(root, "data-size", now < 640 ? "narrow" : now < 900 ? "medium" : "wide");
    schedule();
  });
  sizes.observe(root);

  // --- export -----------------------------------------------------------------------------------------------------
  function figure(): Figure | null {
    const parts = [atlas.figure(), focus.figure()].filter((it) => it !== null);
    return parts.length ? sideBySide(parts, context.theme) : null;
  }
  function save(content: Blob | string, kind: "svg" | "png"): void {
    const name = `attention-heads-${session.question?.model?.name ?? "figure"}`;
    const blob = new Blob([content], { type: kind === "svg" ? "image/svg+xml" : "image/png" });
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `${name.replace(/[^\w.-]+/g, "-").slice(0, 80)}.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  async function copy(text: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      live.say("figure copied as SVG");
    } catch {
      save(text, "svg");
      live.say("the clipboard is closed to this page: the figure was downloaded instead");
    }
  }
  function exportEntries(): Entry[] {
    if (!figure()) return [{ label: "Nothing is drawn yet", name: "none", run: () => undefined }];
    const entry = (label: string, name: string, make: (made: Figure) => void) => ({
      label,
      name,
      run() {
        const made = figure();
        if (made) make(made);
      },
    });
    const svg = (made: Figure) =>
      toSvg(made, `Attention heads: ${session.shownPrompt?.text.slice(0, 400) ?? ""}`);
    return [
      entry("Copy figure as SVG", "copy-svg", (made) => void copy(svg(made))),
      entry("Download SVG", "save-svg", (made) => save(svg(made), "svg")),
      entry("Download PNG", "save-png", (made) => void toPng(made, 3).then((blob) => save(blob, "png"))),
    ];
  }

  // --- life -------------------------------------------------------------------------------------------------------
  const off = session.on("change", schedule);
  signal.addEventListener("abort", () => {
    off();
    sizes.disconnect();
    cancelAnimationFrame(frame);
    session.hoverHead(null);
    root.remove();
  });
  retheme();
  draw();
}

/** Keys that mean the same in every grid of the widget. */
function watchKeys(root: HTMLElement, context: ViewContext): void {
  const { session } = context;
  const { intervention } = session;
  const flip = (...runs: Run[]) => context.say(session.flip(...runs) ?? "");
  const layer = (by: number) => {
    const [at, head] = session.focus[0] ?? [0, 0];
    const next = at + by;
    if (next >= 0 && next < (session.shown?.layers ?? 0)) session.lock([next, head]);
  };
  const keys: Record<string, () => void> = {
    a: () => intervention.off ?? intervention.choose("zero"),
    c: () => flip("against", "difference"),
    e: () => flip("edited"),
    "[": () => layer(-1),
    "]": () => layer(1),
  };
  root.addEventListener("keydown", (event) => {
    if (event.altKey || !(event.target as Element).closest("canvas, [role=listbox], .mi-edits")) return;
    const key = event.key.toLowerCase();
    const act = keys[key];
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

function sideBySide(parts: readonly Figure[], theme: Theme): Figure {
  const gap = 20;
  const items: Figure["items"] = [];
  let left = gap;
  for (const part of parts) {
    for (const item of part.items) {
      if (item.kind === "path")
        items.push({ ...item, points: item.points.map(([x, y]) => [x + left, y + gap] as const) });
      else items.push({ ...item, x: item.x + left, y: item.y + gap });
    }
    left += part.width + gap;
  }
  const height = Math.max(...parts.map((part) => part.height)) + 2 * gap;
  return { width: left, height, background: theme.background, items };
}
