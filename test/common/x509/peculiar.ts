/**
 * @peculiar/x509, an oracle that shares no code with ours. It wants the decorator metadata of `reflect-metadata`, of which it uses these
 * three functions.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>();

Object.assign(Reflect, {
  getMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  getOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  defineMetadata(key: unknown, value: unknown, target: object) {
    metadata.set(target, (metadata.get(target) ?? new Map<unknown, unknown>()).set(key, value));
  },
});

export const peculiar = await import("@peculiar/x509");
