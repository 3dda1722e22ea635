/** The three forms of a target besides the common one, `/path?query` (RFC 9112 3.2). Off the hot path. */
import { Http1Error } from "./error.ts";

export interface RequestTarget {
  /** Path and query; `*`; or `host:port` for CONNECT. */
  readonly target: string;
  /** As the target says it; empty where it says none. */
  readonly authority: string;
  readonly scheme: "" | "http" | "https";
}

const host = "(?:[A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])";
const authorityForm = new RegExp(`^${host}:[0-9]{1,5}$`);
const absoluteForm = new RegExp(`^(https?)://(${host}(?::[0-9]{1,5})?)([/?].*)?$`, "i");

function withoutPort(authority: string): string {
  return authority.replace(/:[0-9]+$/, "");
}

function readAuthorityForm(received: string, hostField: string): RequestTarget {
  if (!authorityForm.test(received)) throw new Http1Error("bad-target", "CONNECT to what is not host:port");
  const wanted = received.toLowerCase();
  const named = hostField.toLowerCase();
  // Some clients leave the port out of `host` here.
  if (named !== "" && named !== wanted && named !== withoutPort(wanted)) {
    throw new Http1Error("host-mismatch", "CONNECT to another place than host names");
  }
  return { target: received, authority: received, scheme: "" };
}

/** Reads a target that does not start with `/`. `hostField` is empty when there was none. Throws Http1Error. */
export function readSpecialTarget(method: string, received: string, hostField: string): RequestTarget {
  if (method === "CONNECT") return readAuthorityForm(received, hostField);
  if (received === "*") {
    if (method !== "OPTIONS") throw new Http1Error("bad-target", "* is for OPTIONS alone");
    return { target: "*", authority: "", scheme: "" };
  }
  const [, scheme = "", authority = "", rest = ""] = absoluteForm.exec(received) ?? [];
  if (scheme === "") throw new Http1Error("bad-target", "neither a path nor an http or https URL");
  if (hostField !== "" && hostField.toLowerCase() !== authority.toLowerCase()) {
    throw new Http1Error("host-mismatch", "the target names another host than host does");
  }
  return {
    // RFC 9112 3.2.4: the asterisk form as it passes through proxies.
    target: rest === "" && method === "OPTIONS" ? "*" : rest.startsWith("/") ? rest : `/${rest}`,
    authority,
    scheme: scheme.toLowerCase() === "https" ? "https" : "http",
  };
}
