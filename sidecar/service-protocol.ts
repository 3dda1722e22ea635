/** What a port of a service speaks, as the service declares it. */
export const serviceProtocols = ["http", "h2", "grpc", "tcp"] as const;
export type ServiceProtocol = (typeof serviceProtocols)[number];

/** Throws TypeError for a protocol that this sidecar does not know: to guess at one would be to judge its bytes by other rules. */
export function serviceProtocolFromString(text: string): ServiceProtocol {
  const protocol = serviceProtocols.find((each) => each === text);
  if (protocol === undefined) throw new TypeError(`${JSON.stringify(text)} is no protocol`);
  return protocol;
}
