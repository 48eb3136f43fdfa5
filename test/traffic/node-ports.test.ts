/** The kernel decides which addresses are the node's. Node ports answer on them from then on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  addressOf,
  CLUSTER_CIDR,
  FAMILIES,
  type Family,
  NODE1_SECOND,
} from "../../harness/netns/addresses.ts";
import { connect, nameOf, useLongTimeout } from "../../harness/netns/connections.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import type { World } from "../../harness/netns/world.ts";
import {
  commonObjects,
  type Manifest,
  nodePort,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

useLongTimeout();

const UDP = { type: "NodePort", ports: [{ protocol: "UDP" }] } as const;
const TCP = { type: "NodePort" } as const;
/** A SYN is repeated after 1, 3 and 7 s. The entry of an unanswered one stays for 120 s. */
const SYN_PATIENCE_MS = 20_000;
const TRIAL_PATIENCE_MS = 100;
/** Below the range that the kernel assigns. */
let sourcePort = 15_000;

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

/** A flow of datagrams from one source port of the outside, to a node port at an address. */
class Flow {
  readonly #world: World;
  readonly #address: string;
  readonly #port: number;
  readonly #sourcePort = ++sourcePort;

  constructor(world: World, address: string, port: number) {
    this.#world = world;
    this.#address = address;
    this.#port = port;
  }

  /** The socket does not survive a refusal, but its source port, and so the flow, does. */
  async ask(): Promise<string> {
    const options = {
      transport: "udp",
      sourcePort: this.#sourcePort,
      timeoutMs: TRIAL_PATIENCE_MS,
    } as const;
    return nameOf(await this.#world.connect("outside", this.#address, this.#port, options));
  }

  /** Asks until an endpoint answers. */
  async answered(): Promise<string> {
    return await pollUntil(
      () => this.ask(),
      (name) => name === "a1",
    );
  }

  /** The kernel's id of its entry, which tells it from a later one of the same flow. */
  async entry(): Promise<string | undefined> {
    const list = await this.#world.run("node1", [
      ...["conntrack", "-L", "-f", this.#address.includes(":") ? "ipv6" : "ipv4", "-p", "udp"],
      ...["--orig-port-src", String(this.#sourcePort), "-o", "id"],
    ]);
    return /\bid=(\d+)/.exec(list)?.[1];
  }
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
        const flow = new Flow(fixture.world, address, port);
        expect(await flow.ask()).toBe("timeout");
        await withAddress(address, async (set) => {
          await set("add");
          expect(await flow.answered()).toBe("a1");
          await set("remove");
          const second = new Flow(fixture.world, address, port);
          expect(await second.ask()).toBe("timeout");
          await set("add");
          expect(await second.answered()).toBe("a1");
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
        return { address, flow: new Flow(world, address, port) };
      });
      for (const { flow } of flows) expect(await flow.ask()).toBe("timeout");
      for (const { address } of flows) await world.changeAddress("add", "node1", address, "eth1");
      for (const { flow } of flows) expect(await flow.answered()).toBe("a1");
      for (const { address } of flows) await world.changeAddress("del", "node1", address, "eth1");
    });

    // `fib daddr type` and iptables' addrtype look up IPv4 in the table `local` only.
    test("of another table, only IPv6 routes make an address local", async () => {
      const { world } = fixture;
      const port = await given(TCP);
      const udp = await given(UDP);
      const address = newAddress(family, 7);
      const net = netOf(family, 7);
      const flow = new Flow(world, address, udp);
      expect(await flow.ask()).toBe("timeout");
      await ip(world, family, `rule add to ${net} lookup 77`);
      try {
        await ip(world, family, `route add local ${net} dev lo table 77`);
        const { name, outcome } = await world.connect("outside", address, port);
        if (family === 6) {
          expect(name).toBe("a1");
          expect(await flow.answered()).toBe("a1");
        } else expect(outcome).toBe("refused");
      } finally {
        await ip(world, family, `rule del to ${net} lookup 77`);
        await ip(world, family, "route flush table 77");
      }
    });

    test.if(family === 6)("an anycast address does not serve node ports", async () => {
      const port = await given(TCP);
      expect(nameOf(await fixture.world.connect("outside", "2001:db8:2::", port))).not.toBe("a1");
    });

    test("a restart serves flows to an address that came while no program ran", async () => {
      const { world, program } = fixture;
      const port = await given(UDP);
      const address = newAddress(family);
      const flow = new Flow(world, address, port);
      expect(await flow.ask()).toBe("timeout");
      await program.stop();
      await world.changeAddress("add", "node1", address, "eth1");
      try {
        // New connections need no program.
        expect(await new Flow(world, address, port).ask()).toBe("a1");
      } finally {
        await program.start();
      }
      expect(await flow.answered()).toBe("a1");
      await world.changeAddress("del", "node1", address, "eth1");
    });
  });

  test("pods that come and go cause no pass over the entries, and a new address causes one", async () => {
    const { world, program } = fixture;
    await given(UDP);
    await program.untilAtRest();
    const address = newAddress(4);
    const other = newAddress(4);
    await world.changeAddress("add", "node1", address, "eth1");
    const before = await settled(passes);
    for (let i = 0; i < 3; i++) {
      await world.run("node1", "ip link add new type veth peer name peer".split(" "));
      await world.run("node1", "ip link set new up".split(" "));
      await world.run("node1", "ip link set peer up".split(" "));
      await world.run("node1", "ip addr add 169.254.7.7/32 dev lo".split(" "));
      await world.run("node1", "ip addr del 169.254.7.7/32 dev lo".split(" "));
      await world.run("node1", "ip route add 203.0.120.0/24 dev new".split(" "));
      // Some plugins give each pod's interface the gateway's address.
      await world.changeAddress("add", "node1", address, "new");
      await world.run("node1", "ip link del new".split(" "));
    }
    await world.changeAddress("add", "node1", other, "eth1");
    expect(await settled(passes)).toBeGreaterThan(before);
    await world.changeAddress("del", "node1", address, "eth1");
    await world.changeAddress("del", "node1", other, "eth1");
  });
});
