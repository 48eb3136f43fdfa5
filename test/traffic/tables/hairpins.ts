/**
 * Endpoints that reach themselves through a Service. Their EndpointSlices name the node in any way,
 * or not at all.
 */
import { BRIDGE } from "../../../harness/netns/addresses.ts";
import type { Frontend } from "../../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS } from "../../../harness/netns/program.ts";
import { type EndpointSpec, nodePort, slices } from "../../../harness/netns/world-objects.ts";
import type { Check, CheckOptions, Group, Scenario, SourceSeen } from "../scenario.ts";

const FRONTENDS: readonly Frontend[] = [
  "clusterIP",
  "externalIP",
  "vip",
  "node port",
  "node port of the second address",
];
const BOTH_PROTOCOLS = [{ name: "web" }, { name: "dns", protocol: "UDP" }] as const;
/** Between the node ports of a Service's ports. */
const NEXT_NODE_PORT = 100;

const NAMES: readonly (readonly [string, EndpointSpec])[] = [
  ["without nodeName", { at: "a1", nodeName: "absent" }],
  ["with an empty nodeName", { at: "a1", nodeName: "" }],
  ["with the name of the node", { at: "a1" }],
  ["with the name of the node in another case", { at: "a1", nodeName: "Node1" }],
  ["with the name of another node", { at: "a1", nodeName: "node2" }],
];

/** `from` reaches itself by each frontend, with TCP and UDP. */
function reachesItself(from: "a1", number: number): Check[] {
  return FRONTENDS.flatMap((to): Check[] => {
    const udp: CheckOptions = {
      transport: "udp",
      ...(to.startsWith("node port") ? { port: nodePort(number) + NEXT_NODE_PORT } : {}),
    };
    return [
      [from, to, [from], "node"],
      [from, to, [from], "node", udp],
    ];
  });
}

/** Services of every kind with one endpoint that connects to itself. */
const BY_NAME: readonly Scenario[] = NAMES.flatMap(([words, endpoint], index) =>
  (["Cluster", "Local"] as const).map((externalPolicy, policy): Scenario => {
    const number = index * 2 + policy + 1;
    const isHere = endpoint.nodeName === undefined;
    const outside: Check =
      externalPolicy === "Cluster"
        ? ["outside", "vip", ["a1"], "node"]
        : ["outside", "vip", isHere ? ["a1"] : "timeout", "client"];
    return {
      name: `an endpoint ${words}, externalTrafficPolicy ${externalPolicy}`,
      service: { type: "LoadBalancer", externalPolicy, ports: BOTH_PROTOCOLS },
      externalIPs: true,
      endpoints: [endpoint],
      checks: [...reachesItself("a1", number), ["a2", "clusterIP", ["a1"], "client"], outside],
    };
  }),
);

const IN_SEVERAL_SLICES: readonly Scenario[] = (
  [
    ["one names this node and one no node", undefined, "absent"],
    ["one names this node and one another", undefined, "node2"],
    ["one names another node and one no node", "node2", "absent"],
  ] as const
).map(([words, first, second]) => ({
  name: `an endpoint in two slices: ${words}`,
  slices: (name) => [
    ...slices(name, [{ at: "a1", ...(first === undefined ? {} : { nodeName: first }) }]),
    ...slices(name, [{ at: "a1", nodeName: second }], { suffix: "second" }),
  ],
  checks: [["a1", "clusterIP", ["a1"], "node"]],
}));

const TERMINATING = { ready: false, serving: true, terminating: true } as const;

const OTHERS: readonly Scenario[] = [
  {
    name: "two endpoints without nodeName: one calls",
    endpoints: [
      { at: "a1", nodeName: "absent" },
      { at: "a2", nodeName: "absent" },
    ],
    checks: [
      ["a1", "clusterIP", ["a1", "a2"], "client"],
      ["a2", "clusterIP", ["a1", "a2"], "client"],
      ["node1", "clusterIP", ["a1", "a2"], "node"],
    ],
  },
  {
    name: "an endpoint without nodeName that terminates and is the last one",
    endpoints: [{ at: "a1", nodeName: "absent", ...TERMINATING }],
    checks: [["a1", "clusterIP", ["a1"], "node"]],
  },
  {
    name: "an endpoint without nodeName that is not ready, and another one",
    endpoints: [{ at: "a1", nodeName: "absent", ready: false }, "a2"],
    checks: [["a1", "clusterIP", ["a2"], "client"]],
  },
  {
    name: "an endpoint without nodeName and internalTrafficPolicy Local",
    service: { internalPolicy: "Local" },
    endpoints: [{ at: "a1", nodeName: "absent" }],
    checks: [["a1", "clusterIP", "timeout"]],
  },
  {
    name: "session affinity and an endpoint without nodeName",
    service: { affinitySeconds: 60 },
    endpoints: [{ at: "a1", nodeName: "absent" }],
    checks: [["a1", "clusterIP", ["a1"], "node"]],
  },
  {
    name: "host-network endpoints without nodeName",
    service: { type: "LoadBalancer" },
    endpoints: [{ at: "node1", nodeName: "absent" }],
    checks: [
      ["node1", "clusterIP", ["node1"]],
      ["node1", "vip", ["node1"]],
      ["node1", "node port", ["node1"]],
      ["a1", "clusterIP", ["node1"], "client"],
    ],
  },
  {
    name: "an endpoint on another node, which uses this node as its gateway",
    endpoints: ["b1"],
    checks: [["b1", "clusterIP", ["b1"], "node"]],
  },
];

/** Begins with the number 1. A pod that reaches another one is seen as itself, or as the node. */
function withSettings(neighbor: SourceSeen): Scenario[] {
  return [
    {
      name: "an endpoint without nodeName, by every frontend",
      service: { type: "LoadBalancer", ports: BOTH_PROTOCOLS },
      externalIPs: true,
      endpoints: [{ at: "a1", nodeName: "absent" }],
      checks: [...reachesItself("a1", 1), ["a2", "clusterIP", ["a1"], neighbor]],
    },
    {
      name: "a host-network endpoint without nodeName",
      endpoints: [{ at: "node1", nodeName: "absent" }],
      checks: [
        ["node1", "clusterIP", ["node1"], "node"],
        // It never leaves the node, so it never meets the rules that masquerade.
        ["a1", "clusterIP", ["node1"], "client"],
      ],
    },
    ...IN_SEVERAL_SLICES,
  ];
}

export const HAIRPINS: readonly Group[] = [
  { name: "hairpins by nodeName", scenarios: BY_NAME },
  { name: "hairpins", scenarios: [...IN_SEVERAL_SLICES, ...OTHERS] },
  {
    name: "hairpins without a local detector",
    flags: ["--detect-local-mode=ClusterCIDR"],
    scenarios: withSettings("client"),
  },
  {
    name: "hairpins with masqueradeAll",
    flags: [...DEFAULT_FLAGS, "--masquerade-all"],
    scenarios: withSettings("node"),
  },
  {
    name: "hairpins on a bridge",
    flags: ["--detect-local-mode=BridgeInterface", `--pod-bridge-interface=${BRIDGE}`],
    world: { attachment: "bridge" },
    scenarios: withSettings("client"),
  },
];
