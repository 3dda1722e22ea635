/**
 * Traffic management across real sidecars: instances that are gone, silent, broken or refusing cost no call that may be made
 * again; what may not is made once; and a service that is slow takes nobody else with it.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { addressOf, call, type Call } from "./clients.ts";
import { listening, startMesh, until, type SidecarSettings, type TestMesh, type TestSidecar } from "./harness.ts";
import { startRelay, type Relay } from "./relay.ts";

const resources = (traffic: string, more = "") => `
{ apiVersion: countersign.dev/v1, kind: Mesh, spec: { trustDomain: test.example } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: caller, namespace: shop }, spec: { calls: [target] } }
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }], traffic: ${traffic} ${more} } }
`;

let mesh: TestMesh | undefined;
const atEnd: (() => void)[] = [];
afterEach(async () => {
  for (const end of atEnd.splice(0)) end();
  await mesh?.stop();
  mesh = undefined;
});

/** A caller, and instances of what it calls. */
async function started(yaml: string, instances: readonly SidecarSettings[]): Promise<{ ask: typeof ask; targets: TestSidecar[] }> {
  const own = await startMesh({ yaml, workloads: { caller: {} } });
  mesh = own;
  const targets: TestSidecar[] = [];
  for (const settings of instances) targets.push(await own.startSidecar("target", settings));
  const { outbound } = own.sidecar("caller");
  const ask = async (request: Partial<Call> = {}) => {
    const { status, body, reason } = await call(outbound, { host: "target", ...request });
    return status === 200 ? body.toString() : `${status} ${reason}`;
  };
  return { ask, targets };
}

/** Values of a metric of the caller's, by its labels as they are written. */
async function metric(name: string): Promise<Map<string, number>> {
  const response = await fetch(`http://${mesh!.sidecar("caller").metrics}/metrics`);
  const values = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    const [, labels = "", value] = /^(?:[a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) values.set(labels, Number(value));
  }
  return values;
}
const total = async (name: string) => [...(await metric(name)).values()].reduce((sum, each) => sum + each, 0);

function application(name: string): Server {
  return createServer((_request, response) => response.end(name));
}
/** Takes every call and breaks off. */
function breakingApplication(seen: string[]): Server {
  return createServer((request) => {
    seen.push(`${request.method} ${request.url}`);
    request.socket.destroy();
  });
}
/** Takes connections, and says nothing. */
async function silence(): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    sockets.add(socket);
  });
  atEnd.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${await listening(server)}`;
}

async function many(count: number, ask: (index: number) => Promise<string>): Promise<Map<string, number>> {
  const answers = new Map<string, number>();
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const answer = await ask(next++);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return answers;
}

describe("instances that fail", () => {
  test.each(["breaks off", "is silent", "refuses", "is cut off"])("one that %s costs no call that may be made again", async (kind) => {
    let relay: Relay | undefined;
    let bad: SidecarSettings = {};
    if (kind === "breaks off") bad = { application: breakingApplication([]) };
    if (kind === "is silent") bad = { application: application("bad"), environment: { COUNTERSIGN_ADVERTISE: await silence() } };
    if (kind === "is cut off") {
      relay = await startRelay();
      const { address } = relay;
      // The connection between the sidecars breaks with every call that is on it.
      bad = { application: createServer(() => relay?.cut()), environment: { COUNTERSIGN_ADVERTISE: address } };
      atEnd.push(() => relay?.close());
    }
    const traffic = "{ connectTimeoutMs: 500, outlierDetection: { consecutiveFailures: 2 } }";
    const { ask, targets } = await started(resources(traffic), [
      { application: application("good") },
      { application: application("well") },
      bad,
    ]);
    relay?.aim(addressOf(targets[2]!.inbound).port);
    const answers = await many(150, (index) =>
      ask({ method: index % 3 === 0 ? "PUT" : "GET", ...(index % 3 === 0 ? { body: "text" } : {}) }),
    );
    expect([...answers.keys()].toSorted()).toEqual(["good", "well"]);
    expect(await total("countersign_outbound_retries_total")).toBeGreaterThan(0);
    // By and by it is left alone.
    await until("it is ejected", async () => {
      await ask();
      return (await total("countersign_outbound_ejections_active")) === 1;
    });
    const before = await total("countersign_outbound_failed_tries_total");
    await many(50, () => ask());
    expect(await total("countersign_outbound_failed_tries_total")).toBe(before);
  });
});

describe("what may not be made again is made once", () => {
  test("a POST that an application broke off", async () => {
    const seen: string[] = [];
    const { ask } = await started(resources("{}"), [
      { application: breakingApplication(seen) },
      { application: breakingApplication(seen) },
      { application: breakingApplication(seen) },
    ]);
    expect(await ask({ method: "POST", path: "/order", body: "one" })).toBe("502 upstream-failed");
    expect(seen).toEqual(["POST /order"]);
    // The same of a GET is tried at each.
    expect(await ask({ path: "/order" })).toBe("502 upstream-failed");
    expect(seen.filter((each) => each === "GET /order")).toHaveLength(3);
  });

  test("no call, where the service says so", async () => {
    const seen: string[] = [];
    const { ask } = await started(resources("{ retries: { attempts: 0 } }"), [
      { application: breakingApplication(seen) },
      { application: breakingApplication(seen) },
    ]);
    expect(await ask()).toBe("502 upstream-failed");
    expect(seen).toHaveLength(1);
  });

  test("any call, when the budget is spent", async () => {
    const seen: string[] = [];
    const { ask } = await started(resources("{ retries: { attempts: 10, budgetPercent: 0 } }"), [
      { application: breakingApplication(seen) },
      { application: breakingApplication(seen) },
    ]);
    const answers = await many(300, () => ask());
    expect([...answers]).toEqual([["502 upstream-failed", 300]]);
    const [retries, overflow] = [
      await total("countersign_outbound_retries_total"),
      await total("countersign_outbound_retries_overflow_total"),
    ];
    // Ten a second whatever happens, and of ten seconds the test takes less than two.
    expect(retries).toBeGreaterThanOrEqual(100);
    expect(overflow).toBeGreaterThan(0);
    expect(retries + overflow).toBe(300);
    expect(seen).toHaveLength(300 + retries);
  });
});

describe("a service that is slow", () => {
  /** Answers when it is told to. */
  function slowApplication(): { server: Server; waiting: ServerResponse[]; gone: () => number } {
    const waiting: ServerResponse[] = [];
    let gone = 0;
    const server = createServer((request, response) => {
      if (request.url === "/fast") {
        response.end("fast");
        return;
      }
      waiting.push(response);
      response.once("close", () => {
        if (!response.writableFinished) gone++;
      });
    });
    return { server, waiting, gone: () => gone };
  }

  /** The connections and the session are there, so that a time-out is the application's alone. */
  async function connected(ask: (request: Partial<Call>) => Promise<string>): Promise<void> {
    await until("there are connections", async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, () => ask({ path: "/fast" })));
      return answers.every((each) => each === "fast");
    });
  }

  test("gets a thousand calls that come at once, over as many connections as they need", async () => {
    const slow = slowApplication();
    const { ask } = await started(resources("{ retries: { attempts: 0 } }"), [{ application: slow.server }]);
    const calls = Array.from({ length: 1000 }, () => ask({ method: "POST", body: "once" }));
    // As many as the receiver opens connections for.
    await until("the application has 512", () => slow.waiting.length === 512);
    await until("all are under way", async () => (await total("countersign_outbound_requests_active")) === 1000);
    slow.server.on("request", (request, response) => {
      if (request.url !== "/fast") response.end("at last");
    });
    for (const response of slow.waiting.splice(0)) response.end("at last");
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["at last"]));
  });

  test("is called by no more at once than it says; the next is refused at once", async () => {
    const slow = slowApplication();
    const { ask } = await started(resources("{ maxConcurrentRequests: 4 }"), [{ application: slow.server }]);
    const calls = Array.from({ length: 4 }, () => ask());
    await until("all are there", () => slow.waiting.length === 4);
    expect(await ask()).toBe("503 circuit-open");
    expect(await metric("countersign_outbound_circuit_open")).toEqual(
      new Map([
        ['destination="target.shop",limit="requests"', 1],
        ['destination="target.shop",limit="pending"', 0],
      ]),
    );
    expect(await total("countersign_outbound_requests_active")).toBe(4);
    for (const response of slow.waiting.splice(0)) response.end("at last");
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 4 }, () => "at last"));
    expect(await ask({ path: "/fast" })).toBe("fast");
    expect(await total("countersign_outbound_requests_active")).toBe(0);
  });

  test("answers 504 when the time is over, and the application learns that nobody waits", async () => {
    const slow = slowApplication();
    const { ask } = await started(resources("{ requestTimeoutMs: 1000 }"), [{ application: slow.server }, { application: slow.server }]);
    await connected(ask);
    expect(await ask()).toBe("504 upstream-timeout");
    // Its time is spent: it was not tried again.
    expect(slow.waiting).toHaveLength(1);
    await until("it is told", () => slow.gone() === 1);
    expect(await ask({ path: "/fast" })).toBe("fast");
    expect(await metric("countersign_outbound_failed_tries_total")).toEqual(new Map([['destination="target.shop",failure="timeout"', 1]]));
  });

  test("may take its time over an answer that has begun", async () => {
    const slow = slowApplication();
    const { ask } = await started(resources("{ requestTimeoutMs: 1000 }"), [{ application: slow.server }]);
    await connected(ask);
    const answer = ask();
    await until("it is there", () => slow.waiting.length === 1);
    slow.waiting[0]?.write("one ");
    // Another call is given up meanwhile, by the same time-out.
    expect(await ask()).toBe("504 upstream-timeout");
    slow.waiting[0]?.end("two");
    expect(await answer).toBe("one two");
  });

  test("is cut off when its answer stops, where the service says so", async () => {
    const slow = slowApplication();
    const { ask } = await started(resources("{ idleTimeoutMs: 100 }"), [{ application: slow.server }]);
    const answer = ask();
    await until("it is there", () => slow.waiting.length === 1);
    slow.waiting[0]?.write("one ");
    await expect(answer).rejects.toMatchObject({ code: "ECONNRESET" });
    await until("it is told", () => slow.gone() === 1);
  });
});

describe("a sidecar that runs out of memory", () => {
  /** A mesh whose caller may use that much. */
  async function withLimit(bytes: number): Promise<string> {
    const own = await startMesh({
      yaml: resources("{}"),
      workloads: { caller: { environment: { COUNTERSIGN_MEMORY_LIMIT: String(bytes) } }, target: { application: application("good") } },
    });
    mesh = own;
    const { outbound } = own.sidecar("caller");
    await until("it has looked", async () => (await total("countersign_overload_memory_ratio")) > 0);
    return outbound;
  }

  test("takes no connections where next to nothing is left", async () => {
    const outbound = await withLimit(1_000_000);
    await expect(call(outbound, { host: "target" })).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await total("countersign_overload_accepting")).toBe(0);
  });

  test("with enough of it serves", async () => {
    const outbound = await withLimit(1e12);
    expect((await call(outbound, { host: "target" })).body.toString()).toBe("good");
  });
});
