import { describe, expect, test } from "vitest";
import { ipFromString, networkFromString } from "../../../../common/net/ip.ts";
import { isForbidden, isMetadataName } from "../../../../sidecar/outbound/egress/forbidden.ts";

const forbidden = (address: string, ...listed: readonly string[]) =>
  isForbidden(
    ipFromString(address) ?? [],
    listed.flatMap((each) => networkFromString(each) ?? []),
  );

describe("addresses", () => {
  test.each([
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::7f00:1",
    "::ffff:0:127.0.0.1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
  ])("%s is refused, whatever wide network is listed", (address) => {
    expect(forbidden(address)).toBe(true);
    expect(forbidden(address, "0.0.0.0/0", "::/0", "8.8.8.8")).toBe(true);
    expect(forbidden(address, address)).toBe(false);
  });

  test.each([
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "203.0.113.7",
    "fd00::1",
    "2001:db8::1",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "169.253.0.1",
    "223.255.255.255",
  ])("%s is not", (address) => {
    expect(forbidden(address)).toBe(false);
  });

  test("a network within the forbidden one lists what is in it", () => {
    expect(forbidden("169.254.169.254", "169.254.0.0/16")).toBe(false);
    expect(forbidden("169.254.169.254", "169.254.169.0/24")).toBe(false);
    expect(forbidden("169.254.169.254", "169.254.1.0/24")).toBe(true);
    expect(forbidden("169.254.169.254", "169.0.0.0/8")).toBe(true);
    expect(forbidden("fe80::1", "fe80::/10")).toBe(false);
    expect(forbidden("fe80::1", "fe00::/7")).toBe(true);
  });
});

test("names of metadata services", () => {
  expect(isMetadataName("metadata.google.internal")).toBe(true);
  expect(isMetadataName("instance-data")).toBe(true);
  expect(isMetadataName("metadata.example")).toBe(false);
});
