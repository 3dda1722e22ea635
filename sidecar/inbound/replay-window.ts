/**
 * Refuses a signed request the second time it arrives. SigV4 has no nonce, so sidecars number their requests the way IPsec
 * does (RFC 4303 3.4.3): the receiver keeps, per signing key and instance of the caller, the highest number and which of
 * the 1024 below it were seen.
 *
 * Guarantees: no request passes twice, also when the clock is set back; one that was not seen is refused only if it is
 * more than 1023 behind the highest, if there is no room for a new caller, or if its date is one that the clock has left
 * behind the skew already. Memory is constant per caller and bounded in all.
 * Ask only after the signature and the date have been checked: a forged number would otherwise use up somebody's window.
 *
 * Hot path: one call a request, which allocates nothing for a caller that is known.
 */

/** What `x-countersign-sequence` says. */
export interface Sequence {
  /** Random per start of the caller's sidecar. */
  readonly instance: string;
  /** Strictly rising, at most 2^53 - 1. */
  readonly number: number;
}

const sequencePattern = /^[A-Za-z0-9]{8,64}:(?:0|[1-9][0-9]{0,15})$/;

/** Parses `<instance>:<n>`; undefined for anything else, other spellings of a number among them. */
export function parseSequence(text: string): Sequence | undefined {
  if (!sequencePattern.test(text)) return undefined;
  const colon = text.indexOf(":");
  const number = Number(text.slice(colon + 1));
  return Number.isSafeInteger(number) ? { instance: text.slice(0, colon), number } : undefined;
}

/** `fresh` is remembered from now on. `full`: nobody can tell, because there is no room to remember it. */
export type ReplayVerdict = "fresh" | "replayed" | "full";

export interface ReplayGuardOptions {
  /** Callers remembered at once, about 300 bytes each. */
  readonly maxCallers: number;
  /** Of one session: it belongs to one sidecar, so that more than a few are somebody filling the memory. */
  readonly maxInstancesPerSession: number;
  /** How far a request's date may be from the clock: what is older is refused before it comes here. */
  readonly skewSeconds: number;
}

export interface ReplayGuard {
  /**
   * `session` names one key: a session's for one service and day. Calls that wait until that is known are then behind no
   * others. `date` is the request's own and `now` the clock's, in seconds since 1970.
   */
  admit(session: string, sequence: Sequence, date: number, now: number): ReplayVerdict;
  /** How many are remembered. */
  readonly callers: number;
}

const windowSize = 1024;
const wordBits = 32;

interface Caller {
  highest: number;
  /** The latest date among its requests: until that is out of the skew, a copy of one could still come. */
  latestDate: number;
  /** Requests up to this date may have come before this entry was made: an earlier one was forgotten. */
  readonly notBefore: number;
  /** Bit `n % 1024` is set when number `n` of the window was seen. */
  readonly seen: Uint32Array;
}

export function createReplayGuard(options: ReplayGuardOptions): ReplayGuard {
  const { maxCallers, maxInstancesPerSession, skewSeconds } = options;
  const sessions = new Map<string, Map<string, Caller>>();
  let count = 0;
  // Requests of forgotten callers are no later than this, so that a clock that is set back does not make them fresh.
  let forgottenUntil = Number.NEGATIVE_INFINITY;
  let nextSweep = Number.NEGATIVE_INFINITY;

  function forgetOld(now: number): void {
    for (const [session, instances] of sessions) {
      for (const [instance, caller] of instances) {
        if (caller.latestDate + skewSeconds >= now) continue;
        instances.delete(instance);
        count--;
        forgottenUntil = Math.max(forgottenUntil, caller.latestDate);
      }
      if (instances.size === 0) sessions.delete(session);
    }
  }

  function admitNew(session: string, { instance, number }: Sequence, date: number, now: number): ReplayVerdict {
    // A sweep looks at all callers: not for every new one, however many come.
    if (now >= nextSweep) {
      nextSweep = now + skewSeconds / 10;
      forgetOld(now);
    }
    if (date <= forgottenUntil) return "replayed";
    let instances = sessions.get(session);
    if (count >= maxCallers || (instances !== undefined && instances.size >= maxInstancesPerSession)) {
      nextSweep = Math.min(nextSweep, now + 1);
      return "full";
    }
    if (instances === undefined) {
      instances = new Map();
      sessions.set(session, instances);
    }
    const caller = { highest: number, latestDate: date, notBefore: forgottenUntil, seen: new Uint32Array(windowSize / wordBits) };
    mark(caller.seen, number);
    instances.set(instance, caller);
    count++;
    return "fresh";
  }

  return {
    admit(session, sequence, date, now) {
      const { number } = sequence;
      const caller = sessions.get(session)?.get(sequence.instance);
      if (caller === undefined) return admitNew(session, sequence, date, now);
      if (date <= caller.notBefore) return "replayed";
      const ahead = number - caller.highest;
      if (ahead > 0) {
        advance(caller.seen, caller.highest, ahead);
        caller.highest = number;
      } else if (ahead <= -windowSize || isMarked(caller.seen, number)) {
        return "replayed";
      }
      mark(caller.seen, number);
      if (date > caller.latestDate) caller.latestDate = date;
      return "fresh";
    },
    get callers() {
      return count;
    },
  };
}

/** Clears the bits of the numbers between the old highest and the new one, both of which are seen. */
function advance(seen: Uint32Array, highest: number, ahead: number): void {
  if (ahead >= windowSize) {
    seen.fill(0);
    return;
  }
  const start = highest % windowSize;
  for (let step = 1; step <= ahead; step++) {
    const bit = (start + step) % windowSize;
    const word = bit >>> 5;
    seen[word] = (seen[word] ?? 0) & ~(1 << (bit & 31));
  }
}

function mark(seen: Uint32Array, number: number): void {
  const bit = number % windowSize;
  const word = bit >>> 5;
  seen[word] = (seen[word] ?? 0) | (1 << (bit & 31));
}

function isMarked(seen: Uint32Array, number: number): boolean {
  const bit = number % windowSize;
  return ((seen[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
}

export interface SignatureCacheOptions {
  /** Signatures remembered at once, about 150 bytes each. */
  readonly maxSignatures: number;
  readonly skewSeconds: number;
}

/** For clients that number nothing: remembers every signature for as long as its date is good. */
export interface SignatureCache {
  /** `signature` is 64 hexadecimal digits; `date` the request's own and `now` the clock's, in seconds since 1970. */
  admit(signature: string, date: number, now: number): ReplayVerdict;
  /** How many are remembered. */
  readonly signatures: number;
}

/** A minute's signatures are forgotten together. */
const bucketSeconds = 60;

export function createSignatureCache(options: SignatureCacheOptions): SignatureCache {
  const { maxSignatures, skewSeconds } = options;
  // By the request's date, which the signature covers: a copy of a request has to look in the same bucket.
  const buckets = new Map<number, Set<string>>();
  let forgottenUntil = Number.NEGATIVE_INFINITY;
  let count = 0;

  function forgetOld(now: number): void {
    for (const [bucket, signatures] of buckets) {
      if ((bucket + 1) * bucketSeconds + skewSeconds > now) continue;
      buckets.delete(bucket);
      count -= signatures.size;
      forgottenUntil = Math.max(forgottenUntil, bucket);
    }
  }

  return {
    admit(signature, date, now) {
      const bucket = Math.floor(date / bucketSeconds);
      if (count >= maxSignatures || !buckets.has(bucket)) forgetOld(now);
      if (bucket <= forgottenUntil) return "replayed";
      // As bytes: a slice of the Authorization field would keep the whole of it in memory.
      const bytes = Buffer.from(signature, "hex").toString("latin1");
      let signatures = buckets.get(bucket);
      if (signatures?.has(bytes)) return "replayed";
      if (count >= maxSignatures) return "full";
      if (signatures === undefined) {
        signatures = new Set();
        buckets.set(bucket, signatures);
      }
      signatures.add(bytes);
      count++;
      return "fresh";
    },
    get signatures() {
      return count;
    },
  };
}
