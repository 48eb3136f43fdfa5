/** Tests the world of namespaces: all connections work, and nothing remains of a closed world. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import {
  addressOf,
  FAMILIES,
  HOSTS,
  type Location,
  PODS,
} from "../../../harness/netns/addresses.ts";
import { World } from "../../../harness/netns/world.ts";

const SERVERS = ["node1", "node2", ...PODS] as const;
const ANSWERED = "answered";

describe.each(["links", "bridge"] as const)("a world with its pods on %s", (attachment) => {
  let world: World;
  beforeAll(async () => {
    world = await World.build({ attachment });
  });
  afterAll(() => world.close());

  test.each(FAMILIES.flatMap((family) => [...HOSTS, ...PODS].map((from) => ({ from, family }))))(
    "$from reaches all, and is seen as itself (IPv$family)",
    async ({ from, family }) => {
      for (const transport of ["tcp", "udp"] as const) {
        for (const to of SERVERS) {
          const reply = await world.connect(from, addressOf(to, family), 8080, { transport });
          const { outcome, name, port, saw } = reply;
          const seen = { outcome, name, port, saw };
          const itself = addressOf(from, family);
          expect(seen).toEqual({ outcome: ANSWERED, name: to, port: 8080, saw: itself });
        }
      }
    },
  );

  test("a port without a listener refuses, an address without an owner is silent", async () => {
    for (const transport of ["tcp", "udp"] as const) {
      const refused = await world.connect("a1", addressOf("b1", 4), 85, { transport });
      expect(refused.outcome).toBe("refused");
      const silent = await world.connect("a1", "10.96.0.1", 80, { transport, timeoutMs: 50 });
      expect(silent.outcome).toBe("timeout");
    }
  });

  test("a held connection answers again, until its server ends", async () => {
    const { handle } = await world.connect("a1", addressOf("b1", 6), 9090, { hold: true });
    expect((await world.switchboard.ask(handle)).name).toBe("b1");
    const namespace = world.namespace("b1");
    await world.switchboard.command({ do: "unlisten", name: "b1", port: 9090 });
    expect((await world.switchboard.ask(handle)).outcome).toBe("reset");
    for (const family of FAMILIES) {
      for (const transport of ["tcp", "udp"] as const) {
        const address = addressOf("b1", family);
        const server = { namespace, name: "b1", address, port: 9090, transport };
        await world.switchboard.command({ do: "listen", ...server });
      }
    }
  });
});

test("a closed world leaves nothing behind", async () => {
  const world = await World.build();
  // The program reports that it is inside. Before that, no search would find it there.
  const child = Bun.spawn(world.inside("a1", ["sh", "-c", "echo inside; exec sleep 1000"]), {
    stdout: "pipe",
  });
  await child.stdout.getReader().read();
  const names = places().map((place) => world.namespace(place));
  await world.close();
  expect(leftOf(names)).toEqual([]);
  expect(existsSync(world.directory)).toBe(false);
  expect(await child.exited).not.toBe(0);
});

test("a world of a killed process leaves nothing behind", async () => {
  const script = `
    const { World } = await import(${JSON.stringify(`${import.meta.dir}/../../../harness/netns/world.ts`)});
    const world = await World.build({ prefix: "slk" });
    console.log(JSON.stringify([world.directory, ...${JSON.stringify(places())}.map((place) => world.namespace(place))]));
    await new Promise(() => setInterval(() => {}, 1000));`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const [directory = "", ...names]: string[] = JSON.parse(new TextDecoder().decode(value));
  expect(leftOf(names)).toEqual(names);
  child.kill("SIGKILL");
  const until = performance.now() + 10_000;
  while ((leftOf(names).length > 0 || existsSync(directory)) && performance.now() < until) {
    await Bun.sleep(5);
  }
  expect(leftOf(names)).toEqual([]);
  expect(existsSync(directory)).toBe(false);
});

function places(): Location[] {
  return [...HOSTS, ...PODS];
}

function leftOf(names: readonly string[]): string[] {
  const there = readdirSync("/run/netns");
  return names.filter((name) => there.includes(name));
}
