/** Connections spread evenly over endpoints. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FAMILIES } from "../../harness/netns/addresses.ts";
import { connect, type Target, useLongTimeout } from "../../harness/netns/connections.ts";
import { SluiceProcess } from "../../harness/netns/program.ts";
import type { Reply } from "../../harness/netns/switchboard/switchboard-client.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";
import { describeBackends } from "./traffic-fixture.ts";

const CONNECTIONS = 1200;
const AT_ONCE = 200;
const ENDPOINTS = ["a1", "a2", "b1", "b2"] as const;
/**
 * Seven standard deviations of a binomial distribution. Chance exceeds it once in 4 * 10^11 runs.
 */
const SHARE = 1 / ENDPOINTS.length;
const BOUND = 7 * Math.sqrt(CONNECTIONS * SHARE * (1 - SHARE));

useLongTimeout();

describeBackends((backend) => {
  let world: World;

  beforeAll(async () => {
    world = await World.build();
    const program = new SluiceProcess(world, { backend });
    program.put([
      service({ name: "s1", number: 1, type: "LoadBalancer" }),
      ...slices("s1", ENDPOINTS),
    ]);
    await program.start();
  });
  afterAll(() => world.close());

  test.each(
    FAMILIES.flatMap((family) =>
      (["clusterIP", "node port", "vip"] as const).map((to) => ({ to, family })),
    ),
  )("connections to a $to spread evenly (IPv$family)", async ({ to, family }) => {
    const target: Target = { from: "outside", to, number: 1, family };
    const counts = new Map<string, number>(ENDPOINTS.map((name) => [name, 0]));
    for (let done = 0; done < CONNECTIONS; done += AT_ONCE) {
      const replies: Reply[] = await Promise.all(
        Array.from({ length: AT_ONCE }, () => connect(world, target)),
      );
      for (const { name } of replies) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([...ENDPOINTS].sort());
    for (const count of counts.values()) {
      expect(Math.abs(count - CONNECTIONS * SHARE)).toBeLessThan(BOUND);
    }
  });
});
