/** Node ports, externalIPs and load balancer addresses, with both traffic policies. */
import { FAMILIES, vip } from "../../../harness/netns/addresses.ts";
import type { Frontend } from "../../../harness/netns/frontends.ts";
import type { World } from "../../../harness/netns/world.ts";
import type { EndpointPlace, EndpointSpec } from "../../../harness/netns/world-objects.ts";
import type { Check, Scenario } from "../scenario.ts";

type Kind = "externalIP" | "vip" | "node port";
const KINDS: readonly Kind[] = ["externalIP", "vip", "node port"];

const TERMINATING = { ready: false, serving: true, terminating: true } as const;

/** Defines the same checks for a Service of each kind of frontend. */
function forEachKind(
  name: string,
  externalPolicy: "Cluster" | "Local",
  endpoints: readonly (EndpointPlace | EndpointSpec)[],
  checks: (to: Frontend) => readonly Check[],
): Scenario[] {
  return KINDS.map((kind) => ({
    name: `${kind}, externalTrafficPolicy ${externalPolicy}, ${name}`,
    service: {
      type: kind === "externalIP" ? "ClusterIP" : kind === "vip" ? "LoadBalancer" : "NodePort",
      externalPolicy,
    },
    externalIPs: kind === "externalIP",
    endpoints,
    checks: checks(kind),
  }));
}

export const EXTERNAL: readonly Scenario[] = [
  ...forEachKind("endpoints on both nodes", "Cluster", ["a1", "a2", "b1"], (to) => [
    ["outside", to, ["a1", "a2", "b1"], "node"],
    ["a3", to, ["a1", "a2", "b1"], "node"],
    ["a1", to, ["a1", "a2", "b1"], "node"],
    ["b2", to, ["a1", "a2", "b1"], "node"],
    ["node1", to, ["a1", "a2", "b1"], "node"],
    ["node2", to, ["a1", "a2", "b1"], "node"],
  ]),
  ...forEachKind("no endpoints", "Cluster", [], (to) => [
    ["outside", to, "refused"],
    ["a1", to, "refused"],
    ["node1", to, "refused"],
  ]),
  ...forEachKind(
    "terminating endpoints only",
    "Cluster",
    [
      { at: "a1", ...TERMINATING },
      { at: "b1", ...TERMINATING },
    ],
    (to) => [["outside", to, ["a1", "b1"], "node"]],
  ),
  ...forEachKind("endpoints on both nodes", "Local", ["a1", "a2", "b1"], (to) => [
    ["outside", to, ["a1", "a2"], "client"],
    ["node2", to, ["a1", "a2"], "client"],
    ["a3", to, ["a1", "a2", "b1"], "client"],
    ["a1", to, ["a1", "a2", "b1"], "client"],
    ["node1", to, ["a1", "a2", "b1"], "node"],
  ]),
  ...forEachKind("endpoints on the other node only", "Local", ["b1"], (to) => [
    ["outside", to, "timeout"],
    ["a1", to, ["b1"], "client"],
    ["node1", to, ["b1"], "node"],
  ]),
  ...forEachKind("no endpoints", "Local", [], (to) => [
    ["outside", to, "refused"],
    ["a1", to, "refused"],
    ["node1", to, "refused"],
  ]),
  ...forEachKind(
    "a terminating endpoint here and a ready one on the other node",
    "Local",
    [{ at: "a1", ...TERMINATING }, "b1"],
    (to) => [
      ["outside", to, ["a1"], "client"],
      ["a3", to, ["b1"], "client"],
      ["node1", to, ["b1"], "node"],
    ],
  ),
  {
    name: "the clusterIP of a Service with externalTrafficPolicy Local",
    service: { type: "NodePort", externalPolicy: "Local" },
    endpoints: ["b1"],
    checks: [
      ["a1", "clusterIP", ["b1"], "client"],
      ["outside", "clusterIP", ["b1"], "node"],
    ],
  },
  {
    name: "the external addresses of a Service with internalTrafficPolicy Local",
    service: { type: "LoadBalancer", internalPolicy: "Local" },
    externalIPs: true,
    endpoints: ["b1"],
    checks: [
      ["outside", "vip", ["b1"], "node"],
      ["a1", "externalIP", ["b1"], "node"],
      ["outside", "node port", ["b1"], "node"],
      ["a1", "clusterIP", "timeout"],
    ],
  },
  {
    name: "a load balancer Service with every kind of address",
    service: { type: "LoadBalancer" },
    externalIPs: true,
    endpoints: ["a1", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1", "b1"], "client"],
      ["outside", "externalIP", ["a1", "b1"], "node"],
      ["outside", "vip", ["a1", "b1"], "node"],
      ["outside", "node port", ["a1", "b1"], "node"],
    ],
  },
  {
    name: "the same node port for TCP and UDP",
    service: {
      type: "NodePort",
      ports: [
        { name: "web", target: 8080, nodePort: 31999 },
        { name: "dns", target: 8081, nodePort: 31999, protocol: "UDP" },
      ],
    },
    endpoints: ["a1"],
    checks: [
      ["outside", "node port", ["a1:8080"], "node", { port: 31999 }],
      ["outside", "node port", ["a1:8081"], "node", { port: 31999, transport: "udp" }],
    ],
  },
  {
    name: "external addresses with UDP",
    service: { type: "LoadBalancer", externalPolicy: "Local", ports: [{ protocol: "UDP" }] },
    externalIPs: true,
    endpoints: ["a1", "a2", "b1"],
    checks: [
      ["outside", "vip", ["a1", "a2"], "client", { transport: "udp" }],
      ["outside", "externalIP", ["a1", "a2"], "client", { transport: "udp" }],
      ["outside", "node port", ["a1", "a2"], "client", { transport: "udp" }],
      ["node1", "vip", ["a1", "a2", "b1"], "node", { transport: "udp" }],
    ],
  },
  {
    name: "hints on endpoints behind external addresses",
    service: { type: "LoadBalancer" },
    endpoints: [
      { at: "a1", zones: ["z1"] },
      { at: "b1", zones: ["z2"] },
    ],
    checks: [
      ["outside", "vip", ["a1"], "node"],
      ["outside", "node port", ["a1"], "node"],
    ],
  },
];

const REFUSED_TO_ALL = ["source ranges without endpoints", "refused"] as const;
const ONLY_FIRST = ["198.51.100.10/32", "2001:db8:2::10/128"];

/** Gives the node the load balancer addresses, as some load balancers require. */
async function nodeHasVip(world: World, number: number): Promise<void> {
  for (const family of FAMILIES) {
    // Only a connection that asks for this address uses it as its source.
    const shy = family === 4 ? ["scope", "host"] : ["preferred_lft", "0"];
    await world.changeAddress("add", "node1", vip(number, family), "lo", shy);
  }
}

export const SOURCE_RANGES: readonly Scenario[] = [
  {
    name: "source ranges with one client outside the cluster",
    service: { type: "LoadBalancer", sourceRanges: ONLY_FIRST },
    externalIPs: true,
    endpoints: ["a1", "b1"],
    checks: [
      ["outside", "vip", ["a1", "b1"], "node"],
      ["outside", "vip", "timeout", undefined, { source: "second" }],
      ["a2", "vip", "timeout"],
      ["node1", "vip", "timeout"],
      ["node2", "vip", "timeout"],
      ["outside", "node port", ["a1", "b1"], "node", { source: "second" }],
      ["outside", "externalIP", ["a1", "b1"], "node", { source: "second" }],
      ["a2", "clusterIP", ["a1", "b1"], "client"],
    ],
  },
  {
    name: "source ranges that contain the pods",
    service: { type: "LoadBalancer", sourceRanges: ["10.244.0.0/16", " fd00:10:244::/48 "] },
    endpoints: ["a1", "b1"],
    checks: [
      ["a2", "vip", ["a1", "b1"], "node"],
      ["outside", "vip", "timeout"],
    ],
  },
  {
    name: "source ranges that together contain everything",
    service: {
      type: "LoadBalancer",
      sourceRanges: ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"],
    },
    endpoints: ["a1"],
    checks: [
      ["outside", "vip", ["a1"], "node"],
      ["a2", "vip", ["a1"], "node"],
    ],
  },
  {
    name: "source ranges that overlap",
    service: {
      type: "LoadBalancer",
      sourceRanges: ["198.51.100.0/24", "198.51.100.10/32", "2001:db8:2::/64", "2001:db8::/32"],
    },
    endpoints: ["a1"],
    checks: [
      ["outside", "vip", ["a1"], "node"],
      ["outside", "vip", ["a1"], "node", { source: "second" }],
      ["a2", "vip", "timeout"],
    ],
  },
  {
    name: "source ranges that include a /0",
    service: { type: "LoadBalancer", sourceRanges: ["192.0.2.77/32", "0.0.0.0/0", "::/0"] },
    endpoints: ["a1"],
    checks: [["outside", "vip", ["a1"], "node"]],
  },
  {
    name: "source ranges that contain the node, which has the load balancer address",
    service: { type: "LoadBalancer", sourceRanges: ["192.0.2.0/24", "2001:db8:1::/64"] },
    endpoints: ["a1"],
    prepare: nodeHasVip,
    checks: [
      ["node1", "vip", ["a1"], "node", { source: "vip" }],
      ["outside", "vip", "timeout"],
    ],
  },
  {
    name: "source ranges that do not contain the node, which has the load balancer address",
    service: { type: "LoadBalancer", sourceRanges: ONLY_FIRST },
    endpoints: ["a1"],
    prepare: nodeHasVip,
    checks: [["node1", "vip", "timeout", undefined, { source: "vip" }]],
  },
  {
    name: "source ranges without endpoints",
    service: { type: "LoadBalancer", sourceRanges: ONLY_FIRST },
    checks: [
      ["outside", "vip", "refused"],
      ["outside", "vip", "timeout", undefined, { source: "second", but: REFUSED_TO_ALL }],
    ],
  },
  {
    name: "source ranges and externalTrafficPolicy Local",
    service: { type: "LoadBalancer", sourceRanges: ONLY_FIRST, externalPolicy: "Local" },
    endpoints: ["a1", "b1"],
    checks: [
      ["outside", "vip", ["a1"], "client"],
      ["outside", "vip", "timeout", undefined, { source: "second" }],
      ["a2", "vip", "timeout"],
    ],
  },
];
