/**
 * The store of a control plane that is one process: a SQLite file, written ahead and synced to the disk at every commit.
 *
 * Calls run on the thread of the caller: a read takes microseconds, a commit one sync of the disk. The file is this process's alone
 * until it is closed, so leases live in memory: a lease of a process that died is free as soon as its successor has the file.
 */
import type { SQLOutputValue } from "node:sqlite";
import { StoreError } from "./error.ts";
import { createLeases } from "./sqlite-lease.ts";
import { openSqliteFile, storeErrorFrom } from "./sqlite-file.ts";
import { checkKey, checkOperations, checkPrefix } from "./store.ts";
import type { Change, Changes, CommitOptions, Entry, Operation, Store } from "./store.ts";

export interface SqliteStoreOptions {
  readonly path: string;
  /** Milliseconds from any start, never set back: what leases are timed by. */
  readonly monotonicNow?: () => number;
  /** How many commits a watch can lag behind before it has to list again. */
  readonly keptRevisions?: number;
}

type Row = Record<string, SQLOutputValue>;

const DEFAULT_KEPT_REVISIONS = 10_000;
/** More than one commit has operations, so that a page always holds a whole one. */
const PAGE_ROWS = 512;
/** Keys are ASCII: DEL sorts after every character of a key. */
const AFTER_ANY_KEY = "\u007f";

function entryOf(row: Row): Entry {
  return {
    key: row["key"] as string,
    value: row["value"] as Uint8Array,
    revision: row["revision"] as number,
    createdRevision: row["created_revision"] as number,
  };
}

/** Throws StoreError as `openSqliteFile` does. */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const { path } = options;
  const keptRevisions = options.keptRevisions ?? DEFAULT_KEPT_REVISIONS;
  const database = openSqliteFile(path);
  const statements = {
    get: database.prepare("SELECT * FROM entries WHERE key = ?"),
    list: database.prepare("SELECT * FROM entries WHERE key >= ? AND key < ? ORDER BY key"),
    put: database.prepare(`INSERT INTO entries VALUES (:key, :value, :revision, :revision)
      ON CONFLICT (key) DO UPDATE SET value = :value, revision = :revision RETURNING created_revision`),
    delete: database.prepare("DELETE FROM entries WHERE key = ?"),
    record: database.prepare("INSERT INTO changes VALUES (?, ?, ?, ?)"),
    changes: database.prepare(
      `SELECT * FROM changes WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, key LIMIT ${PAGE_ROWS}`,
    ),
    revisions: database.prepare("SELECT * FROM revisions"),
    advance: database.prepare("UPDATE revisions SET latest = ?"),
    forget: database.prepare("DELETE FROM changes WHERE revision <= ?"),
    compact: database.prepare("UPDATE revisions SET compacted = ?"),
  };
  const leases = createLeases(database, options.monotonicNow ?? (() => performance.now()));
  const wakers = new Set<() => void>();
  let open = true;

  /** Runs on the database, or throws StoreError. */
  const guarded = <T>(call: () => T): T => {
    if (!open) throw new StoreError("store-closed", `the store ${path} is closed`);
    try {
      return call();
    } catch (error) {
      throw storeErrorFrom(error, path);
    }
  };

  const transaction = <T>(call: () => T): T =>
    guarded(() => {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = call();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        // SQLite has rolled back by itself after some errors.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw error;
      }
    });

  const revisions = (): { latest: number; compacted: number } => {
    const row = statements.revisions.get()!;
    return { latest: row["latest"] as number, compacted: row["compacted"] as number };
  };

  const checkExpectation = ({ key, expectRevision }: Operation): void => {
    if (expectRevision === undefined) return;
    const revision = (statements.get.get(key)?.["revision"] as number | undefined) ?? 0;
    if (revision !== expectRevision) {
      throw new StoreError("conflict", `${key} is at revision ${revision}, not ${expectRevision}`);
    }
  };

  /** Whether anything changed. */
  const apply = (operation: Operation, revision: number): boolean => {
    const { key } = operation;
    if (operation.kind === "put") {
      const row = statements.put.get({ key, value: operation.value, revision })!;
      statements.record.run(revision, key, operation.value, row["created_revision"]!);
      return true;
    }
    if (operation.kind === "check" || statements.delete.run(key).changes === 0) return false;
    statements.record.run(revision, key, null, 0);
    return true;
  };

  const compact = (latest: number, compacted: number): void => {
    // Now and then, so that a commit seldom pays for it.
    if (latest - compacted < keptRevisions * 1.25) return;
    statements.forget.run(latest - keptRevisions);
    statements.compact.run(latest - keptRevisions);
  };

  const commit = async (operations: readonly Operation[], { lease }: CommitOptions = {}): Promise<number> => {
    checkOperations(operations);
    const { revision, changed } = transaction(() => {
      if (lease !== undefined) leases.check(lease);
      for (const operation of operations) checkExpectation(operation);
      const { latest, compacted } = revisions();
      let changed = false;
      for (const operation of operations) changed = apply(operation, latest + 1) || changed;
      if (!changed) return { revision: latest, changed };
      statements.advance.run(latest + 1);
      compact(latest + 1, compacted);
      return { revision: latest + 1, changed };
    });
    if (changed) for (const wake of wakers) wake();
    return revision;
  };

  /** The commits after `revision`, oldest first, and the revision to go on from. */
  const changesAfter = (prefix: string, revision: number): { commits: Changes[]; reached: number } => {
    const { latest, compacted } = revisions();
    if (revision < compacted) throw new StoreError("compacted", `commits after revision ${revision} are no longer kept`);
    const rows = statements.changes.all(revision, prefix, prefix + AFTER_ANY_KEY);
    const commits: { revision: number; changes: Change[] }[] = [];
    for (const row of rows) {
      const entry = entryOf(row);
      if (commits.at(-1)?.revision !== entry.revision) commits.push({ revision: entry.revision, changes: [] });
      commits.at(-1)!.changes.push(row["value"] === null ? { kind: "delete", key: entry.key } : { kind: "put", entry });
    }
    if (rows.length < PAGE_ROWS) return { commits, reached: latest };
    // The page may have cut its last commit.
    commits.pop();
    return { commits, reached: commits.at(-1)!.revision };
  };

  async function* watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncGenerator<Changes, void, undefined> {
    checkPrefix(prefix);
    let revision = afterRevision;
    let woken = Promise.withResolvers<void>();
    const wake = (): void => {
      woken.resolve();
    };
    wakers.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    try {
      while (!signal.aborted) {
        woken = Promise.withResolvers<void>();
        const { commits, reached } = guarded(() => changesAfter(prefix, revision));
        revision = reached;
        for (const changes of commits) {
          if (signal.aborted) return;
          yield changes;
        }
        if (commits.length === 0) await woken.promise;
      }
    } finally {
      wakers.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  return {
    async get(key) {
      checkKey(key);
      const row = guarded(() => statements.get.get(key));
      return row && entryOf(row);
    },
    async list(prefix) {
      checkPrefix(prefix);
      return guarded(() => ({
        revision: revisions().latest,
        entries: statements.list.all(prefix, prefix + AFTER_ANY_KEY).map(entryOf),
      }));
    },
    put: async (key, value, { expectRevision, ...options } = {}) =>
      commit([{ kind: "put", key, value, ...(expectRevision === undefined ? {} : { expectRevision }) }], options),
    delete: async (key, { expectRevision, ...options } = {}) =>
      commit([{ kind: "delete", key, ...(expectRevision === undefined ? {} : { expectRevision }) }], options),
    commit,
    watch,
    async acquireLease(name, timeToLiveMilliseconds) {
      checkKey(name);
      return guarded(() => leases.acquire(name, timeToLiveMilliseconds));
    },
    async close() {
      if (!open) return;
      open = false;
      database.close();
      for (const wake of wakers) wake();
    },
  };
}
