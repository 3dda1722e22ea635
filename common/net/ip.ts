/**
 * IP addresses and networks, read strictly: no leading zeros (which some read as octal), no zone, nothing around them.
 * IPv4-mapped IPv6 is IPv4 throughout: a dual-stack socket reports one for the other.
 */

/** 32-bit words: one for IPv4, four for IPv6. */
export type IpAddress = readonly number[];

export interface IpNetwork {
  readonly words: IpAddress;
  readonly masks: readonly number[];
  /** How many leading bits are the network's; 32 or 128 for a single address. */
  readonly bits: number;
}

/** Undefined if it is no address. */
export function ipFromString(text: string): IpAddress | undefined {
  if (!text.includes(":")) {
    const word = ipv4Word(text);
    return word === undefined ? undefined : [word];
  }
  const words = ipv6Words(text);
  if (words === undefined) return undefined;
  const [first, second, third, last = 0] = words;
  return first === 0 && second === 0 && third === 0xffff ? [last] : words;
}

/** In one form for each address: dotted decimals, or RFC 5952. */
export function formatIp(address: IpAddress): string {
  const [word = 0] = address;
  if (address.length === 1) return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join(".");
  const groups = address.flatMap((each) => [(each >>> 16).toString(16), (each & 0xffff).toString(16)]);
  const { from, length } = longestZeros(groups);
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, from).join(":")}::${groups.slice(from + length).join(":")}`;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly string[]): { readonly from: number; readonly length: number } {
  let longest = { from: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === "0" ? length + 1 : 0;
    if (length > longest.length) longest = { from: index - length + 1, length };
  }
  return longest;
}

/** An address in the form of `formatIp`; undefined for what is none. */
export function canonicalIp(text: string): string | undefined {
  const address = ipFromString(text);
  return address && formatIp(address);
}

/** CIDR (RFC 4632 and RFC 4291), or a bare address, which is a network of one. Undefined if it is neither. */
export function networkFromString(text: string): IpNetwork | undefined {
  const [host = "", length, ...more] = text.split("/");
  const words = ipFromString(host);
  if (words === undefined || more.length > 0) return undefined;
  const mapped = words.length === 1 && host.includes(":");
  const most = words.length * 32;
  if (length === undefined) return { words, masks: masksOf(most, words.length), bits: most };
  // A mapped network is written with the 96 bits that all mapped addresses share.
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(length) ? Number(length) - (mapped ? 96 : 0) : -1;
  if (bits < 0 || bits > most) return undefined;
  return { words, masks: masksOf(bits, words.length), bits };
}

export function networkContains({ words, masks }: IpNetwork, address: IpAddress): boolean {
  if (words.length !== address.length) return false;
  for (let index = 0; index < words.length; index += 1) {
    if ((((address[index] ?? 0) ^ (words[index] ?? 0)) & (masks[index] ?? 0)) !== 0) return false;
  }
  return true;
}

/** Whether all of `inner` is part of `outer`. */
export function networkWithin(inner: IpNetwork, outer: IpNetwork): boolean {
  return inner.bits >= outer.bits && networkContains(outer, inner.words);
}

function masksOf(bits: number, words: number): readonly number[] {
  return Array.from({ length: words }, (_, index) => {
    const ones = Math.min(Math.max(bits - index * 32, 0), 32);
    // A shift by 32 is none in JavaScript.
    return ones === 0 ? 0 : (0xffffffff << (32 - ones)) | 0;
  });
}

function ipv4Word(text: string): number | undefined {
  let word = 0;
  let parts = 0;
  let part = -1;
  for (let at = 0; at <= text.length; at += 1) {
    const code = at === text.length ? 46 : text.charCodeAt(at);
    if (code === 46) {
      if (part < 0 || parts === 4) return undefined;
      word = (word << 8) | part;
      parts += 1;
      part = -1;
    } else if (code >= 48 && code <= 57 && part !== 0) {
      part = (part < 0 ? 0 : part * 10) + code - 48;
      if (part > 255) return undefined;
    } else {
      return undefined;
    }
  }
  return parts === 4 ? word : undefined;
}

const hexGroup = /^[0-9a-fA-F]{1,4}$/;

function ipv6Words(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const before = ipv6Groups(halves[0] ?? "", halves.length === 1);
  const after = halves.length === 2 ? ipv6Groups(halves[1] ?? "", true) : [];
  if (before === undefined || after === undefined) return undefined;
  const missing = 8 - before.length - after.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...before, ...Array.from({ length: missing }, () => 0), ...after];
  return [0, 2, 4, 6].map((index) => ((groups[index] ?? 0) << 16) | (groups[index + 1] ?? 0));
}

function ipv6Groups(text: string, last: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (last && index === parts.length - 1 && part.includes(".")) {
      const word = ipv4Word(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else if (hexGroup.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}
