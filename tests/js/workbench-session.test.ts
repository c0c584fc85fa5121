// @vitest-environment happy-dom
import { afterEach, describe, expect, test } from "vitest";
import type { HostModel } from "../../js/lib/protocol";
import { WorkbenchSession } from "../../js/lib/workbench-session";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";
import { lensEntry } from "./lens";
import { sweepEntry } from "./sweep";

const opened: WorkbenchSession[] = [];
const facts = (epoch: string) => ({
  epoch,
  protocol: 1,
  experiment: "x",
  revs: { question: 1 },
  question: golden("question").message,
  status: golden("status-idle").message,
  selection: [],
});

function open(state: Record<string, unknown>, host: object | null = {}) {
  const models: Record<string, FakeModel> = {
    s: new FakeModel({ ...facts("s"), sweep: sweepEntry() }),
    l: new FakeModel({ ...facts("l"), lens: lensEntry() }),
  };
  const model = Object.assign(new FakeModel({ ...facts("w"), ...state }), {
    widget_manager: host && {
      get_model: (id: string) =>
        models[id] ? Promise.resolve(models[id]) : Promise.reject(new Error(`no model ${id}`)),
      ...host,
    },
  });
  const session = new WorkbenchSession(model as HostModel, new FakeTimers(), new FakeHost(), "tab");
  opened.push(session);
  session.start();
  const revs = { question: 1 };
  model.receive({ kind: "welcome", client: "tab", epoch: "w", revs, snapshot: {}, running: [] });
  const shows = () =>
    model
      .of("request")
      .filter((it) => it.op === "bench.show")
      .map((it) => it.params);
  return { session, model, models, shows };
}
afterEach(() => {
  for (const it of opened.splice(0)) it.close();
});

describe("the views", () => {
  test("have a session once the kernel has made them, on a model of their own", async () => {
    const { session, model } = open({ panes: ["sweep"], views: { sweep: "IPY_MODEL_s" } });
    await tick();
    expect(session.panes).toEqual(["sweep"]);
    expect(session.session("sweep")?.table?.map.site).toBe("resid_pre");
    expect(session.session("lens")).toBeNull();
    const first = session.session("sweep");
    model.update({ views: { sweep: "IPY_MODEL_s", lens: "IPY_MODEL_l" }, panes: ["sweep", "lens"] });
    await tick();
    expect(session.session("sweep"), "the same as before").toBe(first);
    expect(session.session("lens")?.lens?.run).toBe("clean");
    expect(session.panes).toEqual(["sweep", "lens"]);
  });

  test("are asked for, one or two, and change places", () => {
    const { session, shows } = open({ panes: ["heads"], views: {} });
    session.put("lens", 0);
    session.toggleBeside();
    session.put("lens", 1);
    session.put("heads", 0);
    session.toggleBeside();
    const names = shows().map((params) =>
      (params as { panes: { name: string }[] }).panes.map((it) => it.name),
    );
    expect(names).toEqual([["lens"], ["lens", "board"], ["board", "lens"], ["heads", "lens"], ["heads"]]);
    expect(session.panes).toEqual(["heads"]);
  });

  test("that a page cannot have say why", async () => {
    const { session } = open({ panes: ["lens"], views: { lens: "IPY_MODEL_gone" } });
    await tick();
    expect(session.troubles.get("lens")).toBe("no model gone");
    const other = open({ panes: ["lens"], views: { lens: "IPY_MODEL_l" } }, { get_model: undefined }).session;
    await tick();
    expect(other.troubles.get("lens")).toMatch(/notebook host/);
  });

  test("without a kernel those that were made are shown, the others say why not", async () => {
    const { session, model, shows } = open({
      panes: ["lens"],
      views: { lens: "IPY_MODEL_l", sweep: "IPY_MODEL_s" },
    });
    await tick();
    model.receive({ kind: "welcome", client: "tab", epoch: "other", revs: {}, snapshot: {}, running: [] });
    expect(session.viewReason("heads")).toMatch(/kernel/);
    session.show("heads");
    expect(session.panes).toEqual(["lens"]);
    session.show("sweep");
    expect([session.panes, shows()]).toEqual([["sweep"], []]);
  });

  test("end with the workbench", async () => {
    const { session, models } = open({ panes: ["sweep"], views: { sweep: "IPY_MODEL_s" } });
    await tick();
    expect(models.s?.listeners()).toBeGreaterThan(0);
    session.close();
    expect(models.s?.listeners()).toBe(0);
  });
});

test("the header shows either prompt; nothing is run for that", () => {
  const { session, model } = open({ panes: ["heads"], views: {} });
  session.setRun("corrupted");
  const both = session.question?.prompts.corrupted !== null;
  expect(session.run).toBe(both ? "corrupted" : "clean");
  expect(model.of("request")).toEqual([]);
  expect(session.stale).toBe(false);
  session.setDraft("clean", "other");
  expect(session.stale).toBe(true);
});
