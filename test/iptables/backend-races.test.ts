import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { slice } from "../../harness/sync/sync-world.ts";
import { clearTables, iptablesWorld, VARIANTS } from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test("a comparison from before our own change is not used after it", async () => {
    const world = await iptablesWorld(variant);
    const { folder } = world.fakeTools;
    const [read, go] = [join(folder, "read"), join(folder, "go")];
    world.fakeTools.fake(
      "iptables",
      "-save",
      `/usr/sbin/iptables-${variant}-save "$@" > $0.saved; touch ${read}
       while [ ! -e ${go} ]; do sleep 0.01; done; cat $0.saved; exit 0`,
    );
    const looking = world.repair();
    while (!existsSync(read)) await new Promise(setImmediate);
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    writeFileSync(go, "");
    expect(await looking).toBeUndefined();
    // The state at the time of the read.
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.0.1!", "10.244.1.1", "10.244.1.2"]));
    await world.sync();
    expect(world.saved("nat")).toContain("10.244.1.2:8080");
    expect(await world.repair()).toBeUndefined();
  });

  test("a foreign change hidden by our own change is found by the periodic comparison", async () => {
    const world = await iptablesWorld(variant);
    expect(await world.repair()).toBeUndefined();
    // Between our restore and the check of its result.
    world.fakeTools.fake(
      "iptables",
      "-restore",
      `/usr/sbin/iptables-${variant}-restore "$@" < $INPUT; code=$?
       /usr/sbin/iptables-${variant} -A KUBE-FORWARD -j DROP; exit $code`,
    );
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    world.fakeTools.real("iptables", "-restore");
    expect(world.saved("filter")).toContain("-A KUBE-FORWARD -j DROP");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.saved("filter")).not.toContain("-A KUBE-FORWARD -j DROP");
  });

  test("a foreign change just before our own change is found at the next check", async () => {
    const world = await iptablesWorld(variant);
    expect(await world.repair()).toBeUndefined();
    world.iptables("-A", "KUBE-FORWARD", "-j", "DROP");
    world.put("EndpointSlice", slice("web-1", "web", ["10.244.1.1"]));
    await world.sync();
    expect(world.saved("filter")).toContain("-A KUBE-FORWARD -j DROP");
    const before = world.detectorTime();
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(world.detectorTime() - before).toBeLessThan(10_000);
  });

  test("a kubelet's rules for loopback stay, after our rules", async () => {
    const kubelets = "-d 127.0.0.0/8 -m mark --mark 0x8000/0x8000 -j DROP";
    for (const rule of [
      "-N KUBE-FIREWALL",
      `-A KUBE-FIREWALL ${kubelets}`,
      "-A INPUT -j KUBE-FIREWALL",
    ]) {
      run(`iptables-${variant}`, ...rule.split(" "));
    }
    const world = await iptablesWorld(variant, { options: { localhostNodePorts: true } });
    const firewall = () => world.saved("filter").match(/^-A KUBE-FIREWALL .*$/gm) ?? [];
    expect(firewall()).toEqual([
      `-A KUBE-FIREWALL ${kubelets}`,
      expect.stringContaining("block incoming localnet connections"),
    ]);
    expect(world.saved("filter").match(/-A (INPUT|OUTPUT) -j KUBE-FIREWALL/g)).toHaveLength(2);
    world.iptables("-D", "KUBE-FIREWALL", "2");
    expect(await world.repair()).toMatchObject({ driftedCounts: { chain: 1 } });
    expect(firewall()).toHaveLength(2);
    world.backend.reconfigure({ ...world.options, localhostNodePorts: false });
    world.verify();
    await world.sync();
    expect(firewall()).toHaveLength(2);
    expect(await world.repair()).toBeUndefined();
  });

  test("clients of an endpoint that is removed and added again are not remembered", async () => {
    const world = await iptablesWorld(variant);
    const lists = () => run("ls", "/proc/net/xt_recent").split("\n").filter(Boolean);
    const remembered = () =>
      lists()
        .map((list) => run("cat", `/proc/net/xt_recent/${list}`))
        .join("");
    const names = lists();
    expect(names.length).toBeGreaterThan(1);
    for (const name of names) {
      run("sh", "-c", `echo +10.9.9.9 > /proc/net/xt_recent/${name}`);
    }
    // Both chains are rewritten, for example because a comment has another Service's name. Clients
    // stay.
    world.put("EndpointSlice", slice("sticky-1", "sticky", ["10.244.0.2!"]));
    await world.sync();
    expect(remembered().match(/10\.9\.9\.9/g)).toHaveLength(1);
    world.put("EndpointSlice", slice("sticky-1", "sticky", ["10.244.0.2!", "10.244.1.3"]));
    await world.sync();
    expect(lists()).toHaveLength(names.length);
    expect(remembered().match(/10\.9\.9\.9/g)).toHaveLength(1);
  });
});
