import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { readableLog } from "../../harness/fakes/readable-log.ts";
import type { OwnRules } from "../../src/backend/capabilities.ts";
import { SluiceError } from "../../src/base/errors.ts";
import {
  OTHER_PROXY_POLL_MS,
  OTHER_PROXY_QUIET_MS,
  OTHER_PROXY_RUNNING_POLL_MS,
} from "../../src/base/limits.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import type { Finding } from "../../src/takeover/find-rules.ts";
import type { KubeProxyProcesses } from "../../src/takeover/kube-proxy-processes.ts";
import { OtherProxies } from "../../src/takeover/other-proxies.ts";
import { NOTHING_REMOVED, type Removal } from "../../src/takeover/removal.ts";
import type { RuleOrigin } from "../../src/takeover/rule-origin.ts";

const TABLE: Finding = {
  kind: "nftables",
  what: "kube-proxy's rules (nftables mode)",
  parts: ["table ip kube-proxy"],
};
const CHAINS: Finding = {
  kind: "iptables",
  what: "kube-proxy's rules (iptables mode)",
  parts: ["table ip nat KUBE-SERVICES", "table ip nat KUBE-PROXY-CANARY"],
};
const CILIUM: Finding = { kind: "other", what: "Cilium", parts: ["device cilium_host"] };
const UNREADABLE: Finding = {
  kind: "unreadable",
  what: "kube-proxy's rules in iptables-legacy table nat",
  parts: ["iptables-legacy: it is locked"],
  mayHide: ["iptables-legacy"],
};
const LEGACY: Finding = {
  kind: "iptables-legacy",
  what: "kube-proxy's rules (iptables mode, legacy)",
  parts: ["iptables-legacy table nat KUBE-SERVICES"],
};
const REFUSED = new SluiceError("NETLINK_REFUSED", "delete: busy");

const NFTABLES: OwnRules = { form: "nftables", sharesKubeProxyChains: false };

/** A kernel with these rules in it. */
class Node {
  readonly clock = new FakeClock();
  readonly lines: readonly string[];
  readonly removals: RuleOrigin[][] = [];
  readonly problems: ProblemRegistry;
  readonly rules: OtherProxies;
  findings: Finding[];
  /** The result of a removal, in addition to the removed rules. */
  outcome: Partial<Removal> = {};
  /** Kinds of rules that a removal keeps. */
  hangs: readonly string[] = [];
  processes: KubeProxyProcesses = { pids: [], all: false };
  lookCount = 0;
  defect: unknown;
  remove: boolean;

  constructor(findings: Finding[], remove = true, own = NFTABLES) {
    this.findings = findings;
    this.remove = remove;
    const { log, lines } = readableLog(0);
    this.lines = lines;
    this.problems = new ProblemRegistry(() => {});
    this.rules = new OtherProxies({
      clock: this.clock,
      log,
      problems: (events) => this.problems.report(events),
      own,
      remove: () => this.remove,
      masqueradeBit: () => 14,
      serves: (family) => family === 4,
      find: async () => {
        this.lookCount++;
        if (this.defect !== undefined) throw this.defect;
        return [...this.findings];
      },
      findProcesses: async () => this.processes,
      removeRules: async (kinds) => {
        this.removals.push([...kinds]);
        const goes = ({ kind }: Finding) =>
          kinds.some((each) => each === kind) && !this.hangs.includes(kind);
        const removed = this.findings.filter(goes).flatMap(({ parts }) => parts);
        this.findings = this.findings.filter((finding) => !goes(finding));
        return { ...NOTHING_REMOVED, removed, ...this.outcome };
      },
    });
  }

  /** The next automatic check. */
  async minute(): Promise<void> {
    await this.clock.advance(OTHER_PROXY_POLL_MS);
  }
}

describe("rules of a former kube-proxy", () => {
  test("are logged at once, removed after the first sync, and then no longer a notice", async () => {
    const node = new Node([TABLE, CHAINS]);
    await node.rules.search();
    await node.minute();
    expect(node.removals).toEqual([]);
    expect(node.lines).toEqual([
      "I Found kube-proxy's rules (nftables mode): Sluice removes them after its first sync parts=1",
      "I Found kube-proxy's rules (iptables mode): Sluice removes them after its first sync parts=2",
    ]);
    expect(node.rules.notices()).toHaveLength(2);
    await node.rules.afterFirstSync();
    expect(node.removals).toEqual([["nftables", "iptables"]]);
    expect(node.rules.notices()).toEqual([]);
    expect(node.problems.list()).toEqual([]);
    expect(node.lines.slice(2).every((line) => line.startsWith("I Removed"))).toBe(true);
  });

  test("stay if so configured, and are reported", async () => {
    const node = new Node([TABLE], false);
    await node.rules.search();
    await node.rules.afterFirstSync();
    expect(node.removals).toEqual([]);
    expect(node.rules.notices()).toEqual([
      "kube-proxy's rules (nftables mode): Sluice keeps them, because removeKubeProxyRules is false; if two proxies translate a connection, the first one wins",
    ]);
    expect(node.lines).toHaveLength(1);
    expect(node.lines[0]).toStartWith("W Found kube-proxy's rules (nftables mode): ");
    expect(node.problems.list()).toEqual([]);
  });

  test("that are present at a first look after the first sync are logged by their removal only", async () => {
    const node = new Node([TABLE]);
    await node.rules.afterFirstSync();
    expect(node.lines).toEqual(['I Removed leftover rules what="table ip kube-proxy"']);
  });

  test("are removed when the configuration changes to that", async () => {
    const node = new Node([TABLE], false);
    await node.rules.afterFirstSync();
    node.remove = true;
    await node.rules.search();
    expect(node.removals).toEqual([["nftables"]]);
    expect(node.rules.notices()).toEqual([]);
    expect(node.problems.list()).toEqual([]);
  });

  test("that cannot be removed are a problem, retried at each check, until they are gone", async () => {
    const node = new Node([TABLE, CHAINS]);
    node.hangs = ["iptables"];
    node.outcome = { failures: [REFUSED] };
    await node.rules.afterFirstSync();
    expect(node.problems.list()).toMatchObject([
      {
        subject: "kube-proxy",
        code: "OTHER_PROXY",
        field: "iptables",
        message: expect.stringContaining("delete: busy"),
      },
    ]);
    expect(node.rules.notices().join()).toContain("Sluice could not remove them");
    await node.minute();
    // Removed rules are not removed again if they return.
    expect(node.removals).toEqual([["nftables", "iptables"], ["iptables"]]);
    node.hangs = [];
    node.outcome = {};
    await node.minute();
    expect(node.problems.list()).toEqual([]);
    expect(node.rules.notices()).toEqual([]);
  });

  test("that foreign rules reference stay, which is logged once and is no problem", async () => {
    const node = new Node([CHAINS]);
    node.hangs = ["iptables"];
    node.outcome = { kept: CHAINS.parts, messages: ["KUBE-SERVICES stays"] };
    await node.rules.afterFirstSync();
    await node.minute();
    expect(node.removals).toHaveLength(1);
    expect(node.problems.list()).toEqual([]);
    expect(node.rules.notices()).toEqual([]);
    expect(node.lines.filter((line) => line === "W KUBE-SERVICES stays")).toHaveLength(1);
  });
});

describe("rules that appear after ours", () => {
  test.each([{ before: [TABLE] }, { before: [] }])(
    "come from a running kube-proxy: a problem while they exist, never a fight",
    async ({ before }) => {
      const node = new Node([...before]);
      await node.rules.afterFirstSync();
      const removals = node.removals.length;
      node.findings = [TABLE];
      await node.minute();
      await node.minute();
      expect(node.removals).toHaveLength(removals);
      expect(node.problems.list()).toMatchObject([
        {
          code: "OTHER_PROXY",
          message: expect.stringContaining(
            "(stop it, then restart Sluice, which removes the rules)",
          ),
        },
      ]);
      expect(node.rules.notices().join()).toContain("a kube-proxy is running; stop it");
      node.findings = [];
      await node.minute();
      expect(node.problems.list()).toEqual([]);
      expect(node.rules.notices()).toEqual([]);
    },
  );
});

describe("a kube-proxy with a visible process", () => {
  const RUNS =
    "kube-proxy (pid 12): it is running on this node; stop it, and Sluice removes its rules";

  test("is a problem at once, keeps its rules, and loses them soon after its exit", async () => {
    const node = new Node([TABLE]);
    node.processes = { pids: [12], all: true };
    await node.rules.search();
    expect(node.problems.list()).toMatchObject([
      { code: "OTHER_PROXY", field: "process", message: expect.stringContaining("(pid 12)") },
    ]);
    await node.rules.afterFirstSync();
    await node.minute();
    expect(node.removals).toEqual([]);
    expect(node.problems.list()).toHaveLength(1);
    expect(node.rules.notices()).toEqual([
      RUNS,
      "kube-proxy's rules (nftables mode): Sluice removes them after the running kube-proxy exits",
    ]);
    node.processes = { pids: [], all: true };
    await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
    expect(node.removals).toEqual([["nftables"]]);
    expect([node.problems.list(), node.rules.notices()]).toEqual([[], []]);
  });

  test("that starts later loses its rules too, after each exit", async () => {
    const node = new Node([]);
    await node.rules.afterFirstSync();
    for (const pid of [12, 13]) {
      node.findings = [CHAINS];
      node.processes = { pids: [pid], all: false };
      await node.minute();
      expect(node.problems.list()).toHaveLength(1);
      node.processes = { pids: [], all: false };
      await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
      expect(node.problems.list()).toEqual([]);
    }
    expect(node.removals).toEqual([["iptables"], ["iptables"]]);
  });

  test("that is started again is detected as fast", async () => {
    const node = new Node([]);
    node.processes = { pids: [12], all: false };
    await node.rules.afterFirstSync();
    node.processes = { pids: [], all: false };
    await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
    expect(node.problems.list()).toEqual([]);
    node.processes = { pids: [13], all: false };
    await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
    expect(node.problems.list()).toMatchObject([{ message: expect.stringContaining("(pid 13)") }]);
    node.processes = { pids: [], all: false };
    await node.clock.advance(2 * OTHER_PROXY_POLL_MS);
    const { lookCount } = node;
    await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
    expect(node.lookCount).toBe(lookCount);
  });

  test("with rules that must stay is a notice", async () => {
    const node = new Node([TABLE], false);
    node.processes = { pids: [12, 40], all: true };
    await node.rules.afterFirstSync();
    expect(node.problems.list()).toEqual([]);
    expect(node.rules.notices()).toEqual([
      "kube-proxy (pid 12, 40): Sluice leaves it alone; if two proxies translate a connection, the first one wins",
      "kube-proxy's rules (nftables mode): Sluice keeps them, because removeKubeProxyRules is false; if two proxies translate a connection, the first one wins",
    ]);
  });
});

describe("rules without a visible author, with all processes visible", () => {
  test("are removed at the second check, once: if they return, another program contains a kube-proxy", async () => {
    const node = new Node([TABLE]);
    node.processes = { pids: [], all: true };
    await node.rules.afterFirstSync();
    node.findings = [TABLE];
    await node.minute();
    expect(node.removals).toHaveLength(1);
    expect(node.problems.list()).toEqual([]);
    expect(node.rules.notices().join()).toContain("removes them in a minute if they remain");
    await node.minute();
    expect(node.removals).toHaveLength(2);
    expect(node.rules.notices()).toEqual([]);
    node.findings = [TABLE];
    await node.minute();
    await node.minute();
    expect(node.removals).toHaveLength(2);
    expect(node.problems.list()).toHaveLength(1);
  });
});

describe("a dropping policy of a firewall", () => {
  const drops = (hasEffect: boolean, family: 4 | 6 = 4): Finding => ({
    kind: "drop-policy",
    what: "FORWARD",
    parts: ["table ip filter"],
    dropPolicy: {
      from: "FORWARD",
      chain: "KUBE-FORWARD",
      accepts: "forwarded packets of Services",
      policyDrops: true,
      exists: hasEffect,
      hasEffect,
      mark: hasEffect ? 0x4000 : undefined,
      family,
      legacy: false,
      where: "table ip filter",
    },
  });

  test.each([{ works: true }, { works: false }])(
    "is logged after our first sync, with the missing rules, and is a notice while it lasts: %o",
    async ({ works }) => {
      const node = new Node([drops(works)]);
      await node.rules.search();
      expect(node.lines).toEqual([]);
      await node.rules.afterFirstSync();
      await node.minute();
      expect(node.removals).toEqual([]);
      expect(node.lines).toHaveLength(1);
      expect(node.lines[0]).toMatch(/^W Found policy DROP of chain FORWARD in table ip filter: /);
      expect(node.rules.notices().join()).toContain("iptables -A FORWARD -m mark");
      expect(node.problems.list()).toEqual([]);
      node.findings = [];
      await node.minute();
      expect(node.rules.notices()).toEqual([]);
    },
  );

  test("matters only in families of the node", async () => {
    const node = new Node([drops(true, 6)]);
    await node.rules.afterFirstSync();
    expect([node.lines, node.rules.notices()]).toEqual([[], []]);
  });

  test("that ends makes the accepting chain unnecessary, which is not mistaken for a running kube-proxy", async () => {
    const part = "table ip filter KUBE-FORWARD";
    const remnant: Finding = { ...CHAINS, parts: [part], acceptChains: [part] };
    const node = new Node([CHAINS]);
    await node.rules.afterFirstSync();
    node.findings = [remnant];
    await node.minute();
    expect(node.removals).toEqual([["iptables"], ["iptables"]]);
    expect([node.problems.list(), node.rules.notices()]).toEqual([[], []]);
    node.findings = [{ ...CHAINS, parts: [...CHAINS.parts, part], acceptChains: [part] }];
    await node.minute();
    expect(node.removals).toHaveLength(2);
    expect(node.problems.list()).toHaveLength(1);
  });
});

describe("in iptables mode", () => {
  const OWN: OwnRules = { form: "iptables", sharesKubeProxyChains: true };
  const OURS: Finding = {
    kind: "sluice-nftables",
    what: "Sluice's rules (nftables mode)",
    parts: ["table inet sluice"],
  };
  const begin = (findings: Finding[], remove = true) => new Node(findings, remove, OWN);

  test("remains of another mode of ours are removed after the first sync, with any configuration and other process", async () => {
    const node = begin([OURS, LEGACY], false);
    node.processes = { pids: [12], all: true };
    await node.rules.search();
    expect(node.rules.notices().join()).toContain(
      "Sluice's rules (nftables mode): Sluice removes them after its first sync",
    );
    expect(node.removals).toEqual([]);
    await node.rules.afterFirstSync();
    expect(node.removals).toEqual([["sluice-nftables"]]);
    node.findings.push(OURS);
    await node.minute();
    expect(node.removals).toHaveLength(2);
    expect(node.findings).toEqual([LEGACY]);
  });

  test("remains that cannot be removed are a problem, and retried", async () => {
    const node = begin([OURS]);
    node.hangs = ["sluice-nftables"];
    node.outcome = { failures: [REFUSED] };
    await node.rules.afterFirstSync();
    expect(node.problems.list()).toMatchObject([{ field: "sluice-nftables" }]);
    node.hangs = [];
    node.outcome = {};
    await node.minute();
    expect(node.problems.list()).toEqual([]);
  });

  test.each([true, false])(
    "a running kube-proxy that writes the same chains is a problem, if rules are removed or not: %p",
    async (remove) => {
      const node = begin([], remove);
      node.processes = { pids: [12], all: true };
      await node.rules.search();
      expect(node.problems.list()).toMatchObject([
        {
          code: "OTHER_PROXY",
          message: expect.stringMatching(
            /^kube-proxy \(pid 12\) writes the same chains: Sluice waits until it exits/,
          ),
        },
      ]);
      expect(node.rules.notices().join()).toContain("Sluice waits until you stop it");
      await node.rules.afterFirstSync();
      expect(node.problems.list()).toMatchObject([
        { message: expect.stringContaining("undo each other's changes") },
      ]);
      node.processes = { pids: [], all: true };
      await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
      expect(node.problems.list()).toEqual([]);
    },
  );

  test("a kube-proxy in nftables mode is treated like any other", async () => {
    const node = begin([TABLE]);
    node.processes = { pids: [12], all: true };
    await node.rules.search();
    expect(node.rules.notices()).toEqual([
      "kube-proxy (pid 12): it is running on this node; stop it, and Sluice removes its rules",
      "kube-proxy's rules (nftables mode): Sluice removes them after the running kube-proxy exits",
    ]);
  });

  test("an invisible kube-proxy is detected by its writes, until it has been quiet", async () => {
    const node = begin([]);
    await node.rules.afterFirstSync();
    node.rules.rulesChanged({ by: "nft (pid 3)" });
    await node.rules.search();
    expect(node.problems.list()).toEqual([]);
    node.rules.rulesChanged({ by: "kube-proxy" });
    await node.rules.search();
    expect(node.problems.list()).toMatchObject([
      { field: "process", message: expect.stringContaining("that Sluice cannot see") },
    ]);
    await node.clock.advance(OTHER_PROXY_QUIET_MS + OTHER_PROXY_POLL_MS);
    expect([node.problems.list(), node.rules.notices()]).toEqual([[], []]);
  });

  test("writes of a visible one that has exited do not suggest another one", async () => {
    const node = begin([]);
    node.processes = { pids: [12], all: false };
    await node.rules.afterFirstSync();
    node.processes = { pids: [], all: false };
    node.rules.rulesChanged({ by: "kube-proxy" });
    await node.clock.advance(OTHER_PROXY_RUNNING_POLL_MS);
    expect(node.problems.list()).toEqual([]);
  });
});

describe("another proxy", () => {
  test("is logged once and kept, and is a notice while it exists", async () => {
    const node = new Node([CILIUM]);
    await node.rules.search();
    await node.rules.afterFirstSync();
    await node.minute();
    expect(node.removals).toEqual([]);
    expect(node.lines).toHaveLength(1);
    expect(node.rules.notices()).toEqual([
      "Cilium: Sluice leaves it alone; if two proxies translate a connection, the first one wins",
    ]);
  });
});

describe("looking", () => {
  test("continues automatically, and ends when it is stopped", async () => {
    const node = new Node([]);
    await node.rules.search();
    await node.minute();
    await node.minute();
    expect(node.lookCount).toBe(3);
    node.rules.stop();
    await node.minute();
    await node.rules.search();
    expect(node.lookCount).toBe(3);
    expect(node.clock.waiting).toBe(0);
  });

  test("runs one at a time, and waiting calls are merged", async () => {
    const node = new Node([]);
    await Promise.all([node.rules.search(), node.rules.search(), node.rules.afterFirstSync()]);
    expect(node.lookCount).toBe(1);
  });

  test("that fails for one source is a problem and a notice until it succeeds, and hides no other source", async () => {
    const node = new Node([TABLE, UNREADABLE]);
    const message =
      "look for kube-proxy's rules in iptables-legacy table nat: iptables-legacy: it is locked";
    await node.rules.afterFirstSync();
    expect(node.removals).toEqual([["nftables"]]);
    expect(node.problems.list()).toMatchObject([{ code: "OTHER_PROXY", message }]);
    expect(node.rules.notices()).toEqual([message]);
    // The caller that gets a problem logs it.
    expect(node.lines.filter((line) => !line.startsWith("I Removed"))).toEqual([]);
    node.findings = [];
    await node.minute();
    expect([node.problems.list(), node.rules.notices()]).toEqual([[], []]);
  });

  test("that failed at the first sync does not attribute later findings to a running kube-proxy", async () => {
    const node = new Node([UNREADABLE]);
    await node.rules.afterFirstSync();
    node.findings = [LEGACY];
    await node.minute();
    expect(node.removals).toEqual([["iptables-legacy"]]);
    expect(node.problems.list()).toEqual([]);
    // That happened once.
    node.findings = [LEGACY];
    await node.minute();
    expect(node.removals).toHaveLength(1);
    expect(node.rules.notices().join()).toContain("a kube-proxy is running; stop it");
  });

  test("that meets a defect of ours does not hide it", async () => {
    const node = new Node([]);
    node.defect = new TypeError("a defect");
    await expect(node.rules.search()).rejects.toThrow("a defect");
  });
});
