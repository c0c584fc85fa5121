// The pointer on a grid of the board: what it drags, what it picks, and what it is over.
import type { BoardSession } from "../lib/board-session";
import { carriedName } from "../lib/board-specs";
import { attribute, h, set } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import { type Line, type Spot, turned } from "../lib/lens-layout";
import { createDragSource, type DragSource } from "../lib/pointer-drag";
import { foldName, moreColumns } from "./board-figure";
import type { BoardPlaces } from "./board-places";
import type { ViewContext } from "./context";
import { ghostOf } from "./drag-ghost";

export function pointAtGrid(context: ViewContext<BoardSession>, places: BoardPlaces): DragSource {
  const { session, say, signal } = context;
  const { name, canvas } = places;
  /** A block is being drawn, which picks it; the click that ends it does nothing else. */
  let banding = false;
  let banded = false;
  const carriedAt = (at: Spot) => {
    const block = places.blockAt(at);
    return block && session.carriedOf(block, "position" in at ? at.position : null);
  };

  set(canvas, {
    onpointerdown(event: PointerEvent) {
      const at = places.spot(event);
      const from = places.placeOf(at);
      banding = event.button === 0 && (event.shiftKey || !at) && name !== "edited";
      if (!banding) return;
      places.band = from && { from, to: from };
      canvas.setPointerCapture(event.pointerId);
    },
  });
  const drag = createDragSource(canvas, {
    experiment: String(session.model.get("experiment") ?? ""),
    pick(clientX, clientY) {
      const at = banding ? null : places.spot({ clientX, clientY });
      return at && carriedAt(at);
    },
    ghost(carried) {
      const { board } = session;
      const words = board ? carriedName(board, carried) : "";
      return ghostOf(context.theme, words, h("div", words), h("div", `from ${carried.source}`));
    },
    named: (carried) => (session.board ? carriedName(session.board, carried) : ""),
    say,
    changed: () => session.changed(),
    signal,
  });
  const end = () => {
    banded = banding && places.band !== null;
    banding = false;
    places.band = null;
    session.changed();
  };
  set(canvas, {
    onpointermove(event: PointerEvent) {
      if (drag.byPointer) return;
      const at = places.spot(event);
      const place = places.placeOf(at);
      if (banding) {
        // From beside the cells a block begins at the first one.
        if (place) places.band = { from: places.band?.from ?? place, to: place };
        return session.changed();
      }
      const takes = at && name !== "edited" && carriedAt(at);
      canvas.style.cursor = takes ? "grab" : at ? "pointer" : "default";
      attribute(canvas, "title", at && hint(at));
      session.hoverAt(place);
    },
    onpointerup() {
      const { band } = places;
      if (banding && band) places.selectTo(band.from, band.to);
      end();
    },
    onpointercancel: end,
    onpointerleave: () => session.hoverAt(null),
    onclick(event: MouseEvent) {
      places.caret = null; // The ring of the keyboard's cursor is for the keyboard.
      const at = places.spot(event);
      if (at && !banded) act(at);
      banded = false;
    },
    onblur() {
      places.caret = null;
      session.changed();
    },
  });
  function hint(at: Spot): string | null {
    const now = places.look();
    const { laid } = places;
    if (!now || !laid) return null;
    if (at.kind === "fold") return `${foldName(now, laid.lines[at.line] as Line)} folded: click to open`;
    const more = { before: laid.first, after: laid.positions - laid.end }[at.kind as string];
    if (more) return `${moreColumns(now, more)}: click to see them`;
    return at.kind === "position" && !places.heads()
      ? `${shortLabel(places.tokenOf(at.position), 300)} · position ${at.position}`
      : null;
  }
  function act(at: Spot): void {
    const { laid } = places;
    if (!laid) return;
    if (at.kind === "before" || at.kind === "after")
      session.showFrom(name, turned(laid, at.kind === "before" ? -1 : 1));
    else if (at.kind === "fold") places.open(at.line);
    else {
      const block = places.blockAt(at);
      const same = JSON.stringify(session.picked) === JSON.stringify(block);
      session.pick(same ? null : block);
    }
  }
  return drag;
}
