/** Annotations by which a pod tunes its sidecar, and what makes sense in each: in TypeScript, and in CEL for the API server. */
import { networkFromString } from "../net/ip.ts";
import { logLevels } from "../runtime/logger.ts";
import { celList, celString } from "./cel.ts";
import { injectAnnotation } from "./names.ts";

export interface TuningAnnotation {
  readonly annotation: string;
  /** Completes the sentence "expected …". */
  readonly expected: string;
  readonly isValid: (value: string) => boolean;
  /** Whether `value`, an expression, makes sense. Never an error, whatever the text. */
  readonly cel: (value: string) => string;
}

const portRange = "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$";
const portRanges = {
  expected: "ports from 1 to 65535, such as 22,8000-8010",
  isValid: (value: string) => value === "" || value.split(",").every(isPortRange),
  cel: (value: string) =>
    `(${value} == "" || ${value}.split(",").all(range, range.matches(${celString(portRange)}) && ` +
    `range.split("-").all(port, int(port) >= int(range.split("-")[0]) && int(port) <= 65535)))`,
};

function isPortRange(text: string): boolean {
  const [first = "", last = first] = text.split("-");
  return new RegExp(portRange).test(text) && Number(first) <= Number(last) && Number(last) <= 65_535;
}

/** A sidecar needs about 100 MiB before its first call. */
const leastMemory = "96Mi";
const cpuPattern = "^(?:[1-9][0-9]{0,5}m|[1-9][0-9]{0,2}(?:[.][0-9]{1,3})?|0[.][0-9]{0,2}[1-9])$";
const memoryPattern = "^[1-9][0-9]{0,5}[MG]i$";

function mebibytes(value: string): number {
  return Number.parseInt(value, 10) * (value.endsWith("Gi") ? 1024 : 1);
}

/** IPv4 written as IPv6: the API server takes it for no address. */
const mapped = /:.*[.]/;

export const tuning = {
  excludeOutboundPorts: { annotation: "countersign.dev/exclude-outbound-ports", ...portRanges },
  excludeInboundPorts: { annotation: "countersign.dev/exclude-inbound-ports", ...portRanges },
  excludeOutboundCidrs: {
    annotation: "countersign.dev/exclude-outbound-cidrs",
    expected: "addresses or networks, such as 10.0.0.0/8,fd00::/8",
    isValid: (value: string) =>
      value === "" || value.split(",").every((each) => networkFromString(each) !== undefined && !mapped.test(each)),
    cel: (value: string) => `(${value} == "" || ${value}.split(",").all(each, isCIDR(each) || isIP(each)))`,
  },
  cpu: {
    annotation: "countersign.dev/proxy-cpu",
    expected: "an amount of CPU, such as 100m or 0.5",
    isValid: (value: string) => new RegExp(cpuPattern).test(value),
    cel: (value: string) => `${value}.matches(${celString(cpuPattern)})`,
  },
  memory: {
    annotation: "countersign.dev/proxy-memory",
    expected: `an amount of memory in Mi or Gi, at least ${leastMemory}`,
    isValid: (value: string) => new RegExp(memoryPattern).test(value) && mebibytes(value) >= mebibytes(leastMemory),
    cel: (value: string) => `(${value}.matches(${celString(memoryPattern)}) && !quantity(${value}).isLessThan(quantity("${leastMemory}")))`,
  },
  logLevel: {
    annotation: "countersign.dev/log-level",
    expected: `one of ${logLevels.join(", ")}`,
    isValid: (value: string) => logLevels.some((level) => level === value),
    cel: (value: string) => `${value} in ${celList(logLevels)}`,
  },
} as const satisfies Readonly<Record<string, TuningAnnotation>>;

export const annotationPrefix = "countersign.dev/";

/** All that a pod may say; any other annotation below `annotationPrefix` is a mistake. */
export const podAnnotations: readonly TuningAnnotation[] = [
  {
    annotation: injectAnnotation,
    expected: "true or false",
    isValid: (value) => value === "true" || value === "false",
    cel: (value) => `${value} in ["true", "false"]`,
  },
  ...Object.values(tuning),
];
