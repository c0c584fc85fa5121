// The atlas: every head of every layer as a thumbnail, with a bar for the chosen score under each; gestures and their keys.

import { groupSize, scoreText } from "../lib/atlas";
import {
  type AtlasLayout,
  headAt,
  listLayout,
  matrixLayout,
  placeOf,
  stepFrom,
  thumbOrigin,
} from "../lib/atlas-layout";
import { Switch } from "../lib/controls";
import { drawCanvas, type Figure } from "../lib/display-list";
import { attribute, h, memo, onEnd, set, setText, show, uniqueId } from "../lib/dom";
import { times } from "../lib/geometry";
import { type Head, headKey, sameHead } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import { arrows, onKeys } from "../lib/keyboard";
import { dotted } from "../lib/labels";
import { type Carried, createDragSource } from "../lib/pointer-drag";
import { LISTED, type Order, TOPS } from "../lib/ranking";
import { widthOf } from "../lib/width";
import { AtlasCanvas } from "./atlas-canvas";
import { type AtlasLook, atlasFigure, headings, rowName } from "./atlas-figure";
import { createAtlasTable } from "./atlas-table";
import type { View, ViewContext } from "./context";
import { createGhost } from "./drag-ghost";

export function createHeadAtlas(context: ViewContext<HeadsSession>): View & { figure(): Figure | null } {
  const { session, tip, say } = context;
  const { ranking } = session;
  const active = h("div", { role: "gridcell", id: uniqueId("head") });
  const row = h("div", { role: "row" }, active);
  const canvas = h("canvas", { tabindex: 0, role: "grid" }, row);
  const rings = h("div.rings", { "aria-hidden": "true" });
  // The names of columns and rows once more, over the canvas: they stay while it scrolls.
  const overlay = () => h("canvas.atlas-names", { "aria-hidden": true });
  const names = [overlay(), overlay()] as const;
  const scroller = h("div.atlas-scroll", h("div.atlas-stage", canvas, rings, ...names));
  const table = createAtlasTable(context);
  const order = new Switch("order of the heads", tip, (name) => {
    ranking.setOrder(name as Order);
    sayOrder();
  });
  const top = new Switch("heads shown", tip, (name) => {
    ranking.setTop(name === "all" ? null : Number(name));
    sayOrder();
  });
  const toggleTable = () => {
    tabled = !tabled;
    update();
  };
  const tableButton = h("button.link", { "data-action": "atlas-table", onclick: toggleTable }, "table");
  const foot = h("div.atlas-foot", order.element, top.element, tableButton);
  const note = h("div.note");
  const element = h("section.atlas#atlas", scroller, table.element, foot, note);
  const painter = new AtlasCanvas(canvas);
  let layout: AtlasLayout | null = null;
  const laid = memo<AtlasLayout>();
  const named = memo<void>();
  let cursor: Head | null = null;
  let tabled = false;
  let frame = 0;
  let toldNews = ranking.news;
  let toldRun = session.shown?.run ?? null;
  onEnd(context.signal, () => cancelAnimationFrame(frame));

  // --- gestures -----------------------------------------------------------------------------------------------------
  const lacks = (head: Head) => session.shown?.absent[head[0]] !== undefined;
  const at = (clientX: number, clientY: number): Head | null => {
    const box = canvas.getBoundingClientRect();
    const head = layout && headAt(layout, clientX - box.left, clientY - box.top);
    return head && !lacks(head) ? head : null;
  };
  /** Where a head is drawn, and its place; null when it is not. */
  const drawnAt = (head: Head) => {
    const place = layout ? placeOf(layout, head) : -1;
    if (!layout || place < 0) return null;
    const [x, y] = thumbOrigin(layout, place);
    return { x, y, place, ...layout };
  };
  const carry = ([layer, head]: Head): Carried => ({ site: "z", layer, head });
  const headOf = ({ layer, head }: Carried) => [layer, head] as Head;
  const drag = createDragSource(canvas, {
    experiment: String(session.model.get("experiment") ?? ""),
    pick: (x, y) => {
      const head = at(x, y);
      return head && carry(head);
    },
    ghost: (it) => createGhost(canvas, layout, headOf(it), context.theme),
    named: (it) => `z of ${nameOf(headOf(it))}`,
    say,
    changed: () => session.changed(),
    signal: context.signal,
  });
  set(canvas, {
    onpointermove(event: PointerEvent) {
      if (drag.byPointer) return;
      const head = at(event.clientX, event.clientY);
      canvas.style.cursor = head ? "pointer" : "default";
      session.hoverHead(head);
    },
    onpointerleave: () => session.hoverHead(null),
    onclick(event: MouseEvent) {
      const head = at(event.clientX, event.clientY);
      if (!head) return;
      cursor = null; // The ring of the keyboard's cursor is for the keyboard.
      session.lock(head, event.shiftKey);
    },
    onblur() {
      cursor = null;
      session.hoverHead(null);
      update();
    },
  });

  // --- keys ---------------------------------------------------------------------------------------------------------
  const current = () => cursor ?? session.inFocus[0] ?? null;
  const step = (rows: number, columns: number) => {
    const from = current() ?? layout?.cells[0];
    if (!layout || !from) return;
    cursor = stepFrom(layout, from, rows, columns);
    session.hoverHead(cursor);
    say(spoken(cursor));
    reveal(cursor);
    update();
  };
  onKeys(canvas, {
    ...arrows(step),
    " "(event) {
      const head = current();
      if (!head || lacks(head)) return;
      session.lock(head, event.shiftKey);
      const names = session.locked.map(nameOf).join(", ");
      say(names ? `selected ${names}` : "no head selected");
    },
    Enter() {
      if (drag.carrying) return drag.cancel();
      const head = current();
      const drawn = head && drawnAt(head);
      const box = canvas.getBoundingClientRect();
      const half = (layout?.thumb ?? 0) / 2;
      if (drawn) drag.pickUp(carry(head), box.left + drawn.x + half, box.top + drawn.y + half);
    },
    Escape() {
      session.clearSelection();
      say("selection cleared");
    },
    "?": context.toggleHelp,
  });

  const nameOf = ([layer, head]: Head) => `L${layer} H${head}`;
  const scoreLabel = (atlas = session.atlas) => atlas?.scores[session.scoreName]?.label ?? session.scoreName;
  const spoken = (head: Head) => {
    const atlas = session.shown;
    if (!atlas || lacks(head)) return `${nameOf(head)}: ${atlas?.absent[head[0]] ?? ""}`;
    return `${nameOf(head)}, ${scoreLabel(atlas)} ${scoreText(atlas, session.scoreName, head)}`;
  };
  function sayOrder(): void {
    const [first] = ranking.strongest;
    const shown = ranking.top === null ? "all heads" : `the strongest ${ranking.top} heads`;
    const how = ranking.order === "score" ? "strongest first" : "by layer";
    say(`${shown}, ${how}${first && session.shown ? `: ${spoken(first)}` : ""}`);
  }
  /** Scrolls the widget's own box, never the page. */
  function reveal(head: Head): void {
    const drawn = drawnAt(head);
    if (!drawn) return;
    const { x, y, left, top, pitchX, pitchY } = drawn;
    const near = (now: number, room: number, low: number, high: number) =>
      low < now ? low : high > now + room ? high - room : now;
    scroller.scrollLeft = near(scroller.scrollLeft, scroller.clientWidth, x - left, x + pitchX);
    scroller.scrollTop = near(scroller.scrollTop, scroller.clientHeight, y - top, y + pitchY);
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  function look(): AtlasLook | null {
    const atlas = session.shown;
    if (!atlas) return null;
    const { theme, scale } = context;
    const listed = ranking.listed;
    const grouped = groupSize(atlas) > 1;
    const width = widthOf(element) || 340;
    layout = laid([listed, atlas.layers, atlas.heads, width, scale, grouped], () => {
      const made = listed
        ? listLayout(listed, { width, scale })
        : matrixLayout(atlas.layers, atlas.heads, { width, scale, grouped });
      const { thumb, left, top, columns, rows, pitchX, pitchY } = made;
      set(canvas, {
        "data-thumb": thumb,
        "data-left": left,
        "data-top": top,
        "data-columns": columns,
        "data-listed": made.listed,
        "data-pitch-x": pitchX,
        "data-pitch-y": pitchY,
        "aria-rowcount": rows,
        "aria-colcount": columns,
        "aria-label": listed ? "Heads, strongest first" : "All heads: layers down, heads across",
      });
      return made;
    });
    return { atlas, layout, theme, scoreName: session.scoreName, scale, kept: ranking.kept };
  }

  function paint(): void {
    frame = 0;
    const now = look();
    if (!now || context.signal.aborted) return;
    drawNames(now);
    if (painter.paint(now)) attribute(canvas, "data-rev", now.atlas.rev);
    else frame = requestAnimationFrame(paint);
  }

  function drawNames(now: AtlasLook): void {
    const { layout, theme, atlas } = now;
    named([layout, theme, atlas.kvHeads], () => {
      const { width, height, left, top, caption, rows, listed } = layout;
      const { background } = theme;
      const items = times(rows, (row) => rowName(now, row)).flat();
      drawCanvas(names[0], { width, height: top - caption - 1, background, items: headings(now) });
      drawCanvas(names[1], { width: left - 3, height, background, items });
      for (const it of names) show(it, !listed);
    });
  }

  function drawRings(): void {
    const { layer, head } = session.linkedHover ?? {};
    const linked = layer !== undefined && head !== undefined ? ([layer, head] as const) : null;
    const carried = drag.carrying;
    const wanted: [kind: string, head: Head | null][] = [
      ...session.locked.map((it): [string, Head] => ["locked", it]),
      ["hovered", session.hovered ?? linked],
      ["cursor", cursor],
      ["carried", carried && headOf(carried)],
    ];
    const shown = wanted.flatMap(([kind, head]) => {
      const drawn = head && drawnAt(head);
      return drawn ? [{ kind, head, ...drawn }] : [];
    });
    while (rings.childElementCount < shown.length) rings.append(h("div.ring"));
    for (const [index, ring] of ([...rings.children] as HTMLElement[]).entries()) {
      const mark = shown[index];
      show(ring, mark !== undefined);
      if (!mark) continue;
      set(ring, { "data-kind": mark.kind, "data-head": headKey(mark.head) });
      ring.style.transform = `translate(${mark.x - 2}px, ${mark.y - 2}px)`;
      ring.style.width = `${mark.thumb + 4}px`;
      ring.style.height = `${mark.thumb + mark.bar + 7}px`;
    }
  }

  /** The accessible twin of the cell under the cursor. */
  function describe(): void {
    attribute(canvas, "aria-activedescendant", cursor && active.id);
    if (!cursor || !layout) return;
    const place = Math.max(0, placeOf(layout, cursor));
    attribute(row, "aria-rowindex", Math.floor(place / layout.columns) + 1);
    set(active, {
      "aria-colindex": (place % layout.columns) + 1,
      "aria-label": spoken(cursor),
      "aria-selected": session.locked.some((it) => sameHead(it, cursor)),
    });
  }

  function tell(): void {
    const run = session.growing ? toldRun : (session.shown?.run ?? null);
    if (ranking.news !== toldNews) say(ranking.news);
    else if (run !== toldRun && toldRun) say(`${session.runLabel(run ?? "clean")} run shown`);
    toldNews = ranking.news;
    toldRun = run;
  }

  function update(): void {
    const atlas = session.shown;
    show(scroller, atlas !== null && !tabled);
    show(foot, atlas !== null);
    table.show(tabled);
    tell();
    if (!atlas) return setText(note, "");
    attribute(context.root, "data-many", atlas.heads > 16);
    attribute(tableButton, "aria-pressed", tabled);
    updateFoot();
    if (tabled) return table.update();
    if (!frame) paint();
    drawRings();
    describe();
    const block = Math.ceil(atlas.span / atlas.side);
    const rest = ranking.listed && ranking.top === null ? ranking.strongest.length - LISTED : 0;
    const notes = [
      atlas.side < atlas.span && `thumbnails: strongest of each ${block} × ${block} block`,
      ranking.kept && `the strongest ${ranking.kept.size} of ${ranking.strongest.length} heads`,
      rest > 0 && `the first ${LISTED} heads; the table has ${rest} more`,
      ...new Set(Object.values(atlas.absent)),
    ];
    setText(note, dotted(notes));
  }

  function updateFoot(): void {
    const label = scoreLabel();
    const none = ranking.strongest.length ? null : "No head has this score here.";
    const way = (name: Order, line: string) => ({
      name,
      label: `by ${name}`,
      chosen: ranking.order === name,
      off: name === "score" ? none : null,
      card: { title: `by ${name}`, lines: [line] },
    });
    order.update([
      way("layer", "Layers down, heads across."),
      way("score", `Heads by ${label}, strongest first.`),
    ]);
    top.update(
      TOPS.map((count) => ({
        name: String(count ?? "all"),
        label: count ? `top ${count}` : "all",
        chosen: ranking.top === count,
        off: count ? none : null,
        card: { lines: [count ? `Only the ${count} heads with the most ${label}.` : "Every head."] },
      })),
    );
  }

  const figure = () => {
    const now = look();
    return now && atlasFigure(now, session.locked);
  };
  return { element, update, figure };
}
