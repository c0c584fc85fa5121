// Functions of the language that the sources call so often that a bundle gives them short names: a minifier renames
// variables, never a property of `Math`. The build puts these in place of the calls; the sources stay as they are.
export const {
  abs: mathAbs,
  ceil: mathCeil,
  floor: mathFloor,
  max: mathMax,
  min: mathMin,
  round: mathRound,
} = Math;
export const { entries: objectEntries, keys: objectKeys, values: objectValues } = Object;
export const { isFinite: numberIsFinite } = Number;
export const { from: arrayFrom } = Array;
