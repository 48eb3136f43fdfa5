import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { pipe, run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { service, slice } from "../../harness/sync/sync-world.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createIptablesBackend } from "../../src/iptables/iptables-backend.ts";
import type { Variant } from "../../src/iptables/syntax/known-chains.ts";
import { removeKubeProxyRules } from "../../src/takeover/remove-rules.ts";
import {
  clearTables,
  fill,
  iptablesWorld,
  OPTIONS,
  RealToolFolder,
  saved,
  VARIANTS,
} from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

const RESTORES = (variant: string) => [
  `iptables-${variant}-restore`,
  `ip6tables-${variant}-restore`,
];

/** The text that a kernel without xt_comment stores. */
function dropComments(variant: Variant): void {
  for (const tool of [`iptables-${variant}`, `ip6tables-${variant}`]) {
    const text = run(`${tool}-save`).replaceAll(/ -m comment --comment ("[^"]*"|\S+)/g, "");
    pipe(text, `${tool}-restore`);
  }
}

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test("nothing changes before the start", () => {
    createIptablesBackend(OPTIONS).close();
    expect(saved(variant, "nat")).not.toContain("KUBE");
  });

  test("Services of both families are in the kernel after one restore each", async () => {
    const world = await iptablesWorld(variant, { unsynced: true });
    expect(world.adoption).toEqual({
      outcome: "fresh",
      what: `chains of iptables-${variant}`,
      elements: 0,
    });
    world.fakeTools.runs();
    expect(await world.sync()).toBe(true);
    expect(world.fakeTools.runs()).toEqual(RESTORES(variant));
    expect(world.reports.at(-1)).toMatchObject({ outcome: "done", transactions: 1 });
    expect(world.saved("nat")).toMatch(
      /-A KUBE-SERVICES -d 10\.96\.0\.1\/32 -p tcp .*--dport 80 -j KUBE-SVC-/,
    );
    expect(world.saved("filter")).toMatch(/-A KUBE-SERVICES -d 10\.96\.0\.4\/32 .*-j REJECT/);
    expect(world.saved("nat", "ip6tables")).toContain("-d fd00:96::1/128 ");
    for (const table of ["nat", "filter", "mangle"]) {
      expect(world.saved(table)).toContain(":KUBE-PROXY-CANARY");
    }
  });

  test("the rules read back are as written, so nothing differs", async () => {
    const world = await iptablesWorld(variant);
    expect(await world.repair()).toBeUndefined();
    expect(world.logged).toEqual([]);
  });

  test("a change of one Service is one restore of only its chains", async () => {
    const world = await iptablesWorld(variant);
    world.fakeTools.runs();
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    expect(world.fakeTools.runs()).toEqual([`iptables-${variant}-restore`]);
    expect(world.fakeTools.input()).toMatch(/^\*nat\n:KUBE-\S+ - \[0:0\]\n/);
    expect(world.fakeTools.input().match(/^:KUBE-SV[CL]-/gm)).toHaveLength(1);
    expect(world.fakeTools.input()).not.toContain("*filter");
  });

  test("chains of a removed Service are deleted by the restore that removes the rules to them", async () => {
    const world = await iptablesWorld(variant);
    const before = world.saved("nat").match(/^:KUBE-S/gm)?.length ?? 0;
    world.remove("Service", service("sticky", "10.96.0.2"));
    await world.sync();
    expect(world.saved("nat").match(/^:KUBE-S/gm)?.length).toBe(before - 3);
  });

  test("a restart without changes runs no restore, and everything is adopted", async () => {
    const before = await iptablesWorld(variant);
    before.backend.close();
    const fakeTools = new RealToolFolder(variant);
    const after = await iptablesWorld(variant, { fakeTools, unsynced: true });
    expect(after.adoption.outcome).toBe("adopted");
    expect(after.adoption.elements).toBeGreaterThan(10);
    const text = after.saved("nat");
    fakeTools.runs();
    await after.sync();
    expect(fakeTools.runs()).toEqual([]);
    expect(after.reports.at(-1)).toMatchObject({ outcome: "done", bytes: 0, transactions: 0 });
    expect(after.saved("nat")).toBe(text);
  });

  test("a restart writes changed rules and deletes obsolete ones in one restore", async () => {
    (await iptablesWorld(variant)).backend.close();
    const fakeTools = new RealToolFolder(variant);
    const after = await iptablesWorld(variant, {
      fakeTools,
      unsynced: true,
      objects(world) {
        fill(world);
        world.remove("Service", service("sticky", "10.96.0.2"));
        world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.9"]));
      },
    });
    // Existing rules continue to serve until everything is known.
    expect(after.saved("nat")).toContain("-d 10.96.0.2/32");
    fakeTools.runs();
    await after.sync();
    expect(fakeTools.runs()).toEqual([`iptables-${variant}-restore`]);
    expect(after.saved("nat")).not.toContain("-d 10.96.0.2/32");
    expect(after.saved("nat")).not.toMatch(/KUBE-SEP-[A-Z2-7]{16}/);
    expect(after.saved("nat")).toContain("10.244.1.9:8080");
  });

  test("chains of an earlier kube-proxy serve until the first sync, which replaces them in one restore", async () => {
    pipe(
      `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-OLD - [0:0]
:KUBE-SEP-OLD - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-OLD
-A KUBE-SVC-OLD -j KUBE-SEP-OLD
-A KUBE-SEP-OLD -p tcp -m tcp -j DNAT --to-destination 10.244.0.1:8080
-A KUBE-POSTROUTING -j RETURN
COMMIT
*filter
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
`,
      `iptables-${variant}-restore`,
      "--noflush",
    );
    const world = await iptablesWorld(variant, { unsynced: true });
    expect(world.adoption.outcome).toBe("replaced");
    expect(world.saved("nat")).toContain(
      "-d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-OLD",
    );
    expect(world.saved("nat")).toContain("-A KUBE-POSTROUTING -j RETURN");
    world.fakeTools.runs();
    await world.sync();
    expect(world.fakeTools.runs()).toEqual(RESTORES(variant));
    expect(world.saved("nat")).not.toContain("OLD");
    expect(world.saved("nat").match(/-A PREROUTING .*-j KUBE-SERVICES/g)).toHaveLength(1);
    // A jump of another version of kube-proxy.
    expect(world.saved("filter")).not.toContain(
      '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    );
  });

  test("changed options are in the kernel after the next sync, and count as our own change", async () => {
    const world = await iptablesWorld(variant);
    expect(world.saved("nat")).toContain("0x4000/0x4000");
    expect(world.backend.reconfigure({ ...OPTIONS, masqueradeBit: 7, dropInvalid: true })).toBe(
      true,
    );
    world.verify();
    await world.sync();
    expect(world.saved("nat")).toContain("0x80/0x80");
    expect(world.saved("nat")).not.toContain("0x4000");
    expect(world.saved("filter")).toContain("--ctstate INVALID");
    expect(world.reports.at(-1)?.repair).toBeUndefined();
    expect(await world.repair()).toBeUndefined();
  });

  test("statistics count rules, and what the last restore wrote", async () => {
    const world = await iptablesWorld(variant);
    const [four] = world.backend.chains?.statistics() ?? [];
    const rules = world.saved("nat").match(/^-A KUBE/gm)?.length ?? 0;
    expect(four).toMatchObject({ family: 4, failures: 0, partialFailures: 0 });
    expect(four?.rules[0]).toMatchObject({ table: "nat", total: rules });
  });

  test.each([true, false])(
    "cleanup leaves exactly the earlier rules; with comments: %p",
    async (comments) => {
      const own = `iptables-${variant}`;
      run(own, "-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.1", "-j", "RETURN");
      run(own, "-N", "ADMIN");
      run(own, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "NEW", "-j", "ADMIN");
      const all = () => ["nat", "filter"].map((table) => saved(variant, table)).join("");
      const before = all();
      await iptablesWorld(variant, { options: { localhostNodePorts: true } });
      expect(saved(variant, "filter")).toContain("-A KUBE-FIREWALL ! -s 127.0.0.0/8");
      if (!comments) dropComments(variant);
      expect(saved(variant, "filter").includes("--comment")).toBe(comments);
      const remove = () =>
        removeKubeProxyRules({ clock: systemClock, keepRequired: false, firewall: true });
      const { removed, ...rest } = await remove();
      expect(removed).toHaveLength(6);
      expect(rest).toEqual({ messages: [], kept: [], failures: [] });
      expect(all()).toBe(before);
      expect(saved(variant, "mangle")).not.toContain("KUBE");
      expect(saved(variant, "nat", "ip6tables")).not.toContain("KUBE");
      expect((await remove()).removed).toEqual([]);
    },
  );

  test("jumps without comments are replaced by jumps with them at a start with another kernel", async () => {
    await iptablesWorld(variant);
    dropComments(variant);
    const world = await iptablesWorld(variant);
    const jumps = world.saved("nat").match(/^-A (PREROUTING|OUTPUT|POSTROUTING) .*KUBE-.*$/gm);
    expect(jumps).toHaveLength(3);
    for (const jump of jumps ?? []) expect(jump).toContain("--comment");
  });
});
