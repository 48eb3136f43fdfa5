import { expect, test } from "bun:test";
import { service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import { PURGE_COOLDOWN_FACTOR, PURGE_COOLDOWN_MS } from "../../src/base/limits.ts";

const STICKY = { sessionAffinity: "ClientIP" };

/** A world with affinity that reports each deletion of clients; each takes `took` ms. */
async function affinityWorld(elapsed = 0) {
  const world = syncWorld();
  const times: number[] = [];
  world.backend.affinity.purge = () => {
    times.push(world.clock.now());
    void world.clock.advance(elapsed);
    world.backend.affinity.hasStale = false;
    return 0;
  };
  let endpoint = 0;
  const change = async () => {
    world.put("Service", service("a", "10.96.0.1", STICKY));
    world.put("EndpointSlice", slice("a-1", "a", [`10.1.0.${++endpoint}`]));
    await world.sync();
  };
  return { world, times, change };
}

test("the first change deletes clients at once", async () => {
  const { world, times, change } = await affinityWorld();
  await change();
  expect(times).toEqual([world.clock.now()]);
});

test("later changes are processed together, after a rest, and the loop is woken for it", async () => {
  const { world, times, change } = await affinityWorld();
  await change();
  for (let i = 0; i < 20; i++) await change();
  expect(times).toHaveLength(1);
  expect(world.wakes()).toBe(0);
  await world.clock.advance(PURGE_COOLDOWN_MS);
  expect(world.wakes()).toBe(1);
  await world.sync();
  expect(times).toHaveLength(2);
  await world.clock.advance(PURGE_COOLDOWN_MS);
  expect(world.wakes()).toBe(1);
});

test("the rest grows with the time that it takes", async () => {
  const { world, times, change } = await affinityWorld(PURGE_COOLDOWN_MS);
  await change();
  await change();
  await world.clock.advance(PURGE_COOLDOWN_MS * (PURGE_COOLDOWN_FACTOR - 1));
  await world.sync();
  expect(times).toHaveLength(1);
  await world.clock.advance(PURGE_COOLDOWN_MS);
  await world.sync();
  expect(times).toHaveLength(2);
});

test("the loop is woken again until nothing is stale", async () => {
  const { world, times, change } = await affinityWorld();
  const { affinity } = world.backend;
  let left = 2;
  affinity.purge = () => {
    times.push(world.clock.now());
    affinity.hasStale = --left > 0;
    return left;
  };
  await change();
  expect([times.length, world.wakes()]).toEqual([1, 0]);
  await world.clock.advance(PURGE_COOLDOWN_MS);
  expect(world.wakes()).toBe(1);
  await world.sync();
  expect(times).toHaveLength(2);
  await world.clock.advance(PURGE_COOLDOWN_MS);
  expect(world.wakes()).toBe(1);
});
