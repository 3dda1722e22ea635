/**
 * `ExternalService`: hosts outside the mesh that workloads may call.
 *
 * It counts for the workloads of its own namespace. One in the namespace of the `Mesh`, `default`, counts for all: whoever may
 * set the mesh's own `egress` may list hosts for everybody, and whoever may only write to a namespace opens nothing for others.
 *
 * To list a host is to allow it, as a resource policy would: no policy is needed beside it, and an explicit Deny of
 * `external:Connect` in a policy of the caller's roles goes before it. With `policy: required` the caller's roles have to
 * allow it as well. Where several list the same host and port, all of their addresses count, and a policy is required if one
 * of them says so; a wildcard counts only where no exact name is listed for that port.
 */
import { z } from "zod";
import { canonicalIp } from "../net/ip.ts";
import { ipNetwork } from "./address.ts";
import { portNumber } from "./names.ts";

export const externalProtocols = ["http", "h2", "grpc", "tls", "tcp"] as const;
export type ExternalProtocol = (typeof externalProtocols)[number];

const hostLabel = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const hostName = new RegExp(`^(?:${hostLabel}\\.)*${hostLabel}$`);
/** What some resolvers take for an IPv4 address ends like this. */
const addressLike = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;

function isHostName(text: string): boolean {
  return text.length <= 253 && hostName.test(text) && !addressLike.test(text);
}

/** A name, `*.` and a name, or an IP address. */
export const externalHost = z
  .string()
  .refine(
    (text) => isHostName(text.startsWith("*.") ? text.slice(2) : text) || canonicalIp(text) !== undefined,
    "a lower-case host name without port, such as api.example.com or *.example.com, or an IP address",
  )
  .transform((text) => canonicalIp(text) ?? text);

export const externalServiceSpec = z.strictObject({
  /** Exact names, `*.` for any one label at the front, or IP addresses. */
  hosts: z.array(externalHost).min(1).max(100),
  ports: z
    .array(
      z.strictObject({
        port: portNumber,
        /**
         * What is spoken there. `tls` is what the application encrypts itself: its host is told by SNI. `tcp` is anything, its host
         * told by the address alone where the bytes tell none.
         */
        protocol: z.enum(externalProtocols),
      }),
    )
    .min(1)
    .transform((ports, context) => {
      const seen = new Set<number>();
      for (const [index, { port }] of ports.entries()) {
        if (seen.has(port)) context.addIssue({ code: "custom", path: [index, "port"], message: "each port once" });
        seen.add(port);
      }
      return ports;
    }),
  /**
   * Where the hosts are. Then only these addresses are connected to, whatever DNS says. Link-local, loopback and multicast
   * addresses and those of cloud metadata are refused everywhere unless a list names them, or a network within them: 0.0.0.0/0 does not.
   */
  addresses: z.array(ipNetwork).min(1).max(100).optional(),
  policy: z.enum(["optional", "required"]).default("optional"),
});

export type ExternalServiceSpec = z.infer<typeof externalServiceSpec>;
