/** Session affinity by client address. */
import { describe, expect, test } from "bun:test";
import {
  FAMILIES,
  type Family,
  type Location,
  OUTSIDE_SECOND,
  type Pod,
} from "../../harness/netns/addresses.ts";
import { answers, connect, nameOf, type Target } from "../../harness/netns/connections.ts";
import { type Frontend, frontend } from "../../harness/netns/frontends.ts";
import type { ConnectOptions } from "../../harness/netns/world.ts";
import type { PortSpec } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { emptyNotRemembered, fullServices, notRemembered } from "./full-services.ts";
import { remembered } from "./remembered-clients.ts";
import { describeBackends, Fixture, type Own, type ServiceHandle } from "./traffic-fixture.ts";

const HOURS = 10_800;
/** Without affinity, a client reaches the same one of three endpoints this often with p = 3^-24. */
const STICKS = 25;
const ALL: readonly Pod[] = ["a1", "a2", "b1"];

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  /** Creates a Service for one test, with affinity and endpoints on both nodes. */
  async function given(own: Own = {}) {
    const made = await fixture.given({ affinitySeconds: HOURS, ...own }, ALL);
    const at = (family: Family, from: Location = "a3", to: Frontend = "clusterIP"): Target =>
      made.reach(family, to, from);
    return { ...made, at };
  }

  /** Returns the endpoint that a client reaches every time. */
  async function theOne(target: Target, options: ConnectOptions = {}): Promise<string> {
    // Connect once before the others: connections that begin before the first is done may differ.
    const names = [nameOf(await connect(fixture.world, target, options))];
    names.push(...(await answers(fixture.world, target, { ...options, times: STICKS })));
    const [first = "", ...others] = [...new Set(names)];
    expect(others).toEqual([]);
    return first;
  }

  describe.each([...FAMILIES])("IPv%i", (family) => {
    test("a client keeps its endpoint by clusterIP, node port and every external address", async () => {
      const { at } = await given({
        type: "LoadBalancer",
        externalIPs: [family === 4 ? "203.0.113.9" : "2001:db8:9::9"],
      });
      expect<string[]>([...ALL]).toContain(await theOne(at(family)));
      for (const to of ["clusterIP", "vip", "node port"] as const) {
        expect<string[]>([...ALL]).toContain(await theOne(at(family, "outside", to)));
        expect<string[]>([...ALL]).toContain(await theOne(at(family, "node1", to)));
      }
    });

    test("clients are distinguished by their own address, even if they are masqueraded", async () => {
      const found = new Set<string>();
      // Two clients reach different endpoints with p = 2/3, so twenty Services fail with p = 3^-20.
      for (let each = 0; each < 20 && found.size < 2; each += 1) {
        found.clear();
        const { at } = await given({ type: "LoadBalancer" });
        const target = at(family, "outside", "vip");
        found.add(await theOne(target));
        found.add(await theOne(target, { source: OUTSIDE_SECOND[family] }));
      }
      expect(found.size).toBe(2);
    });

    test("externalTrafficPolicy Local keeps a client at a local endpoint", async () => {
      const { at } = await given({ type: "LoadBalancer", externalPolicy: "Local" });
      for (const to of ["vip", "node port"] as const) {
        expect(["a1", "a2"]).toContain(await theOne(at(family, "outside", to)));
      }
    });

    test("internalTrafficPolicy Local keeps a client at a local endpoint", async () => {
      const { at } = await given({ internalPolicy: "Local" });
      expect(["a1", "a2"]).toContain(await theOne(at(family)));
    });

    test("datagrams from any port keep their endpoint", async () => {
      const { at } = await given({ ports: [{ protocol: "UDP" }] });
      expect<string[]>([...ALL]).toContain(await theOne(at(family), { transport: "udp" }));
    });

    test("if an endpoint is removed, its clients move and no others", async () => {
      const { at, updateEndpoints } = await given();
      const clients = ["a3", "node1", "outside", "node2"] as const;
      const before = await Promise.all(clients.map((from) => theOne(at(family, from))));
      const [gone = ""] = before;
      const left = ALL.filter((each) => each !== gone);
      await updateEndpoints(left);
      for (const [index, from] of clients.entries()) {
        const now = await theOne(at(family, from));
        if (before[index] === gone) expect<string[]>(left).toContain(now);
        else expect(now).toBe(before[index] as string);
      }
    });

    test.each<[string, (given: ServiceHandle, other: ServiceHandle) => Promise<void>]>([
      ["another endpoint came just before", (given) => given.updateEndpoints(["b1", "a1"])],
      ["another Service changed just before", (_, other) => other.updateEndpoints(["a2"])],
    ])("a removed endpoint gets no new connection, if %s", async (_, change) => {
      const ports: readonly PortSpec[] = [
        { name: "web", port: 80 },
        { name: "sip", port: 5060, protocol: "UDP" },
      ];
      const given = await fixture.given({ affinitySeconds: HOURS, ports }, ["b1"]);
      const other = await fixture.given({ affinitySeconds: HOURS }, ["a1"]);
      const web = given.reach(family, "clusterIP", "a3");
      const sip = { ...web, port: 5060 };
      // Datagrams from one source port are one flow.
      const datagram = async () =>
        nameOf(
          await connect(fixture.world, sip, {
            transport: "udp",
            sourcePort: 20_000 + family,
            timeoutMs: 1000,
          }),
        );
      expect(await theOne(web)).toBe("b1");
      expect(await datagram()).toBe("b1");
      await change(given, other);
      expect(await theOne(web)).toBe("b1");
      expect(await datagram()).toBe("b1");
      await given.updateEndpoints(["a1"]);
      expect(await answers(fixture.world, web)).toEqual(["a1"]);
      expect(await pollUntil(datagram, (name) => name === "a1")).toBe("a1");
      expect(await datagram()).toBe("a1");
    });

    test.each<[Location, Frontend]>([
      ["a3", "vip"],
      ["a3", "node port"],
      ["node1", "vip"],
      ["node1", "node port"],
    ])("with externalTrafficPolicy Local, %s keeps a remote endpoint by %s", async (from, to) => {
      const { reach } = await fixture.given(
        { affinitySeconds: HOURS, type: "LoadBalancer", externalPolicy: "Local" },
        ["b1", "b2"],
      );
      const other = await fixture.given({ affinitySeconds: HOURS }, ["a1"]);
      const target = reach(family, to, from);
      const first = await theOne(target);
      for (const next of ["a2", "a1", "b1"] as const) {
        await other.updateEndpoints([next]);
        expect(await theOne(target)).toBe(first);
      }
    });

    test("with externalTrafficPolicy Local, pods and outside clients keep their own endpoints", async () => {
      const { reach, updateEndpoints } = await fixture.given(
        { affinitySeconds: HOURS, type: "LoadBalancer", externalPolicy: "Local" },
        ["a1", "a2", "b1", "b2"],
      );
      const clients = (["a3", "outside", "node1"] as const).map((from) =>
        reach(family, "vip", from),
      );
      const before = await Promise.all(clients.map((target) => theOne(target)));
      await updateEndpoints(["a1", "a2", "b1", "b2", "a3"]);
      expect(await Promise.all(clients.map((target) => theOne(target)))).toEqual(before);
      expect(["a1", "a2"]).toContain(before[1] ?? "");
    });

    test.each<Frontend>(["node port", "clusterIP", "vip"])(
      "a flood of clients of one Service by %s leaves the affinity of others alone",
      async (to) => {
        const known = await given({ type: "LoadBalancer" });
        const flooded = await given({ type: "LoadBalancer", ports: [{ protocol: "UDP" }] });
        const fresh = await given({ type: "LoadBalancer" });
        const remembered = await theOne(known.at(family, "outside", to));
        const regular = flooded.at(family, "a3", to);
        const beforeFlood = await theOne(regular, { transport: "udp" });
        const { address, port } = frontend(to, flooded.number, family);
        const script = `${import.meta.dir}/children/forged-datagrams.ts`;
        await fixture.world.run("outside", [process.execPath, script, address, `${port}`, "68000"]);
        const connections = Number(await fixture.world.run("node1", ["conntrack", "-C"]));
        expect(connections).toBeGreaterThan(65_536);
        // A few floods would fill the table of connections, and no connection would work then.
        await fixture.world.run("node1", ["conntrack", "-F"]);
        expect(await theOne(known.at(family, "outside", to))).toBe(remembered);
        // A list of xt_recent holds 100 clients by default; the flood drives out the others.
        if (backend === "nftables") {
          expect(await theOne(regular, { transport: "udp" })).toBe(beforeFlood);
        }
        for (const from of ["outside", "a3"] as const) {
          expect<string[]>([...ALL]).toContain(await theOne(fresh.at(family, from, to)));
        }
        const names = [known.name, flooded.name, fresh.name];
        const reported = async () =>
          (await fullServices(fixture.program)).filter(({ name }) => names.includes(name));
        if (backend !== "nftables") {
          expect(await reported()).toEqual([]);
          return;
        }
        const begun = await reported();
        expect(begun).toEqual([
          { name: flooded.name, problems: [expect.stringContaining(`${port}/UDP`)], logged: 1 },
        ]);
        const refused = await notRemembered(fixture.program, flooded.name);
        expect(refused).toBeGreaterThanOrEqual(68_000 - 65_535);
        expect(refused).toBeLessThan(68_000 - 65_535 + 100);
        expect(await notRemembered(fixture.program, known.name)).toBe(0);

        await fixture.program.stop();
        await fixture.program.start();
        expect(await reported()).toEqual(begun.map((one) => ({ ...one, logged: 2 })));
        expect(await notRemembered(fixture.program, flooded.name)).toBe(refused);
        await emptyNotRemembered(fixture.world, family);
        expect(await pollUntil(reported, (left) => left.length === 0)).toEqual([]);
        expect(await notRemembered(fixture.program, flooded.name)).toBe(refused);
      },
    );

    test("a client does not return to an endpoint that was removed and comes back", async () => {
      const { at, updateEndpoints } = await given();
      const first = await theOne(at(family));
      await updateEndpoints(ALL.filter((each) => each !== first));
      const second = await theOne(at(family));
      expect(second).not.toBe(first);
      await updateEndpoints(ALL);
      expect(await theOne(at(family))).toBe(second);
    });

    test("a new endpoint takes no client from another one", async () => {
      const { at, updateEndpoints } = await given();
      await updateEndpoints(["b1"]);
      expect(await theOne(at(family))).toBe("b1");
      await updateEndpoints(ALL);
      expect(await theOne(at(family))).toBe("b1");
    });

    test("affinity can be disabled and enabled again", async () => {
      const { at, update } = await given();
      await theOne(at(family));
      await update({});
      expect(await answers(fixture.world, at(family))).toEqual([...ALL]);
      await update({ affinitySeconds: HOURS });
      expect<string[]>([...ALL]).toContain(await theOne(at(family)));
    });

    test("each Service has its own timeout", async () => {
      const short = await given({ affinitySeconds: 1 });
      const long = await given();
      const kept = await theOne(long.at(family));
      const seen = new Set<string>();
      // A forgotten client reaches another endpoint with p = 2/3, so twenty attempts fail with p =
      // 3^-20.
      for (let each = 0; each < 20 && seen.size < 2; each += 1) {
        seen.add(nameOf(await connect(fixture.world, short.at(family))));
        const known = () => remembered(fixture.world, backend, short.at(family));
        expect(await pollUntil(known, (left) => left === undefined)).toBeUndefined();
      }
      expect(seen.size).toBe(2);
      expect(await theOne(long.at(family))).toBe(kept);
    });

    test("a new connection restarts the timeout", async () => {
      const { at } = await given({ affinitySeconds: 1000 });
      await connect(fixture.world, at(family));
      const left = () => remembered(fixture.world, backend, at(family));
      const before = await pollUntil(left, (seconds) => seconds !== undefined && seconds < 998);
      expect(before).toBeLessThan(998);
      await connect(fixture.world, at(family));
      expect(await left()).toBeGreaterThan(before ?? 1000);
    });

    test("clients keep their endpoint after a restart", async () => {
      const { at } = await given();
      const clients = ["a3", "node1", "outside", "node2"] as const;
      const before = await Promise.all(clients.map((from) => theOne(at(family, from))));
      await fixture.program.stop();
      await fixture.program.start();
      expect(await Promise.all(clients.map((from) => theOne(at(family, from))))).toEqual(before);
    });
  });
});
