/**
 * Rules of kube-proxy, and of another mode of our own, beside ours, while the program runs. Both translate in the same
 * hooks, and whichever comes first wins (kinds.ts tells why that harms nobody); so what was left is removed, but only when
 * our own rules are in the kernel: until then it serves. Those of a kube-proxy that is seen to run stay until it has
 * ended. It is not seen from a container with processes of its own: there, rules that come after ours have one behind
 * them, and are never fought. In iptables mode it writes into our own chains, which is told: see rival.ts.
 */

import type { ForeignChange } from "../backend/backend.ts";
import type { OwnRules } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import {
  OTHER_PROXY_CALM_MS,
  OTHER_PROXY_LIVING_LOOK_MS,
  OTHER_PROXY_LOOK_MS,
} from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { KUBE_PROXY } from "../iptables/syntax/known-chains.ts";
import type { Family } from "../net/address.ts";
import type { Problem, TellProblems } from "../problems/problem.ts";
import { Reports } from "../problems/problem-set.ts";
import { writesOurs } from "./conflicting-kube-proxy.ts";
import { FATES, type Fate, problemOf } from "./dispositions.ts";
import { type Finding, findOtherProxies } from "./find-rules.ts";
import { textOfDropping } from "./firewall.ts";
import { findLiving, type Living, nameOf } from "./processes.ts";
import type { Removal } from "./removal.ts";
import { removeKubeProxyRules } from "./remove-rules.ts";
import { ALL_KINDS, isSluices, type RulesKind } from "./rule-origin.ts";

export interface OtherProxiesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: TellProblems;
  /** Capabilities.ownRules */
  readonly own: OwnRules;
  /** Config.removeKubeProxyRules, as of now. What another mode of our own left goes in any case. */
  readonly remove: () => boolean;
  /** Config.masqueradeBit, as of now. */
  readonly masqueradeBit: () => number;
  /** The node has addresses of this family. */
  readonly serves: (family: Family) => boolean;
  /** In place of the kernel. */
  readonly find?: () => Promise<readonly Finding[]>;
  readonly findLiving?: () => Promise<Living>;
  readonly removeRules?: (kinds: readonly RulesKind[]) => Promise<Removal>;
}

/** A finding that is told. */
interface Known {
  readonly finding: Finding;
  readonly fate: Fate;
  readonly text: string;
  readonly problems: readonly Problem[];
}

export class OtherProxies {
  readonly #options: OtherProxiesOptions;
  readonly #log: Logger;
  readonly #reports: Reports;
  readonly #find: () => Promise<readonly Finding[]>;
  readonly #findLiving: () => Promise<Living>;
  readonly #removeRules: (kinds: readonly RulesKind[]) => Promise<Removal>;
  /** What is there now, and was said. */
  #known: readonly Known[] = [];
  /** Our rules are in the kernel. */
  #synced = false;
  /** Ways that are still to be cleaned, once: what is found in another one came after our own rules. */
  readonly #pending = new Set<RulesKind>(ALL_KINDS);
  /** Ways that were cleaned though they had been before, since nobody was seen who made them: that is done once. */
  readonly #again = new Set<RulesKind>();
  #living: Living = { pids: [], all: false };
  /** It writes the chains that are ours. */
  #rival = false;
  /** When kube-proxy's text was last found in chains of ours, by the monotonic clock. */
  #overwrittenAt = Number.NEGATIVE_INFINITY;
  /** When a kube-proxy was last seen to run, by the monotonic clock. */
  #seenAt = Number.NEGATIVE_INFINITY;
  /** Parts that must stay, for others lead to them. */
  readonly #kept = new Set<string>();
  /** Texts of what went wrong last. */
  #failures: readonly string[] = [];
  #work: Promise<void> = Promise.resolve();
  #waiting = false;
  #cancel = () => {};
  #open = true;

  constructor(options: OtherProxiesOptions) {
    const { clock, own } = options;
    this.#options = options;
    this.#log = options.log.from("other-proxies.ts");
    this.#reports = new Reports(options.problems);
    this.#find = options.find ?? (() => findOtherProxies({ clock, own }));
    this.#findLiving = options.findLiving ?? (() => findLiving());
    this.#removeRules =
      options.removeRules ??
      ((kinds) => removeKubeProxyRules({ clock, own, keepNeeded: true }, kinds));
  }

  /**
   * Looks, says what is new, and from the first sync on removes what may be removed. Afterwards it looks again by
   * itself. Resolves when done, and rejects at a defect of ours only. Calls while one is waiting are one.
   */
  look(): Promise<void> {
    if (this.#waiting) return this.#work;
    this.#waiting = true;
    this.#work = this.#work.then(() => this.#turn());
    return this.#work;
  }

  /**
   * Somebody changed our rules. That kube-proxy's are in chains of ours is the only sign of one that is not seen to
   * run.
   */
  changed({ by }: Pick<ForeignChange, "by">): void {
    if (by !== KUBE_PROXY) return;
    this.#overwrittenAt = this.#options.clock.monotonic();
    void this.look();
  }

  /** Our rules are in the kernel: nobody needs kube-proxy's any more. Resolves as `look`. */
  afterFirstSync(): Promise<void> {
    this.#synced = true;
    return this.look();
  }

  /** What shares the node with us now, one short text each, for the health body. */
  notices(): readonly string[] {
    return this.#known.map(({ text }) => text);
  }

  stop(): void {
    this.#open = false;
    this.#cancel();
  }

  async #turn(): Promise<void> {
    this.#waiting = false;
    if (!this.#open) return;
    this.#cancel();
    const found = await this.#present();
    // In this order: who made the rules that were found is seen, or has ended.
    this.#living = await this.#findLiving();
    const { pids } = this.#living;
    const lives = pids.length > 0;
    if (lives) {
      // All that it leaves came after ours.
      for (const kind of ALL_KINDS) this.#pending.add(kind);
      this.#again.clear();
      this.#seenAt = this.#options.clock.monotonic();
    }
    const { own } = this.#options;
    this.#rival = lives && writesOurs(own, { nftables: found.some(isOfNftables) });
    const kubeProxys = this.#options.remove() && !lives;
    const kinds = ALL_KINDS.filter((kind) => this.#synced && (kubeProxys || isSluices(kind)));
    const left = await this.#clean(found, kinds);
    this.#tell([...this.#processes(own), ...left]);
    // Who runs it may start it again.
    const lately = this.#options.clock.monotonic() - this.#seenAt < OTHER_PROXY_LOOK_MS;
    const rest = lately ? OTHER_PROXY_LIVING_LOOK_MS : OTHER_PROXY_LOOK_MS;
    if (this.#open) this.#cancel = this.#options.clock.after(rest, () => this.look());
  }

  /** A kube-proxy that runs, or must. */
  #processes(own: OwnRules): readonly Finding[] {
    const { pids } = this.#living;
    if (pids.length > 0) return [{ kind: "process", what: nameOf(pids), parts: pids.map(String) }];
    const since = this.#options.clock.monotonic() - this.#overwrittenAt;
    // One that was seen just before has ended.
    const unseen = this.#overwrittenAt - this.#seenAt > OTHER_PROXY_LOOK_MS;
    if (!own.sharesKubeProxyChains || !unseen || since > OTHER_PROXY_CALM_MS) return [];
    this.#rival = true;
    return [{ kind: "process", what: "a kube-proxy that is not seen from here", parts: ["?"] }];
  }

  async #present(): Promise<readonly Finding[]> {
    const findings = await this.#find();
    return findings
      .map((finding) => ({
        ...finding,
        parts: finding.parts.filter((part) => !this.#kept.has(part)),
      }))
      .filter(({ parts }) => parts.length > 0);
  }

  /** Removes what of these kinds was here before us; what is there afterwards. */
  async #clean(
    found: readonly Finding[],
    allowed: readonly RulesKind[],
  ): Promise<readonly Finding[]> {
    for (const finding of found) {
      const { kind } = finding;
      if (!isRules(kind)) continue;
      const orphaned = this.#known.some(
        (each) => each.finding.kind === kind && each.fate === "orphaned",
      );
      if (orphaned && allowed.includes(kind)) this.#again.add(kind);
      // Of us there is one only: nobody puts back what another mode of ours left.
      if (orphaned || isSluices(kind) || isRemnant(finding)) this.#pending.add(kind);
    }
    const has = (findings: readonly Finding[], kind: RulesKind) =>
      findings.some((finding) => finding.kind === kind);
    const hidden = (kind: RulesKind) => left.some(({ hides }) => hides?.includes(kind));
    const due = allowed.filter((kind) => this.#pending.has(kind));
    const kinds = due.filter((kind) => has(found, kind));
    const done = kinds.length === 0 || (await this.#remove(kinds));
    const left = kinds.length === 0 ? found : await this.#present();
    for (const kind of due) {
      if ((done || !has(left, kind)) && !hidden(kind)) this.#pending.delete(kind);
    }
    return left;
  }

  /** False if some of it failed: all that is left is tried again at the next look. */
  async #remove(kinds: readonly RulesKind[]): Promise<boolean> {
    const { removed, notes, kept, failures } = await this.#removeRules(kinds);
    for (const what of removed) this.#log.info("Removed what was left", { what });
    for (const note of notes) {
      if (this.#log.once(note)) this.#log.warn(note);
    }
    for (const part of kept) this.#kept.add(part);
    this.#failures = failures.map(({ message }) => message);
    return failures.length === 0;
  }

  #tell(findings: readonly Finding[]): void {
    const known = findings.flatMap((finding) => {
      const fate = this.#fateOf(finding);
      const text = this.#textOf(finding, fate);
      if (text === undefined) return [];
      const problem = problemOf(finding, fate, { text, failures: this.#failures });
      return [{ finding, fate, text, problems: problem === undefined ? [] : [problem] }];
    });
    const before = new Set(this.notices());
    for (const { finding, text, problems } of known) {
      // A Problem is said by whoever is told of it.
      if (before.has(text) || problems.length > 0) continue;
      this.#log.warn(`Found ${text}`, { where: finding.parts.join(", ") });
    }
    this.#known = known;
    this.#reports.set(known.flatMap(({ problems }) => problems));
  }

  #fateOf({ kind }: Finding): Fate {
    const { pids, all } = this.#living;
    if (kind === "process" && this.#rival) return this.#synced ? "overwrites" : "awaited";
    if (kind === "process") return this.#options.remove() ? "runs" : "told";
    if (!isRules(kind)) return kind === "other" ? "told" : kind;
    if (isSluices(kind)) return this.#synced ? "failed" : "goes";
    if (!this.#options.remove()) return "stays";
    if (pids.length > 0) return "waits";
    if (!this.#synced) return "goes";
    if (this.#pending.has(kind)) return "failed";
    return all && !this.#again.has(kind) ? "orphaned" : "alive";
  }

  /** What to tell of it; undefined if nothing. */
  #textOf({ what, parts, dropping }: Finding, fate: Fate): string | undefined {
    if (fate === "unreadable") return `Cannot look for ${what}: ${parts.join("; ")}`;
    if (fate !== "drops") return `${what}: ${FATES[fate]}`;
    // Before our first sync, and while it runs, it is kube-proxy's own affair.
    if (!this.#synced || this.#living.pids.length > 0) return;
    if (dropping === undefined || !this.#options.serves(dropping.family)) return;
    return textOfDropping(dropping, this.#options.masqueradeBit());
  }
}

function isRules(kind: Finding["kind"]): kind is RulesKind {
  return ALL_KINDS.some((each) => each === kind);
}

function isOfNftables({ kind }: Finding): boolean {
  return kind === "nftables";
}

/** A policy made them necessary, and does no more. */
function isRemnant({ parts, acceptors = [] }: Finding): boolean {
  return parts.every((part) => acceptors.includes(part));
}
