/**
 * What somebody needs who is on the network and holds one certificate of the mesh: an attested identity, a session, a
 * request signed by hand and sent as bytes. The transcript uses it to show what is refused; tests use it as well.
 */
import { createSecretKey, hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { createField } from "../../common/http/field.ts";
import { systemClock } from "../../common/runtime/clock.ts";
import { addressFromString } from "../../common/runtime/environment.ts";
import { createLogging } from "../../common/runtime/logger.ts";
import { formatAmzDate } from "../../common/sigv4/amz-date.ts";
import { deriveSigningKey } from "../../common/sigv4/signing-key.ts";
import { createRequestSigner } from "../../common/sigv4/sign.ts";
import { callUnary, connectControlPlane, type ControlPlaneTarget } from "../../sidecar/sync/control-plane.ts";
import { createProof } from "../../sidecar/sync/proof.ts";
import { attest } from "../../sidecar/sync/svid.ts";
import { tlsProfile, type Identity } from "../../sidecar/tls/profile.ts";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";

/** Proves itself with a join token, as a sidecar does. */
export async function becomeWorkload(target: ControlPlaneTarget, joinToken: string, signal: AbortSignal): Promise<Identity> {
  const log = createLogging({ name: "intruder", level: "silent" }).logger;
  const anchor = { read: () => Promise.resolve(target) };
  const options = { anchor, proof: createProof({ joinToken }), clock: systemClock, random: Math.random, log };
  return (await attest(options, () => undefined, signal)).identity;
}

export async function assumeRole(
  target: ControlPlaneTarget,
  identity: Identity,
  roleArn: string,
  name: string,
): Promise<AssumeRoleResponse> {
  const controlPlane = connectControlPlane(target, identity);
  try {
    return await callUnary(
      controlPlane.tokens.assumeRole.bind(controlPlane.tokens),
      { roleArn, roleSessionName: name, durationSeconds: 0, policy: "", tags: {}, sourceIdentity: "" },
      { timeoutMs: 5000 },
    );
  } finally {
    controlPlane.close();
  }
}

export async function targetOf(address: string, trustDomain: string, bundle: string): Promise<ControlPlaneTarget> {
  return { address, trustDomain, authorities: await readFile(bundle, "utf8") };
}

export interface HandmadeRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface SigningOptions {
  readonly credentials: Pick<AssumeRoleResponse, "accessKeyId" | "secretAccessKey" | "sessionToken">;
  readonly region: string;
  /** `orders.shop` */
  readonly scopeService: string;
  /** Epoch milliseconds of the request's date. */
  readonly date: number;
  /** More headers to sign. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Signs as any SDK does. */
export function signByHand(request: Omit<HandmadeRequest, "headers">, options: SigningOptions): HandmadeRequest {
  const { credentials, region, scopeService } = options;
  const amzDate = formatAmzDate(Math.floor(options.date / 1000));
  const date = amzDate.slice(0, 8);
  // What the header says is what is signed, also where it is not true.
  const payloadHash = options.headers?.["x-amz-content-sha256"] ?? hash("sha256", request.body);
  const headers: Record<string, string> = {
    "x-amz-date": amzDate,
    "x-amz-content-sha256": payloadHash,
    "x-amz-security-token": credentials.sessionToken,
    ...options.headers,
  };
  const sign = createRequestSigner({
    accessKeyId: credentials.accessKeyId,
    signingKey: createSecretKey(deriveSigningKey(credentials.secretAccessKey, date, region, scopeService)),
    date,
    region,
    service: scopeService,
  });
  const [path = "/", query = ""] = request.path.split("?");
  const fields = Object.entries(headers).map(([name, value]) => createField(name, value));
  const authorization = sign({ method: request.method, path, query, host: createField("host", request.host), fields, payloadHash });
  return { ...request, headers: { ...headers, authorization } };
}

export interface Outcome {
  /** 0 when the connection was closed without an answer. */
  readonly status: number;
  readonly reason: string;
  readonly decision: string;
  /** Of the connection, when there was no answer. */
  readonly error: string;
}

/** Sends it straight to an inbound port over mutual TLS. */
export function sendOverTls(
  address: string,
  identity: Pick<Identity, "certificateChain" | "privateKey" | "authorities">,
  request: HandmadeRequest,
): Promise<Outcome> {
  const target = addressFromString(address);
  if (!target) throw new TypeError(`${address} is not an address`);
  return new Promise((resolve) => {
    const sent = httpsRequest(
      {
        host: target.host,
        port: target.port,
        method: request.method,
        path: request.path,
        headers: { host: request.host, ...request.headers, "content-length": String(Buffer.byteLength(request.body)) },
        agent: new Agent({
          cert: identity.certificateChain,
          key: identity.privateKey,
          ca: identity.authorities,
          minVersion: tlsProfile.minVersion,
          ALPNProtocols: ["http/1.1"],
          // The sidecar's name is its SPIFFE id, and this is about what it lets in.
          checkServerIdentity: () => undefined,
        }),
      },
      (response) => {
        const header = (name: string) => String(response.headers[name] ?? "");
        response.resume();
        response.once("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            reason: header("x-countersign-reason"),
            decision: header("x-countersign-decision"),
            error: "",
          }),
        );
      },
    );
    sent.once("error", (error: NodeJS.ErrnoException) =>
      resolve({ status: 0, reason: "", decision: "", error: error.code ?? error.message }),
    );
    sent.end(request.body);
  });
}
