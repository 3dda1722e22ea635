/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IPAddress */
import { PolicyError } from "../error.ts";
import type { CompileValues } from "./operator.ts";

/** An address as 32-bit words: one for IPv4, four for IPv6. IPv4-mapped IPv6 is IPv4: a dual-stack socket reports one for the other. */
type Address = readonly number[];

interface Network {
  readonly words: Address;
  readonly masks: readonly number[];
}

/** In one of the networks (CIDR, RFC 4632 and RFC 4291), a bare address being a network of one. */
export const ipAddress: CompileValues = (values) => {
  const networks = values.map(networkFromString);
  return (candidate) => {
    const address = addressFromString(candidate);
    if (address === undefined) return undefined;
    for (const network of networks) if (contains(network, address)) return true;
    return false;
  };
};

function contains({ words, masks }: Network, address: Address): boolean {
  if (words.length !== address.length) return false;
  for (let index = 0; index < words.length; index += 1) {
    if ((((address[index] ?? 0) ^ (words[index] ?? 0)) & (masks[index] ?? 0)) !== 0) return false;
  }
  return true;
}

function networkFromString(text: string): Network {
  const invalid = (): never => {
    throw new PolicyError("invalid-condition", `${JSON.stringify(text)} is neither an IP address nor a network such as 10.0.0.0/8`);
  };
  const [host = "", length, ...more] = text.split("/");
  const words = addressFromString(host);
  if (words === undefined || more.length > 0) return invalid();
  const mapped = words.length === 1 && host.includes(":");
  const most = words.length * 32;
  if (length === undefined) return { words, masks: masksOf(most, words.length) };
  // A mapped network is written with the 96 bits that all mapped addresses share.
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(length) ? Number(length) - (mapped ? 96 : 0) : -1;
  if (bits < 0 || bits > most) return invalid();
  return { words, masks: masksOf(bits, words.length) };
}

function masksOf(bits: number, words: number): readonly number[] {
  return Array.from({ length: words }, (_, index) => {
    const ones = Math.min(Math.max(bits - index * 32, 0), 32);
    // A shift by 32 is none in JavaScript.
    return ones === 0 ? 0 : (0xffffffff << (32 - ones)) | 0;
  });
}

/** Strict: no leading zeros (which some read as octal), no zone, nothing around it. Undefined if it is no address. */
function addressFromString(text: string): Address | undefined {
  if (!text.includes(":")) {
    const word = ipv4Word(text, 0);
    return word === undefined ? undefined : [word];
  }
  const words = ipv6Words(text);
  if (words === undefined) return undefined;
  const [first, second, third, last = 0] = words;
  return first === 0 && second === 0 && third === 0xffff ? [last] : words;
}

function ipv4Word(text: string, from: number): number | undefined {
  let word = 0;
  let parts = 0;
  let part = -1;
  for (let at = from; at <= text.length; at += 1) {
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

function ipv6Words(text: string): Address | undefined {
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
      const word = ipv4Word(part, 0);
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
