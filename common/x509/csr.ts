/** Makes the PKCS#10 certification request (RFC 2986) by which a workload asks for an X509-SVID: its key and the proof that it holds it. */
import { sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { encode, encodeBitString, encodeSequence, encodeUnsigned } from "./der-write.ts";
import { ecdsaWithSha256 } from "./signature-algorithm.ts";

const ATTRIBUTES_TAG = 0xa0;
const version1 = encodeUnsigned(Buffer.of(0));
const emptyName = encodeSequence();
const noAttributes = encode(ATTRIBUTES_TAG);

/** `keys` are on P-256. The request names nobody: the id comes from attestation. Returns DER. */
export function createCsr({ publicKey: key, privateKey }: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }): Buffer {
  const publicKey = key.export({ format: "der", type: "spki" });
  const info = encodeSequence(version1, emptyName, publicKey, noAttributes);
  return encodeSequence(info, ecdsaWithSha256, encodeBitString(sign("sha256", info, privateKey)));
}
