/**
 * kube-proxy's rules beside ours, while the program runs. Both translate in the same hooks, and whichever comes
 * first wins; so what a stopped kube-proxy left is removed, but only when our own rules are in the kernel: until
 * then it serves. Rules that come back afterwards have a living kube-proxy behind them, and are never fought.
 */
import type { Clock } from "../../clock.ts";
import { OTHER_PROXY_LOOK_MS } from "../../limits.ts";
import type { Logger } from "../../log.ts";
import type { Family } from "../../plan/tables.ts";
import { Reports } from "../../reports.ts";
import type { Problem, TellProblems } from "../../types.ts";
import { type Finding, findOtherProxies, type RulesKind } from "./find.ts";
import { textOfDropping } from "./firewall.ts";
import type { Removal } from "./removal.ts";
import { ALL_KINDS, removeKubeProxyRules } from "./remove.ts";

export interface OtherProxiesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: TellProblems;
  /** Config.removeKubeProxyRules, as of now. */
  readonly remove: () => boolean;
  /** Config.masqueradeBit, as of now. */
  readonly masqueradeBit: () => number;
  /** The node has addresses of this family. */
  readonly serves: (family: Family) => boolean;
  /** In place of the kernel. */
  readonly find?: () => Promise<readonly Finding[]>;
  readonly removeRules?: (kinds: readonly RulesKind[]) => Promise<Removal>;
}

/** A finding that is told. */
interface Known {
  readonly finding: Finding;
  readonly fate: Fate;
  readonly text: string;
}

/** What is to become of something that was found. */
type Fate = "told" | "blind" | "unreadable" | "drops" | "stays" | "goes" | "failed" | "alive";

const FATES: { readonly [fate in Exclude<Fate, "unreadable" | "drops">]: string } = {
  told: "it is left alone; of two proxies on a node, whichever translates first wins",
  blind: "look into them by hand, for Sluice cannot",
  stays: "they stay, as configured; whichever proxy translates first wins",
  goes: "they are removed once Sluice's own are in the kernel",
  failed: "they could not be removed; whichever proxy translates first wins",
  alive: "they came after Sluice's own, so a kube-proxy is running; stop it",
};

export class OtherProxies {
  readonly #options: OtherProxiesOptions;
  readonly #log: Logger;
  readonly #reports: Reports;
  readonly #find: () => Promise<readonly Finding[]>;
  readonly #removeRules: (kinds: readonly RulesKind[]) => Promise<Removal>;
  /** What is there now, and was said. */
  #known: readonly Known[] = [];
  /** Our rules are in the kernel. */
  #synced = false;
  /** Ways that are still to be cleaned, once: what is found in another one came after our own rules. */
  readonly #pending = new Set<RulesKind>(ALL_KINDS);
  /** Parts that must stay, for others lead to them. */
  readonly #kept = new Set<string>();
  /** Texts of what went wrong last. */
  #failures: readonly string[] = [];
  #work: Promise<void> = Promise.resolve();
  #waiting = false;
  #cancel = () => {};
  #open = true;

  constructor(options: OtherProxiesOptions) {
    const { clock } = options;
    this.#options = options;
    this.#log = options.log.from("other-proxies.ts");
    this.#reports = new Reports(options.problems);
    this.#find = options.find ?? (() => findOtherProxies({ clock }));
    this.#removeRules =
      options.removeRules ?? ((kinds) => removeKubeProxyRules({ clock, keepNeeded: true }, kinds));
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
    this.#tell(this.#synced && this.#options.remove() ? await this.#clean(found) : found);
    if (this.#open)
      this.#cancel = this.#options.clock.after(OTHER_PROXY_LOOK_MS, () => this.look());
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

  /** Removes what of it was here before us; what is there afterwards. */
  async #clean(found: readonly Finding[]): Promise<readonly Finding[]> {
    for (const finding of found) {
      if (isRemnant(finding)) this.#pending.add(finding.kind);
    }
    const has = (findings: readonly Finding[], kind: RulesKind) =>
      findings.some((finding) => finding.kind === kind);
    const hidden = (kind: RulesKind) => left.some(({ hides }) => hides?.includes(kind));
    const kinds = [...this.#pending].filter((kind) => has(found, kind));
    const done = kinds.length === 0 || (await this.#remove(kinds));
    const left = kinds.length === 0 ? found : await this.#present();
    for (const kind of this.#pending) {
      if ((done || !has(left, kind)) && !hidden(kind)) this.#pending.delete(kind);
    }
    return left;
  }

  /** False if some of it failed: all that is left is tried again at the next look. */
  async #remove(kinds: readonly RulesKind[]): Promise<boolean> {
    const { removed, notes, kept, failures } = await this.#removeRules(kinds);
    for (const what of removed) this.#log.info("Removed what kube-proxy left", { what });
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
      return text === undefined ? [] : [{ finding, fate, text }];
    });
    const before = new Set(this.notices());
    for (const { finding, fate, text } of known) {
      // A Problem is said by whoever is told of it.
      if (before.has(text) || this.#problemOf(finding, fate, text).length > 0) continue;
      this.#log.warn(`Found ${text}`, { where: finding.parts.join(", ") });
    }
    this.#known = known;
    this.#reports.set(
      known.flatMap(({ finding, fate, text }) => this.#problemOf(finding, fate, text)),
    );
  }

  #fateOf({ kind }: Finding): Fate {
    if (kind === "other") return "told";
    if (kind === "blind" || kind === "unreadable" || kind === "drops") return kind;
    if (!this.#options.remove()) return "stays";
    if (!this.#synced) return "goes";
    return this.#pending.has(kind) ? "failed" : "alive";
  }

  /** What to tell of it; undefined if nothing. */
  #textOf({ what, parts, dropping }: Finding, fate: Fate): string | undefined {
    if (fate === "unreadable") return `Cannot look for ${what}: ${parts.join("; ")}`;
    if (fate !== "drops") return `${what}: ${FATES[fate]}`;
    // Until the first sync it is kube-proxy's own affair.
    if (dropping === undefined || !this.#synced || !this.#options.serves(dropping.family)) return;
    return textOfDropping(dropping, this.#options.masqueradeBit());
  }

  #problemOf(finding: Finding, fate: Fate, text: string): Problem[] {
    const { kind, what, parts } = finding;
    if (fate === "unreadable") {
      return [{ subject: what, code: "OTHER_PROXY", field: "", message: text }];
    }
    if (fate !== "failed" && fate !== "alive") return [];
    const where = parts.join(", ");
    const message =
      fate === "alive"
        ? `Cannot be the only proxy: kube-proxy must be stopped, and Sluice restarted, which then removes ${what}; both translate, and whichever comes first wins: current value is ${where}`
        : `Cannot remove ${what} in ${where}: ${this.#failures.join("; ")}`;
    return [{ subject: "kube-proxy", code: "OTHER_PROXY", field: kind, message }];
  }
}

/** A policy made them necessary, and does no more. */
function isRemnant(finding: Finding): finding is Finding & { readonly kind: RulesKind } {
  const { kind, parts, acceptors = [] } = finding;
  return ALL_KINDS.some((each) => each === kind) && parts.every((part) => acceptors.includes(part));
}
