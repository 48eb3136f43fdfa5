/** Distinguishes foreign changes from our own. */
import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { service, slice } from "../../harness/sync/sync-world.ts";
import { REFUSED_RETRY_MS } from "../../src/base/limits.ts";
import { clearTables, iptablesWorld, RealToolFolder, saved, VARIANTS } from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

const LOCKED = `
  echo "Another app is currently holding the xtables lock. Stopped waiting after 5s." >&2
  exit 4`;
const refuseLine = (words: string) => `
  line=$(grep -n -m 1 -e '${words}' $INPUT | cut -d: -f1)
  if [ -n "$line" ]; then echo "Error occurred at line: $line" >&2; exit 2; fi`;

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test.each([
    ["flushes a chain", "-F KUBE-SERVICES"],
    [
      "puts another rule in place of one",
      "-R KUBE-SERVICES 2 -d 10.96.0.99/32 -j KUBE-SVC-OUTSIDE",
    ],
  ])("a program that %s after each restore is found each time", async (_, harm) => {
    const world = await iptablesWorld(variant);
    await world.repair();
    const before = world.saved("nat");
    world.fakeTools.fake(
      "iptables",
      "-restore",
      `/usr/sbin/iptables-${variant}-restore "$@" < $INPUT; code=$?
       /usr/sbin/iptables-${variant} -w 5 -t nat ${harm}; exit $code`,
    );
    world.iptables("-t", "nat", ...harm.split(" "));
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    world.fakeTools.real("iptables", "-restore");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.saved("nat")).toBe(before);
    expect(world.logged.filter((line) => line.includes("in another form"))).toEqual([]);
  });

  test("missing rules of one family are repaired although the other refuses a Service", async () => {
    const world = await iptablesWorld(variant);
    await world.repair();
    world.fakeTools.fake("iptables", "-restore", refuseLine("-d 10.96.0.66/32"));
    const six = () => saved(variant, "nat", "ip6tables");
    const before = six();
    const [, chain = ""] = before.match(/^:(KUBE-SVC-[A-Z0-9]{16}) /m) ?? [];
    for (const harm of [
      ["-F", "KUBE-SERVICES"],
      ["-F", "KUBE-SVC-OUTSIDE"],
      ["-F", chain],
      ["-X", chain],
    ]) {
      run(`ip6tables-${variant}`, "-w", "5", "-t", "nat", ...harm);
    }
    const both = { clusterIPs: ["10.96.0.66", "fd00:96::66"], ipFamilies: ["IPv4", "IPv6"] };
    world.put("Service", service("bad", "10.96.0.66", both));
    world.put("EndpointSlice", slice("bad-1", "bad", ["10.244.1.66"]));
    world.put("EndpointSlice", slice("bad-2", "bad", ["fd00:10:244:1::66"]));
    await world.sync();
    expect(six()).toContain(`:${chain} `);
    expect(world.reports.at(-1)).toMatchObject({ outcome: "refused" });
    expect(await world.repair()).toBeUndefined();
  });

  test("remains of our own failed sync are removed without blaming another program", async () => {
    const world = await iptablesWorld(variant);
    await world.repair();
    const before = world.saved("nat");
    world.fakeTools.fake("ip6tables", "-restore", LOCKED);
    world.put("EndpointSlice", slice("idle-1", "idle", ["10.244.1.7"]));
    world.put("EndpointSlice", slice("six-1", "six", ["fd00:10:244:1::7"]));
    expect(await world.sync()).toBe(false);
    world.fakeTools.real("ip6tables", "-restore");
    world.put("EndpointSlice", slice("idle-1", "idle", []));
    world.put("EndpointSlice", slice("six-1", "six", ["fd00:10:244::1!", "fd00:10:244:1::1"]));
    await world.sync();
    expect(await world.repair()).toBeUndefined();
    expect(world.saved("nat")).toBe(before);
    expect(await world.repair()).toBeUndefined();
  });

  test("a failed repair is made at the next request", async () => {
    const world = await iptablesWorld(variant);
    await world.repair();
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    world.fakeTools.fake("iptables", "-restore", LOCKED);
    expect(await world.repair()).toBeUndefined();
    world.fakeTools.real("iptables", "-restore");
    await world.sync();
    expect(world.reports.at(-1)?.repair).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.saved("filter")).not.toContain("-A KUBE-FORWARD -j DROP");
  });

  test("a restore of some chains that fails counts as such, and one of everything does not", async () => {
    const world = await iptablesWorld(variant);
    await world.repair();
    const one = () => world.backend.chains?.statistics()[0];
    const failures = () => one()?.failures;
    const partial = () => one()?.partialFailures;
    expect([failures(), partial()]).toEqual([0, 0]);
    world.fakeTools.fake("iptables", "-restore", LOCKED);
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    expect([failures(), partial()]).toEqual([1, 1]);
    world.fakeTools.real("iptables", "-restore");
    await world.clock.advance(REFUSED_RETRY_MS);
    await world.sync();
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    world.fakeTools.fake("iptables", "-restore", LOCKED);
    await world.repair();
    expect([failures(), partial()]).toEqual([2, 1]);
  });

  test("each time that comparing becomes impossible is logged once", async () => {
    const world = await iptablesWorld(variant);
    await world.repair();
    const output = () =>
      world.logged.filter((line) => line.includes("Failed to compare the rules")).length;
    for (const times of [1, 2]) {
      world.fakeTools.fake("iptables", "-save", "exit 1");
      await world.repair();
      await world.repair();
      expect(output()).toBe(times);
      world.fakeTools.real("iptables", "-save");
      await world.repair();
    }
  });
});

// Legacy tables show the loaded extensions, which include SCTP here, so it is not probed.
test("if the kernel has no SCTP, its frontends have no rule, and nothing is refused", async () => {
  const fakeTools = new RealToolFolder("nft");
  fakeTools.fake("iptables", "-restore", refuseLine("-m sctp"));
  const ports = (protocol: string) => ({ ports: [{ name: "http", protocol, port: 80 }] });
  const world = await iptablesWorld("nft", {
    fakeTools,
    objects({ put }) {
      put("Service", service("assoc", "10.96.0.70", ports("SCTP")));
      put("EndpointSlice", slice("assoc-1", "assoc", []));
      put("Service", service("web", "10.96.0.71", ports("TCP")));
      put("EndpointSlice", slice("web-1", "web", ["10.244.1.71"]));
    },
  });
  expect(world.reports.at(-1)).toMatchObject({ outcome: "done" });
  expect(world.saved("nat")).toContain("10.244.1.71:8080");
  expect(world.saved("filter")).not.toContain("10.96.0.70");
  expect(world.backend.capabilities.unsupported).toEqual([
    "IPv4: SCTP does not work, because the kernel lacks xt_sctp",
  ]);
  expect(await world.repair()).toBeUndefined();
});
