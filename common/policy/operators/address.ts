/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IPAddress */
import { ipFromString, networkContains, networkFromString, type IpNetwork } from "../../net/ip.ts";
import { PolicyError } from "../error.ts";
import type { CompileValues } from "./operator.ts";

/** In one of the networks, a bare address being a network of one. */
export const ipAddress: CompileValues = (values) => {
  const networks = values.map(requiredNetwork);
  return (candidate) => {
    const address = ipFromString(candidate);
    if (address === undefined) return undefined;
    for (const network of networks) if (networkContains(network, address)) return true;
    return false;
  };
};

function requiredNetwork(text: string): IpNetwork {
  const network = networkFromString(text);
  if (network !== undefined) return network;
  throw new PolicyError("invalid-condition", `${JSON.stringify(text)} is neither an IP address nor a network such as 10.0.0.0/8`);
}
