import { BlockList, isIP, isIPv4 } from "node:net";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalIp, formatIp, ipFromString, networkContains, networkFromString, networkWithin } from "../../../common/net/ip.ts";

const addresses = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4().map((text) => `::ffff:${text}`),
);

describe("addresses", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["0:0:0:0:0:FFFF:0a00:0001", "10.0.0.1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::", "::"],
    ["::1", "::1"],
    ["fe80::", "fe80::"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
  ])("%s is %s", (text, canonical) => {
    expect(canonicalIp(text)).toBe(canonical);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.04",
    "1.2.3.256",
    "0x7f.0.0.1",
    "127.1",
    " 1.2.3.4",
    "fe80::1%eth0",
    "1::2::3",
    ":::",
    "[::1]",
  ])("%j is none", (text) => {
    expect(ipFromString(text)).toBeUndefined();
  });

  test("are those that Node takes for addresses, and have one form each", () => {
    fc.assert(
      fc.property(fc.oneof(addresses, fc.stringMatching(/^[0-9a-f:.]{0,20}$/)), (text) => {
        const canonical = canonicalIp(text);
        expect(canonical !== undefined).toBe(isIP(text) !== 0);
        expect(canonical === undefined || isIPv4(canonical) ? canonical : new URL(`http://[${canonical}]`).hostname.slice(1, -1)).toBe(
          canonical,
        );
        expect(canonicalIp(canonical ?? "")).toBe(canonical);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("networks", () => {
  test("contain what Node's BlockList says they contain", () => {
    fc.assert(
      fc.property(addresses, addresses, fc.nat(128), (base, address, length) => {
        const network = canonicalIp(base) ?? "";
        const candidate = canonicalIp(address) ?? "";
        // BlockList also finds IPv4 within IPv6 networks that hold all mapped addresses.
        fc.pre(isIPv4(network) === isIPv4(candidate));
        const family = isIPv4(network) ? "ipv4" : "ipv6";
        const bits = length % (family === "ipv4" ? 33 : 129);
        const list = new BlockList();
        list.addSubnet(network, bits, family);
        const ours = networkFromString(`${network}/${bits}`);
        expect(ours && networkContains(ours, ipFromString(address) ?? [])).toBe(list.check(candidate, family));
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["", "/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/-1", "::/129", "::ffff:1.2.3.4/95", "x/8"])(
    "%j is none",
    (text) => {
      expect(networkFromString(text)).toBeUndefined();
    },
  );

  test("lie within each other", () => {
    const within = (inner: string, outer: string) => networkWithin(networkFromString(inner)!, networkFromString(outer)!);
    expect(within("169.254.169.254", "169.254.0.0/16")).toBe(true);
    expect(within("169.254.0.0/16", "169.254.0.0/16")).toBe(true);
    expect(within("0.0.0.0/0", "169.254.0.0/16")).toBe(false);
    expect(within("10.0.0.0/24", "169.254.0.0/16")).toBe(false);
    expect(within("fe80::1", "0.0.0.0/0")).toBe(false);
  });

  test("an address goes round", () => {
    fc.assert(
      fc.property(addresses, (text) => {
        expect(ipFromString(formatIp(ipFromString(text) ?? []))).toEqual(ipFromString(text));
      }),
    );
  });
});
