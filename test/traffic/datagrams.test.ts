/** To the kernel, datagrams from one source port are one flow. They follow their Service. */
import { describe, expect, test } from "bun:test";
import { addressOf, FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { connect, nameOf, type Target } from "../../harness/netns/connections.ts";
import { frontend } from "../../harness/netns/frontends.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

/**
 * Long, because a held socket does not survive a timeout. It does not expire if the test passes.
 */
const PATIENCE_MS = 2000;
/** A SYN is repeated after 1, 3 and 7 s. The entry of an unanswered one stays for 120 s. */
const SYN_PATIENCE_MS = 20_000;
const UDP = { ports: [{ protocol: "UDP" }] } as const;

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  /** Creates a UDP Service with one endpoint; pod a3 calls its clusterIP. */
  async function given() {
    const made = await fixture.given(UDP, ["a1"]);
    return { ...made, at: (family: Family): Target => made.reach(family, "clusterIP", "a3") };
  }

  describe.each([...FAMILIES])("IPv%i", (family) => {
    test("datagrams of one socket move when their endpoint is removed", async () => {
      const { at, updateEndpoints } = await given();
      const { handle } = await connect(fixture.world, at(family), { transport: "udp", hold: true });
      expect(nameOf(await fixture.world.switchboard.ask(handle))).toBe("a1");
      await updateEndpoints(["b1"]);
      expect(
        await pollUntil(
          () => askAgain(handle),
          (name) => name === "b1",
        ),
      ).toBe("b1");
      await updateEndpoints(["b1", "a2"]);
      expect(nameOf(await fixture.world.switchboard.ask(handle))).toBe("b1");
      await fixture.world.switchboard.hangup(handle);
    });

    test("datagrams of one socket move when the endpoint's port changes", async () => {
      const { at, updateEndpoints } = await given();
      const { handle } = await connect(fixture.world, at(family), { transport: "udp", hold: true });
      await updateEndpoints(["a1"], [{ protocol: "UDP", target: 8081 }]);
      const port = async () => (await fixture.world.switchboard.ask(handle, PATIENCE_MS)).port;
      expect(await pollUntil(port, (each) => each === 8081)).toBe(8081);
      await fixture.world.switchboard.hangup(handle);
    });

    test("datagrams stay with a terminating endpoint while it serves", async () => {
      const { at, updateEndpoints } = await given();
      const { handle } = await connect(fixture.world, at(family), { transport: "udp", hold: true });
      const leaving = { at: "a1", ready: false, terminating: true } as const;
      await updateEndpoints([{ ...leaving, serving: true }, "b1"]);
      // When the flows of another Service have moved, the pass over the conntrack entries is over.
      const other = await given();
      const its = await connect(fixture.world, other.at(family), { transport: "udp", hold: true });
      await other.updateEndpoints(["b1"]);
      const followed = () => askAgain(its.handle);
      expect(await pollUntil(followed, (name) => name === "b1")).toBe("b1");
      expect(await askAgain(handle)).toBe("a1");
      await updateEndpoints([{ ...leaving, serving: false }, "b1"]);
      const moved = () => askAgain(handle);
      expect(await pollUntil(moved, (name) => name === "b1")).toBe("b1");
      await fixture.world.switchboard.hangup(handle);
      await fixture.world.switchboard.hangup(its.handle);
    });

    test("datagrams of one source port are refused without endpoints, and reach a new endpoint", async () => {
      const { at, updateEndpoints } = await given();
      // The socket does not survive a refusal, but its source port, and so the flow, does.
      const ask = async () =>
        nameOf(
          await connect(fixture.world, at(family), {
            transport: "udp",
            sourcePort: 20_000,
            timeoutMs: 100,
          }),
        );
      expect(await ask()).toBe("a1");
      await updateEndpoints([]);
      expect(await pollUntil(ask, (name) => name === "refused")).toBe("refused");
      await updateEndpoints(["b1"]);
      expect(await pollUntil(ask, (name) => name === "b1")).toBe("b1");
    });

    test("a flow stays with an endpoint that has the frontend's own address and port", async () => {
      const { world } = fixture;
      const ports = [{ protocol: "UDP", port: 8081, target: 8081 }] as const;
      const vips = FAMILIES.map((each) => addressOf("node1", each));
      const made = await fixture.given({ type: "LoadBalancer", vips, ports }, ["node1"]);
      try {
        const { handle, name } = await world.connect("outside", addressOf("node1", family), 8081, {
          transport: "udp",
          hold: true,
        });
        expect(name).toBe("node1");
        // Its id tells an entry from a later one of the same flow.
        const entries = () =>
          world.run("node1", [
            ...["conntrack", "-L", "-f", family === 4 ? "ipv4" : "ipv6", "-p", "udp"],
            ...["--orig-port-dst", "8081", "-o", "id"],
          ]);
        const id = async () => /\bid=(\d+)/.exec(await entries())?.[1];
        const before = await id();
        expect(before).toBeDefined();
        await made.updateEndpoints(["node1", "a1"]);
        // The pass over the conntrack entries is over when the flows of another Service moved.
        const other = await given();
        const its = await connect(world, other.at(family), { transport: "udp", hold: true });
        await other.updateEndpoints(["b1"]);
        const followed = () => askAgain(its.handle);
        expect(await pollUntil(followed, (each) => each === "b1")).toBe("b1");
        expect(await id()).toBe(before);
        expect(await askAgain(handle)).toBe("node1");
        await world.switchboard.hangup(handle);
        await world.switchboard.hangup(its.handle);
      } finally {
        await made.remove();
      }
    });

    test.each(["node port", "vip"] as const)(
      "datagrams to a %s move when their endpoint is removed",
      async (to) => {
        const made = await fixture.given({ ...UDP, type: "LoadBalancer" }, ["a1"]);
        const target = made.reach(family, to, "outside");
        const { handle, name } = await connect(fixture.world, target, {
          transport: "udp",
          hold: true,
        });
        expect(name).toBe("a1");
        await made.updateEndpoints(["b1"]);
        expect(
          await pollUntil(
            () => askAgain(handle),
            (each) => each === "b1",
          ),
        ).toBe("b1");
        await fixture.world.switchboard.hangup(handle);
      },
    );
  });

  describe.each([...FAMILIES])("a TCP connection that nobody has answered (IPv%i)", (family) => {
    const MUTE =
      "table inet mute { chain input { type filter hook input priority 0; tcp dport 8080 drop; }; }";

    test("reaches another endpoint with its next SYN when its own is removed", async () => {
      const { world } = fixture;
      await world.run("a1", ["nft", MUTE]);
      try {
        const made = await fixture.given({}, ["a1"]);
        const target = made.reach(family, "clusterIP", "a3");
        const reply = connect(world, target, { timeoutMs: SYN_PATIENCE_MS });
        const listing = [
          "conntrack",
          "-L",
          "-f",
          `ipv${family}`,
          "-p",
          "tcp",
          "--state",
          "SYN_SENT",
        ];
        const halfOpen = () => world.run("node1", listing);
        const { address } = frontend("clusterIP", made.number, family);
        const here = (list: string) => list.includes(`dst=${address} `);
        expect(here(await pollUntil(halfOpen, here))).toBe(true);
        await made.updateEndpoints(["b1"]);
        expect(nameOf(await reply)).toBe("b1");
      } finally {
        await world.run("a1", ["nft", "delete", "table", "inet", "mute"]);
      }
    });
  });

  async function askAgain(handle: number): Promise<string> {
    return nameOf(await fixture.world.switchboard.ask(handle, PATIENCE_MS));
  }
});
