import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { codeOf } from "../code-of.ts";
import { BenchError } from "../errors.ts";
import { poissonArrivals } from "./arrivals.ts";
import { responseLength } from "./response-end.ts";
import { runOpenLoop } from "./run-open-loop.ts";

describe("arrivals", () => {
  test("are as many as the rate says, ascending, at random distances", () => {
    const times = poissonArrivals(1000, 10, 1);
    expect(times.length).toBeGreaterThan(9500);
    expect(times.length).toBeLessThan(10_500);
    const gaps = times.subarray(1).map((time, index) => time - times[index]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
    // Of exponential distances, 1/e are longer than the mean.
    expect(gaps.filter((gap) => gap > 1).length / gaps.length).toBeCloseTo(Math.exp(-1), 1);
    expect(times.at(-1)).toBeLessThan(10_000);
  });

  test("are the same for the same seed only", () => {
    expect(poissonArrivals(100, 1, 7)).toEqual(poissonArrivals(100, 1, 7));
    expect(poissonArrivals(100, 1, 7)).not.toEqual(poissonArrivals(100, 1, 8));
  });
});

describe("the end of a response", () => {
  const response = Buffer.from("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello");

  test("is where its length says, once the head is whole", () => {
    const body = response.indexOf("hello");
    for (let cut = 0; cut < response.length; cut++) {
      expect(responseLength(response.subarray(0, cut))).toBe(cut < body ? undefined : response.length);
    }
    expect(responseLength(Buffer.concat([response, response]))).toBe(response.length);
  });

  test.each(["HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"])(
    "anything else is refused: %j",
    (text) => {
      expect(codeOf(() => responseLength(Buffer.from(text)))).toBe("bad-response");
    },
  );
});

describe("the open loop", () => {
  const server = createServer();
  afterEach(() => {
    server.removeAllListeners("request");
    server.closeAllConnections();
    server.close();
  });
  const listening = async () => {
    await once(server.listen(0, "127.0.0.1"), "listening");
    return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, host: "app" };
  };
  const never = new AbortController().signal;

  test("asks as often as it is to, whatever the answers do, and counts from when each was due", async () => {
    const hosts = new Set<string | undefined>();
    let asked = 0;
    let hold: (() => void)[] | undefined = [];
    // The first hundred are answered together: whatever waited for them waited.
    server.on("request", (request, response) => {
      hosts.add(request.headers.host);
      asked++;
      const answer = () => void response.end("page");
      if (hold === undefined) answer();
      else if (hold.push(answer) === 100) {
        for (const each of hold) each();
        hold = undefined;
      }
    });
    const result = await runOpenLoop(await listening(), { perSecond: 200, seconds: 1, seed: 1 }, never);
    expect(asked).toBe(result.requests);
    expect(hosts).toEqual(new Set(["app"]));
    // More than it had at the beginning: it did not wait for an answer to ask again.
    expect(result.connections).toBeGreaterThanOrEqual(100);
    expect(result.p50Micros).toBeLessThanOrEqual(result.p99Micros);
    expect(result.p99Micros).toBeLessThanOrEqual(result.p999Micros);
  });

  test("one answer that is not 200 fails it", async () => {
    let asked = 0;
    server.on("request", (_request, response) => {
      response.statusCode = ++asked === 50 ? 503 : 200;
      response.end("page");
    });
    const run = runOpenLoop(await listening(), { perSecond: 500, seconds: 1, seed: 1 }, never);
    await expect(run).rejects.toMatchObject({ name: BenchError.name, code: "bad-response" });
  });
});
