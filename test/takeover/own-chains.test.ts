/** Tests chains with kube-proxy's names that Sluice created, for itself or in another mode. */
import { beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { pipe, run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import type { OwnRules } from "../../src/backend/capabilities.ts";
import { systemClock as clock } from "../../src/base/clock.ts";
import { runCleanup } from "../../src/daemon/cleanup.ts";
import { findOtherProxies } from "../../src/takeover/find-rules.ts";
import { removeKubeProxyRules } from "../../src/takeover/remove-rules.ts";
import { SLUICE_ORIGINS } from "../../src/takeover/rule-origin.ts";
import { FOREIGN, LOCALHOST, SLUICE, savedRules } from "./kube-proxy-ruleset.ts";

useFreshNetns();

const TOOLS = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"];
const RULES = savedRules([
  { name: "web", clusterIp: "10.96.0.7", nodePort: 30080, endpoints: ["10.244.1.11:8080"] },
]);
const RULES6 = savedRules(
  [{ name: "web", clusterIp: "fd00:96::7", endpoints: ["[fd00:10:244:1::11]:8080"] }],
  "fd00:10:244::/48",
);
const ROUTE_LOCALNET = "/proc/sys/net/ipv4/conf/all/route_localnet";
/** Known by its comment. */
const TABLE = `table inet sluice {
  comment "sluice: layout 1, sets 0";
  chain nat-prerouting { type nat hook prerouting priority dstnat; }
}`;

beforeEach(() => {
  run("nft", "flush", "ruleset");
  writeFileSync(ROUTE_LOCALNET, "0");
  for (const tool of TOOLS) {
    if (tool.includes("legacy")) {
      for (const table of ["nat", "filter", "mangle"]) {
        run(tool, "-t", table, "-F");
        run(tool, "-t", table, "-X");
      }
    }
    // A table that ever had a rule stays, with its built-in chains.
    restore(tool, "*nat\nCOMMIT\n*filter\nCOMMIT\n*mangle\nCOMMIT\n");
    for (const table of ["nat", "filter", "mangle"])
      run(tool, "-t", table, "-P", "OUTPUT", "ACCEPT");
  }
});

const restore = (tool: string, text: string) => pipe(text, `${tool}-restore`, "--noflush");
const sluice = (tool: string) => {
  restore(tool, tool.startsWith("ip6") ? RULES6 : RULES);
  restore(
    tool,
    tool.startsWith("ip6") ? SLUICE.replace("10.244.0.0/16", "fd00:10:244::/48") : SLUICE,
  );
};

/** All contents of iptables, without packet counters. */
function saved(tools = TOOLS): string {
  return tools
    .map((tool) => run(`${tool}-save`))
    .join("")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\[\d+:\d+\]/g, "[0:0]");
}

const NFTABLES: OwnRules = { form: "nftables", sharesKubeProxyChains: false };
const IPTABLES: OwnRules = { form: "iptables", sharesKubeProxyChains: true };
const LEGACY: OwnRules = { form: "iptables-legacy", sharesKubeProxyChains: true };

const look = async (own?: OwnRules) =>
  (await findOtherProxies({ clock, own })).map(({ kind }) => kind);
const remove = (own: OwnRules, kinds = SLUICE_ORIGINS) =>
  removeKubeProxyRules({ clock, own, keepRequired: true }, kinds);

describe.each(["nft", "legacy"] as const)(
  "chains that Sluice created with iptables-%s",
  (variant) => {
    const [four, six] = [`iptables-${variant}`, `ip6tables-${variant}`] as const;
    const kind = variant === "nft" ? "sluice-iptables" : "sluice-iptables-legacy";
    const own = variant === "nft" ? IPTABLES : LEGACY;
    const other = variant === "nft" ? LEGACY : IPTABLES;

    test("are its own while it serves with them, and never removed then", async () => {
      restore(four, RULES);
      sluice(six);
      const before = saved();
      expect(await look(own)).toEqual([]);
      expect(await removeKubeProxyRules({ clock, own, keepRequired: false })).toMatchObject({
        removed: [],
        messages: [],
        kept: [],
        failures: [],
      });
      expect(saved()).toBe(before);
    });

    test.each([NFTABLES, other])(
      "are leftovers next to rules of $form, distinguished from kube-proxy's of the other family, and are removed without them",
      async (mode) => {
        restore(four, FOREIGN);
        restore(six, RULES6);
        const before = saved();
        sluice(four);
        expect(await look(mode)).toEqual([
          kind,
          variant === "nft" ? "iptables" : "iptables-legacy",
        ]);
        const { removed, ...rest } = await remove(mode);
        expect(rest).toEqual({ messages: [], kept: [], failures: [] });
        expect(removed).toHaveLength(3);
        expect(removed.join()).toContain("Sluice's chains in ");
        expect(saved()).toBe(before);
      },
    );

    test("that foreign rules reference stay at a cleanup, with a message", async () => {
      sluice(four);
      run(four, "-t", "nat", "-A", "OUTPUT", "-s", "192.0.2.9", "-j", "KUBE-SVC-OUTSIDE");
      const { lines, errors } = await runCleanup(true);
      expect(errors).toEqual([]);
      expect(lines.join("\n")).toContain(
        "KUBE-SVC-OUTSIDE in " +
          (variant === "nft" ? "table ip nat" : "iptables-legacy table nat") +
          ": rules of other programs jump there",
      );
      expect(saved()).toContain("-A OUTPUT -s 192.0.2.9/32 -j KUBE-SVC-OUTSIDE\n");
    });
  },
);

describe("the table inet sluice", () => {
  test("is a leftover in iptables mode, and is removed; a foreign table with that name stays", async () => {
    pipe(TABLE, "nft", "-f", "-");
    expect(await look(NFTABLES)).toEqual([]);
    expect(await look(IPTABLES)).toEqual(["sluice-nftables"]);
    expect((await remove(IPTABLES)).removed).toEqual(["table inet sluice"]);
    expect(await look(IPTABLES)).toEqual([]);
    run("nft", "add", "table", "inet", "sluice");
    expect(await look(IPTABLES)).toEqual([]);
  });

  test("makes a cleanup fail if it is foreign; everything else is removed", async () => {
    run("nft", "add", "table", "inet", "sluice");
    sluice("iptables-nft");
    const { lines, errors } = await runCleanup(false);
    expect(errors).toEqual([
      "delete table inet sluice: another program owns it, as its comment shows (if nothing needs it, run `nft delete table inet sluice`) (code TABLE_FOREIGN)",
    ]);
    expect(lines).toHaveLength(3);
    expect(saved()).not.toContain("KUBE-");
    expect(run("nft", "list", "tables")).toContain("inet sluice");
  });
});

describe("a cleanup", () => {
  const ofKubeProxy = () => {
    run("nft", "add", "table", "ip", "kube-proxy");
    for (const tool of TOOLS) if (!tool.includes("6")) restore(tool, RULES);
  };
  const ofSluice = () => {
    pipe(TABLE, "nft", "-f", "-");
    for (const tool of TOOLS) if (tool.includes("6")) sluice(tool);
  };

  test("removes exactly the rules of every mode in one run", async () => {
    for (const tool of ["iptables-nft", "iptables-legacy"]) restore(tool, FOREIGN);
    const before = [saved(), run("nft", "list", "tables")];
    ofKubeProxy();
    ofSluice();
    const { lines, errors } = await runCleanup(false);
    expect(errors).toEqual([]);
    // Four tools with three tables each.
    expect(lines).toHaveLength(2 + 12);
    expect([saved(), run("nft", "list", "tables")]).toEqual(before);
    expect(await runCleanup(false)).toEqual({
      lines: ["Nothing to remove"],
      errors: [],
    });
  });

  test("that keeps kube-proxy's rules removes only Sluice's own", async () => {
    ofKubeProxy();
    const before = [saved(), run("nft", "list", "tables")];
    ofSluice();
    const { lines } = await runCleanup(true);
    expect(lines).toHaveLength(1 + 6);
    expect([saved(), run("nft", "list", "tables")]).toEqual(before);
  });

  describe.each(["iptables-nft", "iptables-legacy"])("by %s", (tool) => {
    test("removes KUBE-FIREWALL too, if it belongs to nobody else", async () => {
      const before = saved();
      sluice(tool);
      restore(tool, LOCALHOST);
      expect((await runCleanup(false)).errors).toEqual([]);
      expect(saved()).toBe(before);
      restore(tool.replace("ip", "ip6"), "*filter\n:KUBE-FIREWALL - [0:0]\nCOMMIT\n");
      expect((await runCleanup(false)).lines).toHaveLength(1);
      expect(saved()).toBe(before);
    });

    test.each([
      ["a kubelet runs", "*filter\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"],
      ["another rule is in it", "*filter\n-A KUBE-FIREWALL -s 192.0.2.1/32 -j DROP\nCOMMIT\n"],
    ])("keeps KUBE-FIREWALL if %s", async (_why, text) => {
      restore(tool, LOCALHOST);
      restore(tool, text);
      const before = saved();
      sluice(tool);
      const { lines, errors } = await runCleanup(false);
      expect(errors).toEqual([]);
      expect(lines).toHaveLength(3);
      expect(saved()).toBe(before);
    });

    test("keeps KUBE-FIREWALL while packets from elsewhere could reach 127.0.0.1 without it, and logs that", async () => {
      writeFileSync(ROUTE_LOCALNET, "1");
      restore(tool, LOCALHOST);
      const before = saved();
      sluice(tool);
      const { lines } = await runCleanup(false);
      expect(lines.at(-1)).toMatch(
        /^Kept KUBE-FIREWALL in .*: net.ipv4.conf.all.route_localnet is 1/,
      );
      expect(saved()).toBe(before);
    });

    test("keeps KUBE-FIREWALL if a foreign rule references it", async () => {
      restore(tool, LOCALHOST);
      run(tool, "-A", "INPUT", "-s", "192.0.2.1", "-j", "KUBE-FIREWALL");
      const { lines } = await runCleanup(false);
      expect(lines.join()).toContain("KUBE-FIREWALL in ");
      expect(saved()).toContain("-A INPUT -s 192.0.2.1/32 -j KUBE-FIREWALL\n");
    });
  });
});
