import { describe, expect, test } from "bun:test";
import {
  CHAIN_NAME_MAX,
  portHash,
  treeChainName,
} from "../../../src/iptables/rules/chain-names.ts";

describe("hashes are upstream's", () => {
  test.each([
    // pkg/proxy/iptables/proxier_test.go
    ["ns1/svc1:p80tcp", "XPGD46QRK7WJZT7O"],
    ["ns1/svc1:p80tcp10.180.0.1:80", "SXIVWICOYRO3J4NJ"],
    ["ns2/svc2:p80tcp", "GNZBNJ2PO5MGZ6GT"],
    ["default/kubernetes:httpstcp", "NPX46M4PTMTKRN6Y"],
  ])("%s: %s", (text, hash) => {
    expect(portHash(text)).toBe(hash);
  });
});

describe("a chain of a tree is named after its contents", () => {
  test.each([
    ["KUBE-SVC-", "255.255.255.240/28", "KUBE-SVC-255.255.255.240/28"],
    ["KUBE-EXT-", "sctp-65280-65535", "KUBE-EXT-sctp-65280-65535"],
    ["KUBE-SVC-", "fd00:96::3:0/112", "KUBE-SVC-fd00:96::3:0/112"],
  ] as const)("%s %s", (prefix, what, name) => {
    expect(treeChainName(prefix, what)).toBe(name);
  });

  test("or after its hash if the name is too long", () => {
    const name = treeChainName("KUBE-SVC-", "2001:db8:1111:2222::/112");
    expect(name).toMatch(/^KUBE-SVC-[A-Z2-7]{16}$/);
    expect(name.length).toBeLessThanOrEqual(CHAIN_NAME_MAX);
  });
});
