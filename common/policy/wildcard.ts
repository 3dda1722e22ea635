/**
 * Patterns of `*` (any run of characters) and `?` (any one), compiled once. Hot path.
 *
 * A pattern is cut at its stars; each piece is looked for once, leftmost, after the piece before it. That is enough because a star
 * takes anything: no choice is ever taken back, so the work is at most the text's length times the longest piece, whatever the
 * pattern. Characters are UTF-16 units.
 */
import type { PatternToken } from "./template.ts";

/** Whether the text from `from` to its end matches. */
export type WildcardMatcher = (text: string, from: number) => boolean;

interface Piece {
  readonly length: number;
  /** The piece itself where it has no `?`. */
  readonly text: string | undefined;
  /** UTF-16 units, -1 for `?`. */
  readonly units: Int32Array;
}

export function compileWildcard(tokens: readonly PatternToken[]): WildcardMatcher {
  const [head, ...others] = piecesOf(tokens);
  if (head === undefined) return (text, from) => text.length === from;
  const tail = others.pop();
  if (tail === undefined) return (text, from) => text.length - from === head.length && matchesAt(head, text, from);
  const middles = others.filter((piece) => piece.length > 0);
  if (middles.length === 0) {
    const least = head.length + tail.length;
    if (tail.length === 0) return (text, from) => matchesAt(head, text, from);
    return (text, from) => text.length - from >= least && matchesAt(head, text, from) && matchesAt(tail, text, text.length - tail.length);
  }
  return (text, from) => {
    const end = text.length - tail.length;
    if (end < from + head.length || !matchesAt(head, text, from) || !matchesAt(tail, text, end)) return false;
    let at = from + head.length;
    for (const piece of middles) {
      const found = find(piece, text, at);
      if (found < 0 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  };
}

/** The pieces between the stars, so one more than there are stars. */
function piecesOf(tokens: readonly PatternToken[]): readonly Piece[] {
  const pieces: Piece[] = [];
  let units: number[] = [];
  const close = (): void => {
    const text = units.includes(-1) ? undefined : units.map((unit) => String.fromCharCode(unit)).join("");
    pieces.push({ length: units.length, text, units: Int32Array.from(units) });
    units = [];
  };
  for (const token of tokens) {
    if (token.kind === "run") close();
    else if (token.kind === "one") units.push(-1);
    else for (let at = 0; at < token.text.length; at += 1) units.push(token.text.charCodeAt(at));
  }
  close();
  return pieces;
}

function matchesAt(piece: Piece, text: string, at: number): boolean {
  if (piece.text !== undefined) return text.startsWith(piece.text, at);
  const { units, length } = piece;
  if (text.length - at < length) return false;
  for (let index = 0; index < length; index += 1) {
    const unit = units[index];
    if (unit !== -1 && unit !== text.charCodeAt(at + index)) return false;
  }
  return true;
}

function find(piece: Piece, text: string, from: number): number {
  if (piece.text !== undefined) return text.indexOf(piece.text, from);
  for (let at = from; at + piece.length <= text.length; at += 1) if (matchesAt(piece, text, at)) return at;
  return -1;
}
