/** Loads the search for a conflicting kube-proxy, if our rules can conflict with one at all. */
import type { ConflictOptions, ConflictWait } from "./conflicting-kube-proxy.ts";

export const NO_CONFLICT: ConflictWait = {
  noConflict: Promise.resolve(true),
  gone: Promise.resolve(),
  stop() {},
};

/** Waits for the end of a kube-proxy that writes the same chains as Sluice. */
export async function waitForConflictEnd(options: ConflictOptions): Promise<ConflictWait> {
  if (!options.own.sharesKubeProxyChains) return NO_CONFLICT;
  const { waitForConflictingKubeProxy } = await import("./conflicting-kube-proxy.ts");
  return waitForConflictingKubeProxy(options);
}
