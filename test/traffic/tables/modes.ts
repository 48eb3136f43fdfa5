/** Behavior that depends on the configuration: local sources, masquerading, node port addresses. */
import { BRIDGE, CLUSTER_CIDR, POD_INTERFACE_PREFIX } from "../../../harness/netns/addresses.ts";
import { DEFAULT_FLAGS } from "../../../harness/netns/program.ts";
import type { Check, Group, Scenario } from "../scenario.ts";

function clusterIp(checks: readonly Check[]): Scenario {
  return { name: "a clusterIP", endpoints: ["a1", "a2", "b1"], checks };
}

/**
 * Has an endpoint on this node only, so that a pod of the other node gets its replies through it.
 */
function fromElsewhere(checks: readonly Check[]): Scenario {
  return { name: "a clusterIP with an endpoint on this node", endpoints: ["a1"], checks };
}

function localVip(checks: readonly Check[]): Scenario {
  return {
    name: "a load balancer address, externalTrafficPolicy Local",
    service: { type: "LoadBalancer", externalPolicy: "Local" },
    endpoints: ["a1", "a2", "b1"],
    checks,
  };
}

const ALL = ["a1", "a2", "b1"] as const;
const LOCAL = ["a1", "a2"] as const;

/** Only traffic from pods of this node is local; the node's own traffic is not. */
const THIS_NODES_PODS: readonly Scenario[] = [
  clusterIp([
    ["a3", "clusterIP", ALL, "client"],
    ["a1", "clusterIP", ALL, "client"],
    ["node1", "clusterIP", ALL, "node"],
    ["outside", "clusterIP", ALL, "node"],
  ]),
  fromElsewhere([["b2", "clusterIP", ["a1"], "node"]]),
  localVip([
    ["a3", "vip", ALL, "client"],
    ["b2", "vip", LOCAL, "client"],
    ["outside", "vip", LOCAL, "client"],
    ["node1", "vip", ALL, "node"],
  ]),
];

export const MODES: readonly Group[] = [
  {
    name: "detectLocalMode NodeCIDR",
    flags: ["--detect-local-mode", "NodeCIDR"],
    scenarios: THIS_NODES_PODS,
  },
  {
    name: "detectLocalMode InterfaceNamePrefix",
    flags: [
      "--detect-local-mode=InterfaceNamePrefix",
      `--pod-interface-name-prefix=${POD_INTERFACE_PREFIX}`,
    ],
    scenarios: THIS_NODES_PODS,
  },
  {
    name: "detectLocalMode BridgeInterface",
    flags: ["--detect-local-mode=BridgeInterface", `--pod-bridge-interface=${BRIDGE}`],
    world: { attachment: "bridge" },
    scenarios: THIS_NODES_PODS,
  },
  {
    name: "no detector: ClusterCIDR without a range",
    flags: [],
    scenarios: [
      clusterIp([
        ["a3", "clusterIP", ALL, "client"],
        ["outside", "clusterIP", ALL, "client"],
        ["node1", "clusterIP", ALL, "node"],
      ]),
      localVip([
        ["a3", "vip", LOCAL, "client"],
        ["outside", "vip", LOCAL, "client"],
        ["node1", "vip", ALL, "node"],
      ]),
      {
        name: "a load balancer address, externalTrafficPolicy Cluster",
        service: { type: "LoadBalancer" },
        endpoints: ALL,
        checks: [["outside", "vip", ALL, "node"]],
      },
    ],
  },
  {
    name: "masqueradeAll",
    flags: [...DEFAULT_FLAGS, "--masquerade-all"],
    scenarios: [
      clusterIp([
        ["a3", "clusterIP", ALL, "node"],
        ["outside", "clusterIP", ALL, "node"],
      ]),
      localVip([
        ["a3", "vip", ALL, "client"],
        ["outside", "vip", LOCAL, "client"],
      ]),
    ],
  },
  {
    name: "nodePortAddresses primary",
    flags: [...DEFAULT_FLAGS, "--nodeport-addresses=primary"],
    scenarios: [
      {
        name: "a node port",
        service: { type: "NodePort" },
        endpoints: ["a1"],
        checks: [
          ["outside", "node port", ["a1"], "node"],
          ["outside", "node port of the second address", "refused"],
          ["node1", "node port of the second address", "refused"],
          ["node1", "node port of localhost", "refused"],
        ],
      },
    ],
  },
  {
    name: "nodePortAddresses unset, so all addresses",
    flags: DEFAULT_FLAGS,
    scenarios: [
      {
        name: "a node port",
        service: { type: "NodePort" },
        endpoints: ALL,
        checks: [
          ["outside", "node port", ALL, "node"],
          ["outside", "node port of the second address", ALL, "node"],
          ["a3", "node port of the second address", ALL, "node"],
          ["node1", "node port of the second address", ALL, "node"],
          ["node1", "node port of localhost", "refused"],
        ],
      },
      {
        name: "a node port without endpoints",
        service: { type: "NodePort" },
        checks: [
          ["outside", "node port of the second address", "refused"],
          ["node1", "node port of localhost", "refused"],
        ],
      },
    ],
  },
  {
    name: "nodePortAddresses of one interface",
    flags: [...DEFAULT_FLAGS, "--nodeport-addresses=198.51.100.0/24,2001:db8:2::/64"],
    scenarios: [
      {
        name: "a node port",
        service: { type: "NodePort" },
        endpoints: ["a1"],
        checks: [
          ["outside", "node port of the second address", ["a1"], "node"],
          ["outside", "node port", "refused"],
        ],
      },
    ],
  },
  {
    name: "a clusterCIDR of one family only",
    flags: [`--cluster-cidr=${CLUSTER_CIDR[4]}`],
    scenarios: [
      {
        name: "a load balancer address, externalTrafficPolicy Cluster",
        service: { type: "LoadBalancer" },
        endpoints: ALL,
        checks: [
          ["outside", "vip", ALL, "node"],
          ["a3", "clusterIP", ALL, "client"],
        ],
      },
    ],
  },
  {
    name: "localhostNodePorts",
    flags: [...DEFAULT_FLAGS, "--iptables-localhost-nodeports"],
    backends: ["iptables-nft", "iptables-legacy"],
    scenarios: [
      {
        name: "a node port",
        service: { type: "NodePort" },
        endpoints: ALL,
        checks: [
          ["node1", "node port of localhost", ALL, "node", { family: 4 }],
          ["node1", "node port of localhost", "refused", undefined, { family: 6 }],
          ["outside", "node port", ALL, "node"],
        ],
      },
      {
        name: "a node port, externalTrafficPolicy Local, with an endpoint elsewhere",
        service: { type: "NodePort", externalPolicy: "Local" },
        endpoints: ["b1"],
        checks: [["node1", "node port of localhost", ["b1"], "node", { family: 4 }]],
      },
      {
        name: "a node port without endpoints",
        service: { type: "NodePort" },
        checks: [["node1", "node port of localhost", "refused"]],
      },
    ],
  },
];
