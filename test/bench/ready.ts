/**
 * Waits until the application's own answer comes back through a peer. Asking again and again is the only way: nginx, HAProxy
 * and Envoy do not say when they listen, and a caller's sidecar does not say when it has learnt of a new endpoint.
 */
import { request } from "node:http";
import { connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { grpcFrame, grpcPath, pageBody } from "./answers.ts";
import { BenchError } from "./errors.ts";
import type { Target } from "./load/target.ts";
import type { Running } from "./processes.ts";

const readyMs = 20_000;
const retryMs = 50;

/** Asks for the page. Rejects with BenchError `bad-response` at the deadline, or with why one of `through` ended. */
export function waitForPage(name: string, target: Target, through: readonly Running[], signal: AbortSignal): Promise<void> {
  return waitFor(name, (limit) => askForPage(target, limit), through, signal);
}

/** Calls the gRPC method, and holds its answer to all that makes it one. Rejects as `waitForPage`. */
export function waitForCall(name: string, target: Target, through: readonly Running[], signal: AbortSignal): Promise<void> {
  return waitFor(name, (limit) => callOnce(target, limit), through, signal);
}

/** `ask` resolves to undefined for a proper answer, otherwise to what was wrong with it. */
async function waitFor(
  name: string,
  ask: (signal: AbortSignal) => Promise<string | undefined>,
  through: readonly Running[],
  signal: AbortSignal,
): Promise<void> {
  const limit = AbortSignal.timeout(readyMs);
  const stop = AbortSignal.any([signal, ...through.map((running) => running.ended)]);
  let last = "";
  while (!limit.aborted) {
    try {
      const wrong = await ask(AbortSignal.any([stop, limit]));
      if (wrong === undefined) return;
      last = wrong;
    } catch (error) {
      stop.throwIfAborted();
      last = error instanceof Error ? error.message : String(error);
    }
    await delay(retryMs);
  }
  throw new BenchError("bad-response", `${name}: no proper answer within ${readyMs / 1000} s; the last was: ${last}`);
}

function askForPage(target: Target, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const headers = target.host === undefined ? {} : { host: target.host };
    const call = request(`${target.origin}/`, { agent: false, headers, signal }, (response) => {
      let body = "";
      response.setEncoding("latin1");
      response.on("data", (text: string) => (body += text));
      response.on("error", reject);
      response.on("end", () => {
        const proper = response.statusCode === 200 && body === pageBody;
        resolve(proper ? undefined : `status ${response.statusCode}, ${JSON.stringify(body.slice(0, 200))}`);
      });
    });
    call.on("error", reject);
    call.end();
  });
}

function callOnce(target: Target, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const session = connect(target.origin);
    const stop = () => session.destroy(new Error("stopped"));
    signal.addEventListener("abort", stop, { once: true });
    session.on("error", reject);
    session.on("close", () => {
      signal.removeEventListener("abort", stop);
      reject(new Error("closed without an answer"));
    });
    const call = session.request({
      ":method": "POST",
      ":path": grpcPath,
      ":authority": target.host ?? new URL(target.origin).host,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const parts: Buffer[] = [];
    let head = "no head";
    let status = "no trailers";
    call.on("response", (fields) => (head = `${fields[":status"]} ${fields["content-type"]}`));
    call.on("trailers", (fields) => (status = String(fields["grpc-status"])));
    call.on("data", (chunk: Buffer) => parts.push(chunk));
    call.on("error", reject);
    call.on("close", () => {
      const body = Buffer.concat(parts);
      const proper = head === "200 application/grpc" && status === "0" && body.equals(grpcFrame(pageBody));
      resolve(proper ? undefined : `${head}, grpc-status ${status}, ${JSON.stringify(body.toString("latin1").slice(0, 200))}`);
      session.close();
    });
    call.end(grpcFrame("ready?"));
  });
}
