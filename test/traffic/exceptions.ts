/**
 * Where a test does not hold for every backend, and why. Each use names its reason, which stands in the name of a
 * test that expects something else, or is printed for one that is left out.
 */
import { test } from "bun:test";
import type { Backend } from "../../harness/netns/backends.ts";

export const EXCEPTIONS = {
  "other ports": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "a port that a clusterIP does not have goes where the route says, as in kube-proxy's iptables mode",
  },
  "free clusterIPs": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "a clusterIP that no Service has goes where the route says, as in kube-proxy's iptables mode",
  },
  "guarded without endpoints": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "what nobody serves is refused whoever asks; kube-proxy's iptables mode drops it whoever asks",
  },
  elements: {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "what is compared is nft's account of its maps; iptables has none",
  },
} as const satisfies Record<string, { backends: readonly Backend[]; why: string }>;

export type Exception = keyof typeof EXCEPTIONS;

/** Does the exception hold for a backend? */
export function excepted(backend: Backend, exception: Exception): boolean {
  const backends: readonly Backend[] = EXCEPTIONS[exception].backends;
  return backends.includes(backend);
}

/** `test`, or for a backend of the exception one that is left out, with the reason printed. */
export function testUnless(exception: Exception, backend: Backend) {
  const out = excepted(backend, exception);
  if (out) console.log(`skip: traffic by ${backend}: ${EXCEPTIONS[exception].why}`);
  return test.skipIf(out);
}
