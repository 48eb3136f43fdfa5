/**
 * Lists the behaviors that differ between backends. If a check expects another result for a
 * backend, the reason is part of its test's name. If a test is skipped, the reason is printed.
 */
import { test } from "bun:test";
import type { Backend } from "../../harness/netns/backends.ts";

export const EXCEPTIONS = {
  "unlisted ports": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, the routing table decides about ports that a clusterIP does not have",
  },
  "unused clusterIPs": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, the routing table decides about unused clusterIPs",
  },
  "source ranges without endpoints": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, an address without endpoints is refused to every source",
  },
  "diverted connections": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, INPUT refuses an external address without endpoints, although TPROXY diverted the connection",
  },
  "foreign translation of source ranges": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, source ranges refuse only what no program has translated",
  },
  "external address of another node": {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "as in kube-proxy's iptables mode, an external address without local endpoints is refused to pods, if an endpoint elsewhere has it",
  },
  elements: {
    backends: ["iptables-nft", "iptables-legacy"],
    why: "the test compares nft's maps, which iptables does not have",
  },
} as const satisfies Record<string, { backends: readonly Backend[]; why: string }>;

export type Exception = keyof typeof EXCEPTIONS;

/** Checks whether the exception applies to a backend. */
export function excepted(backend: Backend, exception: Exception): boolean {
  const backends: readonly Backend[] = EXCEPTIONS[exception].backends;
  return backends.includes(backend);
}

/** Returns `test`, or for a backend of the exception a skipped one, and prints the reason. */
export function testUnless(exception: Exception, backend: Backend) {
  const out = excepted(backend, exception);
  if (out) console.log(`skip: traffic with ${backend}: ${EXCEPTIONS[exception].why}`);
  return test.skipIf(out);
}
