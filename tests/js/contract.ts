// The golden messages that Python writes: each `<name>.json` with the buffers of `<name>.bin`.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = join(dirname(dirname(fileURLToPath(import.meta.url))), "contract");

export interface Golden {
  name: string;
  message: Record<string, unknown>;
  buffers: DataView[];
}

export const names = () =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();

export function golden(name: string): Golden {
  const { buffer_sizes: sizes, ...message } = JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8"));
  const path = join(FOLDER, `${name}.bin`);
  const bytes = existsSync(path) ? Uint8Array.from(readFileSync(path)) : new Uint8Array(0);
  const buffers: DataView[] = [];
  let at = 0;
  for (const size of (sizes ?? []) as number[]) {
    buffers.push(new DataView(bytes.buffer, at, size));
    at += size;
  }
  if (at !== bytes.length)
    throw new Error(`${name}.bin has ${bytes.length} bytes, its sizes add up to ${at}`);
  return { name, message, buffers };
}
