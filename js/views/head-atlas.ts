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
import type { Figure } from "../lib/display-list";
import { attribute, h, setText, show, uniqueId } from "../lib/dom";
import { type Head, sameHead } from "../lib/heads";
import { arrows, onKeys } from "../lib/keyboard";
import { type Carried, DragSource } from "../lib/pointer-drag";
import { LISTED, type Order, TOPS } from "../lib/ranking";
import { AtlasCanvas } from "./atlas-canvas";
import { type AtlasLook, atlasFigure } from "./atlas-figure";
import { createAtlasTable } from "./atlas-table";
import type { View, ViewContext } from "./context";
import { createGhost } from "./drag-ghost";

type Ring = { kind: "locked" | "hovered" | "cursor" | "carried"; head: Head };

export function createHeadAtlas(context: ViewContext): View & { figure(): Figure | null } {
  const { session, tip } = context;
  const { ranking } = session;
  const active = h("div", { role: "gridcell", id: uniqueId("head") });
  const row = h("div", { role: "row" }, active);
  const canvas = h("canvas", { tabindex: 0, role: "grid" }, row);
  const rings = h("div.rings", { "aria-hidden": "true" });
  const scroller = h("div.atlas-scroll", h("div.atlas-stage", canvas, rings));
  const table = createAtlasTable(context);
  const order = new Switch("order of the heads", tip, (name) => {
    ranking.setOrder(name as Order);
    sayOrder();
  });
  const top = new Switch("heads shown", tip, (name) => {
    ranking.setTop(name === "all" ? null : Number(name));
    sayOrder();
  });
  const tableButton = h(
    "button.link",
    { "data-action": "atlas-table", onclick: () => toggleTable() },
    "table",
  );
  const foot = h("div.atlas-foot", order.element, top.element, tableButton);
  const note = h("div.note");
  const element = h("section.atlas", { "data-part": "atlas" }, scroller, table.element, foot, note);
  const painter = new AtlasCanvas(canvas);
  let layout: AtlasLayout | null = null;
  let layoutOf: readonly unknown[] = [];
  let cursor: Head | null = null;
  let tabled = false;
  let frame = 0;
  let toldNews = ranking.news;
  let toldRun = session.shown?.run ?? null;
  context.signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  // --- gestures -----------------------------------------------------------------------------------------------------
  const at = (clientX: number, clientY: number): Head | null => {
    const box = canvas.getBoundingClientRect();
    const head = layout && headAt(layout, clientX - box.left, clientY - box.top);
    return head && session.shown?.missing[head[0]] === undefined ? head : null;
  };
  const carry = ([layer, head]: Head): Carried => ({ site: "z", layer, head });
  const drag = new DragSource(canvas, {
    experiment: String(session.model.get("experiment") ?? ""),
    pick: (x, y) => {
      const head = at(x, y);
      return head && carry(head);
    },
    ghost: ({ layer, head }) => createGhost(canvas, layout, [layer, head], context.theme),
    say: context.say,
    changed: () => session.changed(),
    signal: context.signal,
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag.byPointer) return;
    const head = at(event.clientX, event.clientY);
    canvas.style.cursor = head ? "pointer" : "default";
    session.hoverHead(head);
  });
  canvas.addEventListener("pointerleave", () => session.hoverHead(null));
  canvas.addEventListener("click", (event) => {
    const head = at(event.clientX, event.clientY);
    if (head) {
      cursor = null; // The ring of the keyboard's cursor is for the keyboard.
      session.lock(head, event.shiftKey);
    }
  });
  canvas.addEventListener("blur", () => {
    cursor = null;
    session.hoverHead(null);
    update();
  });

  // --- keys ---------------------------------------------------------------------------------------------------------
  const current = () => cursor ?? session.focus[0] ?? null;
  const pick = (add: boolean) => {
    const head = current();
    if (!head || session.shown?.missing[head[0]] !== undefined) return;
    session.lock(head, add);
    const names = session.locked.map(([l, hd]) => `L${l} H${hd}`).join(", ");
    context.say(names ? `selected ${names}` : "no head selected");
  };
  const goTo = (next: Head) => {
    cursor = next;
    session.hoverHead(next);
    context.say(spoken(next));
    reveal(next);
    update();
  };
  const step = (rows: number, columns: number) => {
    const from = current() ?? layout?.cells[0];
    if (layout && from) goTo(stepFrom(layout, from, rows, columns));
  };
  onKeys(canvas, {
    ...arrows(step),
    " ": (event) => pick(event.shiftKey),
    Enter: () => {
      const head = current();
      const box = canvas.getBoundingClientRect();
      if (drag.carrying) return drag.cancel();
      if (!head || !layout || placeOf(layout, head) < 0) return;
      const [x, y] = thumbOrigin(layout, placeOf(layout, head));
      drag.pickUp(carry(head), box.left + x + layout.thumb / 2, box.top + y + layout.thumb / 2);
    },
    Escape: () => {
      session.clearSelection();
      context.say("selection cleared");
    },
    "?": () => context.toggleHelp(),
  });

  const spoken = (head: Head) => {
    const atlas = session.shown;
    const why = atlas?.missing[head[0]];
    if (!atlas || why !== undefined) return `L${head[0]} H${head[1]}: ${why ?? ""}`;
    const label = atlas.scores[session.score]?.label ?? session.score;
    return `L${head[0]} H${head[1]}, ${label} ${scoreText(atlas, session.score, head)}`;
  };
  function sayOrder(): void {
    const [first] = ranking.strongest;
    const atlas = session.shown;
    const shown = ranking.top === null ? "all heads" : `the strongest ${ranking.top} heads`;
    const how = ranking.order === "score" ? "strongest first" : "by layer";
    context.say(`${shown}, ${how}${first && atlas ? `: ${spoken(first)}` : ""}`);
  }
  function toggleTable(): void {
    tabled = !tabled;
    update();
  }
  /** Scrolls the widget's own box, never the page. */
  function reveal(head: Head): void {
    const place = layout ? placeOf(layout, head) : -1;
    if (!layout || place < 0) return;
    const [x, y] = thumbOrigin(layout, place);
    const near = (now: number, room: number, low: number, high: number) =>
      low < now ? low : high > now + room ? high - room : now;
    scroller.scrollLeft = near(scroller.scrollLeft, scroller.clientWidth, x - layout.left, x + layout.pitchX);
    scroller.scrollTop = near(scroller.scrollTop, scroller.clientHeight, y - layout.top, y + layout.pitchY);
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  function look(): AtlasLook | null {
    const atlas = session.shown;
    if (!atlas) return null;
    const { theme, scale } = context;
    const listed = ranking.listed;
    const grouped = groupSize(atlas) > 1;
    const width = element.clientWidth || 340;
    const facts = [listed, atlas.layers, atlas.heads, width, scale, grouped];
    if (!layout || facts.some((fact, at) => fact !== layoutOf[at])) {
      layoutOf = facts;
      layout = listed
        ? listLayout(listed, { width, scale })
        : matrixLayout(atlas.layers, atlas.heads, { width, scale, grouped });
      for (const name of ["thumb", "left", "top", "columns", "listed"] as const)
        attribute(canvas, `data-${name}`, layout[name]);
      attribute(canvas, "data-pitch-x", layout.pitchX);
      attribute(canvas, "data-pitch-y", layout.pitchY);
      attribute(canvas, "aria-rowcount", layout.rows);
      attribute(canvas, "aria-colcount", layout.columns);
      const kind = layout.listed ? "Heads, strongest first" : "All heads: layers down, heads across";
      attribute(canvas, "aria-label", kind);
    }
    return { atlas, layout, theme, score: session.score, scale, kept: ranking.kept };
  }

  function paint(): void {
    frame = 0;
    const now = look();
    if (!now || context.signal.aborted) return;
    if (painter.paint(now)) attribute(canvas, "data-rev", now.atlas.rev);
    else frame = requestAnimationFrame(paint);
  }

  function drawRings(): void {
    const { layer, head } = session.linkedHover ?? {};
    const linked = layer !== undefined && head !== undefined ? ([layer, head] as const) : null;
    const hovered = session.hovered ?? linked;
    const carried = drag.carrying;
    const wanted: Ring[] = session.locked.map((it) => ({ kind: "locked", head: it }));
    if (hovered) wanted.push({ kind: "hovered", head: hovered });
    if (cursor) wanted.push({ kind: "cursor", head: cursor });
    if (carried) wanted.push({ kind: "carried", head: [carried.layer, carried.head] });
    const shown = layout ? wanted.filter((it) => placeOf(layout as AtlasLayout, it.head) >= 0) : [];
    while (rings.childElementCount < shown.length) rings.append(h("div.ring"));
    for (const [index, ring] of ([...rings.children] as HTMLElement[]).entries()) {
      const mark = shown[index];
      show(ring, mark !== undefined);
      if (!mark || !layout) continue;
      const [x, y] = thumbOrigin(layout, placeOf(layout, mark.head));
      attribute(ring, "data-kind", mark.kind);
      attribute(ring, "data-head", `L${mark.head[0]}H${mark.head[1]}`);
      ring.style.transform = `translate(${x - 2}px, ${y - 2}px)`;
      ring.style.width = `${layout.thumb + 4}px`;
      ring.style.height = `${layout.thumb + layout.bar + 7}px`;
    }
  }

  /** The accessible twin of the cell under the cursor. */
  function describe(): void {
    attribute(canvas, "aria-activedescendant", cursor ? active.id : null);
    if (!cursor || !layout) return;
    const place = Math.max(0, placeOf(layout, cursor));
    attribute(row, "aria-rowindex", Math.floor(place / layout.columns) + 1);
    attribute(active, "aria-colindex", (place % layout.columns) + 1);
    attribute(active, "aria-label", spoken(cursor));
    attribute(active, "aria-selected", String(session.locked.some((it) => sameHead(it, cursor))));
  }

  function tell(): void {
    const run = session.growing ? toldRun : (session.shown?.run ?? null);
    if (ranking.news !== toldNews) context.say(ranking.news);
    else if (run !== toldRun && toldRun !== null)
      context.say(`${session.runLabel(run ?? "clean")} run shown`);
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
    attribute(tableButton, "aria-pressed", String(tabled));
    updateFoot();
    if (tabled) return table.update();
    if (!frame) paint();
    drawRings();
    describe();
    const block = Math.ceil(atlas.positions / atlas.side);
    const rest = ranking.listed && ranking.top === null ? ranking.strongest.length - LISTED : 0;
    const notes = [
      atlas.side < atlas.positions && `thumbnails: strongest of each ${block} × ${block} block`,
      ranking.kept && `the strongest ${ranking.kept.size} of ${ranking.strongest.length} heads`,
      rest > 0 && `the first ${LISTED} heads; the table has ${rest} more`,
      ...new Set(Object.values(atlas.missing)),
    ];
    setText(note, notes.filter(Boolean).join(" · "));
  }

  function updateFoot(): void {
    const label = session.atlas?.scores[session.score]?.label ?? session.score;
    const off = ranking.strongest.length ? null : "No head has this score here.";
    const ways: [Order, string, string][] = [
      ["layer", "by layer", "Layers down, heads across."],
      ["score", "by score", `Heads by ${label}, strongest first.`],
    ];
    order.update(
      ways.map(([name, text, line]) => ({
        name,
        label: text,
        chosen: ranking.order === name,
        off: name === "score" ? off : null,
        card: { title: text, lines: [line] },
      })),
    );
    top.update(
      TOPS.map((count) => ({
        name: String(count ?? "all"),
        label: count === null ? "all" : `top ${count}`,
        chosen: ranking.top === count,
        off: count === null ? null : off,
        card: {
          lines: [count === null ? "Every head." : `Only the ${count} heads with the most ${label}.`],
        },
      })),
    );
  }

  const figure = () => {
    const now = look();
    return now && atlasFigure(now, session.locked);
  };
  return { element, update, figure };
}
