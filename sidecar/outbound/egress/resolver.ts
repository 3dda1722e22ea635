/**
 * Where hosts are, by the sidecar's own look-ups: an application is not believed about it. Answers are kept for a while, one
 * look-up of a host is made at a time, and one that fails leaves what was known before in force (RFC 8767).
 *
 * A host that answers with a few of its many addresses at a time keeps those it was seen at for `graceMs`: an application
 * that asked a moment ago was told others. The check of where an address leads (forbidden.ts) is not made here, and not by name:
 * whoever connects checks the very address that it connects to.
 */
import { lookup } from "node:dns/promises";
import { formatIp, ipFromString } from "../../../common/net/ip.ts";
import { createRecentCache } from "../../../common/http/recent-cache.ts";
import type { Clock } from "../../../common/runtime/clock.ts";

export type ResolveErrorCode =
  /** There is no such host, or it has no address. */
  | "not-found"
  | "timeout"
  /** As many look-ups as may be are under way. */
  | "overloaded"
  | "failed";

export class ResolveError extends Error {
  override readonly name = "ResolveError";
  readonly code: ResolveErrorCode;

  constructor(code: ResolveErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface Resolver {
  /** Its addresses in the form of `formatIp`, at least one. Rejects with ResolveError. */
  resolve(host: string): Promise<readonly string[]>;
  /** Whether it is at that address, or was a while ago. Asks anew before it says no. Rejects with ResolveError. */
  isAt(host: string, address: string): Promise<boolean>;
}

/** All addresses of a host. Rejects with an error that has node:dns' `code` where there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/**
 * As the application's own look-ups go, /etc/hosts and search domains included (getaddrinfo): what only one of the two can
 * resolve could not be called.
 */
export const systemLookup: Lookup = async (host) => {
  const found = await lookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
};

export interface ResolverOptions {
  readonly lookup: Lookup;
  readonly clock: Clock;
  /** Called once a look-up with how it went. */
  readonly onLookup?: (outcome: "found" | ResolveErrorCode) => void;
}

/** getaddrinfo does not tell the records' own. */
const ttlMs = 30_000;
const failureTtlMs = 2000;
/** How soon an answer that does not have an address may be asked for again. */
const refreshMs = 1000;
const graceMs = 600_000;
const timeoutMs = 5000;
/** How long an answer of before is held back for a new one. */
const staleAfterMs = 1000;
const maxHosts = 1024;
const maxHostLength = 253;
const maxLookups = 256;
const maxAddresses = 64;

interface Known {
  /** Of the last answer. */
  addresses: readonly string[];
  /** Every address it was seen at, oldest first, and when last. */
  readonly seen: Map<string, number>;
  /** When it was last asked for, whatever came of it. */
  askedAt: number;
  failure: ResolveError | undefined;
}

export function createResolver({ lookup, clock, onLookup }: ResolverOptions): Resolver {
  const hosts = createRecentCache<Known>(maxHosts, maxHostLength);
  /** Also those that nobody waits for any more: getaddrinfo cannot be called off, and holds a thread. */
  const running = new Map<string, Promise<Known>>();

  function isFresh({ askedAt, failure }: Known, maxAge: number): boolean {
    return clock.now() - askedAt < (failure === undefined ? maxAge : Math.min(maxAge, failureTtlMs));
  }

  function withinGrace({ seen }: Known): readonly string[] {
    return [...seen].filter(([, at]) => clock.now() - at < graceMs).map(([address]) => address);
  }

  /** Never rejects: a failure is what is known then. */
  async function ask(host: string): Promise<Known> {
    const known: Known = hosts.get(host) ?? { addresses: [], seen: new Map(), askedAt: 0, failure: undefined };
    try {
      const addresses = canonical(await lookup(host));
      if (addresses.length === 0) throw new ResolveError("not-found", `${host} has no address`);
      known.addresses = addresses;
      known.failure = undefined;
      for (const address of addresses) {
        known.seen.delete(address);
        known.seen.set(address, clock.now());
      }
      for (const [address] of known.seen) {
        if (known.seen.size <= maxAddresses) break;
        known.seen.delete(address);
      }
    } catch (error) {
      known.failure = asResolveError(host, error);
      known.addresses = withinGrace(known);
    }
    known.askedAt = clock.now();
    onLookup?.(known.failure?.code ?? "found");
    hosts.set(host, known);
    return known;
  }

  async function known(host: string, maxAge: number): Promise<Known> {
    const present = hosts.get(host);
    if (present !== undefined && isFresh(present, maxAge)) return present;
    let lookup = running.get(host);
    if (lookup === undefined) {
      if (running.size >= maxLookups) throw new ResolveError("overloaded", `${maxLookups} look-ups are under way`);
      lookup = ask(host).finally(() => running.delete(host));
      running.set(host, lookup);
    }
    const stale = present !== undefined && withinGrace(present).length > 0 ? present : undefined;
    const { promise: late, resolve, reject } = Promise.withResolvers<Known>();
    const cancel = clock.schedule(stale === undefined ? timeoutMs : staleAfterMs, () => {
      if (stale === undefined) reject(new ResolveError("timeout", `${host} was not resolved within ${timeoutMs} ms`));
      else resolve(stale);
    });
    try {
      return await Promise.race([lookup, late]);
    } finally {
      cancel();
    }
  }

  return {
    async resolve(host) {
      const { addresses, failure } = await known(host, ttlMs);
      if (addresses.length === 0) throw failure ?? new ResolveError("not-found", `${host} has no address`);
      return addresses;
    },
    async isAt(host, address) {
      let answer = await known(host, ttlMs);
      if (!withinGrace(answer).includes(address)) answer = await known(host, refreshMs);
      if (answer.addresses.length === 0 && answer.failure !== undefined) throw answer.failure;
      return withinGrace(answer).includes(address);
    },
  };
}

function canonical(addresses: readonly string[]): readonly string[] {
  const known = new Set<string>();
  for (const text of addresses) {
    // Without the zone of a link-local address: it says by which interface this machine reaches it.
    const address = ipFromString(text.split("%", 1)[0] ?? "");
    if (address !== undefined) known.add(formatIp(address));
  }
  return [...known].slice(0, maxAddresses);
}

const notFoundCodes = new Set(["ENOTFOUND", "ENODATA"]);

function asResolveError(host: string, error: unknown): ResolveError {
  if (error instanceof ResolveError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code === "string" && notFoundCodes.has(code))
    return new ResolveError("not-found", `there is no host ${host}`, { cause: error });
  return new ResolveError("failed", `${host} could not be resolved: ${String(error)}`, { cause: error });
}
