/** What a cluster on this machine needs of it. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** What shows that it is there, and Debian's package of it. */
const needed: readonly (readonly [string, string])[] = [
  ["runc", "runc"],
  ["/usr/lib/cni/bridge", "containernetworking-plugins"],
  ["iptables", "iptables"],
  ["nft", "nftables"],
  ["ip", "iproute2"],
  ["conntrack", "conntrack"],
  ["openssl", "openssl"],
  ["gcc", "gcc"],
  ["/usr/include/stdio.h", "libc6-dev"],
  ["buildah", "buildah"],
  ["debootstrap", "debootstrap"],
  ["curl", "curl"],
  ["python3", "python3"],
];

/** What is missing on this machine, and how to get it; undefined where nothing is. */
export function missingForCluster(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  const packages = needed.filter(([what]) => !isThere(what)).map(([, name]) => name);
  if (packages.length > 0) return `needs apt-get install --no-install-recommends ${packages.join(" ")}`;
  if (!isThere("go")) return "needs Go 1.26";
  if (process.getuid?.() !== 0) return "needs root";
  return undefined;
}

/** The same of somebody else's cluster, which KUBECONFIG names. */
export function missingForForeignCluster(): string | undefined {
  return isThere("kubectl") ? undefined : "needs kubectl in the PATH";
}

function isThere(what: string): boolean {
  if (what.startsWith("/")) return existsSync(what);
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(join(folder, what)));
}
