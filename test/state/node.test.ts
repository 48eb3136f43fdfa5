import { describe, expect, test } from "bun:test";
import type { NodeFacts } from "../../src/model/node-facts.ts";
import { printAddress, printCidr } from "../../src/net/address.ts";
import { readNode, withBindAddress } from "../../src/state/node.ts";

/** The facts as text, without missing ones. */
function print(facts: NodeFacts | undefined): string {
  if (facts === undefined) return "nothing";
  const { 4: ipv4, 6: ipv6 } = facts.nodeIPs;
  return [
    facts.name,
    ...(ipv4 ? [printAddress(ipv4.bytes)] : []),
    ...(ipv6 ? [printAddress(ipv6.bytes)] : []),
    ...(facts.zone ? [`zone ${facts.zone}`] : []),
    ...facts.podCidrs.map((cidr) => `pods ${printCidr(cidr)}`),
    ...(facts.eligible ? [] : ["not eligible"]),
  ].join(", ");
}

const metadata = { name: "n1" };
const address = (type: string, text: unknown) => ({ type, address: text });

interface Case {
  readonly name: string;
  readonly object: unknown;
  readonly want: string;
  readonly problems?: readonly string[];
}

const CASES: readonly Case[] = [
  { name: "a Node with a name alone", object: { metadata }, want: "n1" },
  {
    name: "a Node with everything",
    object: {
      metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "a" } },
      spec: { podCIDR: "10.1.0.0/24", podCIDRs: ["10.1.0.0/24", "fd00:1::/64"] },
      status: {
        addresses: [
          address("Hostname", "n1"),
          address("InternalIP", "192.168.0.10"),
          address("InternalIP", "fd00:9::1"),
          address("ExternalIP", "203.0.113.7"),
        ],
      },
    },
    want: "n1, 192.168.0.10, fd00:9::1, zone a, pods 10.1.0.0/24, pods fd00:1::/64",
  },
  {
    name: "the first InternalIP of a family comes before any ExternalIP, wherever they stand",
    object: {
      metadata,
      status: {
        addresses: [
          address("ExternalIP", "203.0.113.7"),
          address("ExternalIP", "2001:db8::7"),
          address("InternalIP", "192.168.0.10"),
          address("InternalIP", "192.168.0.11"),
        ],
      },
    },
    want: "n1, 192.168.0.10, 2001:db8::7",
  },
  {
    name: "a podCIDR without podCIDRs",
    object: { metadata, spec: { podCIDR: "10.1.0.0/24" } },
    want: "n1, pods 10.1.0.0/24",
  },
  {
    name: "a Node that is being deleted",
    object: { metadata: { name: "n1", deletionTimestamp: "2026-01-01T00:00:00Z" } },
    want: "n1, not eligible",
  },
  {
    name: "a Node the cluster autoscaler will remove",
    object: {
      metadata,
      spec: { taints: [{ key: "other" }, { key: "ToBeDeletedByClusterAutoscaler" }] },
    },
    want: "n1, not eligible",
  },
  {
    name: "a Node with other taints",
    object: { metadata, spec: { taints: [{ key: "node.kubernetes.io/unschedulable" }] } },
    want: "n1",
  },
  {
    name: "addresses and ranges that are none are reported, the others count",
    object: {
      metadata,
      spec: { podCIDRs: ["10.1.0.0", 7, "10.2.0.0/24"] },
      status: { addresses: [address("InternalIP", "nowhere"), address("ExternalIP", "010.0.0.7")] },
    },
    want: "n1, 10.0.0.7, pods 10.2.0.0/24",
    problems: [
      'status.addresses[0].address: invalid value "nowhere": must be an IP address',
      'spec.podCIDRs[0]: invalid value "10.1.0.0": must be a CIDR such as 10.1.0.0/24',
      "spec.podCIDRs[1]: invalid value 7: must be a CIDR such as 10.1.0.0/24",
    ],
  },
  {
    name: "members of the wrong type read as absent",
    object: {
      metadata: { name: "n1", labels: ["x"], deletionTimestamp: null },
      spec: "x",
      status: { addresses: { type: "InternalIP" } },
    },
    want: "n1",
  },
  {
    name: "an object without a name is nothing",
    object: { metadata: { name: 7 } },
    want: "nothing",
    problems: ['metadata.name: invalid value "": must not be empty'],
  },
  {
    name: "null is nothing",
    object: null,
    want: "nothing",
    problems: ['metadata.name: invalid value "": must not be empty'],
  },
];

describe("reading a Node", () => {
  test.each(CASES.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const { facts, problems } = readNode(one.object);
    expect(print(facts)).toBe(one.want);
    expect(problems.map((problem) => problem.message)).toEqual([...(one.problems ?? [])]);
  });
});

describe("bindAddress", () => {
  const node = {
    metadata,
    status: {
      addresses: [address("InternalIP", "192.168.0.10"), address("InternalIP", "fd00:9::1")],
    },
  };
  test.each([
    ["0.0.0.0", "n1, 192.168.0.10, fd00:9::1"],
    ["::", "n1, 192.168.0.10, fd00:9::1"],
    ["", "n1, 192.168.0.10, fd00:9::1"],
    ["198.51.100.1", "n1, 198.51.100.1, fd00:9::1"],
    ["2001:db8::1", "n1, 192.168.0.10, 2001:db8::1"],
  ])("%p makes the node %s", (bindAddress, want) => {
    const { facts } = readNode(node);
    expect(print(facts && withBindAddress(facts, bindAddress))).toBe(want);
  });
});
