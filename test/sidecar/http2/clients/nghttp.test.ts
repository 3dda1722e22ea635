/** Served to nghttp, which shows every frame: trailers, 1xx, padding, CONTINUATION, table sizes that change, resets, GOAWAY. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lacking, run } from "./programs.ts";
import { bytesOf, startSite, type Site } from "./site.ts";

const because = lacking("nghttp");

describe.skipIf(because !== "")(`nghttp${because}`, () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite();
  });
  afterAll(() => site[Symbol.asyncDispose]());

  /** What nghttp prints of the responses' bodies. */
  async function ask(path: string, options: readonly string[] = [], input = ""): Promise<string> {
    const { code, stdout, stderr } = await run("nghttp", [...options, `${site.origin}${path}`], { input });
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  }

  it("gets a page", async () => {
    expect(await ask("/")).toBe("hello\n");
  });

  it("gets 8 MiB, in small windows and all", async () => {
    expect(await ask("/bytes/8388608", ["-w", "12", "-W", "14"])).toBe(bytesOf(8 << 20).toString("latin1"));
  });

  it("sends a body with trailers, in padded frames", async () => {
    const body = bytesOf(300_000);
    const said = await ask("/digest", ["-d", "-", "--trailer", "x-checksum: 42", "-b", "200"], body.toString("latin1"));
    expect(said).toBe(`300000 ${createHash("sha256").update(body).digest("hex")}\nx-checksum: 42\n`);
  });

  it("gets trailers", async () => {
    const said = await ask("/echo", ["-v", "-d", "-"], "abc");
    expect(said).toMatch(/recv \(stream_id=\d+\) x-sha256: ba7816bf8f01cfea/);
    expect(said).toContain("abc");
  });

  it("waits for 100 (Continue)", async () => {
    const said = await ask("/digest", ["-v", "-d", "-", "--expect-continue"], "abc");
    expect(said).toMatch(/:status: 100[^]*send DATA frame[^]*:status: 200[^]*3 ba7816bf/);
  });

  it("hears 103 before the response", async () => {
    expect(await ask("/hints", ["-v"])).toMatch(/:status: 103[^]*link: <\/style\.css>; rel=preload[^]*:status: 200[^]*hinted/);
  });

  it("sends a head in CONTINUATIONs", async () => {
    const said = await ask("/fields", ["--continuation", "-v"]);
    // The library's frame, which leaves in parts that fit.
    expect(Number(/send HEADERS frame <length=(\d+)/.exec(said)![1])).toBeGreaterThan(16_384);
    expect(said.match(/continuation-test-\d+: -+/g)!.length).toBeGreaterThan(8);
  });

  it("changes its header table, in several steps", async () => {
    const fields = ["-H", `x-token: ${"t".repeat(700)}`, "-m", "20"];
    for (const tables of [
      ["-c", "0"],
      ["-c", "0", "-c", "64K"],
      ["-c", "1K", "-c", "100", "-c", "4K"],
      ["--encoder-header-table-size=0"],
    ]) {
      const said = await ask("/fields", [...fields, ...tables]);
      expect(said.match(/x-token: t{700}\n/g)).toHaveLength(20);
    }
  });

  it("is told when its request is reset, and its connection goes on", async () => {
    const { stdout } = await run("nghttp", ["-v", `${site.origin}/reset`, `${site.origin}/`]);
    expect(stdout).toMatch(/recv RST_STREAM frame[^]*error_code=INTERNAL_ERROR/);
    expect(stdout).toContain("hello");
    expect(stdout).not.toMatch(/recv GOAWAY/);
  });

  it("gets the answer to a request that we did not hear out", async () => {
    const { stdout } = await run("nghttp", ["-v", "-d", "-", `${site.origin}/refuse`], { input: bytesOf(4 << 20).toString("latin1") });
    expect(stdout).toMatch(/:status: 413[^]*too large[^]*recv RST_STREAM frame[^]*error_code=NO_ERROR/);
  });

  it("gives a request up", async () => {
    const before = site.resets.length;
    await run("nghttp", ["-t", "1", `${site.origin}/never`]);
    await site.until(() => site.resets.length > before);
    expect(site.resets.at(-1)!.path).toBe("/never");
  });

  it("is drained: what it had asked is answered", async () => {
    const said = await ask("/drain", ["-v", "-m", "50"]);
    expect(said.match(/^hello$/gm)).toHaveLength(50);
    expect(said).toMatch(/recv GOAWAY frame[^]*last_stream_id=2147483647, error_code=NO_ERROR[^]*recv PING frame/);
  });
});
