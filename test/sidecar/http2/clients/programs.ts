/** Programs of others that tests hold the codec to: where they are, and what they say. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
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

/** Starts a server, and waits for a word of it that says that it listens. It is ended, and waited for, when it is disposed of. */
export async function start(program: string, args: readonly string[], ready: RegExp): Promise<AsyncDisposable> {
  const path = findProgram(program);
  if (path === undefined) throw new Error(`${program} is not here`);
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = "";
  const listen = (chunk: Buffer): void => {
    if (said.length > 100_000) return;
    said += chunk.toString("latin1");
    if (ready.test(said)) resolve();
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  child.once("error", reject);
  child.once("exit", () => reject(new Error(`${program} ended: ${said}`)));
  await promise;
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}

/** Files of a key and of its own certificate for `localhost`, made by openssl. */
export async function makeCertificate(folder: string): Promise<{ key: string; certificate: string }> {
  const key = join(folder, "key.pem");
  const certificate = join(folder, "cert.pem");
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
  const { code, stderr } = await run("openssl", [...made, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]);
  if (code !== 0) throw new Error(stderr);
  return { key, certificate };
}
