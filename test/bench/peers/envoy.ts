/** Envoy, as a sidecar pair has it but without access log and statistics: HTTP/1.1 or HTTP/2 over mTLS between them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Leaf } from "../certificates.ts";
import { freePorts } from "../ports.ts";
import type { Running } from "../processes.ts";
import type { Site } from "../site.ts";
import { applicationPort, readyPeer, relayOf, type PairPlan, type Peer } from "./peer.ts";

type Protocol = "h1" | "h2";

const type = "type.googleapis.com/envoy.extensions";

/** TLS 1.3 on both sides, each with its certificate, ALPN fixed. */
function commonTls(leaf: Leaf, authority: string, protocol: Protocol, peer: string) {
  const san = { match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: peer } }] };
  return {
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: leaf.certificate }, private_key: { filename: leaf.key } }],
    validation_context: { trusted_ca: { filename: authority }, ...san },
    alpn_protocols: [protocol === "h2" ? "h2" : "http/1.1"],
  };
}

interface Side {
  readonly port: number;
  readonly upstreamPort: number;
  readonly downstream: Protocol;
  readonly upstream: Protocol;
  /** `transport_socket` of the listener and of the cluster. */
  readonly serverTls?: object;
  readonly clientTls?: object;
}

function configuration(side: Side): object {
  const address = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const manager = {
    "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    codec_type: side.downstream === "h2" ? "HTTP2" : "HTTP1",
    generate_request_id: false,
    route_config: {
      virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "next", timeout: "0s" } }] }],
    },
    http_filters: [{ name: "router", typed_config: { "@type": `${type}.filters.http.router.v3.Router`, suppress_envoy_headers: true } }],
  };
  const protocol = side.upstream === "h2" ? { http2_protocol_options: {} } : { http_protocol_options: {} };
  return {
    stats_config: { stats_matcher: { reject_all: true } },
    static_resources: {
      listeners: [
        {
          name: "in",
          address: address(side.port),
          filter_chains: [
            {
              filters: [{ name: "http", typed_config: manager }],
              ...(side.serverTls === undefined ? {} : { transport_socket: { name: "tls", typed_config: side.serverTls } }),
            },
          ],
        },
      ],
      clusters: [
        {
          name: "next",
          type: "STATIC",
          connect_timeout: "5s",
          circuit_breakers: { thresholds: [{ max_connections: 8192, max_pending_requests: 8192, max_requests: 8192 }] },
          load_assignment: { cluster_name: "next", endpoints: [{ lb_endpoints: [{ endpoint: { address: address(side.upstreamPort) } }] }] },
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": `${type}.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: protocol,
            },
          },
          ...(side.clientTls === undefined ? {} : { transport_socket: { name: "tls", typed_config: side.clientTls } }),
        },
      ],
    },
  };
}

async function startEnvoy(site: Site, name: string, side: Side): Promise<Running> {
  const file = join(site.folder, `${name}.json`);
  await writeFile(file, JSON.stringify(configuration(side)));
  return site.processes.start(name, "envoy", [
    "--config-path",
    file,
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--log-level",
    "error",
  ]);
}

export async function startEnvoyPair(site: Site, plan: PairPlan, between: Protocol): Promise<Peer> {
  const name = `envoy-${between}` as const;
  const application: Protocol = plan.protocol === "grpc" ? "h2" : "h1";
  const [callerPort = 0, receiverPort = 0] = await freePorts(2);
  const relay = await relayOf(site, plan);
  relay?.aim(receiverPort);
  const { authority, caller: leaf, receiver: peerLeaf } = site.certificates;
  const receiver = await startEnvoy(site, `${name}-receiver`, {
    port: receiverPort,
    upstreamPort: applicationPort(site, plan),
    downstream: between,
    upstream: application,
    serverTls: {
      "@type": `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: commonTls(peerLeaf, authority, between, leaf.name),
    },
  });
  const caller = await startEnvoy(site, `${name}-caller`, {
    port: callerPort,
    upstreamPort: relay?.port ?? receiverPort,
    downstream: application,
    upstream: between,
    clientTls: {
      "@type": `${type}.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: peerLeaf.name,
      // A resumed session would be no new handshake.
      max_session_keys: 0,
      common_tls_context: commonTls(leaf, authority, between, peerLeaf.name),
    },
  });
  const target = { origin: `http://127.0.0.1:${callerPort}`, host: undefined };
  return await readyPeer(name, target, { caller, receiver, relay }, site, plan);
}
