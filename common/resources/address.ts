/** IP addresses as resources list them, in one written form each. */
import { z } from "zod";
import { canonicalIp, formatIp, networkFromString } from "../net/ip.ts";

/** A single address. */
export const ipAddress = z
  .string()
  .refine((text) => canonicalIp(text) !== undefined, "an IP address")
  .transform((text) => canonicalIp(text) ?? text);

/** An address, or a network such as 10.0.0.0/8, without bits set behind its length. */
export const ipNetwork = z
  .string()
  .refine((text) => canonicalNetwork(text) !== undefined, "an IP address, or a network such as 10.0.0.0/8 with nothing behind its length")
  .transform((text) => canonicalNetwork(text) ?? text);

function canonicalNetwork(text: string): string | undefined {
  const network = networkFromString(text);
  if (network === undefined) return undefined;
  if (network.words.some((word, index) => (word & ~(network.masks[index] ?? 0)) !== 0)) return undefined;
  const address = formatIp(network.words);
  return network.bits === network.words.length * 32 ? address : `${address}/${network.bits}`;
}
