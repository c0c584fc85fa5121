// Builds one ESM bundle and one style sheet per widget into mi_widgets/static, with a manifest that says
// which sources they were built from. The folder is deleted first, so that nothing stale can ship.
// With `--watch` the names stay as they are in the sources; otherwise those that are only ours are shortened.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build, context } from "esbuild";
import { minify } from "terser";
import { withArrows } from "./arrows.mjs";
import * as builtins from "./builtins.mjs";
import { withKnownTypes } from "./known-types.mjs";
import { privateNames, programOf } from "./private-names.mjs";
import { LETTERS_FOR_WORDS, withWordsSaidOnce } from "./said-once.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const place = process.argv.indexOf("--out");
const STATIC = place > 0 ? resolve(process.argv[place + 1]) : join(ROOT, "mi_widgets", "static");
/** Those there are, or of them those named on the command line. */
const WIDGETS = ["attention-heads", "logit-lens", "patch-board", "patch-sweep", "workbench"].filter((name) =>
  existsSync(join(ROOT, "js", `${name}.ts`)),
);
const named = WIDGETS.filter((name) => process.argv.includes(name));
const ENTRIES = named.length ? named : WIDGETS;

/** Every file below a folder, as paths relative to the repository with forward slashes, sorted. */
function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(ROOT, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    )
    .sort();
}

/** sha256 over path, NUL, content, NUL of each file of js/ and of package-lock.json, in sorted order. */
export function sourceHash() {
  const hash = createHash("sha256");
  for (const path of [...filesBelow(join(ROOT, "js")), "package-lock.json"].sort()) {
    hash
      .update(path)
      .update("\0")
      .update(readFileSync(join(ROOT, path)))
      .update("\0");
  }
  return hash.digest("hex");
}

function writeManifest() {
  const files = readdirSync(STATIC).sort();
  const manifest = { hash: sourceHash(), files: files.filter((name) => name !== "manifest.json") };
  writeFileSync(join(STATIC, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** "Math.max" -> "mathMax", as builtins.mjs exports it. */
const shortened = Object.keys(builtins).map((name) => {
  const at = name.search(/[A-Z]/);
  const [owner, method] = [name.slice(0, at), name.slice(at)];
  return [`${owner[0].toUpperCase()}${owner.slice(1)}.${method[0].toLowerCase()}${method.slice(1)}`, name];
});

export const options = {
  define: { "Number.NaN": "NaN", "Number.POSITIVE_INFINITY": "Infinity", ...Object.fromEntries(shortened) },
  inject: [join(ROOT, "js", "builtins.mjs")],
  entryPoints: ENTRIES.flatMap((name) => [join(ROOT, "js", `${name}.ts`), join(ROOT, "js", `${name}.css`)]),
  outdir: STATIC,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  charset: "utf8",
};

/** What is unsafe of these elsewhere is not here: reading a property changes nothing, `String()` is given no symbol, and
 * no function is used as a class. */
const compress = { passes: 5, pure_getters: true, unsafe: true, unsafe_arrows: true };

const mangle = { reserved: LETTERS_FOR_WORDS };

/** esbuild shortens the names of properties, terser those of variables. */
async function release() {
  const program = programOf(options.entryPoints.filter((it) => it.endsWith(".ts")));
  const known = {
    name: "known-types",
    setup: (it) =>
      it.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
        contents: withKnownTypes(program, path),
        loader: "ts",
      })),
  };
  for (const entry of options.entryPoints) {
    const script = entry.endsWith(".ts");
    // What may be renamed is another set of names in each bundle.
    const mangleProps = script && {
      mangleProps: new RegExp(`^(?:${privateNames([entry], program).join("|")})$`),
    };
    const { outputFiles } = await build({
      ...options,
      entryPoints: [entry],
      plugins: [known],
      minifySyntax: true,
      minifyWhitespace: true,
      minifyIdentifiers: !script,
      write: false,
      ...mangleProps,
    });
    for (const { path, text } of outputFiles) {
      const code = script
        ? withWordsSaidOnce(
            (await minify(withArrows(text), { module: true, ecma: 2022, compress, mangle })).code,
          )
        : text;
      writeFileSync(path, code);
      console.log(`${basename(path)}  ${Buffer.byteLength(code)} bytes`);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(STATIC, { recursive: true, force: true });
  mkdirSync(STATIC, { recursive: true });
  if (process.argv.includes("--watch")) {
    const manifest = { name: "manifest", setup: (it) => it.onEnd(writeManifest) };
    const watcher = await context({ ...options, logLevel: "info", plugins: [manifest] });
    await watcher.watch();
  } else {
    await release();
    writeManifest();
  }
}
