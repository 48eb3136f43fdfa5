/**
 * After any history, the kernel's state is as if there had only been the last state. Histories are
 * random: objects are added, changed and removed, syncs fail in between, the process restarts.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { withoutHistory } from "../../harness/fakes/fake-backend.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import { type SyncWorld, service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";

const NAMES = ["a", "b", "c"] as const;
const IPV4 = ["10.1.0.1", "10.1.0.2!", "10.1.0.3", "10.1.0.4!", "10.1.0.5"];
const IPV6 = ["fd00:1::1", "fd00:1::2!", "fd00:1::3"];

const spec = fc.record({
  type: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
  dual: fc.boolean(),
  created: fc.integer({ min: 1, max: 3 }),
  externalIPs: fc.subarray(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
  vips: fc.subarray(["198.51.100.1", "198.51.100.2"]),
  ranges: fc.subarray(["203.0.113.0/24", "192.0.2.0/25", "0.0.0.0/0"], { maxLength: 2 }),
  externalTrafficPolicy: fc.constantFrom("Cluster", "Local"),
  internalTrafficPolicy: fc.constantFrom("Cluster", "Local"),
  affinity: fc.constantFrom(0, 0, 60, 10800),
  ports: fc.subarray(
    [
      { name: "http", protocol: "TCP", port: 80, nodePort: 30080 },
      { name: "dns", protocol: "UDP", port: 53, nodePort: 30053 },
      { name: "sctp", protocol: "SCTP", port: 80, nodePort: 30080 },
    ],
    { minLength: 1 },
  ),
});

const step = fc.oneof(
  fc.record({ do: fc.constant("service" as const), name: fc.constantFrom(...NAMES), spec }),
  fc.record({
    do: fc.constant("slice" as const),
    name: fc.constantFrom("s1", "s2", "s3", "s4"),
    of: fc.constantFrom(...NAMES),
    v6: fc.boolean(),
    pick: fc.array(fc.nat(4), { maxLength: 5 }),
    flags: fc.array(
      fc.constantFrom(
        { ready: true },
        { ready: false, serving: true, terminating: true },
        { ready: false },
      ),
      { minLength: 5, maxLength: 5 },
    ),
  }),
  fc.record({ do: fc.constant("delete service" as const), name: fc.constantFrom(...NAMES) }),
  fc.record({
    do: fc.constant("delete slice" as const),
    name: fc.constantFrom("s1", "s2", "s3", "s4"),
  }),
  fc.record({ do: fc.constant("sync" as const) }),
  fc.record({ do: fc.constant("sync that takes its time" as const) }),
  fc.record({ do: fc.constant("failing sync" as const) }),
  fc.record({ do: fc.constant("restart" as const) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function serviceObject(name: string, given: typeof spec extends fc.Arbitrary<infer T> ? T : never) {
  const index = NAMES.indexOf(name as (typeof NAMES)[number]) + 1;
  const ip = `10.96.0.${index}`;
  return service(
    name,
    ip,
    {
      type: given.type,
      clusterIPs: given.dual ? [ip, `fd00:96::${index}`] : [ip],
      externalIPs: given.externalIPs,
      loadBalancerSourceRanges: given.ranges,
      externalTrafficPolicy: given.externalTrafficPolicy,
      internalTrafficPolicy: given.internalTrafficPolicy,
      ...(given.affinity > 0 && {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: given.affinity } },
      }),
      // Node ports are unique in a cluster. Here two Services may claim one, and the older one gets
      // it.
      ports: given.ports,
    },
    given.created,
  );
}

function withIngress(object: JsonObject, vips: readonly string[]): JsonObject {
  return { ...object, status: { loadBalancer: { ingress: vips.map((ip) => ({ ip })) } } };
}

function sliceObject(given: Extract<Step, { do: "slice" }>): JsonObject {
  const pool = given.v6 ? IPV6 : IPV4;
  const addresses = given.pick.map((i) => pool[i % pool.length] as string);
  const object = slice(given.name, given.of, addresses.length === 0 && given.v6 ? [] : addresses);
  const endpoints = (object["endpoints"] as JsonObject[]).map((endpoint, i) => ({
    ...endpoint,
    conditions: given.flags[i % 5],
  }));
  const ports = [
    { name: "http", protocol: "TCP", port: 8080 },
    { name: "dns", protocol: "UDP", port: 5353 },
  ];
  return { ...object, addressType: given.v6 ? "IPv6" : "IPv4", endpoints, ports };
}

test(
  "the kernel after any history equals the kernel after only its last state",
  async () => {
    let checked = 0;
    await assertProperty(
      "sync-history",
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        let world = syncWorld();
        const services = new Map<string, JsonObject>();
        const slices = new Map<string, JsonObject>();
        const replay = (into: typeof world) => {
          for (const object of services.values()) into.put("Service", object);
          for (const object of slices.values()) into.put("EndpointSlice", object);
        };
        let finish = async () => {};
        for (const given of steps) {
          if (given.do.includes("sync") || given.do === "restart") await finish();
          switch (given.do) {
            case "service": {
              const object = withIngress(serviceObject(given.name, given.spec), given.spec.vips);
              services.set(given.name, object);
              world.put("Service", object);
              break;
            }
            case "slice": {
              const object = sliceObject(given);
              slices.set(given.name, object);
              world.put("EndpointSlice", object);
              break;
            }
            case "delete service": {
              const object = services.get(given.name);
              if (object !== undefined) world.remove("Service", object);
              services.delete(given.name);
              break;
            }
            case "delete slice": {
              const object = slices.get(given.name);
              if (object !== undefined) world.remove("EndpointSlice", object);
              slices.delete(given.name);
              break;
            }
            case "sync":
              await world.sync();
              break;
            case "sync that takes its time":
              finish = await beginSync(world);
              break;
            case "failing sync":
              world.backend.transient = new SluiceError(
                "NETLINK_SOCKET",
                "Cannot send: no buffers",
              );
              await world.sync();
              world.backend.transient = undefined;
              break;
            case "restart":
              world = syncWorld(world.backend);
              replay(world);
              await world.sync();
              break;
          }
        }
        await finish();
        await world.sync();
        expect(world.reports.filter(({ outcome }) => outcome === "refused")).toEqual([]);

        const scratch = syncWorld();
        replay(scratch);
        await scratch.sync();
        expect(withoutHistory(world.backend.print())).toEqual(
          withoutHistory(scratch.backend.print()),
        );
        expectEverySlot(world.backend.print());

        const count = world.backend.transactions.length;
        const restarted = syncWorld(world.backend);
        replay(restarted);
        await restarted.sync();
        expect(restarted.backend.transactions).toHaveLength(count);
        checked++;
      }),
      150,
    );
    console.log(
      `${checked} random histories, each compared with its last state alone and restarted`,
    );
  },
  PROPERTY_LIMIT_MS,
);

/** Begins a sync with transactions that wait until the returned function is called. */
async function beginSync({ backend, sync }: SyncWorld): Promise<() => Promise<void>> {
  const { promise, resolve } = Promise.withResolvers<void>();
  backend.gate = promise;
  let ended = false;
  const run = sync().finally(() => {
    ended = true;
  });
  while (!ended && !backend.waiting) await new Promise(setImmediate);
  return async () => {
    backend.gate = undefined;
    resolve();
    await run;
  };
}

/**
 * A frontend that picks among N has an endpoint in each of the slots 0 to N - 1, and in no other
 * slot.
 */
function expectEverySlot(lines: readonly string[]): void {
  const slots = new Map<string, number[]>();
  for (const line of lines) {
    const [, table, frontend, slot] = /^(\S*endpoints[46]) (.+) slot (\d+) -> /.exec(line) ?? [];
    if (table === undefined) continue;
    const key = `${table} ${frontend}`;
    slots.set(key, [...(slots.get(key) ?? []), Number(slot)]);
  }
  for (const line of lines) {
    const picked = /^(\S+?)([46]) (.+) -> (?:pick|recall) (\S+) (\d+)/.exec(line);
    if (picked === null) continue;
    const [, , family, frontend, source, count] = picked;
    const found = slots.get(`${source}${family} ${frontend}`)?.sort((a, b) => a - b);
    expect({ line, found }).toEqual({
      line,
      found: Array.from({ length: Number(count) }, (_, slot) => slot),
    });
    slots.delete(`${source}${family} ${frontend}`);
  }
  expect([...slots.keys()]).toEqual([]);
}
