import { beforeEach, describe, expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipe, run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { systemClock as clock } from "../../src/base/clock.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { LegacyTables } from "../../src/iptables/tools/legacy-tables.ts";
import { findOtherProxies } from "../../src/takeover/find-rules.ts";
import { removeKubeProxyRules } from "../../src/takeover/remove-rules.ts";
import { FOREIGN, MARKING, savedRules } from "./kube-proxy-ruleset.ts";

useFreshNetns();

const SERVICES = [
  {
    name: "web",
    clusterIp: "10.96.0.7",
    nodePort: 30080,
    endpoints: ["10.244.1.11:8080", "10.244.1.12:8080"],
  },
  { name: "dns", clusterIp: "10.96.0.10", endpoints: ["10.244.1.13:8080"] },
];
const RULES = savedRules(SERVICES);
const RULES6 = savedRules(
  [{ name: "web", clusterIp: "fd00:96::7", endpoints: ["[fd00:10:244:1::11]:8080"] }],
  "fd00:10:244::/48",
);
/**
 * A table of kube-proxy's nftables mode, and a table of the administrator with the same name in
 * another family.
 */
const NFT = `
  table ip kube-proxy { chain services { type nat hook prerouting priority -100; }; set cluster-ips { type ipv4_addr; }; }
  table ip6 kube-proxy { chain services { type nat hook prerouting priority -100; }; }
  table inet kube-proxy { chain mine { type filter hook input priority 0; ip saddr 192.0.2.1 accept; }; }
`;

beforeEach(() => {
  run("nft", "flush", "ruleset");
  for (const tool of ["iptables-legacy", "ip6tables-legacy"]) {
    for (const table of ["nat", "filter", "mangle"]) {
      run(tool, "-t", table, "-P", "OUTPUT", "ACCEPT");
      run(tool, "-t", table, "-F");
      run(tool, "-t", table, "-X");
    }
    run(tool, "-P", "FORWARD", "ACCEPT");
    run(tool, "-P", "INPUT", "ACCEPT");
  }
});

/** A folder with iptables-legacy tools that are this script. */
function tool(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-tool-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const suffix of ["", "-save", "-restore"]) {
    writeFileSync(join(folder, `iptables-legacy${suffix}`), `${script}\n`, { mode: 0o755 });
  }
  return folder;
}

/** All contents of iptables, without packet counters. */
function saved(...tools: string[]): string {
  return tools
    .map((tool) => run(`${tool}-save`))
    .join("")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\[\d+:\d+\]/g, "[0:0]");
}

const restore = (tool: string, text: string) => pipe(text, `${tool}-restore`, "--noflush");
const look = () => findOtherProxies({ clock });
const remove = (keepRequired = false) => removeKubeProxyRules({ clock, keepRequired });

describe.each(["nft", "legacy"])("rules of iptables-%s", (variant) => {
  const [four, six] = [`iptables-${variant}`, `ip6tables-${variant}`] as const;
  const kind = variant === "nft" ? "iptables" : "iptables-legacy";

  test("that kube-proxy left are found and removed, and all other rules stay unchanged", async () => {
    restore(four, FOREIGN);
    // Built-in chains of the other family appear with the first rule, and have no owner.
    restore(six, "*nat\nCOMMIT\n*filter\nCOMMIT\n*mangle\nCOMMIT\n");
    for (const table of ["nat", "filter", "mangle"]) run(six, "-t", table, "-A", "OUTPUT");
    const before = saved(four, six);
    restore(four, RULES);
    restore(six, RULES6);
    expect(saved(four, six)).not.toBe(before);
    expect((await look()).map((finding) => finding.kind)).toEqual([kind]);
    const { removed, ...rest } = await remove();
    expect(rest).toEqual({ messages: [], kept: [], failures: [] });
    expect(removed).toHaveLength(6);
    expect(saved(four, six)).toBe(before);
    expect(await look()).toEqual([]);
    expect(await remove()).toEqual({ removed: [], messages: [], kept: [], failures: [] });
  });

  test("stay if foreign rules reference them, with the chains that they reference; the rest is removed", async () => {
    restore(four, FOREIGN);
    const foreign = saved(four);
    restore(four, RULES);
    restore(four, MARKING);
    run(four, "-t", "nat", "-I", "CNI-HOSTPORT-DNAT", "-g", "KUBE-EXT-WEBAAAAAAAAAAAAA");
    const { kept, messages, failures } = await remove();
    expect(failures).toEqual([]);
    expect(kept.map((each) => each.split(" ").at(-1)).toSorted()).toEqual([
      "KUBE-EXT-WEBAAAAAAAAAAAAA",
      "KUBE-MARK-MASQ",
      "KUBE-SEP-WEB0AAAAAAAAAAAA",
      "KUBE-SEP-WEB1AAAAAAAAAAAA",
      "KUBE-SVC-WEBAAAAAAAAAAAAA",
    ]);
    expect(messages.join()).toContain(": rules of other programs jump there");
    const left = saved(four);
    expect(left).not.toContain("KUBE-SERVICES\n");
    expect(left).not.toContain("DNS");
    expect(left).toContain("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000");
    for (const line of foreign.split("\n")) expect(left.split("\n")).toContain(line);
  });

  test("that a user wrote into a built-in chain are not jumps of kube-proxy", async () => {
    restore(four, RULES);
    run(four, "-t", "nat", "-A", "OUTPUT", "-s", "192.0.2.9", "-j", "KUBE-SERVICES");
    const { kept, removed } = await remove();
    expect(kept.some((each) => each.endsWith(" KUBE-SERVICES"))).toBe(true);
    expect(removed.join()).toContain("kube-proxy's chains");
    expect(saved(four)).toContain("-A OUTPUT -s 192.0.2.9/32 -j KUBE-SERVICES\n");
    expect(saved(four)).not.toContain("kubernetes service portals");
  });

  test("that accepted packets which the policy of FORWARD drops are removed with a log line", async () => {
    restore(four, RULES);
    run(four, "-P", "FORWARD", "DROP");
    const { messages } = await remove();
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(/^The policy of chain FORWARD in .* is DROP, and KUBE-FORWARD/);
    expect(saved(four)).not.toContain("KUBE-");
  });

  test("that accept packets which a policy drops stay as long as it does, and no others", async () => {
    restore(four, FOREIGN);
    const foreign = saved(four);
    run(four, "-P", "FORWARD", "DROP");
    run(four, "-P", "INPUT", "DROP");
    restore(four, RULES);
    run(four, "-A", "KUBE-NODEPORTS", "-p", "tcp", "--dport", "30123", "-j", "ACCEPT");
    const { kept, messages, failures } = await remove(true);
    expect({ kept, messages, failures }).toEqual({ kept: [], messages: [], failures: [] });
    const left = saved(four).replaceAll(/-m comment --comment "[^"]*" /g, "");
    expect(left.match(/.*KUBE-(FORWARD|NODEPORTS|SERVICES|PROXY|POSTROUTING).*/g)).toEqual([
      ":KUBE-FORWARD - [0:0]",
      ":KUBE-NODEPORTS - [0:0]",
      "-A INPUT -j KUBE-NODEPORTS",
      "-A FORWARD -j KUBE-FORWARD",
      "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
      "-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-A KUBE-NODEPORTS -p tcp -m tcp --dport 30123 -j ACCEPT",
    ]);
    // These rules do not come from a running kube-proxy.
    const found = await look();
    expect(found.map((finding) => finding.kind)).toEqual(["drop-policy", "drop-policy"]);
    expect(found.map(({ dropPolicy }) => dropPolicy)).toMatchObject([
      { from: "FORWARD", hasEffect: true, mark: 0x4000, legacy: variant === "legacy", family: 4 },
      { from: "INPUT", hasEffect: true },
    ]);
    expect((await remove(true)).removed).toEqual([]);
    run(four, "-P", "FORWARD", "ACCEPT");
    run(four, "-P", "INPUT", "ACCEPT");
    const [finding, ...others] = await look();
    expect(others).toEqual([]);
    expect(finding?.kind).toBe(kind);
    expect(finding?.acceptChains).toEqual(finding?.parts ?? []);
    expect((await remove(true)).removed).toHaveLength(1);
    expect(saved(four)).toBe(foreign);
  });

  test("are removed if no rule reaches the accepting chain, or it accepts nothing", async () => {
    restore(four, RULES);
    run(four, "-P", "FORWARD", "DROP");
    run(four, "-P", "INPUT", "DROP");
    run(four, "-F", "FORWARD");
    await remove(true);
    expect(saved(four)).not.toContain("KUBE-");
    expect((await look()).map(({ dropPolicy }) => dropPolicy)).toMatchObject([
      { from: "FORWARD", exists: false, hasEffect: false },
      { from: "INPUT", exists: false, hasEffect: false },
    ]);
  });
});

test("the tables of the nftables mode are removed, and one with the same name in another family stays", async () => {
  pipe(NFT, "nft", "-f", "-");
  expect(await look()).toEqual([
    {
      kind: "nftables",
      what: "kube-proxy's rules (nftables mode)",
      parts: ["table ip kube-proxy", "table ip6 kube-proxy"],
    },
  ]);
  const mine = run("nft", "list", "table", "inet", "kube-proxy");
  const { removed, failures } = await remove();
  expect(failures).toEqual([]);
  expect(removed).toEqual(["table ip kube-proxy", "table ip6 kube-proxy"]);
  expect(run("nft", "list", "ruleset")).toBe(mine);
});

test("more chains than fit into one transaction are removed in several", async () => {
  const many = Array.from({ length: 900 }, (_, index) => ({
    name: `s${index}`,
    clusterIp: `10.97.${index >> 8}.${index & 255}`,
    endpoints: [`10.244.${index >> 8}.${index & 255}:8080`],
  }));
  restore("iptables-nft", FOREIGN);
  const before = saved("iptables-nft");
  restore("iptables-nft", savedRules(many));
  expect((await remove()).failures).toEqual([]);
  expect(saved("iptables-nft")).toBe(before);
});

test("a chain that the kernel does not delete is a failure; its table stays complete, the others are cleaned", async () => {
  restore("iptables-nft", RULES);
  const nat = run("iptables-nft-save", "-t", "nat");
  // A verdict map of the administrator references it. iptables does not know such maps.
  run("nft", "add map ip nat mine { type ipv4_addr : verdict; }");
  run("nft", "add element ip nat mine { 192.0.2.1 : jump KUBE-MARK-MASQ }");
  const { failures, removed } = await remove();
  expect(failures).toMatchObject([
    {
      code: "NETLINK_REFUSED",
      message: expect.stringContaining("delete kube-proxy's chains in table ip nat"),
    },
  ]);
  expect(removed).toHaveLength(2);
  run("nft", "delete map ip nat mine");
  const now = run("iptables-nft-save", "-t", "nat");
  expect(now.replaceAll(/^#.*/gm, "")).toBe(nat.replaceAll(/^#.*/gm, ""));
});

describe("legacy tables", () => {
  test("without a tool are reported, and a removal that cannot read them has failed", async () => {
    restore("iptables-legacy", RULES);
    const legacy = [4, 6].map(
      (family) => new LegacyTables(family as 4 | 6, { folders: ["/nowhere"] }),
    );
    const [finding, ...others] = await findOtherProxies({ clock, legacy });
    expect(others).toEqual([]);
    expect(finding?.kind).toBe("no-tools");
    expect(finding?.what).toContain("the legacy iptables tools are not installed");
    const { messages, removed, failures } = await removeKubeProxyRules({
      clock,
      legacy,
      keepRequired: false,
    });
    expect({ removed, messages }).toEqual({ removed: [], messages: [] });
    // Tables of both families exist.
    expect(failures.map(({ code }) => code)).toEqual(["TOOL_FAILED", "TOOL_FAILED"]);
    expect(failures.join()).toContain("the legacy iptables tools are not installed");
    expect(saved("iptables-legacy")).toContain("KUBE-SERVICES");
  });

  test("that we may not read are reported as a notice, and are no problem", async () => {
    restore("iptables-legacy", RULES);
    const denied = (words: string) =>
      Object.assign(new LegacyTables(4), {
        chains: () => Promise.reject(new SluiceError("TOOL_FAILED", words)),
      });
    const words = "can't initialize iptables table `nat': Permission denied (you must be root)";
    const found = await findOtherProxies({ clock, legacy: [denied(words)] });
    expect(found.map(({ kind }) => kind)).toEqual(["no-tools"]);
    expect(found[0]?.what).toContain("needs root and CAP_NET_RAW");
    const closed = await findOtherProxies({ clock, legacy: [denied("EACCES: permission denied")] });
    expect(closed).toEqual(found);
    const others = await findOtherProxies({ clock, legacy: [denied("it is locked")] });
    expect(others.map(({ kind }) => kind)).toEqual(["unreadable"]);
  });

  test.each([
    [
      "does not run",
      "^/.*/iptables-legacy --version: .*",
      () => new LegacyTables(4, { folders: [tool("#!/nowhere")] }),
    ],
    [
      "ends with a complaint",
      "^.*/iptables-legacy-save -t nat: exit status [0-9]+: no lock",
      () =>
        new LegacyTables(4, {
          folders: [
            tool("#!/bin/sh\n[ $1 = --version ] && exec echo v1.8.9; echo no lock >&2; exit 4"),
          ],
        }),
    ],
    [
      "is of a kernel that does not list its tables",
      "read /proc/net/ip_tables_names: ",
      () => {
        const tables = new LegacyTables(4);
        tables.names = async () => {
          throw new SluiceError("PERMISSION_DENIED", "read /proc/net/ip_tables_names: EIO");
        };
        return tables;
      },
    ],
  ])(
    "with a tool that %s do not hide other rules, and do not block their removal",
    async (_name, output, broken) => {
      pipe(NFT, "nft", "-f", "-");
      restore("iptables-nft", RULES);
      restore("iptables-legacy", RULES);
      restore("ip6tables-legacy", RULES6);
      const legacy = [broken(), new LegacyTables(6)];
      const found = await findOtherProxies({ clock, legacy });
      expect(found.map(({ kind }) => kind).toSorted()).toEqual([
        "iptables",
        "iptables-legacy",
        "nftables",
        "unreadable",
      ]);
      expect(found.find(({ kind }) => kind === "unreadable")).toMatchObject({
        what: "kube-proxy's rules in iptables-legacy table nat",
        parts: [expect.stringMatching(new RegExp(output))],
        mayHide: ["iptables-legacy", "sluice-iptables-legacy"],
      });
      const { failures } = await removeKubeProxyRules({ clock, legacy, keepRequired: false });
      expect(failures.length).toBeGreaterThan(0);
      expect(run("nft", "list", "tables")).not.toContain("ip kube-proxy");
      expect(saved("iptables-nft", "ip6tables-legacy")).not.toContain("KUBE-SERVICES");
      expect(saved("iptables-legacy")).toContain("KUBE-SERVICES");
    },
  );

  test("that a tool cannot change are a failure with its message, and the rest is removed", async () => {
    restore("iptables-legacy", RULES);
    restore("iptables-nft", RULES);
    const broken = new LegacyTables(4, { folders: ["/usr/sbin"] });
    broken.restore = (table) =>
      new LegacyTables(4).restore(table, `*${table}\n-X NOBODY\nCOMMIT\n`);
    const { failures } = await removeKubeProxyRules({
      clock,
      legacy: [broken],
      keepRequired: false,
    });
    expect(failures).toHaveLength(3);
    expect(failures[0]).toMatchObject({ code: "TOOL_FAILED" });
    expect(failures[0]?.message).toMatch(
      /^write table nat of \/usr\/sbin\/iptables-legacy: iptables-legacy-restore: .+$/,
    );
    expect(saved("iptables-nft")).not.toContain("KUBE-SERVICES");
    expect(saved("iptables-legacy")).toContain("KUBE-SERVICES");
  });
});

describe("other proxies", () => {
  test.each([
    ["cilium_host", "Cilium"],
    ["kube-dummy-if", "kube-router"],
    ["bpfin.cali", "Calico"],
  ])("are recognized by their device %s", async (device, name) => {
    run("ip", "link", "add", device, "type", "bridge");
    try {
      const findings = await look();
      expect(findings).toMatchObject([{ kind: "other", parts: [`device ${device}`] }]);
      expect(findings[0]?.what).toContain(name);
    } finally {
      run("ip", "link", "del", device);
    }
  });

  test("chains of the ipvs mode stay with its device", async () => {
    run("ip", "link", "add", "kube-ipvs0", "type", "bridge");
    try {
      restore("iptables-nft", RULES);
      restore("iptables-legacy", RULES);
      const before = saved("iptables-nft", "iptables-legacy");
      expect(await look()).toMatchObject([{ kind: "other", parts: ["device kube-ipvs0"] }]);
      expect(await remove()).toEqual({ removed: [], messages: [], kept: [], failures: [] });
      expect(saved("iptables-nft", "iptables-legacy")).toBe(before);
    } finally {
      run("ip", "link", "del", "kube-ipvs0");
    }
  });
});
