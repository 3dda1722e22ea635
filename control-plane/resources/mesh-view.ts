/**
 * The present MeshState, kept by a watch of the store. `atLeast` gives reads after writes: whoever committed at a revision
 * waits for the state to have come there.
 */
import type { Logger } from "../../common/runtime/logger.ts";
import { StoreError } from "../store/error.ts";
import type { Store } from "../store/store.ts";
import { buildMeshState, parseEntry } from "./mesh-state.ts";
import type { MeshState, Parsed } from "./mesh-state.ts";

export interface MeshView {
  readonly current: () => MeshState;
  /** Resolves when the state is of that revision or a later one. */
  readonly atLeast: (revision: number) => Promise<MeshState>;
  /** Called after every change, with the state at hand. Returns how to stop. */
  readonly subscribe: (listener: (state: MeshState) => void) => () => void;
  /** Keeps the state until the signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Reads the whole store. Throws MeshStateError for a store that is not of a mesh, StoreError for one that cannot be read. */
export async function createMeshView(store: Store, logger: Logger): Promise<MeshView> {
  let entries = new Map<string, Parsed>();
  let state = await load();
  const listeners = new Set<(state: MeshState) => void>();
  const waiting = new Set<{ readonly revision: number; readonly resolve: (state: MeshState) => void }>();

  async function load(): Promise<MeshState> {
    const listing = await store.list("");
    entries = new Map(listing.entries.map((entry) => [entry.key, parseEntry(entry)]));
    return buildMeshState(listing.revision, entries);
  }

  function advance(next: MeshState): void {
    state = next;
    for (const waiter of waiting) {
      if (waiter.revision > state.revision) continue;
      waiting.delete(waiter);
      waiter.resolve(state);
    }
    for (const listener of listeners) listener(state);
  }

  async function follow(signal: AbortSignal): Promise<void> {
    for await (const { revision, changes } of store.watch("", state.revision, signal)) {
      for (const change of changes) {
        if (change.kind === "delete") entries.delete(change.key);
        else entries.set(change.entry.key, parseEntry(change.entry));
      }
      advance(buildMeshState(revision, entries));
    }
  }

  return {
    current: () => state,
    async atLeast(revision) {
      if (state.revision >= revision) return state;
      const { promise, resolve } = Promise.withResolvers<MeshState>();
      waiting.add({ revision, resolve });
      return await promise;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          await follow(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof StoreError) || error.code !== "compacted") throw error;
          logger.warn({ revision: state.revision }, "the store no longer keeps what changed since; reading it whole");
          advance(await load());
        }
      }
    },
  };
}
