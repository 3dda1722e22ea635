/** As a client of nghttpd: bodies both ways, padding, trailers, tables and windows of all sizes, its limit of streams. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../../bench/ports.ts";
import { openCaller, type Caller } from "./caller.ts";
import { lacking, start } from "./programs.ts";
import { bytesOf } from "./site.ts";

const because = lacking("nghttpd");
const large = bytesOf(8 << 20);

describe.skipIf(because !== "")(`nghttpd${because}`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "nghttpd-"));
    writeFileSync(join(folder, "small"), "hello\n");
    writeFileSync(join(folder, "large"), large);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function serve(...options: readonly string[]): Promise<{ server: AsyncDisposable; caller: () => Promise<Caller> }> {
    const [port] = await freePorts(1);
    const server = await start("nghttpd", ["-v", "--no-tls", "-a", "127.0.0.1", "-d", folder, ...options, String(port)], /listen /);
    return { server, caller: () => openCaller({ port: port!, host: "127.0.0.1" }) };
  }

  it.each<[string, readonly string[]]>([
    ["as it is", []],
    ["padding its frames", ["-b", "255"]],
    ["without a header table of ours", ["-c", "0"]],
    ["without a header table of its own", ["--encoder-header-table-size=0"]],
    ["with a small header table", ["-c", "100"]],
    ["with small windows", ["-w", "10", "-W", "16"]],
  ])("%s, answers and takes 8 MiB beside 300 small calls", async (_, options) => {
    const { server, caller } = await serve("--echo-upload", ...options);
    await using _server = server;
    await using client = await caller();
    const fields = { "x-token": "t".repeat(700), "x-tenant": "a" };
    const down = client.ask({ path: "/large" });
    const up = client.ask({ method: "PUT", path: "/anything", body: large, fields: { "content-length": String(large.length) } });
    const small = Array.from({ length: 300 }, () => client.ask({ path: "/small", fields }));
    for (const { status, body } of await Promise.all(small)) expect([status, String(body)]).toEqual([200, "hello\n"]);
    expect((await down).body.equals(large)).toBe(true);
    expect((await up).body.equals(large)).toBe(true);
    expect(client.connection.streamCount()).toBe(0);
  });

  it("gives trailers and takes them", async () => {
    const { server, caller } = await serve("--echo-upload", "--trailer", "x-checksum: 42");
    await using _server = server;
    await using client = await caller();
    expect((await client.ask({ path: "/small" })).trailers).toEqual({ "x-checksum": "42" });
    const sent = await client.ask({ method: "POST", path: "/x", body: Buffer.from("abc"), trailers: { "x-sum": "1" } });
    expect([String(sent.body), sent.trailers]).toEqual(["abc", { "x-checksum": "42" }]);
    const empty = await client.ask({ method: "POST", path: "/x", body: Buffer.from("abc"), trailers: {} });
    expect(String(empty.body)).toBe("abc");
  });

  it("that takes three streams at once is given three", async () => {
    const { server, caller } = await serve("-m", "3");
    await using _server = server;
    await using client = await caller();
    // Until its SETTINGS are here it would refuse what is over its limit.
    expect((await client.ask({ path: "/small" })).status).toBe(200);
    const answers = Array.from({ length: 50 }, () => client.ask({ path: "/large", cancelAt: 100_000 }));
    for (const { status, reset } of await Promise.all(answers)) expect([status, reset]).toEqual([200, "CANCEL"]);
    expect((await client.ask({ path: "/small" })).status).toBe(200);
  });

  it("that would push does not: we forbid it", async () => {
    const { server, caller } = await serve("--push=/small=/large");
    await using _server = server;
    await using client = await caller();
    expect(String((await client.ask({ path: "/small" })).body)).toBe("hello\n");
    expect(client.connection.isClosed()).toBe(false);
  });

  it("waits for a reader that is slow on one stream, and serves the others", async () => {
    const { server, caller } = await serve();
    await using _server = server;
    await using client = await caller();
    const slow = client.ask({ path: "/large", reads: "never" });
    for (let i = 0; i < 20; i++) expect((await client.ask({ path: "/small" })).status).toBe(200);
    const rest = client.ask({ path: "/large" });
    expect((await rest).body.equals(large)).toBe(true);
    expect(client.connection.streamCount()).toBe(1);
    const reads = new AbortController();
    const reading = slow.finally(() => reads.abort());
    while (!reads.signal.aborted) {
      client.readNow();
      await nextTurn();
    }
    expect((await reading).body.equals(large)).toBe(true);
  });

  it("answers early, before it has heard us out", async () => {
    const { server, caller } = await serve("--early-response");
    await using _server = server;
    await using client = await caller();
    const answer = await client.ask({ method: "POST", path: "/small", body: large });
    expect([answer.status, String(answer.body)]).toEqual([200, "hello\n"]);
  });
});
