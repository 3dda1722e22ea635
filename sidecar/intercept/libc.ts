/**
 * The few functions of the C library that Node has no words for. They are called by `node:ffi`, which comes with the Node that
 * this project brings; nothing is compiled and no package is needed. Loaded when first asked for, since most sidecars never do.
 */
import type * as Ffi from "node:ffi";
import { InterceptError } from "./error.ts";

export interface Libc {
  /** 0, or -1 and then `errno`. `size` holds the room in `value`, and afterwards what was filled in; both live outside V8's heap. */
  readonly getsockopt: (fd: number, level: number, name: number, value: Uint8Array, size: Uint8Array) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Uint8Array, size: number) => number;
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Uint8Array, size: number) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly close: (fd: number) => number;
  /** Of its arguments those that the option has; the others are 0. */
  readonly prctl: (option: number, value: bigint, third: bigint, fourth: bigint, fifth: bigint) => number;
  /** Why the call before it failed. */
  readonly errno: () => number;
}

let loaded: Libc | undefined;

/** Throws InterceptError `unsupported-platform` where there is no Linux or no `node:ffi`. */
export function loadLibc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  if (process.platform !== "linux") {
    throw new InterceptError("unsupported-platform", `connections can be intercepted on Linux only, and this is ${process.platform}`);
  }
  try {
    const { dlopen, getInt32 } = ffi();
    // Null is this program itself, which has libc in it already: glibc's or musl's.
    const { functions } = dlopen(null, {
      getsockopt: { arguments: ["i32", "i32", "i32", "buffer", "buffer"], return: "i32" },
      setsockopt: { arguments: ["i32", "i32", "i32", "buffer", "u32"], return: "i32" },
      socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
      bind: { arguments: ["i32", "buffer", "u32"], return: "i32" },
      listen: { arguments: ["i32", "i32"], return: "i32" },
      close: { arguments: ["i32"], return: "i32" },
      prctl: { arguments: ["i32", "u64", "u64", "u64", "u64"], return: "i32" },
      __errno_location: { arguments: [], return: "pointer" },
    });
    const { __errno_location: errnoLocation, ...rest } = functions;
    return { ...rest, errno: () => getInt32(errnoLocation()) };
  } catch (error) {
    throw new InterceptError(
      "unsupported-platform",
      `connections cannot be intercepted: this Node (${process.version}) has no usable node:ffi`,
      {
        cause: error,
      },
    );
  }
}

/** Without the warning that it is experimental: the Node that runs this is pinned, and a sidecar's stderr is read by people. */
function ffi(): typeof Ffi {
  const warn = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule("node:ffi");
  } finally {
    process.emitWarning = warn;
  }
}
