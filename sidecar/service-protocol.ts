/** What a port of a service speaks, as the service declares it. */
export const serviceProtocols = ["http", "h2", "grpc", "tcp"] as const;
/** `auto`: the service declares nothing, and first bytes tell. */
export type ServiceProtocol = (typeof serviceProtocols)[number] | "auto";

/** Whether every call to such a port is judged by itself, so that nobody may tunnel past that. */
export function isHttp(protocol: ServiceProtocol): boolean {
  return protocol === "http" || protocol === "h2" || protocol === "grpc";
}

/** Throws TypeError for a protocol that this sidecar does not know: to guess at one would be to judge its bytes by other rules. */
export function serviceProtocolFromString(text: string): ServiceProtocol {
  if (text === "") return "auto";
  const protocol = serviceProtocols.find((each) => each === text);
  if (protocol === undefined) throw new TypeError(`${JSON.stringify(text)} is no protocol`);
  return protocol;
}
