/** clusterIPs: kube-proxy's section on endpoints, internal policy, verdicts and topology. */
import { clusterIp, FAMILIES, vip } from "../../../harness/netns/addresses.ts";
import type { World } from "../../../harness/netns/world.ts";
import { slices } from "../../../harness/netns/world-objects.ts";
import type { Scenario } from "../scenario.ts";

const BOTH = [
  { name: "web", port: 80, target: 8080, protocol: "TCP" },
  { name: "dns", port: 80, target: 8081, protocol: "UDP" },
] as const;

const OTHER_PORT = ["other ports", "timeout"] as const;
const FREE = ["free clusterIPs", ["outside"]] as const;

/** An address that the outside has, so that a packet no rule took is answered from there. */
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
    name: "a clusterIP whose only endpoint asks itself",
    endpoints: ["a1"],
    checks: [
      ["a1", "clusterIP", ["a1"], "node"],
      ["b1", "clusterIP", ["a1"], "client"],
    ],
  },
  {
    name: "a clusterIP of UDP",
    service: { ports: [{ protocol: "UDP" }] },
    endpoints: ["a1", "a2", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1", "a2", "b1"], "client", { transport: "udp" }],
      ["outside", "clusterIP", ["a1", "a2", "b1"], "node", { transport: "udp" }],
      ["a3", "clusterIP", "refused", undefined, { but: OTHER_PORT }],
    ],
  },
  {
    name: "the same port by TCP and by UDP",
    service: { ports: BOTH },
    endpoints: ["a1", "b1"],
    checks: [
      ["a3", "clusterIP", ["a1:8080", "b1:8080"], "client"],
      ["a3", "clusterIP", ["a1:8081", "b1:8081"], "client", { transport: "udp" }],
    ],
  },
  {
    name: "named ports that several slices give different numbers",
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
    name: "an endpoint that two slices have",
    slices: (name) => [
      ...slices(name, [{ at: "a1", ready: false, serving: true, terminating: true }], {
        suffix: "1",
      }),
      ...slices(name, ["a1", "b1"], { suffix: "2" }),
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "endpoints on the hosts' own network",
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
      ["a1", "clusterIP", "refused", undefined, { transport: "udp", but: OTHER_PORT }],
    ],
  },
  {
    name: "a port that an active clusterIP does not have",
    endpoints: ["a1"],
    checks: [
      ["a2", "clusterIP", "refused", undefined, { port: 8080, but: OTHER_PORT }],
      ["node1", "clusterIP", "refused", undefined, { port: 8080, but: OTHER_PORT }],
      ["outside", "clusterIP", "refused", undefined, { port: 8080, but: OTHER_PORT }],
      ["a2", "clusterIP", "refused", undefined, { transport: "udp", but: OTHER_PORT }],
    ],
  },
  {
    name: "a clusterIP that no Service has, within the range of clusterIPs",
    service: { type: "ExternalName" },
    endpoints: ["a1"],
    prepare: (world, number) =>
      outsideHas(
        world,
        FAMILIES.map((family) => clusterIp(number, family)),
      ),
    checks: [
      ["a2", "clusterIP", "timeout", undefined, { but: FREE }],
      ["node1", "clusterIP", "timeout", undefined, { but: FREE }],
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
    name: "only endpoints that neither serve nor are ready",
    endpoints: [
      { at: "a1", ready: false },
      { at: "a2", ready: false, serving: false, terminating: true },
    ],
    checks: [["a3", "clusterIP", "refused"]],
  },
  {
    name: "only terminating endpoints that still serve",
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
    name: "internalTrafficPolicy Local with endpoints elsewhere only",
    service: { internalPolicy: "Local" },
    endpoints: ["b1"],
    checks: [
      ["a1", "clusterIP", "timeout"],
      ["node1", "clusterIP", "timeout"],
      ["outside", "clusterIP", "timeout"],
    ],
  },
  {
    name: "internalTrafficPolicy Local without endpoints anywhere",
    service: { internalPolicy: "Local" },
    checks: [["a1", "clusterIP", "refused"]],
  },
  {
    name: "internalTrafficPolicy Local with a terminating endpoint here and a ready one elsewhere",
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
    name: "hints for zones with one endpoint that has none",
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
    name: "hints that name this node, before those that name its zone",
    endpoints: [
      { at: "a1", zones: ["z1"], nodes: ["node1"] },
      { at: "a2", zones: ["z1"], nodes: ["node2"] },
      { at: "b1", zones: ["z1"], nodes: ["node2", "node1"] },
    ],
    checks: [["a3", "clusterIP", ["a1", "b1"], "client"]],
  },
  {
    name: "hints that name only other nodes, and this zone",
    endpoints: [
      { at: "a1", zones: ["z1"], nodes: ["node2"] },
      { at: "a2", zones: ["z2"], nodes: ["node2"] },
    ],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "internalTrafficPolicy Local, which no hint narrows",
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
    name: "a Service that names another proxy",
    service: { labels: { "service.kubernetes.io/service-proxy-name": "" } },
    endpoints: ["a1"],
    checks: [["a2", "clusterIP", "timeout"]],
  },
  {
    name: "a slice that is labelled headless",
    slices: (name) => [
      ...slices(name, ["a1"], { suffix: "1" }),
      ...slices(name, ["a2"], { suffix: "2", labels: { "service.kubernetes.io/headless": "" } }),
    ],
    checks: [["a3", "clusterIP", ["a1"], "client"]],
  },
  {
    name: "a load balancer address of ipMode Proxy, which goes where the route says",
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
