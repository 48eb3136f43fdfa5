import { describe, expect, test } from "bun:test";
import { service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import {
  type Address,
  type Cidr,
  parseAddress,
  parseCidr,
  printCidr,
} from "../../src/net/address.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import type { PlanSettings } from "../../src/sync/plan-inputs.ts";

/** Active problems, by subject and field. */
function wrong(reported: ReturnType<typeof syncWorld>["problems"]): string[] {
  const problems = new ProblemRegistry(() => {});
  problems.report(reported.events);
  return problems.list().map(({ subject, field }) => `${subject} ${field}`);
}

test("problems of the Node are resolved when it is fixed, and when it is gone", () => {
  const { inputs, problems } = syncWorld();
  const node = (...podCIDRs: string[]) => ({ metadata: { name: "node-a" }, spec: { podCIDRs } });
  inputs.setNode(node("x", "y"));
  expect(wrong(problems)).toEqual(["Node node-a spec.podCIDRs[0]", "Node node-a spec.podCIDRs[1]"]);
  inputs.setNode(node("10.1.0.0/24", "y"));
  expect(wrong(problems)).toEqual(["Node node-a spec.podCIDRs[1]"]);
  inputs.setNode(undefined);
  expect(wrong(problems)).toEqual([]);
});

test("podCIDRs of a removed Node, or one without any, stay until it has others", () => {
  const { inputs } = syncWorld();
  const set = (...podCIDRs: string[]) =>
    inputs.setNode({ metadata: { name: "node-a" }, spec: { podCIDRs } });
  const ranges = () => inputs.podCidrs.map(printCidr);
  expect([set(), ranges()]).toEqual([false, []]);
  expect([set("10.1.0.0/24"), ranges()]).toEqual([true, ["10.1.0.0/24"]]);
  expect([set("10.1.0.0/24"), ranges()]).toEqual([false, ["10.1.0.0/24"]]);
  expect([inputs.setNode(undefined), ranges()]).toEqual([false, ["10.1.0.0/24"]]);
  expect([set(), ranges()]).toEqual([false, ["10.1.0.0/24"]]);
  expect([set("10.2.0.0/24", "fd02::/64"), ranges()]).toEqual([true, ["10.2.0.0/24", "fd02::/64"]]);
});

test("problems of ServiceCIDRs are resolved when the object is fixed, and when it is gone", () => {
  const { inputs, problems } = syncWorld();
  const cidr = (name: string, ...cidrs: string[]) => ({ metadata: { name }, spec: { cidrs } });
  inputs.setServiceCidrs([cidr("a", "x"), cidr("b", "y")]);
  expect(wrong(problems)).toEqual(["ServiceCIDR a spec.cidrs[0]", "ServiceCIDR b spec.cidrs[0]"]);
  inputs.setServiceCidrs([cidr("a", "10.96.0.0/16"), cidr("b", "y")]);
  expect(wrong(problems)).toEqual(["ServiceCIDR b spec.cidrs[0]"]);
  inputs.setServiceCidrs([cidr("a", "10.96.0.0/16")]);
  expect(wrong(problems)).toEqual([]);
});

describe("a changed configuration while the proxy runs", () => {
  const SETTINGS: PlanSettings = {
    bindAddress: "0.0.0.0",
    nodePortAddresses: { primary: false, cidrs: [] },
    externalIPs: true,
  };
  const EXTERNAL = "frontends4 192.0.2.7 tcp 80 -> pick endpoints 1 masquerade";

  async function world() {
    const made = syncWorld();
    made.put("Service", service("old", "10.96.0.1", { externalIPs: ["192.0.2.7"] }, 1));
    made.put(
      "Service",
      service("young", "10.96.0.2", {
        type: "LoadBalancer",
        externalTrafficPolicy: "Cluster",
        loadBalancerSourceRanges: ["192.0.2.0/24"],
      }),
    );
    for (const name of ["old", "young"]) {
      made.put("EndpointSlice", slice(`${name}-1`, name, ["10.1.0.1"]));
    }
    made.inputs.setLocalRanges(["192.0.2.1/32", "198.51.100.1/32"].map(cidr));
    made.inputs.setNode({
      metadata: { name: "node-a" },
      status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
    });
    await made.sync();
    return made;
  }

  test("disables externalIPs, and enables them again", async () => {
    const { inputs, backend, sync } = await world();
    expect(backend.table("frontends4")).toContain(EXTERNAL);
    const before = backend.transactions.length;
    inputs.configure({ ...SETTINGS, externalIPs: false });
    await sync();
    expect(backend.table("frontends4").join()).not.toContain("192.0.2.7");
    expect(backend.table("endpoints4").join()).not.toContain("192.0.2.7");
    expect(backend.table("frontends4").join()).toContain("10.96.0.1");
    inputs.configure(SETTINGS);
    await sync();
    expect(backend.table("frontends4")).toContain(EXTERNAL);
    expect(backend.transactions.length).toBe(before + 2);
  });

  test("frees a frontend that only an externalIP claimed", async () => {
    const { inputs, backend, problems, put, sync } = await world();
    put("Service", service("late", "192.0.2.7", {}, 9));
    put("EndpointSlice", slice("late-1", "late", ["10.1.0.1"]));
    await sync();
    expect(backend.table("frontends4")).toContain(EXTERNAL);
    inputs.configure({ ...SETTINGS, externalIPs: false });
    await sync();
    expect(backend.table("frontends4")).toContain(
      "frontends4 192.0.2.7 tcp 80 -> pick endpoints 1",
    );
    expect(wrong(problems)).toEqual([]);
  });

  test("moves node ports to other addresses", async () => {
    const { inputs, backend, sync } = await world();
    expect(backend.table("node-port-ranges4")).toEqual(["node-port-ranges4 0.0.0.0/0"]);
    inputs.configure({ ...SETTINGS, nodePortAddresses: { primary: true, cidrs: [] } });
    expect(inputs.listenAddresses()).toEqual(["192.0.2.1"]);
    await sync();
    expect(backend.table("node-port-ranges4")).toEqual(["node-port-ranges4 192.0.2.1/32"]);
    const cidrs = [cidr("198.51.100.0/24")];
    inputs.configure({ ...SETTINGS, nodePortAddresses: { primary: false, cidrs } });
    await sync();
    expect(backend.table("node-port-ranges4")).toEqual(["node-port-ranges4 198.51.100.0/24"]);
  });

  test("replaces the node's own address, until it no longer sets it", async () => {
    const { inputs, core } = await world();
    inputs.configure({ ...SETTINGS, bindAddress: "198.51.100.1" });
    expect(inputs.node.nodeIPs[4]).toEqual(address("198.51.100.1"));
    expect(core.dirtyCount()).toBe(2);
    inputs.configure(SETTINGS);
    expect(inputs.node.nodeIPs[4]).toEqual(address("192.0.2.1"));
  });

  test("without a difference sends nothing to the kernel", async () => {
    const { inputs, backend, sync } = await world();
    const before = backend.transactions.length;
    inputs.configure(SETTINGS);
    await sync();
    expect(backend.transactions.length).toBe(before);
  });
});

function address(text: string): Address {
  return parseAddress(text) as Address;
}

function cidr(text: string): Cidr {
  return parseCidr(text) as Cidr;
}
