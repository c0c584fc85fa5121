import { describe, expect, test } from "vitest";
import { decodeAll } from "../../js/lib/arrays";
import { EXACT, NONE, PENDING, readSweep, type SweepEntry, SweepTable } from "../../js/lib/sweep-table";
import { follow } from "../../js/lib/sweeping";
import { metricAt, recoveredAt, some, stateAt, sweepEntry, sweepMap, whole } from "./sweep";

const read = (facts = {}) => readSweep(sweepEntry(facts) as unknown as SweepEntry);

describe("a whole map", () => {
  test("has the numbers that were sent, by row and column and by layer and position", () => {
    const table = read({ layers: [2, 5, 7] });
    for (const row of [0, 1, 2])
      for (const column of [0, 1, 2, 3, 4]) {
        const cell = table.cell(row, column);
        expect(cell.metric).toBeCloseTo(metricAt(row, column), 5);
        expect(cell.recovered).toBeCloseTo(recoveredAt(row, column), 5);
        expect(cell.stderr).toBeNaN();
        expect(cell.state).toBe(stateAt(row, column));
        expect(table.find([2, 5, 7][row] as number, { position: column })).toEqual(cell);
      }
    expect(table.find(0, { position: 1 })).toBeNull();
    expect(table.find(2, { position: 9 })).toBeNull();
    expect(table.find(2, { head: 1 }), "a map of positions has no heads").toBeNull();
    expect([table.count(EXACT), table.count(3)]).toEqual([9, 6]);
  });

  test("of heads is read by heads", () => {
    const columns = [0, 2].map((head) => ({ position: null, head, label: `H${head}`, other: "" }));
    const table = read({ axis: "head", site: "z", columns });
    expect(table.find(1, { head: 2 })).toEqual(table.cell(1, 1));
    expect(table.find(1, { head: 1 })).toBeNull();
    expect(table.find(1, { position: 0 })).toBeNull();
  });

  test("without its bytes says so", () => {
    const { arrays, ...map } = sweepEntry();
    const bare = Object.entries(arrays as object).map(([name, it]) => [name, { ...it, data: undefined }]);
    expect(() => readSweep({ ...map, arrays: Object.fromEntries(bare) } as unknown as SweepEntry)).toThrow(
      /binary data/,
    );
  });
});

describe("a map that streams in", () => {
  const map = sweepMap();
  const cells = [
    [0, 4],
    [1, 4],
    [2, 3],
  ] as const;

  test("fills the cells that are named and no others, estimates first", () => {
    const table = new SweepTable(map);
    expect(table.count(PENDING)).toBe(15);
    table.put(decodeAll(some(map, cells, () => 1)));
    expect([table.count(1), table.count(PENDING)]).toEqual([3, 12]);
    expect(table.cell(1, 4).recovered).toBeCloseTo(recoveredAt(1, 4), 5);
    const { version } = table;
    table.put(decodeAll(some(map, [[1, 4]], () => 2)));
    expect([table.count(EXACT), table.count(1), table.version]).toEqual([1, 2, version + 1]);
    table.put(decodeAll(some(map, cells, () => 1)));
    expect(table.count(EXACT), "an estimate that comes late replaces nothing").toBe(1);
    expect(table.cell(9, 9).state).toBe(NONE);
  });

  test("cells that the map has not are passed over", () => {
    const table = new SweepTable(map);
    table.put(decodeAll(some(map, [[7, 0]], () => 2)));
    table.put({});
    expect(table.count(PENDING)).toBe(15);
  });

  test("is followed from its facts to the last cell; of another sweep it begins anew", () => {
    let table = follow(null, { data: { done: 1, total: 9 }, arrays: {} });
    expect(table, "cells of a map that nobody told of").toBeNull();
    table = follow(null, { data: { map }, arrays: {} });
    const first = table;
    const arrays = decodeAll(some(map, cells, () => 2));
    table = follow(table, { data: { done: 3, total: 9 }, arrays });
    expect(table).toBe(first);
    expect([table?.map.done, table?.count(EXACT)]).toEqual([3, 3]);
    table = follow(table, { data: { map: { ...map, complete: true } }, arrays: decodeAll(whole(map)) });
    expect(table).toBe(first);
    expect([table?.map.complete, table?.count(EXACT)]).toEqual([true, 9]);
    for (const other of [{ rev: 2 }, { site: "z" }, { edit: "zero" }, { base: "clean" }, { on_top: true }])
      expect(follow(table, { data: { map: { ...map, ...other } }, arrays: {} })).not.toBe(first);
  });
});
