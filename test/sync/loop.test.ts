import { describe, expect, test } from "bun:test";
import { withoutHistory } from "../../harness/fakes/fake-backend.ts";
import { parseRange } from "../../harness/plan/plan-text.ts";
import { type SyncWorld, service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { type TableName, tableId, tableLabel } from "../../src/model/tables.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";

const IPS = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];

async function threeServices() {
  const world = syncWorld();
  for (const [i, name] of ["a", "b", "c"].entries()) {
    world.put("Service", service(name, `10.96.0.${i + 1}`));
    world.put("EndpointSlice", slice(`${name}-1`, name, IPS));
  }
  await world.sync();
  return world;
}

describe("SyncLoop", () => {
  test("brings Services and their endpoints into the kernel in one transaction", async () => {
    const world = await threeServices();
    expect(world.backend.transactions).toHaveLength(1);
    expect(world.backend.table("frontends4")).toEqual([
      "frontends4 10.96.0.1 tcp 80 -> pick endpoints 3",
      "frontends4 10.96.0.2 tcp 80 -> pick endpoints 3",
      "frontends4 10.96.0.3 tcp 80 -> pick endpoints 3",
    ]);
    expect(world.backend.table("endpoints4")).toHaveLength(9);
    expect(world.reports.at(-1)).toMatchObject({ outcome: "done", transactions: 1 });
  });

  test("writes nothing to the kernel without a relevant change", async () => {
    const world = await threeServices();
    world.put("Service", service("a", "10.96.0.1"));
    world.put("EndpointSlice", slice("a-1", "a", IPS));
    await world.sync();
    expect(world.backend.transactions).toHaveLength(1);
    expect(world.core.changeCounts()).toEqual({ service: 3, endpoint: 3 });
    expect(world.reports.at(-1)?.outcome).toBe("nothing");
  });

  test("decodes a changed Service once, for itself and for the backend", async () => {
    const world = await threeServices();
    const read: number[] = [];
    const readService = world.core.readService.bind(world.core);
    world.core.readService = (id) => {
      read.push(id);
      return readService(id);
    };
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.9"]));
    world.put("Service", service("b", "10.96.0.22"));
    await world.sync();
    const { owners, services } = world.backend.transactions.at(-1) ?? {};
    expect(new Set(read)).toEqual(owners as Set<number>);
    expect(read).toHaveLength(2);
    expect([...(services ?? [])].sort()).toEqual(["a", "b"]);
  });

  test("removes one endpoint of three with at most four element operations", async () => {
    const world = await threeServices();
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.2", "10.1.0.3"]));
    await world.sync();
    const last = world.backend.transactions.at(-1);
    expect((last?.adds ?? 0) + (last?.deletes ?? 0)).toBeLessThanOrEqual(5);
    expect(withoutHistory(world.backend.table("endpoints4"))).toEqual(
      withoutHistory([
        ...["10.1.0.2", "10.1.0.3"].map((ip) => `endpoints4 10.96.0.1 tcp 80 slot 0 -> ${ip}:8080`),
        ...IPS.map((ip) => `endpoints4 10.96.0.2 tcp 80 slot 0 -> ${ip}:8080`),
        ...IPS.map((ip) => `endpoints4 10.96.0.3 tcp 80 slot 0 -> ${ip}:8080`),
      ]),
    );
  });

  test("removes every element of a Service that is deleted", async () => {
    const world = await threeServices();
    world.remove("Service", service("b", "10.96.0.2"));
    await world.sync();
    expect(world.backend.print().filter((line) => line.includes("10.96.0.2"))).toEqual([]);
    expect(world.backend.table("frontends4")).toHaveLength(2);
  });

  test("a restart on an unchanged cluster sends no transaction", async () => {
    const before = await threeServices();
    const after = syncWorld(before.backend);
    for (const [i, name] of ["c", "b", "a"].entries()) {
      after.put("Service", service(name, `10.96.0.${3 - i}`));
      after.put("EndpointSlice", slice(`${name}-1`, name, IPS.toReversed()));
    }
    await after.sync();
    expect(after.backend.transactions).toHaveLength(1);
  });

  test("a restart removes exactly the elements of deleted objects", async () => {
    const before = await threeServices();
    const kept = before.backend.print().filter((line) => !line.includes("10.96.0.3"));
    const after = syncWorld(before.backend);
    for (const [i, name] of ["a", "b"].entries()) {
      after.put("Service", service(name, `10.96.0.${i + 1}`));
      after.put("EndpointSlice", slice(`${name}-1`, name, IPS));
    }
    await after.sync();
    expect(after.backend.print()).toEqual(kept);
    expect(after.backend.transactions.at(-1)).toMatchObject({ adds: 0 });
  });

  test.each([
    ["names the owner", true],
    ["names nobody", false],
  ])(
    "a Service that the kernel refuses is left out and the rest applied, if the error %s",
    async (_, names) => {
      const world = syncWorld();
      world.backend.namesCulprit = names;
      world.backend.refuses = ({ table, key }) =>
        tableLabel(table) === "frontends4" && key[3] === 2;
      for (let i = 1; i <= 9; i++) {
        world.put("Service", service(`s${i}`, `10.96.0.${i}`));
        world.put("EndpointSlice", slice(`s${i}-1`, `s${i}`, IPS));
      }
      expect(await world.sync()).toBe(true);
      expect(world.backend.table("frontends4")).toHaveLength(8);
      expect(world.backend.print().filter((line) => line.includes("10.96.0.2 "))).toEqual([]);
      expect(world.reports.at(-1)?.outcome).toBe("refused");
      expect(world.problems.begun.at(-1)).toMatchObject({
        subject: "Service default/s2",
        code: "NETLINK_REFUSED",
      });
      expect(world.problems.begun.at(-1)?.message).toContain("frontends4");

      world.backend.refuses = () => false;
      await world.clock.advance(1000);
      expect(world.wakes()).toBe(1);
      await world.sync();
      expect(world.backend.table("frontends4")).toHaveLength(9);
      expect(world.problems.ended.at(-1)).toMatchObject({ subject: "Service default/s2" });
    },
  );

  test("an owner that is refused only until another one is removed is in the kernel after the same sync", async () => {
    const world = syncWorld();
    let given = false;
    world.backend.refuses = ({ table, key }) => {
      if (tableLabel(table) !== "frontends4") return false;
      if (key[3] === 9) given = true;
      return key[3] === 1 && !given;
    };
    for (const i of [1, 9]) {
      world.put("Service", service(`s${i}`, `10.96.0.${i}`));
      world.put("EndpointSlice", slice(`s${i}-1`, `s${i}`, IPS));
    }
    expect(await world.sync()).toBe(true);
    expect(world.backend.table("frontends4")).toHaveLength(2);
    expect(world.reports.at(-1)?.outcome).toBe("done");
  });

  test("a failed transaction changes nothing, and the next sync is the retry", async () => {
    const world = await threeServices();
    const before = world.backend.print();
    world.backend.transient = new SluiceError("NETLINK_SOCKET", "Cannot send: no buffer space");
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.9"]));
    expect(await world.sync()).toBe(false);
    expect(world.reports.at(-1)).toMatchObject({ outcome: "failed", triggerTimes: [] });
    expect(world.backend.print()).toEqual(before);

    world.backend.transient = undefined;
    expect(await world.sync()).toBe(true);
    expect(world.backend.print().filter((line) => line.includes("10.1.0.9"))).toHaveLength(1);
  });

  test("after a refusal because of a foreign change, checks the kernel and repairs exactly that", async () => {
    const world = await threeServices();
    const before = world.backend.print();
    const frontends = world.backend.tables.get(tableId("frontends", 4));
    for (const key of frontends?.keys() ?? []) {
      frontends?.delete(key);
      break;
    }
    const a = service("a", "10.96.0.1");
    world.remove("Service", a);
    const count = world.reports.length;
    expect(await world.sync()).toBe(true);
    expect(world.reports.slice(count)).toMatchObject([
      { outcome: "done", repair: { change: { by: "refused" }, driftedCounts: { element: 1 } } },
    ]);
    world.put("Service", a);
    expect(await world.sync()).toBe(true);
    expect(world.backend.print()).toEqual(before);
  });

  test("repairs exactly the drift when it is asked to read again", async () => {
    const world = await threeServices();
    const before = world.backend.print();
    const frontends = world.backend.tables.get(tableId("frontends", 4));
    const [key = ""] = frontends?.keys() ?? [];
    frontends?.delete(key);
    world.verify();
    expect(await world.sync()).toBe(true);
    expect(world.backend.print()).toEqual(before);
    expect(world.backend.transactions.at(-1)).toMatchObject({ adds: 1, deletes: 0 });
    expect(world.reports.at(-1)).toMatchObject({
      outcome: "done",
      owners: 0,
      operations: 1,
      repair: { change: { by: "nft (pid 7)" }, changes: 1, driftedCounts: { element: 1 } },
    });
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.9"]));
    await world.sync();
    expect(world.reports.at(-1)).toMatchObject({ outcome: "done", repair: undefined });
  });

  test("has nothing to do if others touched something without drift", async () => {
    const world = await threeServices();
    const count = world.backend.transactions.length;
    world.verify();
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)).toMatchObject({
      outcome: "nothing",
      repair: { driftedCounts: {} },
    });
    expect(world.backend.transactions).toHaveLength(count);
  });

  test("reports a repair after the kernel accepted it, with all drift found until then", async () => {
    const world = await threeServices();
    const lose = (label: TableName) => {
      const content = world.backend.tables.get(tableId(label, 4));
      const [key = ""] = content?.keys() ?? [];
      content?.delete(key);
      world.verify();
    };
    lose("frontends");
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.9"]));
    world.backend.transient = new SluiceError("NETLINK_SOCKET", "not now");
    expect(await world.sync()).toBe(false);
    expect(world.reports.at(-1)).toMatchObject({ outcome: "failed", repair: undefined });
    lose("cluster-ips");
    world.backend.transient = undefined;
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)).toMatchObject({
      repair: { changes: 2, driftedCounts: { element: 2 } },
    });
  });

  test("removes foreign elements from the table", async () => {
    const world = await threeServices();
    const before = world.backend.print();
    const clusterIps = world.backend.tables.get(tableId("cluster-ips", 4));
    const foreign = new Uint8Array([10, 96, 0, 99]);
    clusterIps?.set(foreign.toHex(), { key: foreign, value: new Uint8Array(0) });
    world.verify();
    await world.sync();
    expect(world.backend.print()).toEqual(before);
  });

  test("an unreadable table is read at the next sync", async () => {
    const world = await threeServices();
    const before = world.backend.print();
    world.backend.tables.clear();
    world.backend.unreadable = new SluiceError("NETLINK_REFUSED", "not now");
    world.verify();
    expect(await world.sync()).toBe(false);
    expect(world.reports.at(-1)).toMatchObject({ outcome: "failed", repair: undefined });
    expect(world.backend.print()).toEqual([]);
    world.backend.unreadable = undefined;
    expect(await world.sync()).toBe(true);
    expect(world.backend.print()).toEqual(before);
  });

  test.each<[string, (world: SyncWorld, error: SluiceError) => void]>([
    [
      "while the kernel is looked at",
      (world, error) => {
        world.backend.unreadable = error;
        world.verify();
      },
    ],
  ])("an assertion in the core ends the sync and is thrown: %s", async (_, given) => {
    const world = await threeServices();
    await world.clock.advance(60_000);
    const error = new SluiceError("CORE_ABORT", "Cannot go on");
    given(world, error);
    await expect(world.sync()).rejects.toBe(error);
  });

  describe("requests a pass over connections", () => {
    const ports = [{ name: "http", protocol: "UDP", port: 53 }];
    const dns = service("dns", "10.96.0.53", { ports });
    const dnsSlice = { ...slice("dns-1", "dns", IPS), ports: [{ ...ports[0], port: 5353 }] };
    const tcpSlice = (...conditions: { readonly [name: string]: boolean }[]) => ({
      ...slice("a-1", "a", IPS),
      endpoints: conditions.map((each, i) => ({ addresses: [IPS[i] ?? ""], conditions: each })),
    });
    const READY = { ready: true };
    const LEAVING = { ready: false, serving: true, terminating: true };
    const GONE = { ready: false, serving: false, terminating: true };

    test("of UDP when its Service changes, once that is in the kernel", async () => {
      const world = await threeServices();
      world.flowDumps();
      world.put("Service", dns);
      world.put("EndpointSlice", dnsSlice);
      world.backend.transient = new SluiceError("NETLINK_SOCKET", "not now");
      await world.sync();
      expect(world.flowDumps()).toEqual([]);
      world.backend.transient = undefined;
      await world.sync();
      expect(world.flowDumps()).toEqual(["UDP4"]);
      world.put("EndpointSlice", dnsSlice);
      await world.sync();
      expect(world.flowDumps()).toEqual([]);
      world.remove("Service", dns);
      await world.sync();
      expect(world.flowDumps()).toEqual(["UDP4"]);
    });

    test("of TCP when a Service loses an endpoint, not when it gets one", async () => {
      const world = await threeServices();
      world.put("EndpointSlice", tcpSlice(READY, READY));
      await world.sync();
      world.flowDumps();
      world.put("EndpointSlice", tcpSlice(READY, READY, READY));
      await world.sync();
      expect(world.flowDumps()).toEqual([]);
      world.put("EndpointSlice", tcpSlice(READY, READY));
      await world.sync();
      expect(world.flowDumps()).toEqual(["TCP4"]);
    });

    test("of TCP not for a new endpoint if topology hints skip others", async () => {
      const world = await threeServices();
      world.core.setZone("here");
      const hinted = (...zones: string[]) => ({
        ...slice("a-1", "a", IPS),
        endpoints: zones.map((name, i) => ({
          addresses: [IPS[i] ?? ""],
          conditions: READY,
          hints: { forZones: [{ name }] },
        })),
      });
      world.put("EndpointSlice", hinted("here", "there"));
      await world.sync();
      expect(world.flowDumps()).toEqual(["TCP4"]);
      world.put("EndpointSlice", hinted("here", "there", "here"));
      await world.sync();
      expect(world.reports.at(-1)?.operations).toBeGreaterThan(0);
      expect(world.flowDumps()).toEqual([]);
    });

    test("also when an endpoint that was no longer chosen stops serving", async () => {
      const world = await threeServices();
      world.put("EndpointSlice", tcpSlice(READY, LEAVING));
      await world.sync();
      world.flowDumps();
      world.put("EndpointSlice", tcpSlice(READY, GONE));
      await world.sync();
      expect(world.reports.at(-1)).toMatchObject({ operations: 0 });
      expect(world.flowDumps()).toEqual(["TCP4"]);
      world.put("EndpointSlice", tcpSlice(READY));
      await world.sync();
      expect(world.flowDumps()).toEqual([]);
    });
  });

  test("reports an object that stays invalid in one step, so that it is logged once", async () => {
    const world = syncWorld();
    const output: string[] = [];
    const problems = new ProblemRegistry(({ subject, field }) =>
      output.push(`${subject} ${field}`),
    );
    const relist = async () => {
      world.put("Service", service("web", "10.96.0.1", { type: "Odd" }));
      await world.sync();
    };
    await relist();
    await relist();
    expect(world.problems.calls).toHaveLength(2);
    for (const events of world.problems.calls) problems.report(events);
    expect(world.problems.ended).toHaveLength(1);
    expect(output).toEqual(["Service default/web spec.type"]);
  });

  test("cuts a large load into bounded transactions", async () => {
    const world = syncWorld();
    const ips = Array.from({ length: 900 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    for (let i = 1; i <= 100; i++) {
      world.put("Service", service(`s${i}`, `10.96.0.${i}`));
      world.put("EndpointSlice", slice(`s${i}-1`, `s${i}`, ips));
    }
    await world.sync();
    expect(world.backend.transactions.length).toBeGreaterThan(1);
    for (const { adds } of world.backend.transactions) expect(adds).toBeLessThanOrEqual(50_000);
    expect(world.backend.table("endpoints4")).toHaveLength(90_000);
  });

  test("of two Services that claim one external address, the older keeps it, and the younger gets it later", async () => {
    const world = syncWorld();
    const external = { externalIPs: ["192.0.2.1"] };
    const young = service("young", "10.96.0.1", external, 2000);
    const old = service("old", "10.96.0.2", external, 1000);
    world.put("Service", young);
    world.put("EndpointSlice", slice("young-1", "young", ["10.1.0.1"]));
    await world.sync();
    world.put("Service", old);
    world.put("EndpointSlice", slice("old-1", "old", ["10.1.0.2"]));
    await world.sync();
    const endpoint = () =>
      world.backend.table("endpoints4").filter((line) => line.includes("192.0.2.1"));
    expect(endpoint()).toEqual(["endpoints4 192.0.2.1 tcp 80 slot 0 -> 10.1.0.2:8080"]);

    const count = world.backend.transactions.length;
    world.put("Service", {
      ...young,
      spec: { ...(young["spec"] as object), sessionAffinity: "None" },
    });
    world.put("EndpointSlice", slice("young-1", "young", ["10.1.0.1", "10.1.0.3"]));
    await world.sync();
    expect(endpoint()).toEqual(["endpoints4 192.0.2.1 tcp 80 slot 0 -> 10.1.0.2:8080"]);
    expect(world.backend.transactions).toHaveLength(count + 1);

    world.remove("Service", old);
    await world.sync();
    expect(endpoint().map((line) => line.replace(/slot \d/, "slot"))).toEqual([
      "endpoints4 192.0.2.1 tcp 80 slot -> 10.1.0.1:8080",
      "endpoints4 192.0.2.1 tcp 80 slot -> 10.1.0.3:8080",
    ]);
  });

  test("a Service added and removed while the kernel was busy leaves the frontend to the younger one", async () => {
    const world = syncWorld();
    const external = { externalIPs: ["192.0.2.1"] };
    const old = service("old", "10.96.0.2", external, 1000);
    world.put("Service", service("young", "10.96.0.1", external, 2000));
    world.put("EndpointSlice", slice("young-1", "young", ["10.1.0.1"]));
    await world.sync();
    world.backend.transient = new SluiceError("NETLINK_SOCKET", "Cannot send: no buffer space");
    world.put("Service", old);
    await world.sync();
    world.remove("Service", old);
    world.backend.transient = undefined;
    expect(await world.sync()).toBe(true);
    expect(world.backend.table("endpoints4")).toContain(
      "endpoints4 192.0.2.1 tcp 80 slot 0 -> 10.1.0.1:8080",
    );
    expect(world.backend.print().filter((line) => line.includes("10.96.0.2"))).toEqual([]);
  });

  test("cuts the removal of another cluster's elements into bounded transactions", async () => {
    const before = syncWorld();
    const ips = Array.from({ length: 900 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    for (let i = 1; i <= 60; i++) {
      before.put("Service", service(`s${i}`, `10.96.0.${i}`));
      before.put("EndpointSlice", slice(`s${i}-1`, `s${i}`, ips));
    }
    await before.sync();
    const count = before.backend.transactions.length;
    const after = syncWorld(before.backend);
    await after.sync();
    expect(after.backend.print()).toEqual([
      "node-port-ranges4 0.0.0.0/0",
      "node-port-ranges6 ::/0",
    ]);
    const sweeps = after.backend.transactions.slice(count);
    expect(sweeps.length).toBeGreaterThan(2);
    for (const { deletes } of sweeps) expect(deletes).toBeLessThanOrEqual(20_000);
  });

  test("cuts the removal of many large Services into bounded transactions", async () => {
    const world = syncWorld();
    const ips = Array.from({ length: 900 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    const names = Array.from({ length: 100 }, (_, i) => `s${i + 1}`);
    for (const [i, name] of names.entries()) {
      world.put("Service", service(name, `10.96.0.${i + 1}`));
      world.put("EndpointSlice", slice(`${name}-1`, name, ips));
    }
    await world.sync();
    const count = world.backend.transactions.length;
    for (const [i, name] of names.entries()) {
      world.remove("Service", service(name, `10.96.0.${i + 1}`));
    }
    await world.sync();
    expect(world.backend.print()).toEqual([
      "node-port-ranges4 0.0.0.0/0",
      "node-port-ranges6 ::/0",
    ]);
    for (const { deletes } of world.backend.transactions.slice(count)) {
      expect(deletes).toBeLessThanOrEqual(50_000);
    }
    expect(world.backend.transactions.length).toBeGreaterThan(count + 1);
  });

  test("the node's own elements follow its settings, its endpoints and the Service CIDRs", async () => {
    const world = await threeServices();
    world.inputs.setServiceCidrs([
      { metadata: { name: "kubernetes" }, spec: { cidrs: ["10.96.0.0/16"] } },
    ]);
    await world.sync();
    expect(world.backend.table("node-port-ranges4")).toEqual(["node-port-ranges4 0.0.0.0/0"]);
    expect(world.backend.table("service-cidrs4")).toEqual(["service-cidrs4 10.96.0.0/16"]);
    world.inputs.configure({
      bindAddress: "0.0.0.0",
      externalIPs: true,
      nodePortAddresses: { primary: false, cidrs: [parseRange("192.0.2.0/24")] },
    });
    world.put("EndpointSlice", slice("a-1", "a", ["10.1.0.2"]));
    await world.sync();
    expect(world.backend.table("node-port-ranges4")).toEqual(["node-port-ranges4 192.0.2.0/24"]);
  });
});
