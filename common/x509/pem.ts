/** PEM of certificates (RFC 7468, strict form): one or many `CERTIFICATE` blocks. */
import { X509ProfileError } from "./error.ts";

const block = /-----BEGIN ([^-]+)-----\r?\n([A-Za-z0-9+/=\r\n]*?)-----END ([^-]+)-----/g;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * DER of every certificate in `pem`, in order, at least one. Text between blocks is a comment (RFC 7468 5.2); a block of another kind
 * (a private key in a bundle file, say), a cut block or bad base64 is refused. Throws X509ProfileError `pem`.
 */
export function certificatesFromPem(pem: string): Buffer[] {
  const certificates: Buffer[] = [];
  for (const [, label, body, endLabel] of pem.matchAll(block)) {
    if (label !== "CERTIFICATE" || endLabel !== label) throw new X509ProfileError("pem", `a PEM block is not a certificate but ${label}`);
    const text = body!.replaceAll(/[\r\n]/g, "");
    if (!base64.test(text)) throw new X509ProfileError("pem", "a PEM block is not base64");
    certificates.push(Buffer.from(text, "base64"));
  }
  if (certificates.length === 0 || pem.split("-----BEGIN ").length - 1 !== certificates.length) {
    throw new X509ProfileError("pem", "the text holds no certificate, or one that is cut off");
  }
  return certificates;
}

/** One block: lines of 64 characters, ended by a line feed. `label` is what the block holds, such as `CERTIFICATE`. */
export function encodePem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** One block a certificate, in order. */
export function certificatesToPem(certificates: readonly Buffer[]): string {
  return certificates.map((der) => encodePem("CERTIFICATE", der)).join("");
}
