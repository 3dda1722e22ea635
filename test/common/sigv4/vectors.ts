/** AWS's published SigV4 vectors: one folder a case, with the request, its canonical form, string to sign and signature. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createField, type Field } from "../../../common/http/field.ts";
import { normalizeTarget } from "../../../common/http/request-target.ts";

export interface VectorCase {
  readonly name: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly service: string;
  readonly normalize: boolean;
  readonly omitsSessionToken: boolean;
  /** As AWS's signer sends it, with its signature. */
  readonly signed: RawRequest;
  readonly canonicalRequest: string;
  readonly stringToSign: string;
  readonly signature: string;
}

/** Text is latin1: a character is a byte of the file. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly host: Field;
  readonly fields: readonly Field[];
  readonly body: string;
}

const folder = new URL("../../../../shared/vectors/sigv4/", import.meta.url);

/** `header` for the Authorization field, `query` for presigned URLs. Empty where the vectors are not beside the project. */
export function readVectors(kind: "header" | "query"): VectorCase[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => readCase(entry.name, kind));
}

interface Context {
  readonly credentials: { readonly secret_access_key: string };
  readonly normalize: boolean;
  readonly region: string;
  readonly service: string;
  readonly omit_session_token?: boolean;
}

function readCase(name: string, kind: "header" | "query"): VectorCase {
  const read = (file: string) => readFileSync(new URL(`${name}/${file}`, folder), "latin1");
  const context = JSON.parse(read("context.json")) as Context;
  return {
    name,
    secretAccessKey: context.credentials.secret_access_key,
    region: context.region,
    service: context.service,
    normalize: context.normalize,
    omitsSessionToken: context.omit_session_token === true,
    signed: parseRequest(read(`${kind}-signed-request.txt`)),
    canonicalRequest: read(`${kind}-canonical-request.txt`),
    stringToSign: read(`${kind}-string-to-sign.txt`),
    signature: read(`${kind}-signature.txt`).trim(),
  };
}

/** The vectors' requests are looser than HTTP: raw spaces in targets, folded values, bare line feeds. */
function parseRequest(text: string): RawRequest {
  const [head = "", ...body] = text.split("\n\n");
  const [requestLine = "", ...lines] = head.replaceAll(/\n[ \t]+/g, " ").split("\n");
  const [, method = "", target = ""] = /^(\S+) (.*) HTTP\/1\.1$/.exec(requestLine) ?? [];
  const fields = lines
    .filter((line) => line !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return createField(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    });
  const host = fields.find((field) => field.name === "host");
  if (host === undefined) throw new Error("a vector has no host");
  return { method, target, host, fields: fields.filter((field) => field !== host), body: body.join("\n\n").replace(/\n+$/, "") };
}

/** Some of the vectors' targets are no request targets (raw spaces and UTF-8), which a client escapes before it sends them. */
export function pathAndQuery({ normalize, signed }: VectorCase): { path: string; query: string } {
  const mark = signed.target.indexOf("?");
  const path = mark < 0 ? signed.target : signed.target.slice(0, mark);
  const query = mark < 0 ? "" : signed.target.slice(mark + 1);
  if (!normalize || /[^\u0021-\u007e]/.test(path)) return { path, query };
  return { path: normalizeTarget(path, { allowEncodedSlashes: false }).path, query };
}
