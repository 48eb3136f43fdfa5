import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { service, slice } from "../../harness/sync/sync-world.ts";
import { REFUSED_RETRY_MS, SYNC_RETRY_MS } from "../../src/base/limits.ts";
import { clearTables, type IptablesWorld, iptablesWorld, VARIANTS } from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

/** Refuses the first input line that contains these words, with a message of iptables. */
const refuseLine = (words: string) => `
  line=$(grep -n -m 1 -e '${words}' $INPUT | cut -d: -f1)
  if [ -n "$line" ]; then
    echo 'iptables-restore v1.8.9: unknown option "--nonsense"' >&2
    echo "Error occurred at line: $line" >&2
    exit 2
  fi`;
/**
 * Refuses input with these words as the kernel's legacy tables do: the message names the line of
 * the table's COMMIT.
 */
const refuseTable = (words: string) => `
  if grep -q -e '${words}' $INPUT; then
    echo "iptables-restore: line $(grep -n -m 1 COMMIT $INPUT | cut -d: -f1) failed" >&2
    exit 1
  fi`;
const LOCKED = `
  echo "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock..." >&2
  echo "Another app is currently holding the xtables lock. Stopped waiting after 5s." >&2
  exit 4`;

const IDLE_NOW_SERVED = slice("idle-1", "idle", ["10.244.1.7"]);

function addBadAndGood(world: IptablesWorld): void {
  world.put("Service", service("bad", "10.96.0.66"));
  world.put("EndpointSlice", slice("bad-1", "bad", ["10.244.1.66"]));
  world.put("EndpointSlice", IDLE_NOW_SERVED);
}

/** Subjects of active problems. */
function refusals({ problems }: IptablesWorld): string[] {
  const lasting = new Set<string>();
  for (const event of problems.events) {
    if ("begin" in event) lasting.add(event.begin.subject);
    else lasting.delete(event.end.subject);
  }
  return [...lasting];
}
const restores = (world: IptablesWorld) =>
  world.fakeTools.runs().filter((name) => name.endsWith("-restore"));

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test("a refused line leaves out its Service, with the tool's message; the rest is applied", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", refuseLine("-d 10.96.0.66/32"));
    addBadAndGood(world);
    await world.sync();
    expect(world.reports.at(-1)).toMatchObject({
      outcome: "refused",
      error: { code: "RULES_REFUSED", subject: "Service default/bad" },
    });
    const words = world.reports.at(-1)?.error?.message;
    expect(words).toContain("write rules of Service default/bad: ");
    expect(words).toContain('unknown option "--nonsense"');
    expect(words).toMatch(/line \d+: -A KUBE-SVC-OUTSIDE -d 10\.96\.0\.66\/32/);
    expect(refusals(world)).toEqual(["Service default/bad"]);
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
    expect(world.saved("nat")).not.toContain("10.96.0.66");
    expect(await world.repair()).toBeUndefined();

    world.fakeTools.real("iptables", "-restore");
    await world.clock.advance(REFUSED_RETRY_MS);
    await world.sync();
    expect(world.saved("nat")).toContain("10.96.0.66");
    expect(refusals(world)).toEqual([]);
  });

  test("a table refused without a line leaves out the Service by halving", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", refuseTable("10.96.0.66"));
    addBadAndGood(world);
    await world.sync();
    expect(refusals(world)).toEqual(["Service default/bad"]);
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
    expect(world.saved("nat")).not.toContain("10.96.0.66");
    expect(await world.repair()).toBeUndefined();
  });

  test("if everything is refused, no Service is blamed, and the sync is tried again", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", refuseTable("COMMIT"));
    addBadAndGood(world);
    world.fakeTools.runs();
    expect(await world.sync()).toBe(false);
    expect(restores(world).length).toBeLessThanOrEqual(2);
    expect(refusals(world)).toEqual([]);
    world.fakeTools.real("iptables", "-restore");
    expect(await world.sync()).toBe(true);
    expect(world.saved("nat")).toContain("10.96.0.66");
  });

  test("the sync waits for a lock that another process holds", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", LOCKED);
    world.put("EndpointSlice", IDLE_NOW_SERVED);
    expect(await world.sync()).toBe(false);
    expect(world.reports.at(-1)).toMatchObject({
      outcome: "failed",
      error: { code: "TOOL_FAILED" },
    });
    expect(world.reports.at(-1)?.error?.message).toContain("holding the xtables lock");
    expect(refusals(world)).toEqual([]);
    world.fakeTools.real("iptables", "-restore");
    await world.clock.advance(SYNC_RETRY_MS);
    expect(await world.sync()).toBe(true);
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
    expect(await world.repair()).toBeUndefined();
  });

  test("a missing or killed tool is a temporary failure", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", "kill -9 $$");
    world.put("EndpointSlice", IDLE_NOW_SERVED);
    expect(await world.sync()).toBe(false);
    world.fakeTools.real("iptables", "-restore");
    expect(await world.sync()).toBe(true);
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
  });

  test("a failing family does not block the other one; the retry writes only the missing rules", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("ip6tables", "-restore", LOCKED);
    world.put("EndpointSlice", IDLE_NOW_SERVED);
    world.put("EndpointSlice", slice("six-1", "six", ["fd00:10:244:1::7"]));
    expect(await world.sync()).toBe(false);
    expect(world.saved("nat")).toContain("10.244.1.7:8080");
    world.fakeTools.real("ip6tables", "-restore");
    world.fakeTools.runs();
    expect(await world.sync()).toBe(true);
    expect(restores(world)).toEqual([`ip6tables-${variant}-restore`]);
    expect(world.saved("nat", "ip6tables")).toContain("[fd00:10:244:1::7]:8080");
    expect(await world.repair()).toBeUndefined();
  });

  test.each([
    ["with another change", slice("six-1", "six", ["fd00:10:244:1::8"])],
    ["without any", undefined],
  ])(
    "changes that one family accepted in a failed sync are reverted if they are no longer wanted, %s",
    async (_, later) => {
      const world = await iptablesWorld(variant);
      expect(await world.repair()).toBeUndefined();
      const before = world.saved("nat");
      world.fakeTools.fake("ip6tables", "-restore", LOCKED);
      world.put("EndpointSlice", IDLE_NOW_SERVED);
      world.put("EndpointSlice", slice("six-1", "six", ["fd00:10:244:1::7"]));
      expect(await world.sync()).toBe(false);
      expect(world.saved("nat")).not.toBe(before);
      world.fakeTools.real("ip6tables", "-restore");
      world.put("EndpointSlice", slice("idle-1", "idle", []));
      world.put(
        "EndpointSlice",
        later ?? slice("six-1", "six", ["fd00:10:244::1!", "fd00:10:244:1::1"]),
      );
      expect(await world.sync()).toBe(true);
      if (later === undefined) await world.repair();
      expect(world.saved("nat")).toBe(before);
      expect(await world.repair()).toBeUndefined();
    },
  );

  test("a rule that the kernel no longer accepts leaves out its Service in a repair", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-restore", refuseLine("10.244.1.2:8080"));
    world.iptables("-t", "nat", "-F");
    world.iptables("-t", "nat", "-X");
    expect(await world.repair()).toMatchObject({ driftedCounts: { table: 1 } });
    expect(refusals(world)).toEqual(["Service default/web"]);
    expect(world.saved("nat")).toContain("10.244.1.3:8080");
    expect(world.saved("nat")).not.toContain("10.96.0.1/32");
    world.fakeTools.real("iptables", "-restore");
    await world.clock.advance(REFUSED_RETRY_MS);
    await world.sync();
    expect(world.saved("nat")).toContain("10.244.1.2:8080");
    expect(refusals(world)).toEqual([]);
  });

  test("tools with another output format are understood after one comparison, which is logged once", async () => {
    const world = await iptablesWorld(variant);
    for (const suffix of ["", "-save"]) {
      world.fakeTools.fake(
        "iptables",
        suffix,
        `/usr/sbin/iptables-${variant}${suffix} "$@" | sed 's/--mode random/--mode=random/'; exit 0`,
      );
    }
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.logged.filter((line) => line.includes("in another form"))).toHaveLength(1);
    expect(await world.repair()).toBeUndefined();
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
  });

  test("tools of another C library, which print other IPv6 addresses, are understood", async () => {
    const world = await iptablesWorld(variant);
    const embedded = Array.from({ length: 16 }, (_, bit) => {
      const word = 2 ** bit;
      return `-e 's/::${word >> 8}\\.${word & 255}\\.0\\.0/::${word.toString(16)}:0/g'`;
    }).join(" ");
    for (const suffix of ["", "-save"]) {
      const tool = `ip6tables-${variant}${suffix}`;
      world.fakeTools.fake("ip6tables", suffix, `/usr/sbin/${tool} "$@" | sed ${embedded}; exit 0`);
    }
    run(`ip6tables-${variant}`, "-A", "KUBE-FORWARD", "-j", "DROP");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.logged.filter((line) => line.includes("in another form"))).toHaveLength(1);
    expect(await world.repair()).toBeUndefined();
  });

  test("unreadable chains are logged once, and read again", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.fake("iptables", "-save", "exit 1");
    expect(await world.repair()).toBeUndefined();
    expect(
      world.logged.filter((line) => line.includes("Failed to compare the rules")),
    ).toHaveLength(1);
    world.fakeTools.real("iptables", "-save");
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
  });
});
