/**
 * Opens the SQLite file of a store, or says in one line why not. Nothing is written to a file that is not sound, not ours or in use:
 * an existing file is read through a read-only connection first, and a new one gets its name only when it is whole.
 */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { StoreError } from "./error.ts";
import { createFileOnce } from "./new-file.ts";

/** `CSGN`: marks the file as one of ours (SQLite file format 1.3.17). */
const APPLICATION_ID = 0x4353474e;
const SCHEMA_VERSION = 1;
/** A process that hands over is gone sooner than this. */
const BUSY_TIMEOUT_MILLISECONDS = 1000;

const schema = `
  BEGIN EXCLUSIVE;
  CREATE TABLE entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created_revision INTEGER NOT NULL
  ) STRICT;
  -- What watches read: one row a key and commit, value NULL for a delete.
  CREATE TABLE changes (
    revision INTEGER NOT NULL, key TEXT NOT NULL, value BLOB, created_revision INTEGER NOT NULL, PRIMARY KEY (revision, key)
  ) STRICT;
  -- One row: the last commit, and the last one that changes no longer holds.
  CREATE TABLE revisions (latest INTEGER NOT NULL, compacted INTEGER NOT NULL) STRICT;
  INSERT INTO revisions VALUES (0, 0);
  CREATE TABLE leases (name TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
  COMMIT;
`;

const codesByResult = new Map<number, "store-unwritable" | "store-locked" | "store-corrupt" | "store-full">([
  [3, "store-unwritable"],
  [5, "store-locked"],
  [6, "store-locked"],
  [8, "store-unwritable"],
  [11, "store-corrupt"],
  [13, "store-full"],
  [14, "store-unwritable"],
  [26, "store-corrupt"],
]);

const sentences = {
  "store-unwritable": "cannot be opened for writing",
  "store-locked": "is in use by another process",
  "store-corrupt": "is corrupt; restore it from a backup, or move it away to start anew",
  "store-full": "cannot grow: the disk is full",
};

/** Names the file and what SQLite's result code (its low octet) means. Other errors become `store-unavailable`. */
export function storeErrorFrom(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const result = error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : 0;
  const code = codesByResult.get(result);
  const reason = error instanceof Error ? error.message : String(error);
  if (code === undefined) return new StoreError("store-unavailable", `the store ${path} failed: ${reason}`, { cause: error });
  return new StoreError(code, `the store ${path} ${sentences[code]} (${reason})`, { cause: error });
}

function createFile(path: string): void {
  createFileOnce(path, "the store", (unnamed) => {
    try {
      const database = new DatabaseSync(unnamed);
      try {
        database.exec(schema);
      } finally {
        database.close();
      }
    } catch (error) {
      throw storeErrorFrom(error, path);
    }
  });
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

function inspectFile(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MILLISECONDS });
  try {
    const version = pragma(database, "user_version");
    if (pragma(database, "application_id") !== APPLICATION_ID || typeof version !== "number") {
      throw new StoreError("store-corrupt", `${path} is not a store of Countersign`);
    }
    if (version > SCHEMA_VERSION) {
      throw new StoreError("store-newer-schema", `the store ${path} was written by a newer version of Countersign (schema ${version})`);
    }
    const finding = pragma(database, "integrity_check(1)");
    if (finding !== "ok") throw new StoreError("store-corrupt", `the store ${path} ${sentences["store-corrupt"]} (${String(finding)})`);
  } finally {
    database.close();
  }
}

/**
 * A connection that alone may use the file until it is closed. The folder and the file are made where they are missing, for their owner only.
 * Throws StoreError `store-locked`, `store-corrupt`, `store-newer-schema`, `store-unwritable`, `store-full`, `store-unavailable`.
 */
export function openSqliteFile(path: string): DatabaseSync {
  if (!existsSync(path)) createFile(path);
  try {
    inspectFile(path);
    const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MILLISECONDS });
    try {
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN EXCLUSIVE; COMMIT");
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  } catch (error) {
    throw storeErrorFrom(error, path);
  }
}
