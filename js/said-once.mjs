// The last pass over a minified bundle: a word that it says often, as a member's name or as a text, is said once, in a
// variable: `e.addEventListener("pointerdown", f)` becomes `e[a](b, f)`. A minifier renames variables, never these.
// So are `null`, `void 0` and what the language or the page has by a name: `Number(e)` becomes `a(e)`.
import ts from "typescript";

/** What declaring a variable takes beside its name and what it holds: a comma and an equals sign. */
const DECLARED = 2;
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$_";
const RESERVED = new Set(["do", "if", "in"]);
/** Loops ask for these again and again: there they stay what an engine is quickest at. */
const QUICK = new Set(["length"]);
/** A key in brackets is no shorter than this. */
const SHORT_KEY = 4;
/** What the language and the page have; nobody gives these another value, or calls them as methods. */
const GLOBALS = new Set([
  "Array",
  "Error",
  "Float32Array",
  "HTMLElement",
  "JSON",
  "Map",
  "Number",
  "Object",
  "Promise",
  "Set",
  "String",
  "Uint8Array",
  "Uint8ClampedArray",
  "document",
  "requestAnimationFrame",
  "window",
]);

/** Letters that the minifier before this pass is to leave for the words that are said most. */
export const LETTERS_FOR_WORDS = [...LETTERS].slice(-16);

/** One letter each, then two, none of them a name that the program uses or a word of the language. */
function* namesBeside(taken) {
  for (const first of ["", ...LETTERS])
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

/** Does the name stand for a member of an object or a class where that is made, or taken apart? */
function isKey(node) {
  const { parent } = node;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  const isMember =
    ts.isPropertyAssignment(parent) || (ts.isClassElement(parent) && !ts.isConstructorDeclaration(parent));
  return (isMember || ts.isMethodDeclaration(parent) || ts.isAccessor(parent)) && parent.name === node;
}

const isMemberName = (node) => ts.isPropertyAccessExpression(node.parent) && node.parent.name === node;

/** `null`, `void 0`, or a thing of the language where its value is asked for. */
function isConstant(node) {
  if (node.kind === ts.SyntaxKind.NullKeyword) return true;
  if (ts.isVoidExpression(node)) return ts.isNumericLiteral(node.expression);
  if (!ts.isIdentifier(node) || !GLOBALS.has(node.text)) return false;
  const { parent } = node;
  // Not a member of that name, nor a name by which something is exported or taken apart.
  return (
    (ts.isExpression(parent) || ts.isVariableDeclaration(parent) || ts.isReturnStatement(parent)) &&
    parent.name !== node
  );
}

function isInLoop(node) {
  for (let it = node; it && !ts.isFunctionLike(it); it = it.parent)
    if (ts.isIterationStatement(it, false)) return true;
  return false;
}

/** Everything that a program says more than once, where, and what would stand there for a variable. */
function spotsOf(file) {
  const code = file.text;
  const taken = new Set();
  const said = new Map();
  const note = (what, from, to, before, after) => {
    const places = said.get(what) ?? [];
    places.push({ from, to, before, after });
    said.set(what, places);
  };
  // A text may touch the word beside it, a variable would run into it: `return"a"in b`.
  const apart = (neighbour) => (/[\w$]/.test(neighbour) ? " " : "");
  const noteKey = (node, word) => note(JSON.stringify(word), node.getStart(), node.end, "[", "]");
  const visit = (node) => {
    if (ts.isIdentifier(node) && !isKey(node) && !isMemberName(node)) taken.add(node.text);
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.name)) {
      const { name, expression, questionDotToken } = node;
      if (!QUICK.has(name.text) || !isInLoop(node))
        note(JSON.stringify(name.text), expression.end, node.end, questionDotToken ? "?.[" : "[", "]");
    } else if (isText(node)) {
      const from = node.getStart();
      if (node.parent.name === node || node.parent.propertyName === node) noteKey(node, node.text);
      else
        note(
          JSON.stringify(node.text),
          from,
          node.end,
          apart(code.charAt(from - 1)),
          apart(code.charAt(node.end)),
        );
    } else if (ts.isIdentifier(node) && node.text.length > SHORT_KEY && isKey(node)) {
      if (node.text !== "__proto__") noteKey(node, node.text);
    } else if (isConstant(node)) note(node.getText(), node.getStart(), node.end, "", "");
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { taken, said };
}

/** The same program, shorter. */
export function withWordsSaidOnce(code) {
  const file = ts.createSourceFile("bundle.js", code, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const { taken, said } = spotsOf(file);
  /** Bytes that a variable of so many letters saves. */
  const gain = (what, places, letters) =>
    places.reduce(
      (sum, { from, to, before, after }) => sum + (to - from) - before.length - letters - after.length,
      -(what.length + letters + DECLARED),
    );
  const named = [...said]
    .map(([what, places]) => ({ what, places, gain: gain(what, places, 2) }))
    .filter((it) => it.gain > 0)
    // The shortest names are for what is said most.
    .sort((a, b) => b.places.length - a.places.length);
  const free = namesBeside(taken);
  for (const it of named) it.name = free.next().value;
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
  const list = named.map(({ what, name }) => `${name}=${what}`).join();
  return (list && `const ${list};`) + code.slice(0, end) + pieces.reverse().join("");
}
