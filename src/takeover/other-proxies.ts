/**
 * Watches for rules of kube-proxy and of another mode of Sluice while the program runs, and removes
 * them.
 *
 * Both sets of rules translate in the same hooks, and the first one wins (rule-origin.ts explains
 * why that does no harm). Leftover rules keep serving until our own are in the kernel; then Sluice
 * removes them. Rules of a running kube-proxy stay until it exits.
 *
 * A container with its own process namespace cannot see kube-proxy. There, rules that appear after
 * ours mean that one runs, and Sluice does not fight it. In iptables mode kube-proxy writes into
 * our own chains, which is a problem (conflicting-kube-proxy.ts).
 */

import type { OwnRules } from "../backend/capabilities.ts";
import type { ForeignChange } from "../backend/drift.ts";
import type { Clock } from "../base/clock.ts";
import {
  OTHER_PROXY_POLL_MS,
  OTHER_PROXY_QUIET_MS,
  OTHER_PROXY_RUNNING_POLL_MS,
} from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { KUBE_PROXY } from "../iptables/syntax/known-chains.ts";
import type { Family } from "../net/address.ts";
import type { Problem, ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { writesSameChains } from "./conflicting-kube-proxy.ts";
import { DISPOSITION_TEXTS, type Disposition, findingProblem } from "./dispositions.ts";
import { type Finding, findOtherProxies } from "./find-rules.ts";
import { describeDropPolicy } from "./firewall-policy.ts";
import {
  findKubeProxyProcesses,
  type KubeProxyProcesses,
  printProcesses,
} from "./kube-proxy-processes.ts";
import type { Removal } from "./removal.ts";
import { removeKubeProxyRules } from "./remove-rules.ts";
import { ALL_ORIGINS, isOwnOrigin, type RuleOrigin } from "./rule-origin.ts";

export interface OtherProxiesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: ReportProblems;
  /** Capabilities.ownRules */
  readonly own: OwnRules;
  /**
   * The current Config.removeKubeProxyRules. Leftovers of another mode of Sluice are always
   * removed.
   */
  readonly remove: () => boolean;
  /** The current Config.masqueradeBit. */
  readonly masqueradeBit: () => number;
  /** The node has addresses of this family. */
  readonly serves: (family: Family) => boolean;
  /** Replace the kernel in tests. */
  readonly find?: () => Promise<readonly Finding[]>;
  readonly findProcesses?: () => Promise<KubeProxyProcesses>;
  readonly removeRules?: (origins: readonly RuleOrigin[]) => Promise<Removal>;
}

/** A finding that was reported. */
interface ReportedFinding {
  readonly finding: Finding;
  readonly disposition: Disposition;
  readonly text: string;
  readonly problems: readonly Problem[];
}

export class OtherProxies {
  readonly #options: OtherProxiesOptions;
  readonly #log: Logger;
  readonly #problems: ProblemSet;
  readonly #find: () => Promise<readonly Finding[]>;
  readonly #findProcesses: () => Promise<KubeProxyProcesses>;
  readonly #removeRules: (origins: readonly RuleOrigin[]) => Promise<Removal>;
  #known: readonly ReportedFinding[] = [];
  /** Our rules are in the kernel. */
  #synced = false;
  /**
   * Origins still to be removed, once each. Rules that appear later than our own set an origin
   * again.
   */
  readonly #pending = new Set<RuleOrigin>(ALL_ORIGINS);
  /**
   * Origins that were removed a second time, because their rules came back and no process that made
   * them was visible. This happens once, until a kube-proxy is seen.
   */
  readonly #removedTwice = new Set<RuleOrigin>();
  #running: KubeProxyProcesses = { pids: [], all: false };
  /** A running kube-proxy writes the same chains as Sluice. */
  #conflicting = false;
  /** Time when our chains last had kube-proxy's text, in monotonic ms. */
  #lastOverwrittenAt = Number.NEGATIVE_INFINITY;
  /** Time when a kube-proxy was last seen running, in monotonic ms. */
  #lastSeenAt = Number.NEGATIVE_INFINITY;
  /** Parts that must stay, because foreign rules jump to them. */
  readonly #kept = new Set<string>();
  /** Error messages of the last removal. */
  #failures: readonly string[] = [];
  #work: Promise<void> = Promise.resolve();
  #waiting = false;
  #cancel = () => {};
  #open = true;

  constructor(options: OtherProxiesOptions) {
    const { clock, own } = options;
    this.#options = options;
    this.#log = options.log.from("other-proxies.ts");
    this.#problems = new ProblemSet(options.problems);
    this.#find = options.find ?? (() => findOtherProxies({ clock, own }));
    this.#findProcesses = options.findProcesses ?? (() => findKubeProxyProcesses());
    this.#removeRules =
      options.removeRules ??
      ((origins) => removeKubeProxyRules({ clock, own, keepRequired: true }, origins));
  }

  /**
   * Looks for other proxies, reports new findings, and after the first sync removes what may be
   * removed. Afterwards it looks again from time to time. Resolves when done; rejects only on an
   * internal error. Calls before it begins share it.
   */
  search(): Promise<void> {
    if (this.#waiting) return this.#work;
    this.#waiting = true;
    this.#work = this.#work.then(() => this.#lookOnce());
    return this.#work;
  }

  /**
   * Another program changed our rules. If Sluice cannot see a kube-proxy, its text in our chains is
   * the only sign of it.
   */
  rulesChanged({ by }: Pick<ForeignChange, "by">): void {
    if (by !== KUBE_PROXY) return;
    this.#lastOverwrittenAt = this.#options.clock.monotonic();
    void this.search();
  }

  /** Our rules are in the kernel, so kube-proxy's are no longer needed. Resolves like `search`. */
  afterFirstSync(): Promise<void> {
    this.#synced = true;
    return this.search();
  }

  /** The current findings, as one short text each, for the health body. */
  notices(): readonly string[] {
    return this.#known.map(({ text }) => text);
  }

  stop(): void {
    this.#open = false;
    this.#cancel();
  }

  async #lookOnce(): Promise<void> {
    this.#waiting = false;
    if (!this.#open) return;
    this.#cancel();
    const found = await this.#findPresent();
    // Look for processes last: whatever made the found rules is now visible, or has ended.
    this.#running = await this.#findProcesses();
    const { pids } = this.#running;
    const runs = pids.length > 0;
    if (runs) {
      // When it ends, its rules become leftovers.
      for (const origin of ALL_ORIGINS) this.#pending.add(origin);
      this.#removedTwice.clear();
      this.#lastSeenAt = this.#options.clock.monotonic();
    }
    const { own } = this.#options;
    this.#conflicting = runs && writesSameChains(own, { nftables: found.some(isOfNftables) });
    const mayRemoveKubeProxy = this.#options.remove() && !runs;
    const origins = ALL_ORIGINS.filter(
      (origin) => this.#synced && (mayRemoveKubeProxy || isOwnOrigin(origin)),
    );
    const left = await this.#clean(found, origins);
    this.#report([...this.#processFindings(own), ...left]);
    // A kube-proxy that ran a moment ago may be restarting.
    const wasSeenRecently =
      this.#options.clock.monotonic() - this.#lastSeenAt < OTHER_PROXY_POLL_MS;
    const wait = wasSeenRecently ? OTHER_PROXY_RUNNING_POLL_MS : OTHER_PROXY_POLL_MS;
    if (this.#open) this.#cancel = this.#options.clock.after(wait, () => this.search());
  }

  /** A kube-proxy that is visible, or that must be running. */
  #processFindings(own: OwnRules): readonly Finding[] {
    const { pids } = this.#running;
    if (pids.length > 0) {
      return [{ kind: "process", what: printProcesses(pids), parts: pids.map(String) }];
    }
    const since = this.#options.clock.monotonic() - this.#lastOverwrittenAt;
    // If a kube-proxy was seen just before, the text is no sign: that process has ended.
    const isUnseen = this.#lastOverwrittenAt - this.#lastSeenAt > OTHER_PROXY_POLL_MS;
    if (!own.sharesKubeProxyChains || !isUnseen || since > OTHER_PROXY_QUIET_MS) return [];
    this.#conflicting = true;
    return [{ kind: "process", what: "a kube-proxy that Sluice cannot see", parts: ["?"] }];
  }

  async #findPresent(): Promise<readonly Finding[]> {
    const findings = await this.#find();
    return findings
      .map((finding) => ({
        ...finding,
        parts: finding.parts.filter((part) => !this.#kept.has(part)),
      }))
      .filter(({ parts }) => parts.length > 0);
  }

  /** Removes leftovers of these origins. Returns the findings afterwards. */
  async #clean(
    found: readonly Finding[],
    allowed: readonly RuleOrigin[],
  ): Promise<readonly Finding[]> {
    for (const finding of found) {
      const { kind } = finding;
      if (!isRuleOrigin(kind)) continue;
      const orphaned = this.#known.some(
        (each) => each.finding.kind === kind && each.disposition === "orphaned",
      );
      if (orphaned && allowed.includes(kind)) this.#removedTwice.add(kind);
      // There is only one Sluice, so nothing writes the leftovers of its other mode again.
      if (orphaned || isOwnOrigin(kind) || isOnlyAcceptChains(finding)) this.#pending.add(kind);
    }
    const has = (findings: readonly Finding[], origin: RuleOrigin) =>
      findings.some(({ kind }) => kind === origin);
    const hidden = (origin: RuleOrigin) => left.some(({ mayHide }) => mayHide?.includes(origin));
    const due = allowed.filter((origin) => this.#pending.has(origin));
    const present = due.filter((origin) => has(found, origin));
    const done = present.length === 0 || (await this.#remove(present));
    const left = present.length === 0 ? found : await this.#findPresent();
    for (const origin of due) {
      if ((done || !has(left, origin)) && !hidden(origin)) this.#pending.delete(origin);
    }
    return left;
  }

  /** Returns false if a part failed. The next look then retries everything that is left. */
  async #remove(origins: readonly RuleOrigin[]): Promise<boolean> {
    const { removed, messages, kept, failures } = await this.#removeRules(origins);
    for (const what of removed) this.#log.info("Removed leftover rules", { what });
    for (const note of messages) {
      if (this.#log.firstTime(note)) this.#log.warn(note);
    }
    for (const part of kept) this.#kept.add(part);
    this.#failures = failures.map(({ message }) => message);
    return failures.length === 0;
  }

  #report(findings: readonly Finding[]): void {
    const known = findings.flatMap((finding) => {
      const disposition = this.#dispositionOf(finding);
      const text = this.#textOf(finding, disposition);
      if (text === undefined) return [];
      const problem = findingProblem(finding, disposition, { text, failures: this.#failures });
      return [{ finding, disposition, text, problems: problem === undefined ? [] : [problem] }];
    });
    const before = new Set(this.notices());
    for (const { finding, disposition, text, problems } of known) {
      // Problems are logged by their receiver.
      if (before.has(text) || problems.length > 0) continue;
      const { parts } = finding;
      // Needs no attention. The removal names the parts.
      if (disposition === "pending") this.#log.info(`Found ${text}`, { parts: parts.length });
      else this.#log.warn(`Found ${text}`, { where: parts.join(", ") });
    }
    this.#known = known;
    this.#problems.set(known.flatMap(({ problems }) => problems));
  }

  #dispositionOf({ kind }: Finding): Disposition {
    const { pids, all } = this.#running;
    if (kind === "process" && this.#conflicting)
      return this.#synced ? "overwriting" : "awaiting-exit";
    if (kind === "process") return this.#options.remove() ? "running" : "ignored";
    if (!isRuleOrigin(kind)) return kind === "other" ? "ignored" : kind;
    if (isOwnOrigin(kind)) return this.#synced ? "failed" : "pending";
    if (!this.#options.remove()) return "kept";
    if (pids.length > 0) return "waiting";
    if (!this.#synced) return "pending";
    if (this.#pending.has(kind)) return "failed";
    return all && !this.#removedTwice.has(kind) ? "orphaned" : "recreated";
  }

  /** The text that reports a finding; undefined if there is nothing to report. */
  #textOf({ what, parts, dropPolicy }: Finding, disposition: Disposition): string | undefined {
    if (disposition === "unreadable") return `look for ${what}: ${parts.join("; ")}`;
    if (disposition !== "drop-policy") return `${what}: ${DISPOSITION_TEXTS[disposition]}`;
    // Before our first sync and while kube-proxy runs, kube-proxy is responsible for accepting
    // packets.
    if (!this.#synced || this.#running.pids.length > 0) return undefined;
    if (dropPolicy === undefined || !this.#options.serves(dropPolicy.family)) return undefined;
    return describeDropPolicy(dropPolicy, this.#options.masqueradeBit());
  }
}

function isRuleOrigin(kind: Finding["kind"]): kind is RuleOrigin {
  return ALL_ORIGINS.some((each) => each === kind);
}

function isOfNftables({ kind }: Finding): boolean {
  return kind === "nftables";
}

/** True if all parts are accept chains that a policy once made necessary. */
function isOnlyAcceptChains({ parts, acceptChains = [] }: Finding): boolean {
  return parts.every((part) => acceptChains.includes(part));
}
