// A pass over the sources, before they are bundled, for what only the type checker can tell and a minifier has to leave:
// `a === b` becomes `a == b` where both are of one kind, so that the two mean the same; `Number(a)` becomes `+a`.
import ts from "typescript";

const { SyntaxKind, TypeFlags } = ts;
const STRICT = new Set([SyntaxKind.EqualsEqualsEqualsToken, SyntaxKind.ExclamationEqualsEqualsToken]);
const NOTHING = new Set([TypeFlags.Null, TypeFlags.Undefined]);
/** No value of one of these is made into another of the same for `==`. */
const KINDS = [
  TypeFlags.StringLike,
  TypeFlags.NumberLike,
  TypeFlags.BooleanLike,
  TypeFlags.Object,
  ...NOTHING,
];

/** The kinds of which a value of that type may be; null where that is not known. */
function kindsOf(type) {
  const kinds = (type.isUnion() ? type.types : [type]).map((part) => KINDS.find((it) => part.flags & it));
  return kinds.includes(undefined) ? null : kinds;
}

/** Are the same values equal for `==` as for `===`? Nothing equals only nothing, but null equals undefined. */
const areAlike = (left, right) =>
  !!left &&
  !!right &&
  left.every((one) => right.every((other) => one === other || NOTHING.has(one) !== NOTHING.has(other)));

const isNumber = (node) =>
  ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "Number";

/** The text of a source of the program, which says the same in fewer letters. */
export function withKnownTypes(program, path) {
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(path);
  const kinds = (node) => kindsOf(checker.getTypeAtLocation(node));
  const edits = [];
  const visit = (node) => {
    if (ts.isBinaryExpression(node) && STRICT.has(node.operatorToken.kind)) {
      const { end } = node.operatorToken;
      if (areAlike(kinds(node.left), kinds(node.right))) edits.push([end - 1, end, ""]);
    } else if (
      isNumber(node) &&
      !(checker.getTypeAtLocation(node.arguments[0]).flags & TypeFlags.BigIntLike)
    ) {
      edits.push([node.getStart(), node.expression.end, "(+"], [node.end, node.end, ")"]);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  let { text } = file;
  for (const [from, to, put] of edits.sort(([a], [b]) => b - a))
    text = text.slice(0, from) + put + text.slice(to);
  return text;
}
