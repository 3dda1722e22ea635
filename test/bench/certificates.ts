/** Certificates for the other proxies' mTLS: one CA and two leaves, ECDSA P-256 as our own, made by openssl. */
import { execFile } from "node:child_process";
import { copyFile, appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Paths of PEM files. */
export interface Leaf {
  readonly certificate: string;
  readonly key: string;
  /** Both in one file. */
  readonly combined: string;
  /** Its DNS name. */
  readonly name: string;
}

export interface Certificates {
  readonly authority: string;
  /** Of the proxy beside the caller. */
  readonly caller: Leaf;
  /** Of the proxy before the application. */
  readonly receiver: Leaf;
}

const newKey = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
const leafExtensions = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature",
  "extendedKeyUsage=serverAuth,clientAuth",
];

export async function makeCertificates(folder: string, signal: AbortSignal): Promise<Certificates> {
  const openssl = (args: readonly string[]) => promisify(execFile)("openssl", args, { signal });
  const authority = join(folder, "ca.pem");
  const authorityKey = join(folder, "ca.key");
  await openssl([...newKey, "-subj", "/CN=bench CA", "-keyout", authorityKey, "-out", authority]);
  const leaf = async (role: string): Promise<Leaf> => {
    const name = `${role}.bench`;
    const certificate = join(folder, `${role}.pem`);
    const key = join(folder, `${role}.key`);
    const combined = join(folder, `${role}-combined.pem`);
    const extensions = [`subjectAltName=DNS:${name}`, ...leafExtensions].flatMap((extension) => ["-addext", extension]);
    const issuer = ["-CA", authority, "-CAkey", authorityKey];
    await openssl([...newKey, ...issuer, "-subj", `/CN=${name}`, ...extensions, "-keyout", key, "-out", certificate]);
    await copyFile(certificate, combined);
    await appendFile(combined, await readFile(key));
    return { certificate, key, combined, name };
  };
  return { authority, caller: await leaf("caller"), receiver: await leaf("receiver") };
}
