/**
 * What a sidecar goes by before it has a certificate: which control plane to believe, and how to prove what it is itself. In a
 * pod that comes in files of the kubelet's, which may be there late, and are replaced while it runs: so they are read anew for
 * every attempt, and what is wrong with them may be right at the next one.
 */
import { readFile } from "node:fs/promises";
import type { IssueSvidRequest } from "../../common/gen/mesh/v1/identity.ts";
import { trustDomainFromString } from "../../common/spiffe/trust-domain.ts";
import { certificatesFromPem } from "../../common/x509/pem.ts";
import type { ControlPlaneTarget } from "./control-plane.ts";

export class CredentialFileError extends Error {
  override readonly name = "CredentialFileError";
  readonly code: "unreadable" | "malformed";

  constructor(code: CredentialFileError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface TrustAnchor {
  /** Throws CredentialFileError. */
  read(): Promise<ControlPlaneTarget>;
}

/** `address` is `host:port`; `bundle` the path of a PEM file. */
export function createTrustAnchor(options: {
  readonly address: string;
  readonly trustDomain: { readonly name: string } | { readonly file: string };
  readonly bundle: string;
}): TrustAnchor {
  const { address, trustDomain, bundle } = options;
  return {
    async read() {
      const authorities = await readCredential("trust bundle", bundle, (text) => {
        certificatesFromPem(text);
        return text;
      });
      if ("name" in trustDomain) return { address, authorities, trustDomain: trustDomain.name };
      return { address, authorities, trustDomain: await readCredential("trust domain", trustDomain.file, trustDomainFromString) };
    },
  };
}

export interface Proof {
  /** Whether it may be shown again: then nothing is given up as long as the sidecar runs, because the next answer may be another. */
  readonly repeatable: boolean;
  /** Throws CredentialFileError. */
  read(): Promise<NonNullable<IssueSvidRequest["proof"]>>;
}

export function createProof(given: { readonly joinToken: string } | { readonly kubernetesTokenFile: string }): Proof {
  if ("joinToken" in given) {
    const proof = { $case: "joinToken", value: { token: given.joinToken } } as const;
    return { repeatable: false, read: () => Promise.resolve(proof) };
  }
  return {
    repeatable: true,
    async read() {
      const token = await readCredential("service-account token", given.kubernetesTokenFile, (text) => {
        if (text === "") throw new TypeError("it is empty");
        return text;
      });
      return { $case: "kubernetes", value: { token } };
    },
  };
}

async function readCredential<T>(what: string, path: string, parse: (text: string) => T): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : message;
    throw new CredentialFileError("unreadable", `the ${what} cannot be read from ${path}: ${why}`, { cause: error });
  }
  try {
    return parse(text.trim());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CredentialFileError("malformed", `${path} holds no ${what}: ${why}`, { cause: error });
  }
}
