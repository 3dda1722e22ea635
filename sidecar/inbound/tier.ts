/** The controls that a service's tier asks for: by the value of what is protected. */

export interface Tier {
  readonly name: "critical" | "standard" | "basic";
  /** Whether a call without a signature is refused. Otherwise the identity of the mTLS peer decides. */
  readonly signatureRequired: boolean;
  /** Whether `UNSIGNED-PAYLOAD` will do. */
  readonly unsignedPayload: boolean;
  /** Whether a service may take signatures in the query: within its life such a request is good any number of times. */
  readonly presigned: boolean;
  /** `foreign`: clients that are not sidecars are held to it as well, by the signatures seen. */
  readonly replay: "foreign" | "sidecars" | "none";
  /** Seconds a session may last to be accepted. */
  readonly maxSessionSeconds: number;
  /** Every allowed call is recorded, not a sample. */
  readonly recordAll: boolean;
}

const tiers: Readonly<Record<Tier["name"], Tier>> = {
  critical: {
    name: "critical",
    signatureRequired: true,
    unsignedPayload: false,
    presigned: false,
    replay: "foreign",
    maxSessionSeconds: 15 * 60,
    recordAll: true,
  },
  standard: {
    name: "standard",
    signatureRequired: true,
    unsignedPayload: true,
    presigned: true,
    replay: "sidecars",
    maxSessionSeconds: 3600,
    recordAll: false,
  },
  basic: {
    name: "basic",
    signatureRequired: false,
    unsignedPayload: true,
    presigned: true,
    replay: "none",
    maxSessionSeconds: 12 * 3600,
    recordAll: false,
  },
};

/** Throws TypeError for a name that is not a tier: an unknown one must not fall back to a laxer one. */
export function tierFromString(name: string): Tier {
  if (name === "critical" || name === "standard" || name === "basic") return tiers[name];
  throw new TypeError(`unknown tier ${JSON.stringify(name)}`);
}
