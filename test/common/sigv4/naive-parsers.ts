/**
 * Signatures read as plainly as AWS's pages describe them, sharing nothing with ours: what ours accepts, these must accept,
 * and must read alike. They are laxer in places; ours may refuse more.
 */

export interface NaiveSignature {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
}

function checked(parts: NaiveSignature): NaiveSignature | undefined {
  const credential = parts.credential.split("/");
  const [accessKeyId = "", date = "", region = "", service = "", terminator] = credential;
  if (credential.length !== 5 || accessKeyId === "" || region === "" || service === "" || terminator !== "aws4_request") return undefined;
  if (date.length !== 8 || Number.isNaN(Number(date))) return undefined;
  const names = parts.signedHeaders.split(";");
  const sorted = [...new Set(names)].sort().join(";");
  if (sorted !== parts.signedHeaders || sorted !== sorted.toLowerCase() || !names.includes("host") || names.includes("")) return undefined;
  if (parts.signature.length !== 64 || Buffer.from(parts.signature, "hex").toString("hex") !== parts.signature) return undefined;
  return parts;
}

export function naiveAuthorization(value: string): NaiveSignature | undefined {
  const [scheme, ...rest] = value.split(" ");
  if (scheme !== "AWS4-HMAC-SHA256") return undefined;
  const parts = new Map<string, string>();
  for (const part of rest.join(" ").split(",")) {
    const [name = "", ...values] = part.trim().split("=");
    if (parts.has(name)) return undefined;
    parts.set(name, values.join("="));
  }
  const [credential, signedHeaders, signature] = ["Credential", "SignedHeaders", "Signature"].map((name) => parts.get(name));
  if (parts.size !== 3 || credential === undefined || signedHeaders === undefined || signature === undefined) return undefined;
  return checked({ credential, signedHeaders, signature });
}

export interface NaivePresigned extends NaiveSignature {
  readonly date: string;
  readonly expires: number;
  readonly token: string;
  readonly declared: string | undefined;
  /** Names and values that are not the signature's. */
  readonly others: readonly (readonly [name: string, value: string])[];
}

/** What is no escape stands for itself. */
export function naiveParameters(query: string): [name: string, value: string][] {
  const decode = (text: string) => text.replaceAll(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number(`0x${escape.slice(1)}`)));
  return query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const [name = "", ...values] = part.split("=");
      return [decode(name), decode(values.join("="))];
    });
}

const theirs = ["algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token", "content-sha256"];

export function naivePresigned(query: string): NaivePresigned | undefined {
  const values = new Map<string, string>();
  const others: [string, string][] = [];
  for (const [name, value] of naiveParameters(query)) {
    const short = name.toLowerCase().replace("x-amz-", "");
    if (!theirs.includes(short) || short === name.toLowerCase()) others.push([name, value]);
    else if (values.has(short)) return undefined;
    else values.set(short, value);
  }
  const text = (name: string) => values.get(name) ?? "";
  const expires = Number(text("expires"));
  if (text("algorithm") !== "AWS4-HMAC-SHA256" || !Number.isInteger(expires) || expires < 1 || expires > 604_800) return undefined;
  const parts = checked({ credential: text("credential"), signedHeaders: text("signedheaders"), signature: text("signature") });
  if (parts === undefined || text("date") === "") return undefined;
  return { ...parts, date: text("date"), expires, token: text("security-token"), declared: values.get("content-sha256"), others };
}
