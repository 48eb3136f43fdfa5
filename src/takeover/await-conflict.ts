/** Loads what looks for a conflicting kube-proxy, where our rules can conflict with one at all. */
import type { RivalOptions, WaitForRival } from "./conflicting-kube-proxy.ts";

export const NO_CONFLICT: WaitForRival = {
  none: Promise.resolve(true),
  gone: Promise.resolve(),
  stop() {},
};

/** Begins to wait for the end of a kube-proxy that writes the chains that are ours. */
export async function awaitConflict(options: RivalOptions): Promise<WaitForRival> {
  if (!options.own.sharesKubeProxyChains) return NO_CONFLICT;
  const { waitForRival } = await import("./conflicting-kube-proxy.ts");
  return waitForRival(options);
}
