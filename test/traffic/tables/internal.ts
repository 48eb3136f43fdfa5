/** clusterIPs: choice of endpoints, internalTrafficPolicy, refusals and hints. */
import { clusterIp, FAMILIES, vip } from "../../../harness/netns/addresses.ts";
import type { World } from "../../../harness/netns/world.ts";
import { slices } from "../../../harness/netns/world-objects.ts";
import type { Scenario } from "../scenario.ts";

const BOTH = [
  { name: "web", port: 80, target: 8080, protocol: "TCP" },
  { name: "dns", port: 80, target: 8081, protocol: "UDP" },
] as const;

const UNLISTED = ["unlisted ports", "timeout"] as const;
const UNUSED = ["unused clusterIPs", ["outside"]] as const;

/** Gives the outside these addresses, so that it answers packets that match no rule. */
async function outsideHas(world: World, addresses: readonly string[], port = 80): Promise<void> {
  for (const address of addresses) {
    await world.changeAddress("add", "outside", address, "lo");
    const namespace = world.namespace("outside");
    const server = { namespace, name: "outside", address, port, transport: "tcp" } as const;
    await world.switchboard.command({ do: "listen", ...server });
  }
}

export const CLUSTER_IPS: readonly Scenario[] = [
  {
    name: "a clusterIP with endpoints on both nodes",
    endpoints: ["a1", "a2", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1", "a2", "b1"], "client"],
      ["a1", "clusterIP", ["a1", "a2", "b1"], "client"],
      ["node1", "clusterIP", ["a1", "a2", "b1"], "node"],
      ["node2", "clusterIP", ["a1", "a2", "b1"], "node"],
      ["outside", "clusterIP", ["a1", "a2", "b1"], "node"],
    ],
  },
  {
    name: "a clusterIP with one endpoint, which calls itself",
    endpoints: ["a1"],
    checks: [
      ["a1", "clusterIP", ["a1"], "node"],
      ["b1", "clusterIP", ["a1"], "client"],
    ],
  },
  {
    name: "a clusterIP with UDP",
    service: { ports: [{ protocol: "UDP" }] },
    endpoints: ["a1", "a2", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1", "a2", "b1"], "client", { transport: "udp" }],
      ["outside", "clusterIP", ["a1", "a2", "b1"], "node", { transport: "udp" }],
      ["a3", "clusterIP", "refused", undefined, { but: UNLISTED }],
    ],
  },
  {
    name: "the same port for TCP and UDP",
    service: { ports: BOTH },
    endpoints: ["a1", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1:8080", "b1:8080"], "client"],
      ["a3", "clusterIP", ["a1:8081", "b1:8081"], "client", { transport: "udp" }],
    ],
  },
  {
    name: "named ports with different numbers in several slices",
    service: { ports: [{ name: "web" }, { name: "admin", port: 81 }] },
    slices: (name) => [
      ...slices(name, ["a1"], { suffix: "1" }),
      ...slices(name, ["b1"], {
        suffix: "2",
        ports: [
          { name: "web", target: 8081 },
          { name: "admin", target: 9090 },
        ],
      }),
      ...slices(name, ["a2"], { suffix: "3", ports: [{ name: "other", target: 9090 }] }),
    ],
    checks: [
      ["a3", "clusterIP", ["a1:8080", "b1:8081"]],
      ["a3", "clusterIP", ["b1:9090"], "client", { port: 81 }],
    ],
  },
  {
    name: "an endpoint in two slices",
    slices: (name) => [
      ...slices(name, [{ at: "a1", ready: false, serving: true, terminating: true }], {
        suffix: "1",
      }),
      ...slices(name, ["a1", "b1"], { suffix: "2" }),
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "endpoints on the host network",
    endpoints: ["node1", "node2"],
    checks: [
      ["a3", "clusterIP", ["node1", "node2"], "client"],
      ["node1", "clusterIP", ["node1", "node2"]],
      ["outside", "clusterIP", ["node1", "node2"]],
    ],
  },
  {
    name: "a clusterIP without endpoints",
    checks: [
      ["a1", "clusterIP", "refused"],
      ["node1", "clusterIP", "refused"],
      ["outside", "clusterIP", "refused"],
      ["a1", "clusterIP", "refused", undefined, { transport: "udp", but: UNLISTED }],
    ],
  },
  {
    name: "a port that a clusterIP does not have",
    endpoints: ["a1"],
    checks: [
      ["a2", "clusterIP", "refused", undefined, { port: 8080, but: UNLISTED }],
      ["node1", "clusterIP", "refused", undefined, { port: 8080, but: UNLISTED }],
      ["outside", "clusterIP", "refused", undefined, { port: 8080, but: UNLISTED }],
      ["a2", "clusterIP", "refused", undefined, { transport: "udp", but: UNLISTED }],
    ],
  },
  {
    name: "an unused clusterIP",
    service: { type: "ExternalName" },
    endpoints: ["a1"],
    prepare: (world, number) =>
      outsideHas(
        world,
        FAMILIES.map((family) => clusterIp(number, family)),
      ),
    checks: [
      ["a2", "clusterIP", "timeout", undefined, { but: UNUSED }],
      ["node1", "clusterIP", "timeout", undefined, { but: UNUSED }],
    ],
  },
  {
    name: "endpoints that are not ready",
    endpoints: [
      { at: "a1", ready: true },
      { at: "a2", ready: false },
      { at: "b1", ready: false, serving: true, terminating: true },
      { at: "b2", ready: false, serving: true },
    ],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "only endpoints that are neither ready nor serving",
    endpoints: [
      { at: "a1", ready: false },
      { at: "a2", ready: false, serving: false, terminating: true },
    ],
    checks: [["a3", "clusterIP", "refused"]],
  },
  {
    name: "only terminating endpoints, some still serving",
    endpoints: [
      { at: "a1", ready: false, serving: true, terminating: true },
      { at: "b1", ready: false, serving: true, terminating: true },
      { at: "a2", ready: false, serving: false, terminating: true },
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "internalTrafficPolicy Local with endpoints on both nodes",
    service: { internalPolicy: "Local" },
    endpoints: ["a1", "a2", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1", "a2"], "client"],
      ["node1", "clusterIP", ["a1", "a2"], "node"],
      ["outside", "clusterIP", ["a1", "a2"], "node"],
    ],
  },
  {
    name: "internalTrafficPolicy Local with endpoints on the other node only",
    service: { internalPolicy: "Local" },
    endpoints: ["b1"],
    checks: [
      ["a1", "clusterIP", "timeout"],
      ["node1", "clusterIP", "timeout"],
      ["outside", "clusterIP", "timeout"],
    ],
  },
  {
    name: "internalTrafficPolicy Local without endpoints",
    service: { internalPolicy: "Local" },
    checks: [["a1", "clusterIP", "refused"]],
  },
  {
    name: "internalTrafficPolicy Local with a terminating endpoint here and a ready one on the other node",
    service: { internalPolicy: "Local" },
    endpoints: [{ at: "a1", ready: false, serving: true, terminating: true }, "b1"],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "hints that name this zone",
    endpoints: [
      { at: "a1", zones: ["z1"] },
      { at: "a2", zones: ["z2"] },
      { at: "b1", zones: ["z2", "z1"] },
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "zone hints on all endpoints but one",
    endpoints: [{ at: "a1", zones: ["z1"] }, { at: "a2", zones: ["z2"] }, "b1"],
    checks: [["a3", "clusterIP", ["a1", "a2", "b1"]]],
  },
  {
    name: "hints that never name this zone",
    endpoints: [
      { at: "a1", zones: ["z2"] },
      { at: "b1", zones: ["z3"] },
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"]]],
  },
  {
    name: "hints that name this node, which win over hints for its zone",
    endpoints: [
      { at: "a1", zones: ["z1"], nodes: ["node1"] },
      { at: "a2", zones: ["z1"], nodes: ["node2"] },
      { at: "b1", zones: ["z1"], nodes: ["node2", "node1"] },
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "hints that name other nodes and this zone",
    endpoints: [
      { at: "a1", zones: ["z1"], nodes: ["node2"] },
      { at: "a2", zones: ["z2"], nodes: ["node2"] },
    ],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "internalTrafficPolicy Local, which ignores hints",
    service: { internalPolicy: "Local" },
    endpoints: [
      { at: "a1", zones: ["z2"] },
      { at: "a2", zones: ["z1"] },
    ],
    checks: [["a3", "clusterIP", ["a1", "a2"], "client"]],
  },
  {
    name: "a headless Service",
    service: { headless: true },
    endpoints: ["a1"],
    checks: [["a2", "clusterIP", "timeout"]],
  },
  {
    name: "a Service with the label of another proxy",
    service: { labels: { "service.kubernetes.io/service-proxy-name": "" } },
    endpoints: ["a1"],
    checks: [["a2", "clusterIP", "timeout"]],
  },
  {
    name: "a slice with the label headless",
    slices: (name) => [
      ...slices(name, ["a1"], { suffix: "1" }),
      ...slices(name, ["a2"], { suffix: "2", labels: { "service.kubernetes.io/headless": "" } }),
    ],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "a load balancer address with ipMode Proxy, which the routing table handles",
    service: { type: "LoadBalancer", ipMode: "Proxy" },
    endpoints: ["a1"],
    prepare: (world, number) =>
      outsideHas(
        world,
        FAMILIES.map((family) => vip(number, family)),
      ),
    checks: [
      ["a2", "vip", ["outside"]],
      ["node1", "vip", ["outside"]],
      ["a2", "clusterIP", ["a1"], "client"],
    ],
  },
];
