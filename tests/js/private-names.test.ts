import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { privateNames } from "../../js/private-names.mjs";
import { golden, names } from "./contract";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PATIENCE = 120_000;

// Each way by which a name comes from outside or goes there, under names that say what should become of them.
const PROTOCOL = `export interface Wire { kept_wire: number }`;
const ENTRY = `
import type { Wire } from "./lib/protocol";
interface Ours { ownField: number; ownNested: { ownDeep: string } }
interface Told { keptTold: number; keptInside: { keptDeeper: number } }
interface Reply { kept_reply: { kept_item: string }[]; kept_optional?: number }
interface Guarded { keptGuarded: string }
interface Manager { keptManager?: { keptKernel: string } }
interface Table { keptFirst: number; keptSecond: number }
interface Counted { keptCounted: number }
interface Quoted { "keptQuoted": number; ownUnquoted: number }
interface Sent { keptSent: number; keptList: readonly { keptEntry: number }[] }
interface Waiting { ownWaiting: boolean; kept_wire: number }

declare const host: { ownSend(content: unknown): void; ownHost(): Record<string, unknown> };
declare function ask(op: string, params: () => Record<string, unknown>): void;
declare const anything: any;
const guarded = (it: unknown): it is Guarded => typeof it === "object";
const words: Record<"keptWord" | "keptPhrase", string> = { keptWord: "", keptPhrase: "" };
export const said = (word: keyof typeof words) => words[word];

export class Engine {
  ownState: Ours | null = null;
  #secret = 1;
  constructor(readonly ownParameter: Waiting, private readonly ownPrivate: Wire) {}
  get ownGetter(): number { return this.#secret + (this.ownState?.ownField ?? 0) + this.ownPrivate.kept_wire; }
  ownMethod(table: Table, name: keyof Table, counted: Counted, quoted: Quoted): unknown {
    const { ownNested } = this.ownState as Ours;
    const { keptLoose } = host.ownHost();
    const reply = host.ownHost().kept_direct as Reply;
    const manager = (host.ownHost().x ?? {}) as Manager;
    const typed: { keptTyped: number } = anything;
    const params = () => ({ keptParameter: 1, ...{ keptSpread: 2 } });
    ask("op", params);
    const sent: Sent = { keptSent: 1, keptList: [] };
    host.ownSend({ keptLiteral: sent });
    window.dispatchEvent(new CustomEvent<Told>("told", { detail: { keptTold: 1, keptInside: { keptDeeper: 2 } } }));
    document.body.dataset.keptData = ownNested.ownDeep;
    if ("keptChecked" in { keptChecked: 1 } && guarded(reply)) return reply.keptGuarded;
    return [table[name], Object.entries(counted), JSON.stringify({ keptJson: 1 }), quoted["keptQuoted"],
      manager.keptManager, typed.keptTyped, keptLoose, quoted.ownUnquoted, this.ownParameter.ownWaiting];
  }
}

function keptRender(given: { keptElement: Element }): { keptView: number } {
  return { keptView: given.keptElement.childElementCount };
}
export default { keptRender };
`;

test(
  "names are renamed unless they may cross to somebody else",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "mi-names-"));
    try {
      mkdirSync(join(folder, "lib"));
      writeFileSync(join(folder, "lib", "protocol.ts"), PROTOCOL);
      writeFileSync(join(folder, "entry.ts"), ENTRY);
      const expected = [...new Set(ENTRY.match(/\bown[A-Z]\w*/g))].sort();
      expect(privateNames([join(folder, "entry.ts")])).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  PATIENCE,
);

/** The messages that a widget hears and sends: those of one widget alone have it, or what it does, in their names. */
const OF_LENS = (name: string) => name.includes("lens");
const OF_PATCHES = (name: string) => /board|patch|sweep|runs|align/.test(name);
const WIDGETS = [
  { entry: "attention-heads", hears: (name: string) => !OF_LENS(name) && !OF_PATCHES(name) },
  { entry: "logit-lens", hears: OF_LENS },
  { entry: "patch-board", hears: (name: string) => /board|runs|align/.test(name) },
  { entry: "patch-sweep", hears: (name: string) => name.includes("sweep") },
  { entry: "workbench", hears: () => true },
];

/** Words that come and that no page reads; what has such a name in the sources is ours. */
const UNREAD = ["exact"];

test.each(WIDGETS)(
  "no word of $entry's golden messages is renamed, nor one that page or host read by name",
  ({ entry, hears }) => {
    const words = new Set<string>(["initialize", "render", "model", "el", "signal", "detail", "innerText"]);
    // The keys of these are topics, whose names the page has as texts.
    const byTopic = ["have", "revs", "snapshot"];
    const walk = (value: unknown, topics = false) => {
      if (!value || typeof value !== "object") return;
      if (!Array.isArray(value) && !topics) for (const key of Object.keys(value)) words.add(key);
      for (const [key, inner] of Object.entries(value)) walk(inner, byTopic.includes(key));
    };
    for (const name of names().filter(hears)) walk(golden(name).message);
    expect(words.size).toBeGreaterThan(60);
    for (const word of UNREAD) words.delete(word);
    const renamed = privateNames([join(ROOT, "js", `${entry}.ts`)]);
    expect(renamed.filter((name) => words.has(name))).toEqual([]);
    expect(renamed.length).toBeGreaterThan(100);
  },
  PATIENCE,
);
