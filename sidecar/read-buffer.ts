/**
 * Where every socket of this process is read into: what came is dealt with, or copied, before the next read begins. One buffer
 * for all of them stays in the processor's cache; left to itself, Node takes 64 KiB anew for each read of a TLS socket, and a
 * quiet connection spends its time collecting them.
 */
export const readBuffer: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
