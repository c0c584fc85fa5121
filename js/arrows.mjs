// A pass over a finished bundle, before the last minifier: `function f(x) { … }` becomes `const f = (x) => { … }` at the
// top of its block, which is where the language puts a declared function anyway. An arrow is shorter, and joins others.
import ts from "typescript";

/** A function of its own takes these words from the one around it; an arrow does not. */
const asksForItself = (node) =>
  node.kind === ts.SyntaxKind.ThisKeyword ||
  ts.isMetaProperty(node) ||
  (ts.isIdentifier(node) && node.text === "arguments") ||
  ts.forEachChild(node, asksForItself);

const canBeArrow = (node) =>
  ts.isFunctionDeclaration(node) &&
  !node.asteriskToken &&
  ![...node.parameters, ...node.body.statements].some(asksForItself);

/** The same program; nothing in it may be called with `new` that is no class, or have a function assigned anew. */
export function withArrows(code) {
  const file = ts.createSourceFile("bundle.js", code, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const rewrite = (context) => {
    const { factory } = context;
    const visit = (node) => {
      const made = ts.visitEachChild(node, visit, context);
      if (!ts.isBlock(node) && !ts.isSourceFile(node)) return made;
      const arrows = made.statements.filter((_, at) => canBeArrow(node.statements[at]));
      if (!arrows.length) return made;
      const named = arrows.map(({ name, modifiers, parameters, body }) =>
        factory.createVariableDeclaration(
          name,
          undefined,
          undefined,
          factory.createArrowFunction(modifiers, undefined, parameters, undefined, undefined, body),
        ),
      );
      const list = factory.createVariableDeclarationList(named, ts.NodeFlags.Const);
      const rest = made.statements.filter((it) => !arrows.includes(it));
      const statements = [factory.createVariableStatement(undefined, list), ...rest];
      return ts.isBlock(node)
        ? factory.updateBlock(made, statements)
        : factory.updateSourceFile(made, statements);
    };
    return visit;
  };
  const { transformed } = ts.transform(file, [rewrite]);
  return ts.createPrinter().printFile(transformed[0]);
}
