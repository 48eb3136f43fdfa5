/**
 * Tests connections from an address to itself that other programs translate, and pods with several
 * addresses. Also tests the chains of older versions, which listed the endpoints.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BINARY, PREVIOUS_BINARY } from "../../harness/binary.ts";
import { addressOf, FAMILIES, type Family, NODE1_SECOND } from "../../harness/netns/addresses.ts";
import { savedRules, VARIANTS } from "../../harness/netns/backends.ts";
import { answers, connect, outcome, useLongTimeout } from "../../harness/netns/connections.ts";
import { keepConnecting } from "../../harness/netns/keep-connecting.ts";
import { SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { type Manifest, service, slices } from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

const REDIRECTED_PORT = 7777;
const SERVER_PORT = 7000;
const LOOPBACK = { 4: "127.0.0.1", 6: "::1" } as const;
/** Another address of the pod a1. */
const POD_SECOND = { 4: "10.244.1.99", 6: "fd00:10:244:1::99" } as const;

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  describe("another program translates connections of the node to itself", () => {
    const ownAddresses = (family: Family) => [
      LOOPBACK[family],
      addressOf("node1", family),
      NODE1_SECOND[family],
    ];

    beforeAll(async () => {
      const { world } = fixture;
      const rules: string[] = [];
      for (const family of FAMILIES) {
        const ip = family === 4 ? "ip" : "ip6";
        for (const address of ownAddresses(family)) {
          const target = family === 4 ? address : `[${address}]`;
          rules.push(
            `${ip} daddr ${address} tcp dport ${REDIRECTED_PORT} dnat ${ip} to ${target}:${SERVER_PORT}`,
          );
          const where = { namespace: world.namespace("node1"), name: "own", address };
          await world.switchboard.command({
            do: "listen",
            ...where,
            port: SERVER_PORT,
            transport: "tcp",
          });
        }
      }
      const hook = "type nat hook output priority -110;";
      const table = `table inet other {\nchain output {\n${hook}\n${rules.join("\n")}\n}\n}\n`;
      await world.run("node1", ["nft", table]);
    });

    test.each(FAMILIES)("they keep their source (IPv%i)", async (family) => {
      for (const address of ownAddresses(family)) {
        const reply = await fixture.world.connect("node1", address, REDIRECTED_PORT, {
          source: address,
        });
        expect(reply).toMatchObject({ outcome: "answered", port: SERVER_PORT, saw: address });
      }
    });
  });

  /** kube-proxy does not know either that both addresses are the pod's. */
  test.each(FAMILIES)(
    "a pod with two addresses reaches only its own one (IPv%i)",
    async (family) => {
      const { world } = fixture;
      const second = POD_SECOND[family];
      const itself = (await fixture.given({}, ["a1"])).reach(family, "clusterIP", "a1");
      const source = addressOf("a1", family);
      await world.changeAddress("add", "a1", second, "eth0");
      try {
        expect(await outcome(world, itself, { source })).toBe("a1");
        expect(await outcome(world, itself, { source: second })).toBe("timeout");
      } finally {
        await world.changeAddress("del", "a1", second, "eth0");
      }
    },
  );

  test.each(FAMILIES)(
    "connections of a pod to itself may share a source port (IPv%i)",
    async (family) => {
      const { world } = fixture;
      const made = await fixture.given({ type: "LoadBalancer" }, ["a1"]);
      const options = { sourcePort: 12_345, hold: true };
      for (const to of ["clusterIP", "vip", "node port"] as const) {
        const { outcome, handle } = await connect(world, made.reach(family, to, "a1"), options);
        expect(outcome).toBe("answered");
        expect((await world.switchboard.ask(handle)).outcome).toBe("answered");
      }
    },
  );
});

describe.each(VARIANTS)("chains of iptables-%s that list the endpoints", (variant) => {
  const NUMBER = 1;
  const ENDPOINTS = 40;
  let world: World;
  let program: SluiceProcess;

  useLongTimeout();
  beforeAll(async () => {
    world = await World.build({ prefix: "sl-hairpin" });
    program = new SluiceProcess(world, { backend: `iptables-${variant}` });
    program.put([service({ name: "web", number: NUMBER }), ...slices("web", ["a1"])]);
  });
  afterEach(() => program.stop());
  afterAll(() => world?.close());

  const saved = async () =>
    (await Promise.all(FAMILIES.map((family) => savedRules(world, variant, family)))).join("");

  /** The chains that masquerade. */
  const rules = async () => ((await saved()).match(/^.*KUBE-(SEP|POSTROUTING).*$/gm) ?? []).sort();

  /** They are divided by prefix, as in a version before 0.2 that has more than 16 endpoints. */
  async function leaveOlderChains(): Promise<void> {
    if (PREVIOUS_BINARY !== undefined) {
      program.put(manyEndpoints());
      await program.start(undefined, PREVIOUS_BINARY);
      await program.stop();
      program.remove(manyEndpoints());
      return;
    }
    await program.start();
    await program.stop();
    for (const family of FAMILIES) {
      const [prefix, bits] = family === 4 ? ["10.244.1.0/24", 32] : ["fd00:10:244:1::/64", 128];
      const own = `${addressOf("a1", family)}/${bits}`;
      const chain = `KUBE-SEP-${prefix}`;
      const text = [
        "*nat",
        ":KUBE-SEP-HAIRPIN - [0:0]",
        `:${chain} - [0:0]`,
        `-A KUBE-SEP-HAIRPIN -s ${prefix} -j ${chain}`,
        `-A ${chain} -s ${own} -d ${own} -j MASQUERADE --random-fully`,
        "COMMIT\n",
      ].join("\n");
      const file = join(world.directory, "older");
      await Bun.write(file, text);
      const tool = `${family === 4 ? "iptables" : "ip6tables"}-${variant}-restore`;
      await world.run("node1", [tool, "--noflush", file]);
    }
  }

  /** Another Service, because nobody answers there. */
  function manyEndpoints(): Manifest[] {
    const made = slices("many", ["a1"]).map((slice, index) => ({
      ...slice,
      endpoints: Array.from({ length: ENDPOINTS }, (_, host) => ({
        addresses: [addressOf("a3", index === 0 ? 4 : 6).replace(/13$/, `${100 + host}`)],
        nodeName: "node1",
      })),
    }));
    return [service({ name: "many", number: NUMBER + 1 }), ...made];
  }

  /** The chains below KUBE-SEP-HAIRPIN. */
  const divided = async () => (await saved()).match(/^:KUBE-SEP-(10|fd00)\S*/gm) ?? [];

  test("are replaced at the upgrade, and the pod reaches itself meanwhile", async () => {
    await program.start();
    await program.stop();
    const own = await rules();
    await leaveOlderChains();
    expect(await divided()).not.toEqual([]);
    const calls = FAMILIES.map((family) => {
      return { from: "a1", to: "clusterIP", number: NUMBER, family } as const;
    });
    const traffic = keepConnecting(world, calls);
    try {
      await traffic.waitForMore();
      await program.start();
      await traffic.waitForMore();
    } finally {
      expect(await traffic.stop()).toEqual([]);
    }
    expect(await pollUntil(rules, (each) => Bun.deepEquals(each, own))).toEqual(own);
    for (const call of calls) expect(await answers(world, call, { times: 4 })).toEqual(["a1"]);
  });

  test("are removed by --cleanup", async () => {
    await leaveOlderChains();
    expect(await divided()).not.toEqual([]);
    await Bun.spawn(program.commandOnNode([BINARY, "--cleanup"])).exited;
    expect((await saved()).match(/^:KUBE-\S*/gm)).toBeNull();
  });
});
