import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const LARGEST = 90_000;
let out: string;

// Built elsewhere, so that a page open on the real bundle is not disturbed.
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), "mi-static-"));
  execFileSync(process.execPath, [join(ROOT, "js", "build.mjs"), "--out", out], { stdio: "pipe" });
});
afterAll(() => rmSync(out, { recursive: true }));

test("the bundle is at most 90 kB, the style sheet is there, the manifest names both", () => {
  expect(statSync(join(out, "attention-heads.js")).size).toBeLessThanOrEqual(LARGEST);
  const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
  expect(manifest.files).toEqual(["attention-heads.css", "attention-heads.js"]);
  expect(manifest.hash).toMatch(/^[0-9a-f]{64}$/);
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
