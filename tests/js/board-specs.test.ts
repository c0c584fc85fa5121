// What a drop makes: which edits, at which positions, of which run; and nothing where nothing would change.
import { describe, expect, test } from "vitest";
import { type BoardEntry, readBoard } from "../../js/lib/board-cells";
import {
  carriedName,
  headLabel,
  ranges,
  realSite,
  rowName,
  rowOfSite,
  siteOfRow,
  specsFor,
} from "../../js/lib/board-specs";
import type { Carried } from "../../js/lib/pointer-drag";
import { boardEntry } from "./board";

const boardOf = (facts = {}) => readBoard(boardEntry(facts) as unknown as BoardEntry);
const board = boardOf();
const cell: Carried = { site: "resid_post", layer: 1, layers: [1], positions: [3], from: 3, source: "clean" };
const where = (specs: ReturnType<typeof specsFor>) =>
  specs.map((it) => [it.site, it.layer, it.positions, it.source, it.source_positions]);

describe("from one run onto the other", () => {
  test("a cell in its place reads its partner; elsewhere it says where from", () => {
    expect(where(specsFor(board, cell, { side: "corrupted", position: 3 }))).toEqual([
      ["resid_post", 1, [3], "other", null],
    ]);
    expect(where(specsFor(board, cell, { side: "corrupted", position: 5 }))).toEqual([
      ["resid_post", 1, [5], "other", [3]],
    ]);
  });

  test("beside the columns it goes where it belongs", () => {
    expect(where(specsFor(board, cell, { side: "corrupted", position: null }))).toEqual([
      ["resid_post", 1, [3], "other", null],
    ]);
  });

  test("a row is all positions; a column one edit a layer, the input under its own name", () => {
    const row = { ...cell, positions: null };
    expect(where(specsFor(board, row, { side: "corrupted", position: 0 }))).toEqual([
      ["resid_post", 1, null, "other", null],
    ]);
    const column = { ...cell, layers: [-1, 0, 1, 2] };
    expect(
      where(specsFor(board, column, { side: "corrupted", position: 3 })).map(([site, layer]) => [
        site,
        layer,
      ]),
    ).toEqual([
      ["resid_pre", 0],
      ["resid_post", 0],
      ["resid_post", 1],
      ["resid_post", 2],
    ]);
  });

  test("a block moves as one, and what falls off the prompt is left out", () => {
    const block = { ...cell, positions: [2, 3, 4], from: 3 };
    const [spec] = specsFor(board, block, { side: "corrupted", position: 4 });
    expect([spec?.positions, spec?.source_positions]).toEqual([
      [3, 4, 5],
      [2, 3, 4],
    ]);
    const [cut] = specsFor(board, block, { side: "corrupted", position: 5 });
    expect([cut?.positions, cut?.source_positions]).toEqual([
      [4, 5],
      [2, 3],
    ]);
  });

  test("heads: one edit each, at all positions", () => {
    const heads: Carried = { site: "z", layer: 0, layers: [0, 2], heads: [1, 3], head: 1, positions: null };
    const specs = specsFor(board, heads, { side: "corrupted", position: null });
    expect(specs.map((it) => [it.layer, it.head, it.positions])).toEqual([
      [0, 1, null],
      [0, 3, null],
      [2, 1, null],
      [2, 3, null],
    ]);
    const atlas: Carried = { site: "z", layer: 1, head: 2, positions: null };
    expect(specsFor(board, atlas, { side: "clean", position: null })).toMatchObject([
      { site: "z", layer: 1, head: 2, source: "other", alpha: 1 },
    ]);
  });
});

describe("within one prompt", () => {
  test("its own place changes nothing; another place reads this run", () => {
    expect(specsFor(board, cell, { side: "clean", position: 3 })).toEqual([]);
    expect(specsFor(board, { ...cell, positions: null }, { side: "clean", position: 3 })).toEqual([]);
    expect(where(specsFor(board, cell, { side: "clean", position: 5 }))).toEqual([
      ["resid_post", 1, [5], "clean", [3]],
    ]);
  });

  test("without a second prompt there is nothing to drop on it, and a head of another widget goes nowhere", () => {
    const alone = boardOf({ alone: true, base: "clean" });
    expect(specsFor(alone, cell, { side: "corrupted", position: 3 })).toEqual([]);
    expect(
      specsFor(alone, { site: "z", layer: 1, head: 2, positions: null }, { side: "clean", position: null }),
    ).toEqual([]);
    expect(where(specsFor(alone, cell, { side: "clean", position: 4 }))).toEqual([
      ["resid_post", 1, [4], "clean", [3]],
    ]);
  });
});

describe("prompts of different length", () => {
  const longer = boardOf({
    lengths: [6, 8],
    pairs: [
      [0, 0],
      [1, 3],
      [2, 4],
      [3, 5],
      [4, 6],
      [5, 7],
    ],
  });

  test("a partner by alignment is natural, wherever it stands", () => {
    expect(where(specsFor(longer, cell, { side: "corrupted", position: 5 }))).toEqual([
      ["resid_post", 1, [5], "other", null],
    ]);
    expect(where(specsFor(longer, cell, { side: "corrupted", position: 3 }))).toEqual([
      ["resid_post", 1, [3], "other", [3]],
    ]);
  });

  test("a column without a partner takes what is dropped right on it, and gives only where it is dropped", () => {
    expect(where(specsFor(longer, cell, { side: "corrupted", position: 1 }))).toEqual([
      ["resid_post", 1, [1], "other", [3]],
    ]);
    const lone: Carried = { ...cell, positions: [1], from: 1, source: "corrupted" };
    expect(specsFor(longer, lone, { side: "clean", position: null })).toEqual([]);
    expect(where(specsFor(longer, lone, { side: "clean", position: 2 }))).toEqual([
      ["resid_post", 1, [2], "other", [1]],
    ]);
    const some = { ...lone, positions: [1, 3], from: 3 };
    expect(specsFor(longer, some, { side: "clean", position: 1 })[0]?.positions).toEqual([1]);
  });
});

describe("rows and names", () => {
  const [residual, attention] = board.carries as [(typeof board.carries)[0], (typeof board.carries)[0]];

  test("a row carries the stream after its layer, or before the next; parts have no input", () => {
    const sites = (carry: typeof residual, stream: "post" | "pre") =>
      board.rows.map((row) => {
        const found = siteOfRow(row, carry, stream);
        return found && realSite(...found, board.n_layers);
      });
    expect(sites(residual, "post")).toEqual([
      ["resid_pre", 0],
      ["resid_post", 0],
      ["resid_post", 1],
      ["resid_post", 2],
    ]);
    expect(sites(residual, "pre")).toEqual([
      ["resid_pre", 0],
      ["resid_pre", 1],
      ["resid_pre", 2],
      ["resid_post", 2],
    ]);
    expect(sites(attention, "post")).toEqual([null, ["attn_out", 0], ["attn_out", 1], ["attn_out", 2]]);
    expect(board.rows.map((row) => rowName(row, board, "pre"))).toEqual(["L0", "L1", "L2", "out"]);
  });

  test("a site is found at its row", () => {
    expect(rowOfSite(board, "resid_post", -1)).toBe(0);
    expect(rowOfSite(board, "resid_pre", 2)).toBe(2);
    expect(rowOfSite(board, "resid_pre", 3)).toBe(3);
    expect(rowOfSite(board, "attn_out", 1)).toBe(2);
  });

  test("what is carried is said in few words", () => {
    expect(carriedName(board, cell)).toBe("resid_post L1 position 3");
    expect(carriedName(board, { ...cell, layers: [-1, 0, 1], positions: [2, 3, 5] })).toBe(
      "resid_post input–L1 positions 2–3, 5",
    );
    expect(carriedName(board, { ...cell, layers: [-1] })).toBe("resid_pre L0 position 3");
    expect(carriedName(board, { site: "k", layer: 0, head: 1, positions: null })).toBe("k L0 kv1 (H2–H3)");
    expect([headLabel(board, "z", 2), ranges([5, 1, 2, 3])]).toEqual(["H2", "1–3, 5"]);
  });
});
