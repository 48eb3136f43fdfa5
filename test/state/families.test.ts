import { expect, test } from "bun:test";
import type { NodeFacts } from "../../src/model/node-facts.ts";
import { type Address, type Cidr, parseAddress, parseCidr } from "../../src/net/address.ts";
import {
  type FamilySettings,
  FamilyWarnings,
  hasFamily,
  missingFamilies,
} from "../../src/state/families.ts";

const cidrs = (text: string): Cidr[] => text.split(",").flatMap((one) => parseCidr(one) ?? []);

function nodeWith(addresses: string, podCidrs: string): NodeFacts {
  const nodeIPs: { 4?: Address; 6?: Address } = {};
  for (const text of addresses.split(",")) {
    const address = parseAddress(text);
    if (address) nodeIPs[address.family] = address;
  }
  return { name: "n", uid: "", nodeIPs, zone: "", podCidrs: cidrs(podCidrs), eligible: true };
}

const BOTH = "10.0.0.1,fd00::1";

test.each<
  [string, FamilySettings["detectLocal"]["mode"], string, string, string, string, RegExp[]]
>([
  ["ranges of both families", "ClusterCIDR", BOTH, "10.1.0.0/16,fd01::/64", "", "", []],
  [
    "a clusterCIDR of IPv4 alone",
    "ClusterCIDR",
    BOTH,
    "10.1.0.0/16",
    "",
    "",
    [/clusterCIDR.*IPv6/],
  ],
  [
    "a clusterCIDR of the other family",
    "ClusterCIDR",
    "10.0.0.1",
    "fd01::/64",
    "",
    "",
    [/clusterCIDR.*IPv4/],
  ],
  ["no clusterCIDR, which has a warning of its own", "ClusterCIDR", BOTH, "", "", "", []],
  ["a node of one family", "ClusterCIDR", "10.0.0.1", "10.1.0.0/16", "", "", []],
  ["podCIDRs of IPv6 alone", "NodeCIDR", BOTH, "10.1.0.0/16", "fd01::/64", "", [/podCIDRs.*IPv4/]],
  ["interfaces tell pods", "BridgeInterface", BOTH, "10.1.0.0/16", "fd01::/64", "", []],
  [
    "node ports of IPv4 alone",
    "BridgeInterface",
    BOTH,
    "",
    "",
    "10.0.0.0/8",
    [/nodePortAddresses.*IPv6/],
  ],
  ["an unknown node", "ClusterCIDR", "", "10.1.0.0/16", "", "10.0.0.0/8", []],
])("with %s", (_name, mode, addresses, clusterCidr, podCidrs, nodePorts, output) => {
  const settings: FamilySettings = {
    detectLocal: { mode, bridgeInterface: "", interfaceNamePrefix: "" },
    clusterCIDRs: cidrs(clusterCidr),
    nodePortAddresses: { primary: false, cidrs: cidrs(nodePorts) },
  };
  const remarks = missingFamilies(settings, nodeWith(addresses, podCidrs));
  expect(remarks).toEqual(output.map((pattern) => expect.stringMatching(pattern)));
});

test.each<[string, string, string, string, number[]]>([
  ["nothing is known of", "", "", "", []],
  ["has an address of IPv6 alone", "fd00::5", "", "", [6]],
  ["has pods of both", "192.0.2.5", "", "10.1.0.0/24,fd00:1::/64", [4, 6]],
  ["is in a cluster of both", "192.0.2.5", "10.1.0.0/16,fd00:1::/48", "", [4, 6]],
])("a node that %s has its families", (_, addresses, clusterCidr, podCidrs, families) => {
  const settings = { clusterCIDRs: cidrs(clusterCidr) };
  const node = nodeWith(addresses, podCidrs);
  expect(([4, 6] as const).filter((family) => hasFamily(settings, node, family))).toEqual(
    families as (4 | 6)[],
  );
});

test("a warning is logged once, and again if its cause was gone in between", () => {
  const warned: string[] = [];
  const warnings = new FamilyWarnings((sentence) => warned.push(sentence));
  const settings: FamilySettings = {
    detectLocal: { mode: "ClusterCIDR", bridgeInterface: "", interfaceNamePrefix: "" },
    clusterCIDRs: cidrs("10.1.0.0/16"),
    nodePortAddresses: { primary: false, cidrs: [] },
  };
  for (const addresses of [BOTH, BOTH, "10.0.0.1", BOTH]) {
    warnings.update(settings, nodeWith(addresses, ""));
  }
  expect(warned).toHaveLength(2);
  expect(warned[0]).toContain("clusterCIDR has no IPv6 range");
  expect(warned[1]).toBe(warned[0] as string);
});
