import { expect, test } from "bun:test";
import {
  isKubeProxyChain,
  isOverwrittenByKubeProxy,
} from "../../../src/iptables/syntax/known-chains.ts";

test.each([
  ["nat", "KUBE-SERVICES", true],
  ["nat", "KUBE-SVC-NPX46M4PTMTKRN6Y", true],
  ["nat", "KUBE-XLB-NPX46M4PTMTKRN6Y", true],
  ["filter", "KUBE-SVC-NPX46M4PTMTKRN6Y", false],
  ["filter", "KUBE-FORWARD", true],
  ["mangle", "KUBE-PROXY-CANARY", true],
  // The kubelet's chains.
  ["filter", "KUBE-FIREWALL", false],
  ["nat", "KUBE-MARK-DROP", false],
  ["mangle", "KUBE-IPTABLES-HINT", false],
  ["nat", "KUBE-KUBELET-CANARY", false],
  // kube-router's chains.
  ["filter", "KUBE-ROUTER-INPUT", false],
  ["filter", "KUBE-NWPLCY-DEFAULT", false],
  ["filter", "KUBE-POD-FW-AAAAAAAAAAAAAAAA", false],
] as const)("in table %s chain %s is kube-proxy's: %p", (table, name, expected) => {
  expect(isKubeProxyChain(table, name)).toBe(expected);
});

test.each([
  ["a kube-proxy", { "KUBE-POSTROUTING": "-j RETURN" }, true],
  ["us", { "KUBE-POSTROUTING": "-j RETURN", "KUBE-SEP-HAIRPIN": "" }, false],
  ["nobody, since they were flushed", { "KUBE-POSTROUTING": "" }, false],
  ["nobody, since they are gone", {}, false],
  ["nobody we know of", { "KUBE-POSTROUTING": undefined }, false],
])("chains that were ours are written by %s", (_who, nat, expected) => {
  expect(isOverwrittenByKubeProxy(new Map(Object.entries(nat)))).toBe(expected);
});
