/** Calls of which each needs a new connection between the two proxies: one at a time, hung up after each. */
import { Agent, request } from "node:http";
import { pageBody } from "../answers.ts";
import { BenchError } from "../errors.ts";
import type { Relay } from "./relay.ts";
import type { Target } from "./target.ts";

function askOnce(target: Target, agent: Agent, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = target.host === undefined ? {} : { host: target.host };
    const sent = request(`${target.origin}/`, { agent, headers, signal }, (response) => {
      let body = "";
      response.setEncoding("latin1");
      response.on("data", (text: string) => (body += text));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && body === pageBody) resolve();
        else reject(new BenchError("bad-response", `status ${response.statusCode} on a new connection: ${body.slice(0, 200)}`));
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

/**
 * Resolves to the number of calls, which is that of handshakes. Throws BenchError `bad-response` where a call fails or did not
 * need exactly one connection.
 */
export async function runChurn(target: Target, relay: Relay, seconds: number, signal: AbortSignal): Promise<number> {
  // The application's connection to the caller's proxy stays.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    await relay.hangUp();
    const before = relay.count();
    const end = performance.now() + seconds * 1000;
    let calls = 0;
    while (performance.now() < end) {
      try {
        await askOnce(target, agent, signal);
      } catch (error) {
        signal.throwIfAborted();
        throw error instanceof BenchError ? error : new BenchError("bad-response", String(error), { cause: error });
      }
      calls++;
      await relay.hangUp();
    }
    const connections = relay.count() - before;
    if (connections !== calls) throw new BenchError("bad-response", `${calls} calls made ${connections} connections`);
    return calls;
  } finally {
    agent.destroy();
  }
}
