/** nodePortAddresses and the Node change while the program runs. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { addressOf, FAMILIES, type Family, NODE1_SECOND } from "../../harness/netns/addresses.ts";
import { nameOf } from "../../harness/netns/connections.ts";
import { commonObjects, type Manifest, nodePort } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { DatagramFlow } from "./datagram-flow.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

const UDP = { type: "NodePort", ports: [{ protocol: "UDP" }] } as const;
/** The node's first addresses, and addresses that some tests add. */
const RANGES = ["192.0.2.0/24", "2001:db8:1::/64", "203.0.113.0/24", "2001:db8:9:1::/64"];
const IN_RANGE = { 4: "203.0.113.50", 6: "2001:db8:9:1::50" } as const;
const OUT_OF_RANGE = { 4: "203.0.114.50", 6: "2001:db8:9:2::50" } as const;

/** The Node object with these addresses. */
function node(...addresses: string[]): Manifest {
  const found = commonObjects().find(({ kind }) => kind === "Node");
  if (found === undefined) throw new Error("The world has no Node");
  const typed = addresses.map((address) => ({ type: "InternalIP", address }));
  return { ...found, status: { addresses: typed } };
}

describeBackends((backend) => {
  const settings = (nodePortAddresses: readonly string[]) => ({ nodePortAddresses });
  const fixture = new Fixture({ backend, settings: settings(RANGES) });

  describe.each([...FAMILIES])("IPv%i", (family) => {
    const other: Family = family === 4 ? 6 : 4;
    const first = addressOf("node1", family);
    const second = NODE1_SECOND[family];
    let port = 0;
    let tcpPort = 0;

    beforeEach(async () => {
      port = nodePort((await fixture.given(UDP, ["a1"])).number);
      tcpPort = nodePort((await fixture.given({ type: "NodePort" }, ["a1"])).number);
    });

    const flowTo = (address: string) => new DatagramFlow(fixture.world, address, port);

    /** A new TCP connection from the outside. */
    const ask = async (address: string) =>
      nameOf(await fixture.world.connect("outside", address, tcpPort, { timeoutMs: 250 }));

    /** Connects until it is this answer. Returns the last one. */
    const asked = (address: string, wanted: string) =>
      pollUntil(
        () => ask(address),
        (answer) => answer === wanted,
      );

    async function withAddress(address: string, use: () => Promise<void>): Promise<void> {
      await fixture.world.changeAddress("add", "node1", address, "eth1");
      try {
        await use();
      } finally {
        await fixture.world.changeAddress("del", "node1", address, "eth1");
      }
    }

    test("an address that comes later serves if it is in a range, and only then", async () => {
      const [inside, outside] = [flowTo(IN_RANGE[family]), flowTo(OUT_OF_RANGE[family])];
      expect([await inside.ask(), await outside.ask()]).toEqual(["timeout", "timeout"]);
      await withAddress(OUT_OF_RANGE[family], () =>
        withAddress(IN_RANGE[family], async () => {
          expect(await ask(IN_RANGE[family])).toBe("a1");
          expect(await inside.asked("a1")).toBe("a1");
          expect(await ask(OUT_OF_RANGE[family])).toBe("refused");
          expect(await outside.ask()).toBe("refused");
        }),
      );
    });

    test("a range that a reload adds serves flows that began before; one that it removes keeps them", async () => {
      const flow = flowTo(second);
      expect(await flow.ask()).toBe("refused");
      expect(await ask(second)).toBe("refused");
      fixture.configure(settings([...RANGES, `${second}/${family === 4 ? 32 : 128}`]));
      expect(await flow.asked("a1")).toBe("a1");
      expect(await ask(second)).toBe("a1");
      fixture.configure(settings(RANGES));
      expect(await asked(second, "refused")).toBe("refused");
      expect(await flow.ask()).toBe("a1");
      expect(await flowTo(second).ask()).toBe("refused");
      expect(await ask(first)).toBe("a1");
    });

    describe("with primary", () => {
      /** Reloads it, and waits for the answer of an address that the ranges contain. */
      async function configure(addresses: readonly string[], answer: string): Promise<void> {
        fixture.configure(settings(addresses));
        await withAddress(IN_RANGE[family], async () => {
          expect(await asked(IN_RANGE[family], answer)).toBe(answer);
        });
      }
      beforeEach(() => configure(["primary"], "refused"));
      afterEach(async () => {
        await fixture.put(node(addressOf("node1", 4), addressOf("node1", 6)));
        await configure(RANGES, "a1");
      });

      test("a changed address of the Node serves flows that began before", async () => {
        const flow = flowTo(second);
        expect(await flow.ask()).toBe("refused");
        expect(await ask(first)).toBe("a1");
        await fixture.put(node(second, addressOf("node1", other)));
        expect(await asked(second, "a1")).toBe("a1");
        expect(await flow.asked("a1")).toBe("a1");
        expect(await asked(first, "refused")).toBe("refused");
      });

      test("an address of the Node that it gets later serves flows that began before", async () => {
        await fixture.put(node(OUT_OF_RANGE[family], addressOf("node1", other)));
        expect(await asked(first, "refused")).toBe("refused");
        const flow = flowTo(OUT_OF_RANGE[family]);
        expect(await flow.ask()).toBe("timeout");
        await withAddress(OUT_OF_RANGE[family], async () => {
          expect(await ask(OUT_OF_RANGE[family])).toBe("a1");
          expect(await flow.asked("a1")).toBe("a1");
        });
      });
    });
  });
});
