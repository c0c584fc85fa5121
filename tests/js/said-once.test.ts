import { expect, test } from "vitest";
import { withWordsSaidOnce } from "../../js/said-once.mjs";

const run = (code: string) => new Function(`${code}; return result;`)();

// Each place in which a word may stand; each word often enough to be worth a variable.
const PROGRAM = `
const list = [1, 2, 3];
const mapped = list.concatenated ?? list.concat(list).concat(list).concat(list).concat(list);
const none = null;
const kinds = { "aria-label": "aria-label", "aria-hidden": "aria-label", concat: "concat" };
const { "aria-label": label, "aria-hidden": hiding = "aria-label" } = kinds;
class Named { "aria-label"() { return this["aria-label"].name + "aria-label"; } }
const which = (it) => { switch (it) { case "aria-label": return "a label"; case "aria-hidden": return \`\${it}\`; } };
const number = 1..toString() + (2).toString() + 3..toString() + 4..toString() + 5..toString();
const touching = (it) => { if ("aria-label"in it) return"aria-label"; return typeof"aria-label"; };
const quoted = ['say "aria-hidden"', 'say "aria-hidden"', 'say "aria-hidden"', 'say "aria-hidden"'];
const lost = [none?.concat(list), none?.concat.concat(list), list?.concat(list)];
const a = { do: 1, in: 2, if: 3 };
let counted = 0;
for (let at = 0; at < list.length; at++) counted += list[at].constructor.length;
const empties = [null, void 0, null, void 0, null, void 0, list.at(9) === void 0, list.at(1) === null, typeof null];
const made = [Number("1"), Number("2"), { Number: 3, Number() { return 4; } }.Number(), Number.isFinite(1), new Map([[1, Number]])];
class Kept { concatenated = 1; get concat() { return Number(this.concatenated); } static concat() { return Number("5"); } constructor() { this.concat; } }
const { concatenated: taken = Number("6"), ...rest } = new Kept();
const kept = [taken, rest, Kept.concat(), new Kept().concat, Object.keys(new Kept())];
const result = { mapped, label, hiding, told: which("aria-label") + which("aria-hidden"), number, quoted, lost,
  named: new Named()["aria-label"](), size: list.length, a, counted, empties, made, kept, touching: [touching(kinds), touching({})], gone: delete kinds.concat, kinds };
`;

test("a program that says its words once does the same, and is shorter", () => {
  const shorter = withWordsSaidOnce(PROGRAM);
  expect(shorter.length).toBeLessThan(PROGRAM.length);
  expect(shorter).not.toMatch(/\.concat\b/);
  expect(shorter.match(/\bnull\b|\bvoid 0\b/g)).toHaveLength(2);
  expect(shorter).toContain("at < list.length");
  expect(shorter.match(/"aria-label"/g)).toHaveLength(1);
  expect(run(shorter)).toEqual(run(PROGRAM));
});

test("the variables hide no name of the program, and what is not worth one stays as it is", () => {
  expect(withWordsSaidOnce(PROGRAM)).toContain("const a = {");
  expect(withWordsSaidOnce(PROGRAM)).toMatch(/^const b=/);
  expect(withWordsSaidOnce(`const result = [].concat("once");`)).toBe(`const result = [].concat("once");`);
});

test("what the module system and the language read themselves stays", () => {
  const module = `"use strict";import { x } from "./a-long-name.js";export { x as y } from "./a-long-name.js";`;
  expect(withWordsSaidOnce(module.repeat(4))).toBe(module.repeat(4));
});
