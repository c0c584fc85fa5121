// @vitest-environment happy-dom
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { golden } from "./contract";
import { FakeModel, tick } from "./fakes";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Bytes of script. */
const BUDGETS = {
  "attention-heads": 90_000,
  "logit-lens": 90_000,
  "patch-board": 90_000,
  "patch-sweep": 90_000,
  workbench: 200_000,
};
const LARGEST = Object.entries(BUDGETS).filter(([name]) => existsSync(join(ROOT, "js", `${name}.ts`)));
let out: string;

// Built elsewhere, so that a page open on the real bundle is not disturbed. The type checker takes its seconds.
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), "mi-static-"));
  execFileSync(process.execPath, [join(ROOT, "js", "build.mjs"), "--out", out], { stdio: "pipe" });
}, 120_000);
afterAll(() => rmSync(out, { recursive: true }));

test("the bundles keep to their budgets, the style sheets are there, the manifest names them", () => {
  for (const [name, most] of LARGEST)
    expect(statSync(join(out, `${name}.js`)).size, name).toBeLessThanOrEqual(most);
  const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
  expect(manifest.files).toEqual(LARGEST.flatMap(([name]) => [`${name}.css`, `${name}.js`]));
  expect(manifest.hash).toMatch(/^[0-9a-f]{64}$/);
});

test("the bundle speaks the words of the contract, whatever its own names became", async () => {
  // Read as a function: vitest imports no file from outside the repository.
  const script = readFileSync(join(out, "attention-heads.js"), "utf8");
  const widget = new Function(script.replace(/export\s*\{\s*(\S+) as default\s*\};?\s*$/, "return $1"))();
  const { message: question } = golden("question");
  const { message: welcome, buffers } = golden("welcome");
  const { epoch, revs } = welcome;
  const model = new FakeModel({ epoch, protocol: 1, revs, question, experiment: "e", selection: [] });
  const view = new AbortController();
  const el = document.createElement("div");
  document.body.append(el);
  widget.initialize({ model, signal: view.signal });
  const [hello] = model.of("hello");
  expect(Object.keys(hello ?? {}).sort()).toEqual(Object.keys(golden("hello").message).sort());
  expect(hello?.have).toBeNull();
  widget.render({ model, el, signal: view.signal });
  model.receive({ ...welcome, client: hello?.client }, buffers);
  await tick();
  expect(el.textContent).toContain("toy");
  expect(el.textContent).toContain("␣b");
  const buttons = [...el.querySelectorAll("button")];
  buttons.find((button) => button.textContent === "difference")?.click();
  const asked = model.of("request").find((request) => request.op === "heads.atlas");
  expect({ ...asked, id: "tab-2" }).toEqual(golden("request-atlas").message);
  view.abort();
});

test("nothing is fetched: no address and no import in the bundle or the style sheet", () => {
  const script = readFileSync(join(out, "attention-heads.js"), "utf8");
  const style = readFileSync(join(out, "attention-heads.css"), "utf8");
  expect(script.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(
    /https?:\/\/|\bfetch\(|XMLHttpRequest|import\(/,
  );
  expect(style).not.toMatch(/https?:|@import|url\(/);
});

test("tokens can never be markup: nothing writes HTML", () => {
  const script = readFileSync(join(out, "attention-heads.js"), "utf8");
  expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/);
});

test("entries import views, views import lib, lib imports no view", () => {
  const sources = (folder: string) =>
    readdirSync(join(ROOT, "js", folder)).filter((name) => name.endsWith(".ts"));
  const imports = (path: string) =>
    [...readFileSync(join(ROOT, "js", path), "utf8").matchAll(/from "(\.[^"]+)"/g)].map(
      (it) => it[1] as string,
    );
  for (const name of sources("lib"))
    for (const from of imports(`lib/${name}`)) expect(from).toMatch(/^\.\/[a-z-]+$/);
  for (const name of sources("views"))
    for (const from of imports(`views/${name}`)) expect(from).toMatch(/^\.(\/|\.\/lib\/)[a-z0-9-]+$/);
  for (const name of sources("views")) {
    expect(readFileSync(join(ROOT, "js", "views", name), "utf8"), name).not.toMatch(
      /channel\.request|model\.send/,
    );
  }
  for (const from of imports("attention-heads.ts")) expect(from).toMatch(/^\.\/(lib|views)\//);
});
