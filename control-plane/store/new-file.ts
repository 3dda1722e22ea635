import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { StoreError } from "./error.ts";

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Not mkdir's own `recursive`: Node spins for ever on a file system that takes no folders, such as /proc. */
function createFolder(folder: string): void {
  if (existsSync(folder)) return;
  createFolder(dirname(folder));
  mkdirSync(folder, { mode: 0o700 });
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/**
 * Makes the file `path`, for its owner only, and its folder. `write` fills it, and syncs what it wrote, under another name; it gets its own
 * name when it is whole, so a crash leaves none that is cut off, and one that exists is never replaced: the first to make it wins,
 * and nothing happens. Throws StoreError
 * `store-unwritable` or `store-full`, and what `write` throws of them.
 */
export function createFileOnce(path: string, what: string, write: (unnamed: string) => void): void {
  const unnamed = `${path}.${randomUUID()}.new`;
  try {
    createFolder(dirname(path));
    closeSync(openSync(unnamed, "wx", 0o600));
    try {
      write(unnamed);
      linkSync(unnamed, path);
    } finally {
      rmSync(unnamed);
    }
    syncFolder(dirname(path));
  } catch (error) {
    if (error instanceof StoreError) throw error;
    if (hasCode(error, "EEXIST") && existsSync(path)) return;
    const code = hasCode(error, "ENOSPC") ? "store-full" : "store-unwritable";
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreError(code, `${what} ${path} cannot be created (${reason})`, { cause: error });
  }
}
