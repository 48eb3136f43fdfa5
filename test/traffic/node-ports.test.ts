/** The kernel decides which addresses are the node's. Node ports answer on them from then on. */
import { describe, expect, test } from "bun:test";
import { addressOf, FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { nameOf } from "../../harness/netns/connections.ts";
import type { World } from "../../harness/netns/world.ts";
import { nodePort } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { DatagramFlow } from "./datagram-flow.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

const UDP = { type: "NodePort", ports: [{ protocol: "UDP" }] } as const;
const TCP = { type: "NodePort" } as const;
/** A SYN is repeated after 1, 3 and 7 s. The entry of an unanswered one stays for 120 s. */
const SYN_PATIENCE_MS = 20_000;
/** More than the passes that a test cannot attribute. */
const PODS = 8;

/** Addresses that the outside sends to node1, and that node1 sends back if they are not its own. */
let hosts = 0;
function newAddress(family: Family, net = 1): string {
  hosts += 1;
  const host = hosts.toString(16);
  return family === 4 ? `203.0.${112 + net}.${hosts}` : `2001:db8:9:${net}::${host}`;
}

const netOf = (family: Family, net: number) =>
  family === 4 ? `203.0.${112 + net}.0/24` : `2001:db8:9:${net}::/64`;

/** Runs `ip` on node1. */
function ip(world: World, family: Family, text: string): Promise<string> {
  return world.run("node1", ["ip", `-${family}`, ...text.split(" ")]);
}

/** The ways in which an address becomes the node's. */
const WAYS: readonly (readonly [name: string, add: string, remove: string])[] = [
  ["an address of an interface", "addr add ADDRESS dev eth1", "addr del ADDRESS dev eth1"],
  ["an address of lo", "addr add ADDRESS dev lo", "addr del ADDRESS dev lo"],
  ["a local route", "route add local ADDRESS dev eth1", "route del local ADDRESS dev eth1"],
  ["a local route to a range", "route add local NET dev lo", "route del local NET dev lo"],
];

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  /** Creates a Service with one endpoint, and returns its node port. */
  async function given(own: typeof UDP | typeof TCP, more = {}): Promise<number> {
    return nodePort((await fixture.given({ ...own, ...more }, ["a1"])).number);
  }

  /** The number of passes over the entries of both families. */
  async function passes(): Promise<number> {
    const { body } = await fixture.program.get("/metrics");
    const counts = body.matchAll(/^\w+_reconciler_sync_duration_seconds_count\{\S* (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  describe.each([...FAMILIES])("IPv%i", (family) => {
    let net = 1;

    describe.each(WAYS)("%s", (_name, add, remove) => {
      /** Adds or removes the address. A test removes what it added. */
      async function change(verb: "add" | "remove", address: string): Promise<void> {
        const words = verb === "add" ? add : remove;
        const nodad = family === 6 && words.startsWith("addr add") ? " nodad" : "";
        const full = `${address}/${family === 4 ? 32 : 128}`;
        const text = words.replace("ADDRESS", full).replace("NET", netOf(family, net));
        await ip(fixture.world, family, text + nodad);
        if (verb === "add") await fixture.world.untilLocal("node1", address);
      }

      async function withAddress(
        address: string,
        use: (change: (verb: "add" | "remove") => Promise<void>) => Promise<void>,
      ): Promise<void> {
        try {
          await use((verb) => change(verb, address));
        } finally {
          await change("remove", address).catch(() => {});
          net += 1;
        }
      }

      test.each(["Cluster", "Local"] as const)(
        "serves node ports at once, until it is removed (externalTrafficPolicy %s)",
        async (externalPolicy) => {
          const { world } = fixture;
          const port = await given(TCP, { externalPolicy });
          const address = newAddress(family, net);
          const ask = async () =>
            nameOf(await world.connect("outside", address, port, { timeoutMs: 250 }));
          await withAddress(address, async (set) => {
            await set("add");
            expect(await ask()).toBe("a1");
            for (const from of ["node1", "a2", "node2"] as const) {
              const { outcome } = await world.connect(from, address, port, { timeoutMs: 1000 });
              expect(`${from}: ${outcome}`).toBe(`${from}: answered`);
            }
            await set("remove");
            expect(await ask()).toBe("timeout");
          });
        },
      );

      test("a flow that began before reaches the endpoint, and again after a removal", async () => {
        const port = await given(UDP);
        const address = newAddress(family, net);
        const flow = new DatagramFlow(fixture.world, address, port);
        expect(await flow.ask()).toBe("timeout");
        await withAddress(address, async (set) => {
          await set("add");
          expect(await flow.asked("a1")).toBe("a1");
          await set("remove");
          const second = new DatagramFlow(fixture.world, address, port);
          expect(await second.ask()).toBe("timeout");
          await set("add");
          expect(await second.asked("a1")).toBe("a1");
          expect(await flow.ask()).toBe("a1");
        });
      });
    });

    test("the next SYN reaches the endpoint if the address comes after the first", async () => {
      const { world } = fixture;
      const port = await given(TCP);
      const address = newAddress(family);
      const reply = world.connect("outside", address, port, { timeoutMs: SYN_PATIENCE_MS });
      const entries = () =>
        world.run("node1", ["conntrack", "-L", "-f", `ipv${family}`, "-p", "tcp", "-d", address]);
      await pollUntil(entries, (list) => list.includes("SYN_SENT"));
      await world.changeAddress("add", "node1", address, "eth1");
      expect(nameOf(await reply)).toBe("a1");
      await world.changeAddress("del", "node1", address, "eth1");
    });

    test("addresses that arrive during passes serve the flows that began before", async () => {
      const { world } = fixture;
      const port = await given(UDP);
      const flows = Array.from({ length: 20 }, () => {
        const address = newAddress(family);
        return { address, flow: new DatagramFlow(world, address, port) };
      });
      for (const { flow } of flows) expect(await flow.ask()).toBe("timeout");
      for (const { address } of flows) await world.changeAddress("add", "node1", address, "eth1");
      for (const { flow } of flows) expect(await flow.asked("a1")).toBe("a1");
      for (const { address } of flows) await world.changeAddress("del", "node1", address, "eth1");
    });

    test("an address that moves here from another node brings its flows along", async () => {
      const { world } = fixture;
      const port = await given(UDP);
      const address = newAddress(family);
      const via = `route add ${address} via ${addressOf("node2", family)}`;
      await world.changeAddress("add", "node2", address, "eth0");
      await ip(world, family, via);
      const flow = new DatagramFlow(world, address, port);
      expect(await flow.asked("refused")).toBe("refused");
      await world.changeAddress("add", "node1", address, "eth1");
      await world.changeAddress("del", "node2", address, "eth0");
      expect(await flow.asked("a1")).toBe("a1");
      await ip(world, family, via.replace("add", "del"));
      await world.changeAddress("del", "node1", address, "eth1");
    });

    // `fib daddr type` and iptables' addrtype look up IPv4 in the table `local` only.
    test("of another table, only IPv6 routes make an address local", async () => {
      const { world } = fixture;
      const port = await given(TCP);
      const udp = await given(UDP);
      const address = newAddress(family, 7);
      const net = netOf(family, 7);
      const flow = new DatagramFlow(world, address, udp);
      expect(await flow.ask()).toBe("timeout");
      await ip(world, family, `rule add to ${net} lookup 77`);
      try {
        await ip(world, family, `route add local ${net} dev lo table 77`);
        const name = nameOf(await world.connect("outside", address, port, { timeoutMs: 250 }));
        if (family === 6) {
          expect(name).toBe("a1");
          expect(await flow.asked("a1")).toBe("a1");
        } else expect(name).not.toBe("a1");
      } finally {
        await ip(world, family, `rule del to ${net} lookup 77`);
        await ip(world, family, "route flush table 77");
      }
    });

    test.if(family === 6)("an anycast address does not serve node ports", async () => {
      const port = await given(TCP);
      const reply = await fixture.world.connect("outside", "2001:db8:2::", port, {
        timeoutMs: 250,
      });
      expect(nameOf(reply)).not.toBe("a1");
    });

    test("a restart serves flows to an address that came while no program ran", async () => {
      const { world, program } = fixture;
      const port = await given(UDP);
      const address = newAddress(family);
      const flow = new DatagramFlow(world, address, port);
      expect(await flow.ask()).toBe("timeout");
      await program.stop();
      await world.changeAddress("add", "node1", address, "eth1");
      try {
        // New connections need no program.
        expect(await new DatagramFlow(world, address, port).ask()).toBe("a1");
      } finally {
        await program.start();
      }
      expect(await flow.asked("a1")).toBe("a1");
      await world.changeAddress("del", "node1", address, "eth1");
    });
  });

  test("pods that come and go cause no pass over the entries, and a new address causes one", async () => {
    const { world } = fixture;
    const port = await given(UDP);
    const [gateway, last] = [newAddress(4), newAddress(4)];
    const flow = new DatagramFlow(world, gateway, port);
    const lastFlow = new DatagramFlow(world, last, port);
    expect([await flow.ask(), await lastFlow.ask()]).toEqual(["timeout", "timeout"]);
    await world.changeAddress("add", "node1", gateway, "eth1");
    expect(await flow.asked("a1")).toBe("a1");
    const before = await passes();
    for (let pod = 0; pod < PODS; pod++) {
      await ip(world, 4, "link add new type veth peer name peer");
      await ip(world, 4, "link set new up");
      await ip(world, 4, "link set peer up");
      await ip(world, 4, "route add 203.0.120.0/24 dev new");
      // Some plugins give each pod's interface the gateway's address.
      await world.changeAddress("add", "node1", gateway, "new");
      await ip(world, 4, "link del new");
    }
    await world.changeAddress("add", "node1", last, "eth1");
    expect(await lastFlow.asked("a1")).toBe("a1");
    // The passes for the two addresses. The first may have been reported late.
    expect((await passes()) - before).toBeWithin(0, 3);
    await world.changeAddress("del", "node1", gateway, "eth1");
    await world.changeAddress("del", "node1", last, "eth1");
  });
});
