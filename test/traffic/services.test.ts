/** Services, shared addresses and addresses of the node appear, change and disappear. */
import { describe, expect, test } from "bun:test";
import {
  addressOf,
  externalIp,
  FAMILIES,
  type Family,
  type Location,
  NODE1_SECOND,
} from "../../harness/netns/addresses.ts";
import { answers, nameOf, outcome, type Target } from "../../harness/netns/connections.ts";
import type { Frontend } from "../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import {
  commonObjects,
  externalIps,
  type Manifest,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { excepted, testUnless } from "./exceptions.ts";
import { describeBackends, type Endpoints, Fixture, type Own } from "./traffic-fixture.ts";

describeBackends((backend) => {
  const fixture = new Fixture({
    backend,
    flags: [...DEFAULT_FLAGS, "--nodeport-addresses=0.0.0.0/0,::/0"],
  });

  /** Creates a Service for one test, with an endpoint on each node; the outside calls it. */
  async function given(own: Own = {}, endpoints: Endpoints = ["a1", "b1"]) {
    const made = await fixture.given(own, endpoints);
    const reach = (family: Family, to: Frontend, from: Location = "outside"): Target =>
      made.reach(family, to, from);
    return { ...made, reach };
  }

  const BOTH = ["a1", "b1"];

  describe.each([...FAMILIES])("IPv%i", (family) => {
    test("a deleted Service is not served until it is created again", async () => {
      const own = { type: "LoadBalancer" } as const;
      const { update, reach, remove } = await given(own);
      expect(await answers(fixture.world, reach(family, "clusterIP"))).toEqual(BOTH);
      await remove();
      expect(await outcome(fixture.world, reach(family, "clusterIP"))).toBe("timeout");
      expect(await outcome(fixture.world, reach(family, "vip", "a1"))).toBe("timeout");
      expect(await outcome(fixture.world, reach(family, "node port"))).toBe("refused");
      await update(own);
      for (const to of ["clusterIP", "vip", "node port"] as const) {
        expect(await answers(fixture.world, reach(family, to))).toEqual(BOTH);
      }
    });

    test("a Service has the addresses of its current type", async () => {
      const { update, reach } = await given({ type: "ExternalName" });
      const seen = async () => ({
        clusterIP: await outcome(fixture.world, reach(family, "clusterIP")),
        nodePort: await outcome(fixture.world, reach(family, "node port")),
        vip: await outcome(fixture.world, reach(family, "vip", "a2")),
      });
      const some = expect.stringMatching(/^(a1|b1)$/);
      const none = { clusterIP: "timeout", nodePort: "refused", vip: "timeout" };
      expect(await seen()).toEqual(none);
      await update({ type: "ClusterIP" });
      expect(await seen()).toEqual({ ...none, clusterIP: some });
      await update({ type: "NodePort" });
      expect(await seen()).toEqual({ ...none, clusterIP: some, nodePort: some });
      await update({ type: "LoadBalancer" });
      expect(await seen()).toEqual({ clusterIP: some, nodePort: some, vip: some });
      await update({ type: "ExternalName" });
      expect(await seen()).toEqual(none);
    });

    test("ports of a Service are added and removed", async () => {
      const { update, reach, name } = await given();
      const at = (port: number) => ({ ...reach(family, "clusterIP", "a2"), port });
      const web = { name: "web" };
      await update({ ports: [web, { name: "web2", port: 81 }] });
      expect(await outcome(fixture.world, at(81))).toBe("refused");
      await fixture.put(...slices(name, ["b1"], { ports: [web, { name: "web2", target: 9090 }] }));
      expect(await answers(fixture.world, at(81), { withPort: true })).toEqual(["b1:9090"]);
      await update({ ports: [{ name: "web2", port: 82 }] });
      expect(await answers(fixture.world, at(82), { withPort: true })).toEqual(["b1:9090"]);
      const unserved = excepted(backend, "unlisted ports") ? "timeout" : "refused";
      expect(await outcome(fixture.world, at(81))).toBe(unserved);
      expect(await outcome(fixture.world, at(80))).toBe(unserved);
    });

    test("a node port changes", async () => {
      const { update, reach, number } = await given({ type: "NodePort" });
      const first = reach(family, "node port");
      const second = { ...first, port: 31_800 + number };
      expect(await outcome(fixture.world, second)).toBe("refused");
      await update({ type: "NodePort", ports: [{ nodePort: second.port }] });
      expect(await answers(fixture.world, second)).toEqual(BOTH);
      expect(await outcome(fixture.world, first)).toBe("refused");
    });

    test("traffic policies change", async () => {
      const { update, reach } = await given({ type: "LoadBalancer" });
      const seen = async () => [
        await answers(fixture.world, reach(family, "vip")),
        await answers(fixture.world, reach(family, "node port")),
        await answers(fixture.world, reach(family, "clusterIP", "a2")),
      ];
      expect(await seen()).toEqual([BOTH, BOTH, BOTH]);
      await update({ type: "LoadBalancer", externalPolicy: "Local" });
      expect(await seen()).toEqual([["a1"], ["a1"], BOTH]);
      await update({ type: "LoadBalancer", internalPolicy: "Local" });
      expect(await seen()).toEqual([BOTH, BOTH, ["a1"]]);
      await update({ type: "LoadBalancer", internalPolicy: "Local", externalPolicy: "Local" });
      expect(await seen()).toEqual([["a1"], ["a1"], ["a1"]]);
      await update({ type: "LoadBalancer" });
      expect(await seen()).toEqual([BOTH, BOTH, BOTH]);
    });

    test("source ranges are set, changed and removed", async () => {
      const { update, reach } = await given({ type: "LoadBalancer" });
      const seen = () => outcome(fixture.world, reach(family, "vip"));
      const some = expect.stringMatching(/^(a1|b1)$/);
      const ranges = (...sourceRanges: string[]): Own => ({ type: "LoadBalancer", sourceRanges });
      expect(await seen()).toEqual(some);
      await update(ranges("192.0.2.77/32", "2001:db8:77::/64"));
      expect(await seen()).toBe("timeout");
      await update(
        ranges("192.0.2.77/32", "2001:db8:77::/64", "198.51.100.0/24", "2001:db8:2::/64"),
      );
      expect(await seen()).toEqual(some);
      await update(ranges("198.51.100.128/25", "2001:db8:2:8000::/65"));
      expect(await seen()).toBe("timeout");
      await update({ type: "LoadBalancer" });
      expect(await seen()).toEqual(some);
    });

    test("a Service with the label of another proxy is not served until the label is removed", async () => {
      const { update, reach } = await given({ type: "NodePort" });
      const labels = { "service.kubernetes.io/service-proxy-name": "other" };
      await update({ type: "NodePort", labels });
      expect(await outcome(fixture.world, reach(family, "node port"))).toBe("refused");
      expect(await outcome(fixture.world, reach(family, "clusterIP"))).toBe("timeout");
      await update({ type: "NodePort" });
      expect(await answers(fixture.world, reach(family, "node port"))).toEqual(BOTH);
    });

    test("the older of two Services that claim an external address gets it, in any order", async () => {
      const shared = 2000 + family;
      const externalIPs = externalIps(shared);
      const ask = () =>
        answers(fixture.world, { from: "outside", to: "externalIP", number: shared, family });
      const young = await given({ externalIPs, created: 20 }, ["a1"]);
      expect(await ask()).toEqual(["a1"]);
      const old = await given({ externalIPs, created: 10 }, ["b1"]);
      expect(await ask()).toEqual(["b1"]);
      for (const each of [1, 2]) {
        await young.update({ externalIPs, created: 20, labels: { touched: `${each}` } });
        expect(await ask()).toEqual(["b1"]);
      }
      await old.update({ created: 10 });
      expect(await ask()).toEqual(["a1"]);
      await old.update({ externalIPs, created: 10 });
      expect(await ask()).toEqual(["b1"]);
      await old.remove();
      expect(await ask()).toEqual(["a1"]);
    });

    test("an external address in upper case, or listed twice, is one address", async () => {
      const number = 2100 + family;
      const address = externalIp(number, family);
      await given({ externalIPs: [address.toUpperCase(), address] });
      expect(
        await answers(fixture.world, { from: "outside", to: "externalIP", number, family }),
      ).toEqual(BOTH);
    });

    test("invalid fields of a Service do not affect the rest of it", async () => {
      const number = 2200 + family;
      const { reach } = await given({
        type: "LoadBalancer",
        externalIPs: ["not an address", "300.1.2.3", externalIp(number, family)],
        sourceRanges: ["nonsense", "198.51.100.0/24", "2001:db8:2::/64"],
      });
      expect(await answers(fixture.world, reach(family, "clusterIP"))).toEqual(BOTH);
      expect(await answers(fixture.world, reach(family, "vip"))).toEqual(BOTH);
      expect(await outcome(fixture.world, reach(family, "vip", "a2"))).toBe("timeout");
      expect(
        await answers(fixture.world, { from: "outside", to: "externalIP", number, family }),
      ).toEqual(BOTH);
    });

    test("a new address of the node serves node ports until it is removed", async () => {
      const { number } = await given({ type: "NodePort" });
      const address = family === 4 ? "198.51.100.77" : "2001:db8:2::77";
      const change = (verb: "add" | "del") =>
        fixture.world.changeAddress(verb, "node1", address, "eth1");
      const ask = async () =>
        nameOf(
          await fixture.world.connect("outside", address, 30_000 + number, { timeoutMs: 250 }),
        );
      await change("add");
      expect(await pollUntil(ask, (name) => BOTH.includes(name))).toEqual(
        expect.stringMatching(/^(a1|b1)$/),
      );
      await change("del");
      expect(await pollUntil(ask, (name) => !BOTH.includes(name))).not.toMatch(/^(a1|b1)$/);
      expect(BOTH).toContain(
        nameOf(await fixture.world.connect("outside", NODE1_SECOND[family], 30_000 + number)),
      );
    });

    const NODE1 = FAMILIES.map((each) => addressOf("node1", each));
    const ELSEWHERE = ["203.0.113.128/25", "2001:db8:ffff::/48"];
    const ON_BOTH: Endpoints = ["a1", "b1"];
    // The node's SSH must not depend on a Service: cilium 44430, 43206 and 46010.
    test.each<[name: string, own: Own, endpoints: Endpoints, expected: readonly string[]]>([
      ["a load balancer", { type: "LoadBalancer", vips: NODE1 }, ON_BOTH, BOTH],
      [
        "a load balancer with a Local policy",
        { type: "LoadBalancer", vips: NODE1, externalPolicy: "Local" },
        ON_BOTH,
        ["a1"],
      ],
      [
        "a load balancer that does not allow the caller",
        { type: "LoadBalancer", vips: NODE1, sourceRanges: ELSEWHERE },
        ON_BOTH,
        ["timeout"],
      ],
      ["a load balancer without endpoints", { type: "LoadBalancer", vips: NODE1 }, [], ["refused"]],
      ["an external IP", { externalIPs: NODE1 }, ON_BOTH, BOTH],
    ])("the node's own ports work if it shares its address with %s", async (...row) => {
      const [, own, endpoints, expected] = row;
      const { world } = fixture;
      const call = async (from: Location, port: number) =>
        nameOf(await world.connect(from, addressOf("node1", family), port, { timeoutMs: 250 }));
      const { remove } = await given(own, endpoints);
      try {
        expect(expected).toContain(await call("outside", 80));
        for (const from of ["outside", "node2", "a1", "node1"] as const) {
          expect(await call(from, 9090)).toBe("node1");
          expect(await call(from, 9091)).toBe("refused");
        }
      } finally {
        await remove();
      }
      expect(await call("outside", 80)).toBe("refused");
    });

    testUnless("unused clusterIPs", backend)(
      "packets to unused clusterIPs of a new ServiceCIDR are dropped",
      async () => {
        const address = family === 4 ? "192.0.2.200" : "2001:db8:5::200";
        const range = family === 4 ? "192.0.2.192/26" : "2001:db8:5::/64";
        const { world } = fixture;
        await world.changeAddress("add", "outside", address, "lo");
        const gateway = addressOf("outside", family);
        await world.run("node1", ["ip", "route", "add", address, "via", gateway]);
        const ask = async () => nameOf(await world.connect("a1", address, 80, { timeoutMs: 250 }));
        expect(await ask()).toBe("refused");
        const second: Manifest = {
          apiVersion: "networking.k8s.io/v1",
          kind: "ServiceCIDR",
          metadata: { name: `second-${family}` },
          spec: { cidrs: [range] },
        };
        await fixture.put(second);
        expect(await ask()).toBe("timeout");
        await fixture.remove(second);
        expect(await ask()).toBe("refused");
      },
    );
  });

  test("node ports are served once the addresses of the Node are known", async () => {
    const own = await World.build();
    try {
      const late = new SluiceProcess(own, { backend });
      const node = commonObjects().filter((each) => each.kind === "Node");
      late.remove(node);
      late.put([service({ name: "s1", number: 1, type: "NodePort" }), ...slices("s1", ["a1"])]);
      await late.start();
      late.put(node);
      await late.untilSettled();
      for (const family of FAMILIES) {
        const target: Target = { from: "outside", to: "node port", number: 1, family };
        expect(await answers(own, target, { times: 5 })).toEqual(["a1"]);
      }
    } finally {
      await own.close();
    }
  });
});
