/** Served to curl, by prior knowledge and by ALPN. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lacking, makeCertificate, run, type Said } from "./programs.ts";
import { bytesOf, startSite, type Site } from "./site.ts";

const because = lacking("curl");
const digest = (bytes: Buffer): string => `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}\n`;

const withoutTls = lacking("curl", "openssl");

it.skipIf(withoutTls !== "")(`curl --http2 comes to HTTP/2 by ALPN${withoutTls}`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "curl-"));
  try {
    const { key, certificate } = await makeCertificate(folder);
    await using site = await startSite({ tls: { key: readFileSync(key), cert: readFileSync(certificate) } });
    const trusted = ["--cacert", certificate, "--resolve", `localhost:${site.port}:127.0.0.1`];
    const url = `https://localhost:${site.port}/digest`;
    const body = bytesOf(8 << 20);
    const said = await run("curl", ["-sS", "--http2", ...trusted, "-w", "%{http_version}", "--data-binary", "@-", url], {
      input: body.toString("latin1"),
    });
    expect(said).toEqual({ code: 0, stdout: `${digest(body)}2`, stderr: "" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe.skipIf(because !== "")(`curl --http2-prior-knowledge${because}`, () => {
  let site: Site;
  beforeAll(async () => {
    site = await startSite();
  });
  afterAll(() => site[Symbol.asyncDispose]());

  const curl = (path: string, options: readonly string[] = [], input = ""): Promise<Said> =>
    run("curl", ["-sS", "--http2-prior-knowledge", ...options, `${site.origin}${path}`], { input });

  it("gets a page, and knows how", async () => {
    expect(await curl("/", ["-w", "%{http_version} %{http_code}\n"])).toEqual({ code: 0, stdout: "hello\n2 200\n", stderr: "" });
  });

  it("asks for a head", async () => {
    expect((await curl("/", ["-I"])).stdout).toBe("HTTP/2 200 \r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\n");
  });

  it("gets 32 MiB, at its own pace", async () => {
    const { stdout } = await curl("/bytes/33554432");
    expect(digest(Buffer.from(stdout, "latin1"))).toBe(digest(bytesOf(32 << 20)));
  });

  it("reads slowly and gets all of it", async () => {
    const { stdout } = await curl("/bytes/2000000", ["--limit-rate", "1M"]);
    expect(digest(Buffer.from(stdout, "latin1"))).toBe(digest(bytesOf(2_000_000)));
  });

  it("sends 32 MiB, of known length and not", async () => {
    const body = bytesOf(32 << 20);
    expect((await curl("/digest", ["-T", "-"], body.toString("latin1"))).stdout).toBe(digest(body));
    expect((await curl("/digest", ["--data-binary", "@-"], body.toString("latin1"))).stdout).toBe(digest(body));
  });

  it("gets its own body back, with trailers", async () => {
    const { stdout, stderr } = await curl("/echo", ["-v", "--data-binary", "@-"], bytesOf(3_000_000).toString("latin1"));
    expect(digest(Buffer.from(stdout, "latin1"))).toBe(digest(bytesOf(3_000_000)));
    expect(stderr).toMatch(/< x-sha256: [0-9a-f]{64}/);
  });

  it("hears 1xx", async () => {
    expect((await curl("/hints", ["-i"])).stdout).toMatch(/^HTTP\/2 103 \r\nlink: [^\n]+\n\r\nHTTP\/2 200 [^]*hinted\n$/);
    const { stdout } = await curl("/digest", ["-i", "-H", "expect: 100-continue", "-d", "abc"]);
    expect(stdout).toMatch(/^HTTP\/2 100 \r\n\r\nHTTP\/2 200 [^]*3 ba7816bf/);
  });

  it("asks 200 things at once", async () => {
    const { code, stdout } = await curl("/bytes/[1-200]", ["-Z", "--parallel-immediate", "--parallel-max", "200"]);
    expect(code).toBe(0);
    expect(stdout).toHaveLength((200 * 201) / 2);
  });

  it("gives up, and we learn of it", async () => {
    expect((await curl("/never", ["--max-time", "0.5"])).code).toBe(28);
    await site.until(() => site.resets.length > 0 && site.transports.size === 0);
    expect(site.resets).toEqual([{ path: "/never", code: expect.stringMatching(/CANCEL|INTERNAL_ERROR/) }]);
  });

  it("is told of a reset", async () => {
    const { code, stderr } = await curl("/reset");
    expect([code, stderr]).toEqual([92, expect.stringContaining("INTERNAL_ERROR")]);
  });
});
