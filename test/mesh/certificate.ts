/** Certificates that have nothing to do with the mesh, for TLS of the programs' own. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./harness.ts";

/** Signed by its own key, by openssl. By the names of files that programs find them in. */
export function makeCertificate(name: string): Readonly<Record<"key.pem" | "cert.pem", string>> {
  const folder = temporaryFolder();
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  try {
    execFileSync("openssl", ["req", ...kind, ...names, "-keyout", key, "-out", cert], { stdio: "pipe" });
    return { "key.pem": readFileSync(key, "utf8"), "cert.pem": readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
