// The last pass over a minified bundle: a word that it says often, as a member's name or as a text, is said once, in a
// variable: `e.addEventListener("pointerdown", f)` becomes `e[a](b, f)`. A minifier renames variables, never these.
import ts from "typescript";

/** What declaring a variable takes beside its name and its text: a comma, an equals sign, two quotes. */
const DECLARED = 4;
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_";
const RESERVED = new Set(["do", "if", "in"]);
/** The innermost loops ask for these: they stay what an engine is quickest at. */
const QUICK = new Set(["length"]);

/** Two letters each, none of them a name that the program uses or a word of the language. */
function* namesBeside(taken) {
  for (const first of LETTERS)
    for (const second of LETTERS) {
      const name = first + second;
      if (!taken.has(name) && !RESERVED.has(name)) yield name;
    }
}

/** A text that stands where any expression may, or as a key that may as well be computed. */
function isText(node) {
  if (!ts.isStringLiteral(node)) return false;
  const { parent } = node;
  return (
    !ts.isExpressionStatement(parent) && !ts.isImportDeclaration(parent) && !ts.isExportDeclaration(parent)
  );
}

/** The same program, shorter. */
export function withWordsSaidOnce(code) {
  const file = ts.createSourceFile("bundle.js", code, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const taken = new Set();
  /** Of each word: where it stands, what stands there for a variable, and how much shorter that is. */
  const said = new Map();
  const note = (word, from, to, before, after) => {
    const places = said.get(word) ?? [];
    said.set(word, [...places, { from, to, before, after }]);
  };
  const visit = (node) => {
    if (ts.isIdentifier(node)) taken.add(node.text);
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.name) && !QUICK.has(node.name.text)) {
      note(node.name.text, node.expression.end, node.end, node.questionDotToken ? "?.[" : "[", "]");
    } else if (isText(node)) {
      const from = node.getStart();
      const isKey = node.parent.name === node || node.parent.propertyName === node;
      // A text may touch the word beside it, a variable would run into it: `return"a"in b`.
      const apart = (neighbour) => (/[\w$]/.test(neighbour) ? " " : "");
      const before = isKey ? "[" : apart(code.charAt(from - 1));
      note(node.text, from, node.end, before, isKey ? "]" : apart(code.charAt(node.end)));
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  const gain = ([word, places]) =>
    places.reduce(
      (sum, { from, to, before, after }) => sum + (to - from) - before.length - 2 - after.length,
      0,
    ) -
    (word.length + 2 + DECLARED);
  const worthIt = [...said].filter((it) => gain(it) > 0).sort((a, b) => gain(b) - gain(a));
  const free = namesBeside(taken);
  const named = worthIt.map(([word, places]) => ({ word, places, name: free.next().value }));
  const edits = named
    .flatMap(({ places, name }) =>
      places.map(({ from, to, before, after }) => [from, to, before + name + after]),
    )
    .sort(([a], [b]) => b - a);
  const pieces = [];
  let end = code.length;
  for (const [from, to, text] of edits) {
    pieces.push(code.slice(to, end), text);
    end = from;
  }
  const list = named.map(({ word, name }) => `${name}=${JSON.stringify(word)}`).join();
  return (list && `const ${list};`) + code.slice(0, end) + pieces.reverse().join("");
}
