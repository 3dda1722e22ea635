/**
 * The Huffman code of RFC 7541 Appendix B, both ways. The code is canonical, so the lengths of its symbols define it.
 * Decoding walks a state machine four bits at a time.
 */

const EOS = 256;

/** Length in bits of each byte's code, and of EOS. */
// prettier-ignore
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];

const lengths = Uint8Array.from(codeLengths);
const codes = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const assigned = new Uint32Array(codeLengths.length);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    for (let symbol = 0; symbol < codeLengths.length; symbol++) if (lengths[symbol] === length) assigned[symbol] = code++;
    code *= 2;
  }
  return assigned;
}

// One step of the state machine: the next state in the low byte, the symbol it completes from bit 16.
const EMITS = 0x100;
const FAILS = 0x200;
const steps = new Uint32Array(256 * 16);
/** States a string may end in: at most seven bits, all ones, behind the last symbol (RFC 7541 5.2). */
const accepting = new Uint8Array(256);
buildStateMachine();

function buildStateMachine(): void {
  // children[2n + bit]: an inner node's number, or -1 - symbol for a leaf. Inner nodes are the states.
  const children = new Int32Array(512);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = lengths[symbol]! - 1; bit > 0; bit--) {
      const slot = 2 * node + ((codes[symbol]! >>> bit) & 1);
      if (children[slot] === 0) children[slot] = nodes++;
      node = children[slot]!;
    }
    children[2 * node + (codes[symbol]! & 1)] = -1 - symbol;
  }
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[2 * node + ((nibble >>> bit) & 1)]!;
        node = child < 0 ? 0 : child;
        if (child === -1 - EOS) step |= FAILS;
        else if (child < 0) step |= EMITS | ((-1 - child) << 16);
      }
      steps[state * 16 + nibble] = step | node;
    }
  }
  for (let node = 0, depth = 0; depth < 8; depth++) {
    accepting[node] = 1;
    node = children[2 * node + 1]!;
  }
}

/**
 * Decodes `source[start..end)` into `target`, which must have room for 8/5 of it; returns the length, or -1 for a string that
 * contains EOS or is padded wrongly.
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let state = 0;
  let length = 0;
  let failed = 0;
  for (let i = start; i < end; i++) {
    const byte = source[i]!;
    let step = steps[(state << 4) | (byte >>> 4)]!;
    if (step & EMITS) target[length++] = step >>> 16;
    failed |= step;
    step = steps[((step & 0xff) << 4) | (byte & 15)]!;
    if (step & EMITS) target[length++] = step >>> 16;
    failed |= step;
    state = step & 0xff;
  }
  return (failed & FAILS) === 0 && accepting[state] === 1 ? length : -1;
}

/** Bytes that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
}

/** Writes `text` (latin1), coded; returns the position behind it. */
export function writeHuffman(target: Uint8Array, position: number, text: string): number {
  let held = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let code = codes[symbol]!;
    let length = lengths[symbol]!;
    if (length > 16) {
      // Two parts, so that what is held never passes 32 bits.
      held = (held << (length - 16)) | (code >>> 16);
      bits += length - 16;
      while (bits >= 8) target[position++] = held >>> (bits -= 8);
      code &= 0xffff;
      length = 16;
    }
    held = (held << length) | code;
    bits += length;
    while (bits >= 8) target[position++] = held >>> (bits -= 8);
  }
  if (bits > 0) target[position++] = (held << (8 - bits)) | (0xff >>> bits);
  return position;
}
