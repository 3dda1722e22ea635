/**
 * Any protocol over TCP through both sidecars, as a tunnel that an explicit proxy's client asks for by CONNECT, to ports that are
 * declared as TCP. Tunnels to others are in proxied-tunnels.test.ts.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect, createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addressOf, call, sendPlain } from "./clients.ts";
import { adminView, until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";
import { openByHand } from "./websocket-peer.ts";

const run = promisify(execFile);
const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");

const echo = (socket: Socket) => void socket.pipe(socket);
let onConnection: (socket: Socket) => void = echo;
const accepted = new Set<Socket>();
const application = createServer({ allowHalfOpen: true }, (socket) => {
  accepted.add(socket);
  socket.on("error", () => undefined);
  onConnection(socket);
});

let pair: Pair;
beforeAll(async () => {
  pair = await startPair(application, application, "tcp");
});
afterAll(async () => {
  for (const socket of accepted) socket.destroy();
  await pair?.mesh.stop();
});
beforeEach(() => {
  onConnection = echo;
  accepted.clear();
});

async function open(authority = "target:80", behind = Buffer.alloc(0)): Promise<Socket> {
  const { socket, status } = await openByHand(pair.outbound, [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`], behind);
  expect(status).toBe(200);
  return socket;
}

/** All that comes until the other side ends its own. */
async function heard(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => parts.push(chunk));
  socket.resume();
  await once(socket, "end");
  return Buffer.concat(parts);
}

/** Writes until `total` bytes are taken, or for as long as somebody takes any. */
function pour(socket: Socket, total: number): { readonly sent: () => number; readonly done: Promise<void> } {
  let sent = 0;
  const done = (async () => {
    for (; sent < total; sent += megabyte.length) if (!socket.write(megabyte)) await once(socket, "drain");
  })();
  return { sent: () => sent, done };
}

describe("bytes", () => {
  test("go both ways, line by line", async () => {
    const socket = await open();
    socket.resume();
    for (const line of ["one\n", "two\n", "\0\xff\x80\n"]) {
      socket.write(line, "latin1");
      const [back] = (await once(socket, "data")) as [Buffer];
      expect(back.toString("latin1")).toBe(line);
    }
    socket.resetAndDestroy();
  });

  test("of a server that speaks first arrive before the client has said anything", async () => {
    onConnection = (socket) => socket.write("220 ready\r\n");
    const socket = await open();
    socket.resume();
    const [greeting] = (await once(socket, "data")) as [Buffer];
    expect(greeting.toString()).toBe("220 ready\r\n");
    socket.resetAndDestroy();
  });

  test("right behind the CONNECT arrive", async () => {
    const socket = await open("target:80", Buffer.from("early"));
    socket.end(" and late");
    expect((await heard(socket)).toString()).toBe("early and late");
  });

  test("10 MiB each way at once", async () => {
    const socket = await open();
    const answer = heard(socket);
    await pour(socket, 10 * megabyte.length).done;
    socket.end();
    expect((await answer).equals(Buffer.concat(Array.from({ length: 10 }, () => megabyte)))).toBe(true);
  });

  test("curl -p", async () => {
    onConnection = (socket) =>
      socket.once("data", (head: Buffer) =>
        socket.end(`HTTP/1.0 200 OK\r\nX-Line: ${head.toString().split("\r\n")[0]}\r\n\r\nfrom within`),
      );
    const { stdout } = await run("curl", ["-sS", "-i", "-p", "-x", `http://${pair.outbound}`, "--max-time", "30", "http://target/inside"]);
    expect(stdout).toContain("X-Line: GET /inside HTTP/1.1");
    expect(stdout).toContain("from within");
  });

  test("by way of an application's HTTP/2", async () => {
    const session = connectHttp2(`http://${pair.outbound}`);
    const stream = session.request({ ":method": "CONNECT", ":authority": "target:80" }, { endStream: false });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    expect(headers[":status"]).toBe(200);
    stream.end("through two kinds of tunnel");
    expect((await stream.toArray()).join("")).toBe("through two kinds of tunnel");
    session.close();
  });
});

describe("each side ends on its own", () => {
  test("the client first", async () => {
    onConnection = (socket) => void heard(socket).then((all) => socket.end(`heard ${all.length} bytes`));
    const socket = await open();
    socket.write(megabyte);
    socket.end();
    expect((await heard(socket)).toString()).toBe(`heard ${megabyte.length} bytes`);
  });

  test("the server first", async () => {
    const all = Promise.withResolvers<Buffer>();
    onConnection = (socket) => {
      socket.end("that is all");
      all.resolve(heard(socket));
    };
    const socket = await open();
    expect((await heard(socket)).toString()).toBe("that is all");
    socket.end("and the client goes on");
    expect((await all.promise).toString()).toBe("and the client goes on");
  });

  test("the client with its CONNECT", async () => {
    onConnection = (socket) => void heard(socket).then((all) => socket.end(`heard ${all.toString()}`));
    const { host, port } = addressOf(pair.outbound);
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.end("CONNECT target:80 HTTP/1.1\r\nHost: target:80\r\n\r\nin one breath");
    expect((await heard(socket)).toString()).toMatch(/^HTTP\/1\.1 200 .*heard in one breath$/s);
  });
});

describe("a cut is no end", () => {
  test("by the client", async () => {
    const socket = await open();
    await until("the application has the connection", () => accepted.size > 0);
    const failed = once([...accepted][0] as Socket, "error");
    socket.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  });

  test("by the application", async () => {
    onConnection = (socket) => void socket.once("data", () => socket.resetAndDestroy());
    const socket = await open();
    const failed = once(socket, "error");
    socket.resume();
    socket.write("x");
    expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  });
});

describe("back pressure", () => {
  const total = 64 * megabyte.length;
  /** What sockets keep on either side, and the windows between. */
  const underWay = 32 * megabyte.length;

  test("of an application that does not read", async () => {
    const reading = Promise.withResolvers<void>();
    let count = 0;
    onConnection = (socket) => {
      void reading.promise.then(() =>
        socket.on("data", (chunk: Buffer) => (count += chunk.length)).on("end", () => socket.end(String(count))),
      );
    };
    const socket = await open();
    const { sent, done } = pour(socket, total);
    onConnection = echo;
    await otherTunnelsWork();
    expect(sent()).toBeLessThan(underWay);
    reading.resolve();
    await done;
    socket.end();
    expect((await heard(socket)).toString()).toBe(String(total));
  });

  test("of a client that does not read", async () => {
    let sent = () => 0;
    onConnection = (socket) => {
      const poured = pour(socket, total);
      ({ sent } = poured);
      void poured.done.then(() => socket.end());
    };
    const socket = await open();
    socket.pause();
    await until("the application has begun", () => sent() > 0);
    onConnection = echo;
    await otherTunnelsWork();
    expect(sent()).toBeLessThan(underWay);
    expect((await heard(socket)).length).toBe(total);
    socket.end();
  });

  async function otherTunnelsWork(): Promise<void> {
    for (let index = 0; index < 20; index++) {
      const other = await open();
      other.end("quick");
      expect((await heard(other)).toString()).toBe("quick");
    }
  }
});

interface Cluster {
  readonly endpoints: readonly { readonly inFlight: number }[];
}

test("two hundred tunnels at once, of which nothing is left", async () => {
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const socket = await open();
      socket.end(`tunnel ${index}`);
      return (await heard(socket)).toString();
    }),
  );
  expect(answers).toEqual(answers.map((_, index) => `tunnel ${index}`));
  await until("no call is under way", async () => {
    const clusters = await adminView<Cluster[]>(pair.mesh.sidecar("caller"), "/clusters");
    return clusters.every(({ endpoints }) => endpoints.every(({ inFlight }) => inFlight === 0));
  });
});

describe("refusals", () => {
  test.each([
    ["a policy's", "guarded:80", 403, "no-allow"],
    ["of what is no service", "nobody:80", 502, "unknown-destination"],
    ["where nobody listens", "absent:80", 503, "upstream-refused"],
  ])("%s", async (_, authority, expected, reason) => {
    const { socket, status, headers } = await openByHand(pair.outbound, [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`]);
    expect([status, headers.get("x-countersign-reason")]).toEqual([expected, reason]);
    expect(accepted.size).toBe(0);
    socket.resetAndDestroy();
  });

  test("the connection may ask for something else afterwards", async () => {
    onConnection = (socket) => void socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    const answer = await sendPlain(
      pair.outbound,
      "CONNECT guarded:80 HTTP/1.1\r\nHost: guarded:80\r\n\r\nGET / HTTP/1.1\r\nHost: classic\r\nConnection: close\r\n\r\n",
    );
    expect([...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)).toEqual(["403", "200"]);
  });

  test.each([
    "CONNECT target HTTP/1.1\r\nHost: target",
    "CONNECT /path HTTP/1.1\r\nHost: target",
    "CONNECT target:80 HTTP/1.1\r\nHost: other:80",
  ])("%j is 400", async (head) => {
    expect(await sendPlain(pair.outbound, `${head}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("are counted as Connect on the port", async () => {
    await openByHand(pair.outbound, ["CONNECT guarded:80 HTTP/1.1", "Host: guarded:80"]).then(({ socket }) => socket.destroy());
    const decisions = await adminView<{ decision: string; action: string; resource: string }[]>(pair.mesh.sidecar("target"), "/decisions");
    expect(decisions.findLast(({ decision }) => decision === "deny")).toMatchObject({
      action: "guarded:Connect",
      resource: "arn:mesh:guarded:test.example:shop:port/80",
    });
    expect((await call(pair.outbound, { host: "nobody" })).status).toBe(502);
  });
});
