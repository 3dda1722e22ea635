import { describe, expect, test } from "vitest";
import { compileExternalServices, maySpeak } from "../../../../sidecar/outbound/egress/external-services.ts";
import { external } from "./snapshots.ts";

describe("listed hosts", () => {
  const services = compileExternalServices([
    external("api.example *.cdn.example", "443/tls 80/http"),
    external("*.example", "443/tls 8443/tls"),
    external("img.cdn.example", "443/tls", { policyRequired: true }),
    external("203.0.113.7 2001:db8::1", "5432/tcp", { addresses: ["10.0.0.0/8"] }),
  ]);
  const hostOf = (host: string, port: number) => services.find(host, port)?.host;

  test.each([
    ["api.example", 443, "api.example"],
    ["api.example", 80, "api.example"],
    // No exact name is listed for that port.
    ["api.example", 8443, "*.example"],
    ["api.example", 22, undefined],
    ["img.cdn.example", 443, "img.cdn.example"],
    ["img.cdn.example", 80, "*.cdn.example"],
    ["a.b.cdn.example", 443, undefined],
    ["cdn.example", 443, "*.example"],
    ["example", 443, undefined],
    [".example", 443, "*.example"],
    ["other.test", 443, undefined],
    ["constructor", 443, undefined],
    ["203.0.113.7", 5432, "203.0.113.7"],
    ["2001:db8::1", 5432, "2001:db8::1"],
    ["203.0.113.8", 5432, undefined],
  ])("%s on %i is %s", (host, port, expected) => {
    expect(hostOf(host, port)).toBe(expected);
  });

  test("a wildcard is no address's", () => {
    const wide = compileExternalServices([external("*.0.0.1 *.254", "80/http")]);
    expect(wide.find("127.0.0.1", 80)).toBeUndefined();
  });

  test("an address is where it is, whatever else is listed", () => {
    const found = services.find("203.0.113.7", 5432);
    expect(found).toMatchObject({ resolved: false, networks: [{ bits: 32 }] });
  });

  test("listed by several: protocols and addresses of each, a policy if one demands it", () => {
    const both = compileExternalServices([
      external("a.example", "80/http", { addresses: ["10.0.0.0/8"] }),
      external("a.example", "80/tls", { addresses: ["10.1.0.0/16"], policyRequired: true }),
    ]);
    const found = both.find("a.example", 80);
    expect(found).toMatchObject({ policyRequired: true, resolved: false });
    expect([...(found?.protocols ?? [])]).toEqual(["http", "tls"]);
    expect(found?.networks).toHaveLength(2);
    const byName = compileExternalServices([
      external("a.example", "80/http", { addresses: ["10.0.0.0/8"] }),
      external("a.example", "80/http"),
    ]);
    expect(byName.find("a.example", 80)).toMatchObject({ resolved: true });
  });

  test("are listed by port", () => {
    expect(services.onPort(5432).map(({ host }) => host)).toEqual(["203.0.113.7", "2001:db8::1"]);
    expect(services.onPort(1)).toEqual([]);
  });

  test.each([
    ["http", ["http1", "h2"]],
    ["h2", ["h2"]],
    ["grpc", ["h2"]],
    ["tls", ["tls"]],
    ["tcp", ["http1", "h2", "tls", "tcp"]],
  ])("where %s is declared, %j may be spoken", (protocol, expected) => {
    const found = compileExternalServices([external("a.example", `1/${protocol}`)]).find("a.example", 1);
    expect(found && (["http1", "h2", "tls", "tcp"] as const).filter((each) => maySpeak(found, each))).toEqual(expected);
  });

  test("what is not understood is not guessed at", () => {
    expect(() => compileExternalServices([external("a.example", "1/quic")])).toThrow(TypeError);
    expect(() => compileExternalServices([external("a.example", "1/tls", { addresses: ["10.0.0.0/99"] })])).toThrow(TypeError);
  });
});
