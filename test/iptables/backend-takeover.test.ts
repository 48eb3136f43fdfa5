/**
 * Tests a first sync over existing rules that does not go smoothly. Service must continue
 * meanwhile.
 */
import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { type SyncWorld, service, slice } from "../../harness/sync/sync-world.ts";
import { clearTables, iptablesWorld, RealToolFolder, VARIANTS } from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

const NAMES = ["a", "b", "c", "d", "e", "f"];

function putAll({ put }: Pick<SyncWorld, "put">): void {
  for (const [i, name] of NAMES.entries()) {
    put("Service", service(name, `10.96.1.${i + 1}`));
    put("EndpointSlice", slice(`${name}-1`, name, [`10.244.7.${i + 1}`]));
  }
}

function putBadToo(world: Pick<SyncWorld, "put">): void {
  world.put("Service", service("bad", "10.96.1.99"));
  world.put("EndpointSlice", slice("bad-1", "bad", ["10.244.7.99"]));
  putAll(world);
}

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test.each([
    ["a rule of its own chain", "10.244.7.99:8080"],
    ["the rule that leads to it", "-d 10.96.1.99/32"],
  ])(
    "a Service that is refused without a line for %s does not interrupt the others",
    async (_, words) => {
      await iptablesWorld(variant, { objects: putAll });
      const fakeTools = new RealToolFolder(variant);
      const counts = join(fakeTools.folder, "counts");
      // Numbers before each restore, and so after each but the last: rules that lead to the six,
      // and rules that lead on.
      fakeTools.fake(
        "iptables",
        "-restore",
        `
      /usr/sbin/iptables-${variant}-save -t nat > $INPUT.saved
      echo $(grep -c -e '-A KUBE-SERVICES -d 10.96.1.[1-6]/32 ' $INPUT.saved) $(grep -c -e '-j DNAT --to-destination 10.244.7.[1-6]:' $INPUT.saved) >> ${counts}
      if grep -q -e '${words}' $INPUT; then
        echo "iptables-restore: line $(grep -n -m 1 COMMIT $INPUT | cut -d: -f1) failed" >&2
        exit 1
      fi`,
      );
      const world = await iptablesWorld(variant, { objects: putBadToo, fakeTools, unsynced: true });
      expect(await world.sync()).toBe(true);
      expect(world.reports.at(-1)).toMatchObject({ outcome: "refused" });
      const seen = readFileSync(counts, "utf8").trim().split("\n");
      expect(seen.length).toBeGreaterThan(4);
      expect(new Set(seen)).toEqual(new Set(["6 6"]));
      expect(world.saved("nat").match(/-d 10\.96\.1\.[1-6]\/32 .* -j KUBE-SVC-/g)).toHaveLength(12);
      expect(world.saved("nat")).not.toMatch(/10\.96\.1\.99|10\.244\.7\.99|SLUICE-PROBE/);
      expect(world.saved("filter")).not.toContain("SLUICE-PROBE");
    },
  );

  test("removed Services are cleared if nothing is left to serve", async () => {
    await iptablesWorld(variant, { objects: putAll });
    const world = await iptablesWorld(variant, { objects: () => {}, unsynced: true });
    expect(world.saved("nat")).toContain("-j DNAT");
    expect(await world.sync()).toBe(true);
    expect(world.saved("nat")).not.toContain("-j DNAT");
    world.put("Service", service("a", "10.96.1.1"));
    world.put("EndpointSlice", slice("a-1", "a", ["10.244.7.1"]));
    await world.sync();
    expect(world.saved("nat")).toContain("10.244.7.1:8080");
  });

  test("the end waits for the last write, and nothing is written after it", async () => {
    const world = await iptablesWorld(variant, { objects: putAll });
    world.fakeTools.fake("iptables", "-restore", "sleep 0.3");
    world.put("EndpointSlice", slice("a-1", "a", ["10.244.7.21"]));
    const syncing = world.sync();
    while (!world.fakeTools.runs().some((name) => name.endsWith("-restore"))) await Bun.sleep(5);
    await world.backend.close();
    expect(world.saved("nat")).toContain("10.244.7.21:8080");
    await syncing;
    world.put("EndpointSlice", slice("a-1", "a", ["10.244.7.22"]));
    expect(await world.sync()).toBe(false);
    expect(world.saved("nat")).not.toContain("10.244.7.22:8080");
  });
});
