/**
 * Sends every connected sidecar a new snapshot when what it has to know changed, and nothing otherwise. Changes that come
 * close together make one snapshot; a sidecar that is slow gets only the newest.
 *
 * A snapshot's revision is that of the store it was made from, so it never falls, whichever process sends it.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../common/runtime/clock.ts";
import { Snapshot } from "../../common/gen/mesh/v1/mesh.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { buildSnapshot } from "./snapshot.ts";
import type { Published, SnapshotContent } from "./snapshot.ts";

export const coalesceMilliseconds = 20;
const sidecarsPerTurn = 16;

export interface Subscriber {
  readonly spiffeId: SpiffeId;
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
  /** The revision from which on the snapshots of that identity say what the present state says. */
  readonly settledRevision: (spiffeId: SpiffeId) => number;
  readonly close: () => void;
}

interface Content {
  readonly state: MeshState;
  readonly digest: string;
  /** Revision of the first state known to give this digest without change since. */
  readonly since: number;
}

export function createDistributor(options: {
  readonly view: MeshView;
  readonly published: (state: MeshState) => Published;
  readonly clock: Clock;
  readonly onPush: () => void;
}): Distributor {
  const { view, published, clock, onPush } = options;
  const contents = new Map<SpiffeId, Content>();
  const flushers = new Set<() => void>();
  let cancelFlush: (() => void) | undefined;
  /** Whether the state has changed while a flush was under way: those served before the change have to be looked at again. */
  let changed = false;

  function build(spiffeId: SpiffeId): { readonly content: Content; readonly snapshot: SnapshotContent } {
    const state = view.current();
    const snapshot = buildSnapshot(state, published(state), spiffeId);
    const digest = createHash("sha256")
      .update(Snapshot.encode({ ...snapshot, revision: 0 }).finish())
      .digest("base64");
    const known = contents.get(spiffeId);
    const since = known?.digest === digest ? known.since : state.revision;
    const content = { state, digest, since };
    contents.set(spiffeId, content);
    return { content, snapshot };
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
    subscribe({ spiffeId, send }) {
      let sentDigest: string | undefined;
      let writable = true;
      let closed = false;
      const flush = (): void => {
        if (!writable || closed) return;
        const known = contents.get(spiffeId);
        if (known?.state === view.current() && known.digest === sentDigest) return;
        const { content, snapshot } = build(spiffeId);
        if (content.digest === sentDigest) return;
        sentDigest = content.digest;
        onPush();
        writable = false;
        send({ ...snapshot, revision: content.state.revision });
      };
      flushers.add(flush);
      flush();
      return {
        ready() {
          writable = true;
          flush();
        },
        close() {
          closed = true;
          flushers.delete(flush);
        },
      };
    },
    settledRevision(spiffeId) {
      const known = contents.get(spiffeId);
      return known?.state === view.current() ? known.since : build(spiffeId).content.since;
    },
    close() {
      stop();
      cancelFlush?.();
      flushers.clear();
    },
  };
}
