/** Programs of others that tests hold the codec to: where they are, and what they say. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface Said {
  /** 0 for a good end; undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why tests of these programs are skipped, for their titles; empty when all are there. Debian's folders count though a PATH lacks them. */
export function lacking(...programs: readonly string[]): string {
  const absent = programs.filter((name) => findProgram(name) === undefined);
  return absent.length === 0 ? "" : ` (skipped: no ${absent.join(", ")})`;
}

export function findProgram(name: string): string | undefined {
  if (name.startsWith("/")) return existsSync(name) ? name : undefined;
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Runs a program to its end, by default for a minute at most. `input` is its standard input. */
export function run(program: string, args: readonly string[], { input = "", timeout = 50_000 } = {}): Promise<Said> {
  const { promise, resolve, reject } = Promise.withResolvers<Said>();
  const path = findProgram(program);
  if (path === undefined) throw new Error(`${program} is not here`);
  const child = execFile(path, args, { timeout, maxBuffer: 64 << 20, encoding: "latin1" }, (error, stdout, stderr) => {
    if (error !== null && typeof error.code === "string") reject(error);
    else resolve({ code: error === null ? 0 : ((error.code as number | null | undefined) ?? undefined), stdout, stderr });
  });
  child.stdin?.end(input, "latin1");
  return promise;
}
