/**
 * Sends every connected sidecar a new snapshot when what it has to know changed, and nothing otherwise. Changes that come
 * close together make one snapshot; a sidecar that is slow gets only the newest.
 *
 * A snapshot's revision is that of the store it was made from, so it never falls, whichever process sends it.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../common/runtime/clock.ts";
import { Snapshot } from "../../common/gen/mesh/v1/mesh.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { buildSnapshot, contentKey } from "./snapshot.ts";
import type { Member, Published, SnapshotContent } from "./snapshot.ts";

export const coalesceMilliseconds = 20;
const sidecarsPerTurn = 16;

export interface Subscriber extends Member {
  /** Takes a snapshot. It gets no other before `Subscription.ready` is called, later than this returns. */
  readonly send: (snapshot: Snapshot) => void;
}

export interface Subscription {
  readonly ready: () => void;
  readonly close: () => void;
}

export interface Distributor {
  /** Sends the present snapshot at once. */
  readonly subscribe: (subscriber: Subscriber) => Subscription;
  /** The revision from which on that member's snapshots say what the present state says. */
  readonly settledRevision: (member: Member) => number;
  readonly close: () => void;
}

interface Content {
  readonly digest: string;
  /** Revision of the first state known to give this digest without change since. */
  readonly since: number;
}

/** By identity and address. A change of what it serves is a change of content, though others may have had that content before. */
function memberKey({ spiffeId, address }: Member): string {
  return `${spiffeId} ${address}`;
}

export function createDistributor(options: {
  readonly view: MeshView;
  readonly published: (state: MeshState) => Published;
  readonly clock: Clock;
  readonly onPush: () => void;
}): Distributor {
  const { view, published, clock, onPush } = options;
  /** Of connected members. */
  const contents = new Map<string, { content: Content | undefined; subscribers: number }>();
  /** Digests of what was made from the present state, by content key. */
  let made = { state: view.current(), digests: new Map<string, string>() };
  const flushers = new Set<() => void>();
  let cancelFlush: (() => void) | undefined;
  /** Whether the state has changed while a flush was under way: those served before the change have to be looked at again. */
  let changed = false;

  /** The digest of what that member is to be told now; what it is to be told, where that had to be made. */
  function digestOf(member: Member): { readonly digest: string; readonly snapshot: SnapshotContent | undefined } {
    const state = view.current();
    if (made.state !== state) made = { state, digests: new Map() };
    const key = contentKey(state, member);
    const known = made.digests.get(key);
    if (known !== undefined) return { digest: known, snapshot: undefined };
    const snapshot = buildSnapshot(state, published(state), member);
    const digest = createHash("sha256")
      .update(Snapshot.encode({ ...snapshot, revision: 0 }).finish())
      .digest("base64");
    made.digests.set(key, digest);
    return { digest, snapshot };
  }

  function settle(member: Member, digest: string): number {
    const held = contents.get(memberKey(member));
    const { revision } = view.current();
    if (held === undefined) return revision;
    if (held.content?.digest !== digest) held.content = { digest, since: revision };
    return held.content.since;
  }

  /** A few sidecars a turn of the event loop, so that a large mesh does not hold up calls. */
  function flushAll(pending: readonly (() => void)[]): void {
    cancelFlush = undefined;
    for (const flush of pending.slice(0, sidecarsPerTurn)) flush();
    const rest = pending.slice(sidecarsPerTurn);
    if (rest.length > 0) {
      cancelFlush = clock.schedule(0, () => {
        flushAll(rest);
      });
    } else if (changed) schedule();
  }

  function schedule(): void {
    cancelFlush = clock.schedule(coalesceMilliseconds, () => {
      changed = false;
      flushAll([...flushers]);
    });
  }

  const stop = view.subscribe(() => {
    if (cancelFlush === undefined) schedule();
    else changed = true;
  });

  return {
    subscribe({ spiffeId, address, send }) {
      const member = { spiffeId, address };
      const held = contents.getOrInsertComputed(memberKey(member), () => ({ content: undefined, subscribers: 0 }));
      held.subscribers += 1;
      let sentDigest: string | undefined;
      let writable = true;
      let closed = false;
      const flush = (): void => {
        if (!writable || closed) return;
        const { digest, snapshot } = digestOf(member);
        settle(member, digest);
        if (digest === sentDigest) return;
        sentDigest = digest;
        onPush();
        writable = false;
        const state = view.current();
        send({ ...(snapshot ?? buildSnapshot(state, published(state), member)), revision: state.revision });
      };
      flushers.add(flush);
      flush();
      return {
        ready() {
          writable = true;
          flush();
        },
        close() {
          if (closed) return;
          closed = true;
          flushers.delete(flush);
          held.subscribers -= 1;
          if (held.subscribers === 0) contents.delete(memberKey(member));
        },
      };
    },
    settledRevision: (member) => settle(member, digestOf(member).digest),
    close() {
      stop();
      cancelFlush?.();
      flushers.clear();
    },
  };
}
