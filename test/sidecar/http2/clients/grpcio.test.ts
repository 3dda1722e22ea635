/** Served to Python's grpcio (Debian python3-grpcio), whose HTTP/2 is gRPC's own in C++. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findProgram, run } from "./programs.ts";
import { startSite } from "./site.ts";

/** Debian's Python: its packages are not in any other. */
const python = "/usr/bin/python3";
const present = findProgram(python) !== undefined && spawnSync(python, ["-c", "import grpc"]).status === 0;

describe.skipIf(!present)(`grpcio${present ? "" : " (skipped: no python3-grpcio)"}`, () => {
  it("calls in every kind, with metadata, failures, deadlines and cancellation", async () => {
    await using site = await startSite();
    const said = await run(python, [join(import.meta.dirname, "grpcio_client.py"), `127.0.0.1:${site.port}`]);
    expect(said).toEqual({
      code: 0,
      stderr: "",
      stdout:
        "unary\nlarge\nmany\nfailure\nserver streaming\nclient streaming\nbidirectional streaming\nmetadata\ndeadline\ncancellation\n",
    });
    await site.until(() => site.transports.size === 0);
    expect(site.errors).toEqual([]);
    expect(site.resets.map(({ path, code }) => [path, code])).toEqual([
      ["/test.Echo/Wait", "CANCEL"],
      ["/test.Echo/Wait", "CANCEL"],
    ]);
  });
});
