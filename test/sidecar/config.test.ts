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
