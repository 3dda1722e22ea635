/** Served to h2load: many requests, bodies, small windows, small tables. Nothing fails. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lacking, run } from "./programs.ts";
import { bytesOf, startSite, type Site } from "./site.ts";

const because = lacking("h2load");

describe.skipIf(because !== "")(`h2load${because}`, () => {
  let site: Site;
  let folder: string;
  beforeAll(async () => {
    site = await startSite();
    folder = mkdtempSync(join(tmpdir(), "h2load-"));
    writeFileSync(join(folder, "body"), bytesOf(1 << 20));
  });
  afterAll(async () => {
    await site[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  interface Load {
    readonly requests: string;
    readonly statuses: string;
    /** Bytes of bodies. */
    readonly received: number;
  }

  async function load(requests: number, path: string, ...options: readonly string[]): Promise<Load> {
    const { stdout } = await run("h2load", ["-n", String(requests), ...options, `${site.origin}${path}`]);
    const line = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? stdout;
    await site.until(() => site.transports.size === 0);
    expect(site.errors).toEqual([]);
    expect(site.resets).toEqual([]);
    return {
      requests: line(/^requests: (.*)$/m),
      statuses: line(/^status codes: (.*)$/m),
      received: Number(line(/ \((\d+)\) data$/m)),
    };
  }

  const served = (count: number, bytes: number): Load => ({
    requests: `${count} total, ${count} started, ${count} done, ${count} succeeded, 0 failed, 0 errored, 0 timeout`,
    statuses: `${count} 2xx, 0 3xx, 0 4xx, 0 5xx`,
    received: bytes,
  });

  it("100,000 requests on 8 connections of 32 streams", async () => {
    expect(await load(100_000, "/", "-c8", "-m32")).toEqual(served(100_000, 600_000));
  });

  it("as many streams as we allow, and more connections than cores", async () => {
    expect(await load(20_000, "/", "-c32", "-m256")).toEqual(served(20_000, 120_000));
  });

  it("responses of 1 MiB, in windows of any size", async () => {
    for (const bits of [30, 16, 10]) {
      expect(await load(64, "/bytes/1048576", "-c2", "-m8", `-w${bits}`, `-W${bits}`)).toEqual(served(64, 64 << 20));
    }
  });

  it("frames of 1 MiB", async () => {
    expect(await load(64, "/bytes/4194304", "-c2", "-m4", "-f", "1M")).toEqual(served(64, 256 << 20));
  });

  it("requests of 1 MiB, held to our windows", async () => {
    expect(await load(64, "/digest", "-c2", "-m8", "-d", join(folder, "body"))).toEqual(served(64, 64 * 73));
  });

  it("both ways at once", async () => {
    expect(await load(64, "/echo", "-c2", "-m8", "-w14", "-W16", "-d", join(folder, "body"))).toEqual(served(64, 64 << 20));
  });

  it.each(["0", "1K", "64K"])("header tables of %s, with large fields that come again", async (size) => {
    const fields = ["-H", `x-token: ${"t".repeat(700)}`, "-H", "x-tenant: a", "-H", `cookie: ${"c".repeat(300)}`];
    const tables = [`--header-table-size=${size}`, `--encoder-header-table-size=${size}`];
    const { received, ...said } = await load(5000, "/fields", "-c4", "-m32", ...tables, ...fields);
    expect(said).toEqual({ requests: served(5000, 0).requests, statuses: served(5000, 0).statuses });
    expect(received).toBeGreaterThan(5000 * 1000);
  });
});
