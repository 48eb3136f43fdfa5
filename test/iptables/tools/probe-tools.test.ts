import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pipe, run } from "../../../harness/commands.ts";
import { enterFreshNetns } from "../../../harness/fresh-netns.ts";
import { probeTools } from "../../../src/iptables/tools/probe-tools.ts";
import { FakeTools, toolsOf } from "./fake-tools.ts";

/** Each test has its own, because extensions that legacy tables have used are not probed again. */
let leaveNetns = () => {};
beforeEach(() => {
  leaveNetns = enterFreshNetns();
});
afterEach(() => leaveNetns());

const ALL = { randomFully: true, comments: true, recent: true, sctp: true };

function savedBy(name: string): string {
  return run(`${name}-save`).replaceAll(/^#.*\n/gm, "");
}

/** Both variants and both families. */
const SOME = [
  ["legacy", 4, "iptables-legacy"],
  ["nft", 6, "ip6tables-nft"],
] as const;
const ALL_TOOLS = [...SOME, ["legacy", 6, "ip6tables-legacy"], ["nft", 4, "iptables-nft"]] as const;

describe.each(ALL_TOOLS)("%s, IPv%d:", (variant, family, name) => {
  const saved = () => savedBy(name);

  test("this kernel has all features, and the tables stay unchanged", async () => {
    pipe(
      "*nat\n:OTHERS - [0:0]\n-A OUTPUT -j OTHERS\nCOMMIT\n*filter\n:MORE - [0:0]\nCOMMIT\n",
      `${name}-restore`,
    );
    const before = saved();
    expect(await probeTools(await toolsOf(family, variant))).toEqual(ALL);
    expect(saved()).toBe(before);
  });

  test("a chain of an earlier probe does not disturb, and is removed", async () => {
    const restore = ["nat", "filter"].map(
      (table) =>
        `*${table}\n:KUBE-SVC-SLUICE-PROBE - [0:0]\n-A KUBE-SVC-SLUICE-PROBE -j ACCEPT\nCOMMIT\n`,
    );
    pipe(restore.join(""), `${name}-restore`, "--noflush");
    expect(await probeTools(await toolsOf(family, variant))).toEqual(ALL);
    // In legacy tables that use all extensions, nothing is written. The first sync deletes the
    // chain, like any obsolete chain of ours.
    expect(saved().includes("PROBE")).toBe(variant === "legacy");
  });

  test("without rights the error says so", async () => {
    using fake = new FakeTools();
    const deny = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin";
    const tools = await fake.real(name, `${deny} /usr/sbin/${name}`).tools(family, variant);
    await expect(probeTools(tools)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  test("the probe waits for a held lock", async () => {
    using fake = new FakeTools();
    fake.real(name, `/usr/sbin/${name}`);
    const words = "Another app is currently holding the xtables lock. Stopped waiting after 5s.";
    const real = `exec /usr/sbin/${name}-restore "$@"`;
    fake.script(
      `${name}-restore`,
      `echo >>"$0.runs"; [ $(wc -l <"$0.runs") -gt 3 ] && ${real}\necho '${words}' >&2; exit 4`,
    );
    let waits = 0;
    expect(await probeTools(await fake.tools(family, variant), () => waits++)).toEqual(ALL);
    expect(waits).toBe(3);
    expect(saved()).not.toContain("PROBE");
  });

  test("an error names the lock file that cannot be opened", async () => {
    using fake = new FakeTools();
    fake.real(name, `/usr/sbin/${name}`);
    const words = "Fatal: can't open lock file /run/xtables.lock: Read-only file system";
    fake.script(`${name}-restore`, `echo "${words}" >&2; exit 4`);
    await expect(probeTools(await fake.tools(family, variant))).rejects.toMatchObject({
      code: "TOOL_FAILED",
      subject: "/run/xtables.lock",
      message: `open xtables lock /run/xtables.lock: ${name}-restore: ${words} (its directory must exist and be writable)`,
    });
  });
});

describe.each(SOME)("%s, IPv%d, of a limited kernel:", (variant, family, name) => {
  const lesser = (fake: FakeTools, refuse: string) =>
    fake.real(name, `/usr/sbin/${name}`, refuse).tools(family, variant);
  const saved = () => savedBy(name);

  test.each([
    ["-m comment", "comments"],
    ["-m recent", "recent"],
    ["-m sctp", "sctp"],
    ["--random-fully", "randomFully"],
  ] as const)("works without %s", async (refuse, feature) => {
    using fake = new FakeTools();
    const features = await probeTools(await lesser(fake, refuse));
    expect(features).toEqual({ ...ALL, [feature]: false });
    expect(saved()).not.toContain("PROBE");
  });

  test.each([
    ["-m conntrack", "xt_conntrack (CONFIG_NETFILTER_XT_MATCH_CONNTRACK)"],
    ["-m mark", "xt_mark (CONFIG_NETFILTER_XT_MATCH_MARK)"],
    ["-j MARK", "xt_mark (CONFIG_NETFILTER_XT_TARGET_MARK)"],
    ["-m statistic", "xt_statistic (CONFIG_NETFILTER_XT_MATCH_STATISTIC)"],
    ["-m addrtype", "xt_addrtype (CONFIG_NETFILTER_XT_MATCH_ADDRTYPE)"],
    ["-m udp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)"],
    ["-j DNAT", "xt_nat (CONFIG_NETFILTER_XT_NAT)"],
    ["-j MASQUERADE", "xt_MASQUERADE (CONFIG_NETFILTER_XT_TARGET_MASQUERADE)"],
    [
      "-j REJECT",
      family === 4
        ? "ipt_REJECT (CONFIG_IP_NF_TARGET_REJECT)"
        : "ip6t_REJECT (CONFIG_IP6_NF_TARGET_REJECT)",
    ],
  ] as const)("fails without %s, and names exactly the missing features", async (refuse, needs) => {
    using fake = new FakeTools();
    const output = `${name}-restore: ${name}-restore: no module for ${refuse}`;
    await expect(probeTools(await lesser(fake, refuse))).rejects.toMatchObject({
      code: "KERNEL_UNSUPPORTED",
      subject: needs,
      message: `probe iptables (${variant}, IPv${family}): the tools or the kernel lack ${needs}: ${output}`,
    });
    expect(saved()).not.toContain("PROBE");
  });
});

test("legacy tables that use all features are not written", async () => {
  using fake = new FakeTools();
  await probeTools(await toolsOf(4, "legacy"));
  fake.real("iptables-legacy", "/usr/sbin/iptables-legacy");
  fake.script("iptables-legacy-restore", "exit 1");
  expect(await probeTools(await fake.tools(4, "legacy"))).toEqual(ALL);
});

test("features that a tool is too old for are not probed", async () => {
  using fake = new FakeTools();
  const tools = await fake.set("iptables", "iptables v1.6.1").tools(4, "legacy");
  expect(await probeTools(tools)).toEqual({ ...ALL, randomFully: false });
});
