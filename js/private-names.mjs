// The property names that are nobody's business but ours, and so may be shortened in a bundle: found by asking the
// type checker about every name in js/. No list has to be kept, and a new word of the wire is never renamed.
//
// A name is shortened only if our sources declare it and nothing of that name, anywhere in them,
// - is declared by lib/protocol.ts, or by the language itself, or belongs to a thing of the DOM that we touch;
// - comes from outside or goes there: by a cast or a predicate from `unknown`, `any` or a record, or by an access to
//   one; by being put into one; as the detail of a CustomEvent; as what is Asked for; as what an entry exports;
// - is used as a string: a quoted key, `name in object`, `object[name]`, `Object.entries(object)`.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** Of what is given to these the names become texts, or are asked for as texts. */
const KEYED = new Set(["keys", "values", "entries"]);
/** Of these all the names that are in it, down to its leaves. */
const COPIED = new Set(["assign", "fromEntries", "stringify", "structuredClone"]);

/** What these are of comes from outside, or goes there; inside of them it is cast to a parameter, which tells no names. */
const CARRIERS = new Set(["CustomEvent", "Asked"]);

const nameOf = (name) => (name && (ts.isIdentifier(name) || ts.isStringLiteralLike(name)) ? name.text : null);
const isMember = (node) =>
  ts.isTypeElement(node) || ts.isClassElement(node) || ts.isObjectLiteralElementLike(node);
const isExternal = (symbol) =>
  symbol?.declarations?.some((it) => it.getSourceFile().isDeclarationFile) ?? false;
const partsOf = (type) => (type.isUnionOrIntersection() ? type.types : [type]);

/** What the type checker knows of the bundles of these entries, once for all of them. */
export function programOf(entries) {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, types: [] }, ROOT);
  return ts.createProgram(entries, options);
}

/** The sources of bundles: those that their entries import, and so on. */
function sourcesOf(program, entries) {
  const found = new Set(entries.map((it) => program.getSourceFile(it)));
  for (const file of found)
    for (const { fileName } of ts.preProcessFile(file.text).importedFiles) {
      const imported = program.getSourceFile(`${join(dirname(file.fileName), fileName)}.ts`);
      if (imported) found.add(imported);
    }
  return found;
}

/** Sorted names of properties and methods that the bundles of these entries may rename. */
export function privateNames(entries, program = programOf(entries)) {
  const checker = program.getTypeChecker();
  const declared = new Set();
  const kept = new Set();
  const seen = new Set();
  const flowed = new Map();

  /** Nothing is known of the names in such a value: it is `any`, `unknown`, `object` or a record. */
  const isLoose = (type) =>
    partsOf(type).some(
      (it) =>
        it.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive) ||
        (it.flags & ts.TypeFlags.Object && checker.getIndexInfoOfType(it, ts.IndexKind.String)),
    );
  const typeOf = (node) => checker.getTypeAtLocation(node);
  const member = (type, name) =>
    checker.getPropertyOfType(checker.getApparentType(checker.getNonNullableType(type)), name);

  /** Keeps what a value of this type is made of, down to its leaves; with `calls` also what its functions take and give. */
  function keepType(type, calls = false) {
    if (seen.has(type)) return;
    seen.add(type);
    if (type.isUnionOrIntersection()) for (const it of type.types) keepType(it, calls);
    if (!(type.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))) return;
    for (const it of checker.getTypeArguments(type)) keepType(it, calls);
    const record = checker.getIndexInfoOfType(type, ts.IndexKind.String);
    if (record) keepType(record.type, calls);
    for (const signature of calls ? type.getCallSignatures() : []) {
      keepType(signature.getReturnType(), calls);
      for (const it of signature.parameters) keepType(checker.getTypeOfSymbol(it), calls);
    }
    // A record of known keys is declared by the language, its keys by us.
    if (isExternal(type.symbol) && !(type.objectFlags & ts.ObjectFlags.Mapped)) return;
    for (const property of checker.getPropertiesOfType(type)) {
      kept.add(property.name);
      keepType(checker.getTypeOfSymbol(property), calls);
    }
  }

  /** Keeps the names by which a value may be asked as texts; what it answers is of a known type again. */
  function keepKeys(type) {
    for (const part of partsOf(type)) if (part !== type) keepKeys(part);
    if (isExternal(type.symbol) && !(type.objectFlags & ts.ObjectFlags.Mapped)) return;
    for (const property of checker.getPropertiesOfType(type)) kept.add(property.name);
  }

  /** A name that is read from a value: kept unless the value's type declares it, and that type is ours. */
  function read(type, name) {
    const symbol = member(type, name);
    if (isLoose(type) || !symbol || isExternal(symbol)) kept.add(name);
  }

  /** A value of one type goes where the other is expected: names must stay where either side is not ours. */
  function flow(from, to) {
    if (from === to || flowed.get(from)?.has(to)) return;
    flowed.set(from, (flowed.get(from) ?? new Set()).add(to));
    if (isLoose(to)) keepType(from);
    if (isLoose(from)) keepType(to);
    for (const target of partsOf(to)) {
      if (!(target.flags & ts.TypeFlags.Object)) continue;
      for (const source of partsOf(from)) {
        if (!(source.flags & ts.TypeFlags.Object)) continue;
        if (source.target && source.target === target.target) {
          const wanted = checker.getTypeArguments(target);
          for (const [at, it] of checker.getTypeArguments(source).entries())
            if (wanted[at]) flow(it, wanted[at]);
          continue;
        }
        for (const property of isExternal(source.symbol) ? [] : checker.getPropertiesOfType(target)) {
          const found = member(source, property.name);
          if (!found) continue;
          if (isExternal(property)) kept.add(property.name);
          flow(checker.getTypeOfSymbol(found), checker.getTypeOfSymbol(property));
        }
        for (const wanted of target.getCallSignatures())
          for (const given of source.getCallSignatures()) {
            flow(given.getReturnType(), wanted.getReturnType());
            for (const [at, it] of given.parameters.entries())
              if (wanted.parameters[at])
                flow(checker.getTypeOfSymbol(wanted.parameters[at]), checker.getTypeOfSymbol(it));
          }
      }
    }
  }

  /** A cast or a predicate: what the value was not known to have comes from outside. */
  function claim(from, to) {
    if (isLoose(from)) keepType(to);
    else
      for (const part of partsOf(to))
        for (const property of part.flags & ts.TypeFlags.Object ? checker.getPropertiesOfType(part) : [])
          if (!member(from, property.name)) {
            kept.add(property.name);
            keepType(checker.getTypeOfSymbol(property));
          }
  }

  function visit(node) {
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.name))
      read(typeOf(node.expression), node.name.text);
    else if (ts.isElementAccessExpression(node)) {
      const { argumentExpression: index, expression } = node;
      if (ts.isStringLiteralLike(index)) kept.add(index.text);
      else if (!(typeOf(index).flags & ts.TypeFlags.NumberLike)) keepKeys(typeOf(expression));
    } else if (ts.isObjectBindingPattern(node)) {
      for (const it of node.elements)
        if (!it.dotDotDotToken) read(typeOf(node), nameOf(it.propertyName ?? it.name));
    } else if (ts.isAsExpression(node)) claim(typeOf(node.expression), typeOf(node));
    else if (ts.isTypePredicateNode(node) && node.type) keepType(typeOf(node.type));
    else if (ts.isExportAssignment(node)) keepType(typeOf(node.expression), true);
    else if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.InKeyword)
      keepKeys(typeOf(node.right));
    else if (ts.isCallExpression(node)) {
      const called = nameOf(node.expression.name ?? node.expression);
      const keep = KEYED.has(called) ? keepKeys : COPIED.has(called) ? keepType : null;
      for (const it of keep ? node.arguments : []) keep(typeOf(it));
    }

    if (ts.isExpression(node) && !ts.isLiteralExpression(node)) {
      // A pattern that takes a value apart asks for names, which `read` sees, and tells no type.
      const wanted = ts.isObjectBindingPattern(node.parent.name ?? node)
        ? null
        : checker.getContextualType(node);
      // The type of an expression is dear, and is not needed where only a number or a text can go.
      if (wanted && partsOf(wanted).some((it) => !(it.flags & ts.TypeFlags.Primitive)))
        flow(typeOf(node), wanted);
    }
    if (CARRIERS.has(nameOf(node.typeName ?? (ts.isNewExpression(node) ? node.expression : undefined))))
      for (const it of checker.getTypeArguments(typeOf(node))) keepType(it);
    if (isMember(node) && node.name) {
      if (ts.isIdentifier(node.name)) declared.add(node.name.text);
      else kept.add(nameOf(node.name));
    }
    if (ts.isParameter(node) && ts.isParameterPropertyDeclaration(node, node.parent))
      declared.add(node.name.text);
    ts.forEachChild(node, visit);
  }

  function keepMembers(node) {
    if (isMember(node)) kept.add(nameOf(node.name));
    ts.forEachChild(node, keepMembers);
  }

  const sources = sourcesOf(program, entries);
  for (const file of program.getSourceFiles()) {
    if (/\/lib\.es[^/]*\.d\.ts$|\/lib\/protocol\.ts$/.test(file.fileName)) keepMembers(file);
    if (sources.has(file)) visit(file);
  }
  return [...declared].filter((name) => !kept.has(name)).sort();
}
