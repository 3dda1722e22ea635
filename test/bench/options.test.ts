import { describe, expect, test } from "vitest";
import { codeOf } from "./code-of.ts";
import { optionsFrom, workNames } from "./options.ts";
import { worksOf } from "./works.ts";

describe("options", () => {
  test("--quick is small requests, nginx and ours at 32 connections, and leaves the rest to be chosen", () => {
    expect(optionsFrom(["--quick", "--rounds", "5"], true)).toEqual({
      works: ["http1-63B"],
      peers: ["nginx", "countersign"],
      connections: [32],
      rounds: 5,
      seconds: 4,
      json: undefined,
      profile: undefined,
    });
  });

  test("Envoy is a peer where it is installed, and where it is asked for", () => {
    const peersOf = (args: readonly string[], hasEnvoy: boolean) => {
      const options = optionsFrom(args, hasEnvoy);
      return options === "help" ? [] : options.peers.filter((peer) => peer.startsWith("envoy"));
    };
    expect(peersOf([], false)).toEqual([]);
    expect(peersOf([], true)).toEqual(["envoy-h1", "envoy-h2"]);
    expect(peersOf(["--peers", "envoy-h2"], false)).toEqual(["envoy-h2"]);
  });

  test("--only takes names and what they begin with, each once, in the order in which they run", () => {
    expect(optionsFrom(["--only", "latency,grpc-unary,latency-1000rps"], false)).toMatchObject({
      works: ["grpc-unary", "latency-1000rps", "latency-5000rps"],
    });
    expect(optionsFrom(["--only", "memory", "--quick"], false)).toMatchObject({ works: ["memory"], peers: ["nginx", "countersign"] });
  });

  test("every work that can be asked for is there, in that order", () => {
    expect(worksOf([1, 32]).map(({ name }) => name)).toEqual(workNames);
  });

  test.each([
    [["--connections", "1,x"], '--connections: expected a whole number from 1 to 1024, got "x"'],
    [["--rounds", "0"], '--rounds: expected a whole number from 1 to 100, got "0"'],
    [["--peers", "ngin"], '--peers: no peer "ngin"; there are direct, nginx, haproxy-h1'],
    [["--only", "lat"], '--only: nothing called "lat"; there are http1-63B, grpc-unary'],
    [["--peers", "nginx", "--json", "x.json"], "--json is about countersign, which --peers leaves out"],
    [["--frobnicate"], "Unknown option '--frobnicate'"],
  ])("%j is refused in one line", (args, message) => {
    expect(() => optionsFrom(args, false)).toThrow(message);
    expect(codeOf(() => optionsFrom(args, false))).toBe("bad-option");
  });
});
