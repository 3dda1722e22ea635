/** Small changes to messages, of the kind that make parsers disagree. The same seed makes the same changes. */

export interface Random {
  /** A whole number from 0 to under `limit`. */
  below(limit: number): number;
  pick<Item>(items: readonly Item[]): Item;
}

/** Mulberry32: short, and good enough to choose tests. */
export function createRandom(seed: number): Random {
  let state = seed | 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * limit);
  };
  return { below, pick: (items) => items[below(items.length)] as (typeof items)[number] };
}

const pieces: readonly string[] = [
  ...` \t\r\n\0\x0b\x0c\x7f\x80\xff:;,="'/\\?#*@%[]().-_+0123456789aAfFxX`.split(""),
  "\r\n",
  "\r\n\r\n",
  "\n\n",
  "\r\r\n",
  "\r\n ",
  " \r\n",
  "%00",
  "//",
  "http://",
  "http://a",
  " HTTP/1.1",
  " HTTP/1.0",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "Host: a\r\n",
  "Host: b\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Content-Length:\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "transfer-encoding:chunked \r\n",
  "Connection: close\r\n",
  "Connection: keep-alive\r\n",
  "Connection: upgrade\r\nUpgrade: x\r\n",
  "Proxy-Connection: close\r\n",
  "Expect: 100-continue\r\n",
  "X: y\r\n",
  "X:\r\n",
  ", chunked",
  "chunked, ",
  "0\r\n\r\n",
  "3\r\nabc\r\n",
  "3;x=y\r\nabc\r\n",
  '3;x="y z"\r\nabc\r\n',
  "0\r\nX: y\r\n\r\n",
  "00000003\r\nabc\r\n",
  "ffffffffffffffff",
  "18446744073709551616",
  "CONNECT a:1",
  "OPTIONS *",
  "HEAD",
  "M-SEARCH",
  "PRI * HTTP/2.0",
];

type Mutation = (text: string, random: Random, corpus: readonly string[]) => string;

function span(text: string, random: Random, longest: number): [from: number, to: number] {
  const from = random.below(text.length + 1);
  return [from, Math.min(text.length, from + random.below(longest + 1))];
}

function splitLines(text: string): string[] {
  return text.split(/(?<=\n)/);
}

const mutations: readonly Mutation[] = [
  (text, random) => {
    const at = random.below(text.length + 1);
    return text.slice(0, at) + random.pick(pieces) + text.slice(at);
  },
  (text, random) => {
    const [from, to] = span(text, random, 4);
    return text.slice(0, from) + random.pick(pieces) + text.slice(to);
  },
  (text, random) => {
    const [from, to] = span(text, random, 8);
    return text.slice(0, from) + text.slice(to);
  },
  (text, random) => {
    const [from, to] = span(text, random, 40);
    return text.slice(0, to) + text.slice(from);
  },
  (text, random) => {
    const at = random.below(text.length + 1);
    return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
  },
  (text, random) => {
    const [from, to] = span(text, random, 12);
    const part = text.slice(from, to);
    return text.slice(0, from) + (random.below(2) === 0 ? part.toUpperCase() : part.toLowerCase()) + text.slice(to);
  },
  // Whole lines: moved, doubled, taken from another message, added.
  (text, random) => {
    const lines = splitLines(text);
    const [line = ""] = lines.splice(random.below(lines.length), 1);
    lines.splice(random.below(lines.length + 1), 0, line);
    return lines.join("");
  },
  (text, random) => {
    const lines = splitLines(text);
    const at = random.below(lines.length);
    lines.splice(at, 0, lines[at] ?? "");
    return lines.join("");
  },
  (text, random, corpus) => {
    const lines = splitLines(text);
    lines.splice(random.below(lines.length + 1), 0, random.pick(splitLines(random.pick(corpus))));
    return lines.join("");
  },
  (text, random) => {
    const lines = splitLines(text);
    const added = pieces.filter((piece) => piece.endsWith("\r\n"));
    lines.splice(1 + random.below(lines.length), 0, random.pick(added));
    return lines.join("");
  },
  (text, random, corpus) => text + random.pick(corpus),
  (text, random, corpus) => {
    const other = random.pick(corpus);
    return text.slice(0, random.below(text.length + 1)) + other.slice(random.below(other.length + 1));
  },
];

/** A text of `corpus` with one to four changes. */
export function mutate(corpus: readonly string[], random: Random): string {
  let text = random.pick(corpus);
  for (let changes = 1 + random.below(4); changes > 0; changes--) text = random.pick(mutations)(text, random, corpus);
  return text;
}
