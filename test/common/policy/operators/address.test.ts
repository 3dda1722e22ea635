import { BlockList, isIP, isIPv4 } from "node:net";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ipAddress } from "../../../../common/policy/operators/address.ts";
import { contextFromEntries } from "../../../../common/policy/request-context.ts";

const nothing = contextFromEntries([]);
const inNetwork = (network: string, address: string): boolean | undefined => ipAddress([network], { variables: true })(address, nothing);

describe("IpAddress", () => {
  it.each([
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.4", false],
    ["10.1.2.3/8", "10.9.9.9", true],
    ["0.0.0.0/0", "255.255.255.255", true],
    ["0.0.0.0/0", "::1", false],
    ["128.0.0.0/1", "255.0.0.1", true],
    ["128.0.0.0/1", "127.0.0.1", false],
    ["10.0.0.1/32", "10.0.0.1", true],
    ["::/0", "2001:db8::1", true],
    ["::/0", "10.0.0.1", false],
    ["2001:db8::/32", "2001:DB8:ffff::", true],
    ["2001:db8::/33", "2001:db8:8000::", false],
    ["2001:db8::/33", "2001:db8:7fff::", true],
    ["fe80::/10", "febf::1", true],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["1::2", "1:0:0:0:0:0:0:2", true],
    ["::", "0::0", true],
    // A dual-stack socket reports IPv4 peers in mapped form.
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["10.0.0.0/8", "::ffff:a01:203", true],
    ["::ffff:10.0.0.0/104", "10.1.2.3", true],
    ["::ffff:0:0/96", "192.168.0.1", true],
    ["::ffff:10.1.2.3", "10.1.2.3", true],
  ])("%s has %s: %j", (network, address, expected) => {
    expect(inNetwork(network, address)).toBe(expected);
  });

  it.each([
    "",
    " 10.0.0.1",
    "10.0.0.1 ",
    "10.0.0",
    "10.0.0.0.1",
    "10.0.0.256",
    "010.0.0.1",
    "0x0a.0.0.1",
    "10.0..1",
    "+1.0.0.1",
    "1e1.0.0.1",
  ])("%j is no address", (text) => {
    expect(inNetwork("0.0.0.0/0", text)).toBeUndefined();
  });

  it.each([
    ":",
    ":::",
    "1::2::3",
    "12345::",
    "g::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::1%eth0",
    "[::1]",
    "1:2:3:4:5:6:7::8",
    "::1.2.3",
    "1.2.3.4::",
    "::1:",
  ])("%j is no address", (text) => {
    expect(inNetwork("::/0", text)).toBeUndefined();
  });

  it.each([
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0.0/8.0",
    "::/129",
    "::ffff:0:0/95",
    "10.0.0.0-10.0.0.9",
    "localhost",
    "10.0.0.*",
  ])("%j is refused in a policy", (text) => {
    expect(() => inNetwork(text, "10.0.0.1")).toThrow(expect.objectContaining({ code: "invalid-condition" }));
  });

  it("agrees with node's BlockList", () => {
    const network = fc.oneof(fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 32 })), fc.tuple(fc.ipV6(), fc.integer({ min: 1, max: 128 })));
    fc.assert(
      fc.property(network, fc.oneof(fc.ipV4(), fc.ipV6()), ([base, bits], other) => {
        fc.pre(!isMapped(base) && !isMapped(other));
        for (const address of [base, other]) {
          const list = new BlockList();
          list.addSubnet(base, bits, family(base));
          const expected = family(address) === family(base) && list.check(address, family(address));
          expect(inNetwork(`${base}/${bits}`, address)).toBe(expected);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("takes for an address what node takes for one", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ unit: fc.constantFrom("0", "1", "2", "3", "f", "F", ":", "."), maxLength: 18 })),
        (text) => {
          expect(inNetwork("10.0.0.0/8", text) !== undefined).toBe(isIP(text) !== 0);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

function family(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}

function isMapped(address: string): boolean {
  const list = new BlockList();
  list.addSubnet("::ffff:0:0", 96, "ipv6");
  return family(address) === "ipv6" && list.check(address, "ipv6");
}
