import { expect, test } from "vitest";
import { ConfigError, type Environment } from "../../common/runtime/environment.ts";
import { readSidecarConfig } from "../../sidecar/config.ts";

const required = {
  COUNTERSIGN_TRUST_DOMAIN: "test.example",
  COUNTERSIGN_CONTROL_PLANE: "127.0.0.1:15012",
  COUNTERSIGN_TRUST_BUNDLE: "bundle.pem",
  COUNTERSIGN_JOIN_TOKEN: "hush",
};

function problemsOf(environment: Environment): readonly string[] {
  try {
    readSidecarConfig({ ...required, ...environment });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test("nothing is intercepted unless it is asked for", () => {
  expect(readSidecarConfig(required)).toMatchObject({
    intercept: "off",
    outbound: { host: "127.0.0.1", port: 15001 },
    inbound: { host: "0.0.0.0", port: 15006 },
    advertise: undefined,
  });
});

test("peers reach the inbound listener where it is bound, unless that is everywhere or a socket handed down", () => {
  const advertise = (environment: Environment) => readSidecarConfig({ ...required, ...environment }).advertise;
  expect(advertise({ COUNTERSIGN_INBOUND: "10.0.0.7:15006" })).toEqual({ host: "10.0.0.7", port: 0 });
  expect(advertise({ COUNTERSIGN_INBOUND: "[::]:15006" })).toBeUndefined();
  expect(advertise({ COUNTERSIGN_INBOUND: "fd:3" })).toBeUndefined();
  expect(advertise({ COUNTERSIGN_INBOUND: "fd:3", COUNTERSIGN_ADVERTISE: "10.0.0.7:15006" })).toEqual({ host: "10.0.0.7", port: 15006 });
});

test("TPROXY needs a socket that the sidecar may not make itself", () => {
  expect(problemsOf({ COUNTERSIGN_INTERCEPT: "tproxy", COUNTERSIGN_INBOUND: "fd:3" })).toEqual([]);
  expect(problemsOf({ COUNTERSIGN_INTERCEPT: "tproxy" })).toEqual([expect.stringMatching(/^COUNTERSIGN_INBOUND: expected fd:<number>/)]);
  expect(problemsOf({ COUNTERSIGN_INTERCEPT: "on" })).toEqual([expect.stringMatching(/^COUNTERSIGN_INTERCEPT: expected one of off/)]);
});

test("the trust domain and the proof are said in one of two ways each, and the error says so", () => {
  const files = {
    COUNTERSIGN_TRUST_DOMAIN: undefined,
    COUNTERSIGN_TRUST_DOMAIN_FILE: "/etc/countersign/trustDomain",
    COUNTERSIGN_JOIN_TOKEN: undefined,
    COUNTERSIGN_KUBERNETES_TOKEN_FILE: "/var/run/secrets/countersign/token",
  };
  expect(readSidecarConfig({ ...required, ...files })).toMatchObject({
    trustDomain: { file: "/etc/countersign/trustDomain" },
    proof: { kubernetesTokenFile: "/var/run/secrets/countersign/token" },
  });
  expect(readSidecarConfig(required)).toMatchObject({ trustDomain: { name: "test.example" }, proof: { joinToken: "hush" } });
  expect(problemsOf({ COUNTERSIGN_KUBERNETES_TOKEN_FILE: "token" })).toEqual([
    "COUNTERSIGN_JOIN_TOKEN or COUNTERSIGN_KUBERNETES_TOKEN_FILE: expected one of the two, found both",
  ]);
  expect(problemsOf({ COUNTERSIGN_JOIN_TOKEN: "", COUNTERSIGN_TRUST_DOMAIN_FILE: "td", COUNTERSIGN_LOG_LEVEL: "loud" })).toEqual([
    expect.stringMatching(/^COUNTERSIGN_LOG_LEVEL: /),
    "COUNTERSIGN_TRUST_DOMAIN or COUNTERSIGN_TRUST_DOMAIN_FILE: expected one of the two, found both",
    "COUNTERSIGN_JOIN_TOKEN or COUNTERSIGN_KUBERNETES_TOKEN_FILE: expected one of the two, found neither",
  ]);
});

test("a pod's address may be of either family, in brackets or not", () => {
  const advertised = (value: string) => readSidecarConfig({ ...required, COUNTERSIGN_ADVERTISE: value }).advertise;
  expect(advertised("[10.0.0.7]:15006")).toEqual({ host: "10.0.0.7", port: 15006 });
  expect(advertised("10.0.0.7:15006")).toEqual({ host: "10.0.0.7", port: 15006 });
  expect(advertised("[fd00::7]:15006")).toEqual({ host: "fd00::7", port: 15006 });
  expect(advertised("fd00::7:15006")).toEqual({ host: "fd00::7", port: 15006 });
  expect(problemsOf({ COUNTERSIGN_ADVERTISE: "fd00::7" })).toEqual([expect.stringMatching(/^COUNTERSIGN_ADVERTISE: expected host:port/)]);
});

test("the application may listen on loopback or on the address that is advertised, unless it is said where", () => {
  const hosts = (environment: Environment) => readSidecarConfig({ ...required, ...environment }).applicationHosts;
  expect(hosts({})).toEqual(["127.0.0.1", "::1"]);
  expect(hosts({ COUNTERSIGN_ADVERTISE: "10.0.0.7:15006" })).toEqual(["127.0.0.1", "10.0.0.7", "::1"]);
  expect(hosts({ COUNTERSIGN_ADVERTISE: "10.0.0.7:15006", COUNTERSIGN_APP: "127.0.0.1:8080" })).toEqual(["127.0.0.1"]);
});

test("probes are listed between commas, and the one that is none is named", () => {
  const { probes } = readSidecarConfig({
    ...required,
    COUNTERSIGN_PROBES: "http:8080/healthz?a=1,2,tcp:6379,grpc:50051/shop.Cart,grpc:50052",
  });
  expect(probes).toEqual([
    { kind: "http", port: 8080, target: "/healthz?a=1,2" },
    { kind: "tcp", port: 6379, target: "" },
    { kind: "grpc", port: 50_051, target: "shop.Cart" },
    { kind: "grpc", port: 50_052, target: "" },
  ]);
  expect(readSidecarConfig({ ...required, COUNTERSIGN_PROBES: "" }).probes).toEqual([]);
  expect(problemsOf({ COUNTERSIGN_PROBES: "http:8080/ok,ftp:21/x,tcp:70000" })).toEqual([
    expect.stringMatching(/^COUNTERSIGN_PROBES: expected http:<port>.*, found "ftp:21\/x"$/),
    expect.stringMatching(/^COUNTERSIGN_PROBES: .*, found "tcp:70000"$/),
  ]);
});
