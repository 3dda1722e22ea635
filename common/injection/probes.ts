/**
 * Probes of application containers come from the node, outside the mesh, so the sidecar answers them: each becomes an HTTP GET on
 * its health port, for which it asks the application itself. `httpGet` with a host of its own and ports that no container of the
 * name declares are left as they are; `exec` needs nothing.
 */
import type { Json } from "./cel.ts";
import { asList, asObject, asText, type JsonObject } from "./json.ts";
import { farewellPath, healthPort, probePrefix, proxyContainerName } from "./names.ts";

const probeFields = ["livenessProbe", "readinessProbe", "startupProbe"] as const;
const hookFields = ["postStart", "preStop"] as const;

/** One field of a container that asks something, and what the sidecar asks in its place, such as `http:8080/healthz`. */
interface Rewritten {
  readonly target: string;
  readonly handler: JsonObject;
}

/**
 * Rewrites what the containers ask, and returns all that the sidecar has to answer, without duplicates, in the order of the
 * containers. What was rewritten before is left alone, and counts.
 */
export function rewriteProbes(containers: readonly JsonObject[]): { readonly containers: readonly JsonObject[]; readonly probes: string } {
  const targets = new Set<string>();
  const rewrite = (holder: JsonObject, fields: readonly string[], ports: Json | undefined, hook: boolean): JsonObject => {
    const changed = fields.flatMap((field) => {
      const found = asObject(holder[field]) && rewriteHandler(asObject(holder[field]) ?? {}, ports, hook);
      if (!found) return [];
      targets.add(found.target);
      return [[field, found.handler] as const];
    });
    return { ...holder, ...Object.fromEntries(changed) };
  };
  const rewritten = containers.map((container) => {
    const probed = rewrite(container, probeFields, container["ports"], false);
    const lifecycle = asObject(container["lifecycle"]);
    return lifecycle === undefined ? probed : { ...probed, lifecycle: rewrite(lifecycle, hookFields, container["ports"], true) };
  });
  return { containers: rewritten, probes: [...targets].join(",") };
}

function rewriteHandler(handler: JsonObject, ports: Json | undefined, hook: boolean): Rewritten | undefined {
  const { httpGet, tcpSocket, grpc, ...rest } = handler;
  const http = asObject(httpGet);
  if (http !== undefined) {
    const path = asText(http["path"]) || "/";
    if (http["port"] === healthPort && path === farewellPath) return undefined;
    if (http["port"] === healthPort && path.startsWith(probePrefix)) {
      return { target: path.slice(probePrefix.length).replace("/", ":"), handler };
    }
    const port = portOf(http["port"], ports);
    if (port === 0 || asText(http["host"]) !== "") return undefined;
    const kind = asText(http["scheme"]) === "HTTPS" ? "https" : "http";
    const target = `${kind}:${port}${path.startsWith("/") ? "" : "/"}${escape(path)}`;
    return { target, handler: { ...handler, httpGet: { ...http, path: pathOf(target), port: healthPort, scheme: "HTTP" } } };
  }
  // A hook knows tcpSocket only by name: Kubernetes refuses to run it.
  if (hook) return undefined;
  const tcp = asObject(tcpSocket);
  const rpc = asObject(grpc);
  const asked = tcp ?? rpc;
  const port = portOf(asked?.["port"], ports);
  if (asked === undefined || port === 0 || asText(asked["host"]) !== "") return undefined;
  const service = asText(rpc?.["service"]);
  const target = tcp === undefined ? `grpc:${port}${service === "" ? "" : `/${escape(service)}`}` : `tcp:${port}`;
  return { target, handler: { ...rest, httpGet: { path: pathOf(target), port: healthPort, scheme: "HTTP" } } };
}

/** 0 for a name that the container gives to no port. */
function portOf(port: Json | undefined, ports: Json | undefined): number {
  if (typeof port === "number") return port;
  const named = asList(ports).find((each) => asObject(each)?.["name"] === port && port !== undefined);
  const number = asObject(named)?.["containerPort"];
  return typeof number === "number" ? number : 0;
}

/** A comma ends a probe in the sidecar's variable, and a dollar sign begins a reference to another one. */
function escape(path: string): string {
  return path.replaceAll(",", "%2C").replaceAll("$", "%24");
}

function pathOf(target: string): string {
  return probePrefix + target.replace(":", "/");
}

/** The same in CEL: variables `handlers` (what asks something) and `asked` (what is rewritten), and the patches. */
const eachContainer = `["containers", "initContainers"].map(list, object.spec[?list].orValue([]).transformList(index, container,
  list == "containers" || container.?restartPolicy.orValue("") == "Always" && container.name != "${proxyContainerName}" ? [
    ["livenessProbe", "readinessProbe", "startupProbe"].filter(field, field in container).map(field, {
      "at": dyn("/spec/" + list + "/" + string(index) + "/" + field),
      "handler": dyn(container[field]),
      "hook": dyn(false),
      "ports": container[?"ports"].orValue(dyn([]))
    }),
    ["postStart", "preStop"].filter(field, "lifecycle" in container && field in container.lifecycle).map(field, {
      "at": dyn("/spec/" + list + "/" + string(index) + "/lifecycle/" + field),
      "handler": dyn(container.lifecycle[field]),
      "hook": dyn(true),
      "ports": container[?"ports"].orValue(dyn([]))
    })
  ].flatten() : []
).flatten()).flatten()`;

const withForm = `variables.handlers.map(each, each.handler.filter(form, form in ["httpGet", "tcpSocket", "grpc"]).map(form, {
  "at": each.at,
  "form": dyn(form),
  "hook": each.hook,
  "how": each.handler[form],
  "ports": each.ports
})).flatten()`;

const withPort = `variables.forms.map(each, {
  "at": each.at,
  "form": each.form,
  "hook": each.hook,
  "how": each.how,
  "port": dyn(type(each.how.?port.orValue(0)) == int ? each.how.port :
    (each.ports.filter(port, port.?name.orValue("") == each.how.port).map(port, port.containerPort) + [0])[0])
})`;

const ownProbe = `each.form == "httpGet" && each.how.port == ${healthPort} && each.how.?path.orValue("").startsWith("${probePrefix}")`;
const escaped = (path: string) => `${path}.replace(",", "%2C").replace("$", "%24")`;
const httpPath = `(each.how.?path.orValue("") == "" ? "/" : each.how.path)`;

const farewell = `each.form == "httpGet" && each.how.port == ${healthPort} && each.how.?path.orValue("") == "${farewellPath}"`;

const asked = `variables.ports.filter(each, ${ownProbe} ||
  !(${farewell}) && each.port != 0 && each.how.?host.orValue("") == "" && (each.form == "httpGet" || !each.hook)
).map(each, {
  "at": each.at,
  "form": each.form,
  "done": dyn(${ownProbe}),
  "target": dyn(${ownProbe} ? each.how.path.substring(${probePrefix.length}).replace("/", ":", 1) :
    each.form == "httpGet" ? (each.how.?scheme.orValue("") == "HTTPS" ? "https:" : "http:") + string(each.port) +
      (${httpPath}.startsWith("/") ? "" : "/") + ${escaped(httpPath)} :
    each.form == "tcpSocket" ? "tcp:" + string(each.port) :
    "grpc:" + string(each.port) + (each.how.?service.orValue("") == "" ? "" : "/" + ${escaped("each.how.service")}))
})`;

/** In the order in which they refer to each other. */
export const probeVariables: readonly { readonly name: string; readonly expression: string }[] = [
  { name: "handlers", expression: eachContainer },
  { name: "forms", expression: withForm },
  { name: "ports", expression: withPort },
  { name: "asked", expression: asked },
  { name: "probes", expression: `variables.asked.map(each, string(each.target)).distinct().join(",")` },
];

const newPath = `"${probePrefix}" + string(each.target).replace(":", "/", 1)`;

/** A list of JSONPatch. */
export const probePatches = `variables.asked.filter(each, !each.done).map(each, each.form == "httpGet" ? [
    JSONPatch{op: "add", path: each.at + "/httpGet/path", value: ${newPath}},
    JSONPatch{op: "add", path: each.at + "/httpGet/port", value: ${healthPort}},
    JSONPatch{op: "add", path: each.at + "/httpGet/scheme", value: "HTTP"}
  ] : [
    JSONPatch{op: "remove", path: each.at + "/" + each.form},
    JSONPatch{op: "add", path: each.at + "/httpGet", value: {"path": dyn(${newPath}), "port": dyn(${healthPort}), "scheme": dyn("HTTP")}}
  ]).flatten()`;
