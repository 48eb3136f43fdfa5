/**
 * After a repair, the kernel's state is as if nobody else had changed the table. Histories of
 * foreign changes and our own are random, the kernel is real.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { pipe, run } from "../../harness/commands.ts";
import { rememberingCore } from "../../harness/core/made-operations.ts";
import { withoutHistory } from "../../harness/fakes/fake-backend.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import {
  type DriftedWorld,
  driftedWorld,
  objects as initial,
  kernelElements,
  putServices,
  SKELETON_OPTIONS,
} from "../../harness/sync/drifted-world.ts";
import { service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { createNftablesBackend } from "../../src/nftables/nftables-backend.ts";

setDefaultTimeout(PROPERTY_LIMIT_MS);
useFreshNetns();

const MAPS = ["frontends4", "endpoints4", "endpoints6", "nodeports4", "outside6", "learn4"];
const SETS = ["cluster-ips4", "allowed-sources4", "service-cidrs4"];
const CHAINS = ["services4", "unserved6", "nat-output", "pick4-2", "learn4", "masquerade-marked"];

const theirs = fc.oneof(
  fc.record({ do: fc.constant("delete" as const), map: fc.constantFrom(...MAPS), n: fc.nat(20) }),
  fc.record({ do: fc.constant("change" as const), map: fc.constantFrom(...MAPS), n: fc.nat(20) }),
  fc.record({
    do: fc.constant("nft" as const),
    text: fc.constantFrom(
      ...MAPS.map((map) => `flush map inet sluice ${map}`),
      ...SETS.map((set) => `flush set inet sluice ${set}`),
      ...CHAINS.map((chain) => `flush chain inet sluice ${chain}`),
      ...CHAINS.map((chain) => `insert rule inet sluice ${chain} counter`),
      "add element inet sluice cluster-ips4 { 10.96.7.7 }",
      "add element inet sluice service-cidrs4 { 10.77.0.0/16 }",
      "add element inet sluice frontends4 { 10.96.7.7 . tcp . 7 : 0:77 }",
      "add element inet sluice choices4 { 7 : drop }",
      "flush map inet sluice choices6",
      "delete table inet sluice",
      "flush ruleset; add table inet other",
    ),
  }),
);
const ours = fc.record({
  do: fc.constant("ours" as const),
  name: fc.constantFrom("s1", "s5"),
  endpoints: fc.subarray(["10.1.0.1", "10.1.0.2!", "10.1.0.3", "10.1.0.4"]),
  affinity: fc.boolean(),
  gone: fc.boolean(),
});
const step = fc.oneof(
  theirs,
  ours,
  fc.constant({ do: "sync" as const }),
  fc.constant({ do: "repair" as const }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

let world: DriftedWorld | undefined;
afterEach(() => {
  world?.close();
  run("nft", "flush", "ruleset");
});

const nameOf = (object: JsonObject) => String((object["metadata"] as JsonObject)["name"]);

/**
 * An element's key and value, from `10.96.0.1 . tcp . 80 : 0:2` in the kernel's map; undefined if
 * the map is empty.
 */
function someElement(map: string, n: number): { key: string; value: string } | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["nft", "list", "map", "inet", "sluice", map]);
  if (exitCode !== 0) return undefined;
  const lines = [
    ...stdout.toString().matchAll(/([^\s{}][^{}\n=]*?)(?: counter .*?)? : ([^,}\n]+)/g),
  ]
    .map(([, key = "", value = ""]) => ({ key: key.trim(), value: value.trim() }))
    .filter(({ key }) => key.includes(" . "));
  return lines[n % Math.max(1, lines.length)];
}

function commandOf(given: Extract<Step, { do: "delete" | "change" | "nft" }>): string | undefined {
  if (given.do === "nft") return given.text;
  const found = someElement(given.map, given.n);
  if (found === undefined) return undefined;
  const remove = `delete element inet sluice ${given.map} { ${found.key} }`;
  if (given.do === "delete") return remove;
  const other = found.value.includes(" . ") ? found.value.replace(/\d+$/, "9") : "ffff:7";
  return `${remove}\nadd element inet sluice ${given.map} { ${found.key} : ${other} }`;
}

test("after any mixture of foreign changes and ours", async () => {
  const done = new Map<string, number>();
  await assertProperty(
    "repair-drift",
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      run("nft", "flush", "ruleset");
      const drifted = driftedWorld();
      world = drifted;
      const objects = new Map<string, readonly ["Service" | "EndpointSlice", JsonObject]>();
      const put = (kind: "Service" | "EndpointSlice", name: string, object: JsonObject) => {
        objects.set(`${kind} ${name}`, [kind, object]);
        drifted.put(kind, object);
      };
      for (const [kind, object] of initial()) put(kind, nameOf(object), object);
      await drifted.sync();
      for (const given of steps) {
        done.set(given.do, (done.get(given.do) ?? 0) + 1);
        if (given.do === "sync") await drifted.sync();
        else if (given.do === "repair") await drifted.repair();
        else if (given.do === "ours") {
          const { name, endpoints, affinity, gone } = given;
          const ip = `10.96.0.${name.slice(1)}`;
          const spec = affinity ? { sessionAffinity: "ClientIP" } : {};
          const before = objects.get(`Service ${name}`);
          if (gone && before !== undefined) {
            objects.delete(`Service ${name}`);
            drifted.remove("Service", before[1]);
          } else put("Service", name, service(name, ip, spec));
          put("EndpointSlice", `${name}-4`, slice(`${name}-4`, name, endpoints));
        } else {
          const command = commandOf(given);
          // A deleted object cannot be changed.
          const { exitCode } = Bun.spawnSync(["nft", "-c", "-f", "-"], {
            stdin: Buffer.from(command ?? "delete table inet none"),
          });
          if (command !== undefined && exitCode === 0) await drifted.nft(command);
        }
      }
      await drifted.repair();

      const scratch = syncWorld();
      for (const [kind, object] of objects.values()) scratch.put(kind, object);
      await scratch.sync();
      expect(withoutHistory(kernelElements())).toEqual(withoutHistory(scratch.backend.print()));
      expectWhole();
      drifted.close();
    }),
    40,
  );
  console.log(`steps: ${[...done].map(([name, count]) => `${count} ${name}`).join(", ")}`);
});

/** A new process adopts the table without writing anything. */
function expectWhole(): void {
  const listing = () => run("nft", "-a", "-t", "list", "table", "inet", "sluice");
  const before = listing();
  const backend = createNftablesBackend(SKELETON_OPTIONS);
  backend.start(rememberingCore().core);
  backend.close();
  expect(listing()).toBe(before);
}

test("our intact table is distinguished from a damaged one", async () => {
  world = driftedWorld();
  putServices(world);
  await world.sync();
  expectWhole();
  pipe("insert rule inet sluice services4 counter", "nft", "-f", "-");
  expect(expectWhole).toThrow();
});
