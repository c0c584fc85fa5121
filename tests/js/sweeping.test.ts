// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Reply } from "../../js/lib/channel";
import { Session } from "../../js/lib/session";
import { EXACT, type SweepMap, type SweepWish } from "../../js/lib/sweep-table";
import { Sweeping } from "../../js/lib/sweeping";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";
import { sent, some, sweepMap, whole } from "./sweep";

const WISH: SweepWish = { site: "resid_pre", edit: "patch", base: "corrupted", on_top: false };
let model: FakeModel;
let session: Session;
let sweeping: Sweeping;
let told: (Reply | null)[];

const asked = () =>
  model.of("request").filter((it) => it.op === "sweep.start") as {
    id: string;
    slot: string;
    params: Record<string, unknown>;
  }[];
const lastId = () => asked().at(-1)?.id as string;
const seqs = new Map<string, number>();

function tell(
  kind: "partial" | "done",
  id: string,
  data: object,
  arrays = {},
  progress: object | null = null,
) {
  const message = sent(arrays);
  const seq = seqs.get(id) ?? 0;
  seqs.set(id, seq + 1);
  model.receive({ kind, id, rev: 1, seq, progress, data, arrays: message.arrays }, message.buffers);
}
const begin = (id: string, map: SweepMap) => tell("partial", id, { map });
const cells = (id: string, map: SweepMap, list: [number, number][], state: number) =>
  tell(
    "partial",
    id,
    { done: list.length, total: 9 },
    some(map, list, () => state),
    {
      done: list.length,
      total: 9,
      seconds_left: 0.4,
    },
  );

beforeEach(() => {
  const question = { ...golden("question").message, rev: 1 };
  model = new FakeModel({ epoch: "e", protocol: 1, experiment: "x", revs: { question: 1 }, question });
  session = new Session(model, new FakeTimers(), new FakeHost(), "tab");
  told = [];
  sweeping = new Sweeping(session, (reply) => told.push(reply));
  session.start();
  model.receive({
    kind: "welcome",
    client: "tab",
    epoch: "e",
    revs: { question: 1 },
    snapshot: {},
    running: [],
  });
});
afterEach(() => session.close());

describe("a sweep", () => {
  test("is asked for once a question, with the column that comes first", () => {
    sweeping.want(WISH, 4);
    sweeping.want({ ...WISH }, 2);
    expect(asked().map(({ params, slot }) => ({ params, slot }))).toEqual([
      { params: { ...WISH, first: 4, part: null }, slot: "sweep" },
    ]);
    sweeping.want({ ...WISH, site: "attn_out" });
    expect(asked().length).toBe(2);
    model.update({ question: { ...golden("question").message, rev: 2 } });
    sweeping.want({ ...WISH, site: "attn_out" });
    expect(asked().length).toBe(3);
  });

  test("fills its table, and is known when it is done", async () => {
    const map = sweepMap();
    sweeping.want(WISH);
    expect([sweeping.running, sweeping.of(WISH)]).toEqual([true, null]);
    begin(lastId(), map);
    cells(lastId(), map, [[0, 4]], 1);
    cells(lastId(), map, [[0, 4]], 2);
    expect(sweeping.of(WISH)?.count(EXACT)).toBe(1);
    expect(sweeping.progress?.seconds_left).toBe(0.4);
    expect(told).toEqual([null, null, null]);
    tell("done", lastId(), { map: { ...map, complete: true } }, whole(map));
    await tick();
    expect([sweeping.running, sweeping.of(WISH)?.map.complete]).toEqual([false, true]);
    expect(told.at(-1)?.kind).toBe("done");
    expect(sweeping.of({ ...WISH, on_top: true })).toBeNull();
    model.update({ question: { ...golden("question").message, rev: 2 } });
    expect(sweeping.of(WISH), "of an older question").toBeNull();
  });

  test("that is superseded writes nothing any more", async () => {
    const [map, other] = [sweepMap(), sweepMap({ site: "mlp_out" })];
    sweeping.want(WISH);
    const old = lastId();
    begin(old, map);
    sweeping.want({ ...WISH, site: "mlp_out" });
    expect(sweeping.table).toBeNull();
    begin(lastId(), other);
    cells(old, map, [[0, 4]], 2);
    tell("done", old, { map }, whole(map));
    await tick();
    expect([sweeping.table?.map.site, sweeping.table?.count(EXACT)]).toEqual(["mlp_out", 0]);
    expect(sweeping.running).toBe(true);
  });

  test("that is cancelled or fails keeps its cells and says why it ended", async () => {
    const map = sweepMap();
    sweeping.want(WISH);
    begin(lastId(), map);
    cells(lastId(), map, [[2, 4]], 2);
    sweeping.cancel();
    expect(model.of("cancel").map((it) => it.id)).toEqual([lastId()]);
    model.receive({ kind: "cancelled", id: lastId(), reason: "user" });
    await tick();
    expect([sweeping.running, sweeping.failure, sweeping.of(WISH)?.count(EXACT)]).toEqual([false, null, 1]);
    void sweeping.start(WISH);
    begin(lastId(), map);
    const failure = { error: "X", message: "no", hint: "", retryable: true };
    model.receive({ kind: "failed", id: lastId(), ...failure });
    await tick();
    expect(sweeping.failure?.message).toBe("no");
  });

  test("of a part is laid over the cells there are", async () => {
    const map = sweepMap();
    sweeping.want(WISH);
    begin(lastId(), map);
    tell("done", lastId(), { map: { ...map, complete: true } }, whole(map));
    await tick();
    const part = { layers: [1], columns: [3, 4] };
    void sweeping.start(WISH, { part });
    expect(asked().at(-1)?.params).toEqual({ ...WISH, first: null, part });
    begin(lastId(), map);
    cells(lastId(), map, [[1, 3]], 2);
    expect(sweeping.of(WISH)?.count(EXACT)).toBe(9);
  });

  test("that is forgotten is asked for anew", () => {
    sweeping.want(WISH);
    sweeping.forget();
    expect([sweeping.running, sweeping.table]).toEqual([false, null]);
    sweeping.want(WISH);
    expect(asked().length).toBe(2);
  });
});
