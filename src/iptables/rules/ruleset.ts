/**
 * Builds the rules of one family as the text of chains. They depend only on the contents of the
 * tables, not on the history, except for comments, which have two thresholds. Pure: no I/O, no
 * clock.
 */
import {
  addressOf,
  compareKeys,
  type FrontendKey,
  isNodePort,
  readFrontendKey,
} from "../../model/frontend-key.ts";
import type { Operation } from "../../model/operation-list.ts";
import type { OwnerId } from "../../model/owner.ts";
import type { TableId } from "../../model/tables.ts";
import type { Family } from "../../net/address.ts";
import type { Jump } from "../syntax/jumps.ts";
import {
  EXTERNAL_SERVICES,
  NODE_PORTS,
  OUTSIDE,
  PROXY_FIREWALL,
  type RuleTable,
  SERVICES,
} from "../syntax/known-chains.ts";
import { type ChainChanges, type Chains, ChainTexts } from "./chain-texts.ts";
import { fixedChains, jumpsOf, type RulesetOptions } from "./fixed-chains.ts";
import { type FrontendElements, FrontendModel } from "./frontend-model.ts";
import { podMatches } from "./local-detector.ts";
import { nodePortJumps } from "./node-port-jumps.ts";
import { frontendRules, isDispatched, portChains, type RuleStyle } from "./port-chains.ts";
import type { Describe } from "./port-description.ts";
import { type Port, Ports } from "./ports.ts";
import { ownerOfRule } from "./rule-owner.ts";
import { joinRules, markMatches, portMatch, words } from "./rule-text.ts";
import { RuleList, RuleTree } from "./rule-tree.ts";
import { NODE_PORT_LEVELS, serviceLevels } from "./tree-levels.ts";

/**
 * Rules carry comments that name Services while at most this many rules lead to Services. With
 * more, comments would take a third of a restore's time. They come back below COMMENTED_AGAIN.
 */
const COMMENTED_MAX = 1000;
const COMMENTED_AGAIN = 500;

export class Ruleset {
  readonly #family: Family;
  readonly #model: FrontendModel;
  readonly #ports = new Ports();
  readonly #texts = new ChainTexts();
  readonly #services: RuleTree;
  readonly #nodePorts = new RuleTree(NODE_PORT_LEVELS);
  /** Refused frontends: clusterIPs here, externally reachable ones in `#refusedOutside`. */
  readonly #refused = new RuleList();
  readonly #refusedOutside = new RuleList();
  readonly #firewall = new RuleList();
  /** Refused frontends by address. */
  readonly #refusedAt = new Map<FrontendKey, Set<FrontendKey>>();
  #options: RulesetOptions;
  #style: RuleStyle;
  #jumps: readonly Jump[];
  /** There are few enough rules for comments: now, and at the last commit. */
  #fewRules = true;
  #fewRulesCommitted = true;

  constructor(family: Family, options: RulesetOptions) {
    this.#family = family;
    this.#model = new FrontendModel(family, options);
    this.#services = new RuleTree(serviceLevels(family));
    this.#options = options;
    this.#style = styleOf(family, options, true);
    this.#jumps = jumpsOf(options, family);
    this.#writeFixed();
    this.#update();
    this.commit();
  }

  /** All chains, including staged changes. */
  get chains(): Chains {
    return this.#texts.chains;
  }

  /** Rules of built-in chains, in the order of their insertion. Each is inserted at the top. */
  get jumps(): readonly Jump[] {
    return this.#jumps;
  }

  /**
   * Stages the operations of this family until `commit` or `rollback`, and ignores others. Returns
   * the changes since the last commit.
   */
  stage(operations: Iterable<Operation>, describe: Describe): ChainChanges {
    this.#model.apply(operations);
    this.#describe(describe);
    this.#update();
    return this.#texts.changes();
  }

  commit(): void {
    this.#model.commit();
    this.#texts.commit();
    this.#fewRulesCommitted = this.#fewRules;
  }

  /** Returns to the state of the last commit. */
  rollback(): void {
    this.#model.rollback();
    const dirty =
      this.#fewRules === this.#fewRulesCommitted ? new Set<Port>() : new Set(this.#ports.all());
    this.#setFewRules(this.#fewRulesCommitted);
    this.#update(dirty);
    this.#texts.commit();
  }

  /** Switches to other options, and commits the changes at once. Nothing may be staged. */
  reconfigure(options: RulesetOptions): ChainChanges {
    this.#options = options;
    this.#style = styleOf(this.#family, options, this.#fewRules);
    this.#jumps = jumpsOf(options, this.#family);
    this.#writeFixed();
    this.#update(new Set(this.#ports.all()), true);
    const changes = this.#texts.changes();
    this.commit();
    return changes;
  }

  /**
   * The owner of a rule, by its index in the text of its chain. Undefined if it belongs to no
   * single owner.
   */
  ownerOf(table: RuleTable, chain: string, rule: number): OwnerId | undefined {
    const text = this.chains[table].get(chain)?.split("\n")[rule];
    if (text === undefined) return undefined;
    const at = (key: FrontendKey) => this.#ports.portOf(key)?.owner;
    return ownerOfRule(table, chain, text, {
      family: this.#family,
      ports: this.#ports.all(),
      frontend: at,
      healthPort: (number) => this.#model.healthPorts.get(number),
    });
  }

  /** The chains of an element's Service port, except endpoint chains. */
  chainsOf(table: TableId, bytes: Uint8Array): readonly string[] {
    const key = readFrontendKey(table, bytes);
    const chains = key === undefined ? undefined : this.#ports.portOf(key)?.chains;
    return (chains ?? []).filter((chain) => !chain.startsWith("KUBE-SEP-"));
  }

  /**
   * Looks up all changed frontends again, and all others of their owners, because renaming a port
   * affects all of its frontends.
   */
  #describe(describe: Describe): void {
    const { frontends } = this.#model;
    const keys = new Set(frontends.changed());
    const owners = new Set<OwnerId>();
    for (const key of keys) {
      const owner = frontends.get(key)?.owner;
      if (owner !== undefined) owners.add(owner);
    }
    for (const owner of owners) for (const key of this.#ports.frontendsOf(owner)) keys.add(key);
    this.#model.describe(keys, describe);
  }

  /**
   * Updates the chains from the model. `dirty`: ports with rules that may differ although no
   * frontend changed.
   */
  #update(dirty = new Set<Port>(), everything = false): void {
    const model = this.#model;
    model.prune([...model.frontends.changed()]);
    const changed = model.frontends.takeChanged();
    const removed = new Set<FrontendKey>();
    for (const key of changed) {
      const frontend = model.frontends.get(key);
      this.#ports.place(key, frontend, frontend !== undefined && isDispatched(frontend), dirty);
      if (frontend === undefined) removed.add(key);
    }
    const reclassified = this.#reclassified(model.clusterIps.takeChanged());
    for (const key of reclassified) {
      const owning = this.#ports.portOf(key);
      if (owning !== undefined) dirty.add(owning);
    }
    if (this.#countChanged()) for (const each of this.#ports.all()) dirty.add(each);
    for (const key of removed) this.#setRules(key, undefined);
    this.#writePorts(dirty);
    this.#writeShared(model.nodePortRanges.takeChanged().size > 0 || everything);
  }

  /** Refused frontends at these addresses. */
  #reclassified(addresses: Iterable<FrontendKey>): FrontendKey[] {
    const keys: FrontendKey[] = [];
    for (const address of addresses) keys.push(...(this.#refusedAt.get(address) ?? []));
    return keys;
  }

  #countChanged(): boolean {
    const count = this.#ports.dispatched;
    const fewRules = count < COMMENTED_AGAIN || (this.#fewRules && count <= COMMENTED_MAX);
    if (fewRules === this.#fewRules) return false;
    this.#setFewRules(fewRules);
    return this.#options.comments;
  }

  #setFewRules(fewRules: boolean): void {
    this.#fewRules = fewRules;
    this.#style = styleOf(this.#family, this.#options, fewRules);
  }

  /** Removes old chains first, because another port may have taken over a name. */
  #writePorts(dirty: ReadonlySet<Port>): void {
    for (const { chains } of dirty)
      for (const chain of chains) this.#texts.set("nat", chain, undefined);
    for (const each of dirty) {
      const frontends = [...each.frontends]
        .sort(compareKeys)
        .map((key) => this.#model.frontends.get(key) as FrontendElements);
      const view = { ...each, frontends };
      const chains = portChains(view, this.#style);
      for (const [chain, text] of chains) this.#texts.set("nat", chain, text);
      each.chains = [...chains.keys()];
      for (const frontend of frontends) {
        this.#setRules(frontend.key, frontendRules(view, frontend, this.#style));
      }
    }
  }

  #setRules(key: FrontendKey, rules: ReturnType<typeof frontendRules> | undefined): void {
    const { dispatch, refusal, firewall } = rules ?? {};
    (isNodePort(key) ? this.#nodePorts : this.#services).set(key, dispatch);
    this.#firewall.set(key, firewall);
    const address = addressOf(key);
    const clusterIp = address !== undefined && this.#model.clusterIps.has(address);
    this.#refused.set(key, clusterIp ? refusal : undefined);
    this.#refusedOutside.set(key, clusterIp ? undefined : refusal);
    if (address === undefined) return;
    const refused = this.#refusedAt.get(address);
    if (refusal !== undefined) {
      if (refused === undefined) this.#refusedAt.set(address, new Set([key]));
      else refused.add(key);
    } else if (refused?.delete(key) && refused.size === 0) this.#refusedAt.delete(address);
  }

  #writeFixed(): void {
    for (const [table, chain, text] of fixedChains(this.#options, this.#family)) {
      this.#texts.set(table, chain, text);
    }
    // Upstream jumps to KUBE-EXTERNAL-SERVICES only from INPUT and FORWARD. The node's own
    // connections to external addresses pass neither. With this jump, OUTPUT also refuses those
    // without endpoints.
    if (!this.chains.filter.has(SERVICES)) {
      this.#texts.set("filter", SERVICES, `-j ${EXTERNAL_SERVICES}`);
    }
    for (const chain of [EXTERNAL_SERVICES, PROXY_FIREWALL, NODE_PORTS]) {
      if (!this.chains.filter.has(chain)) this.#texts.set("filter", chain, "");
    }
    if (!this.chains.nat.has(NODE_PORTS)) this.#texts.set("nat", NODE_PORTS, "");
  }

  /** Writes the chains that contain rules of all Services. */
  #writeShared(everything: boolean): void {
    const nat = (chain: string, text: string | undefined) => this.#texts.set("nat", chain, text);
    const filter = (chain: string, rules: readonly string[]) =>
      this.#texts.set("filter", chain, rules.join("\n"));
    if (this.#nodePorts.flush(nat)) nat(NODE_PORTS, this.#nodePorts.text);
    if (this.#services.flush(nat) || everything || !this.chains.nat.has(SERVICES)) {
      nat(SERVICES, this.#servicesText());
      nat(OUTSIDE, this.#outsideText());
    }
    const refused = this.#refused.takeChanged();
    if (refused) filter(SERVICES, [...refused, `-j ${EXTERNAL_SERVICES}`]);
    const refusedOutside = this.#refusedOutside.takeChanged();
    if (refusedOutside) filter(EXTERNAL_SERVICES, refusedOutside);
    const firewall = this.#firewall.takeChanged();
    if (firewall) filter(PROXY_FIREWALL, firewall);
    if (this.#model.healthPorts.takeChanged().size > 0) filter(NODE_PORTS, this.#healthRules());
  }

  #servicesText(): string {
    const { mark, marksOutside } = this.#style;
    return joinRules(
      marksOutside ? words(this.#masqueradedSources, mark.unmarked, `-j ${OUTSIDE}`) : undefined,
      this.#services.text,
      nodePortJumps([...this.#model.nodePortRanges.values()], this.#options, this.#family),
    );
  }

  /** Matches the sources to masquerade on their way to a clusterIP; undefined if all are. */
  get #masqueradedSources(): string | undefined {
    if (this.#options.masqueradeAll) return undefined;
    return podMatches(this.#options.detector, this.#family)?.others;
  }

  /**
   * The dispatch rules with the mark set before them. The mark is cleared again if none matched.
   */
  #outsideText(): string {
    const { mark, marksOutside } = this.#style;
    return marksOutside ? joinRules(mark.set, this.#services.text, mark.clear) : "";
  }

  #healthRules(): string[] {
    return [...this.#model.healthPorts.entries()]
      .sort(([a], [b]) => a - b)
      .map(([number]) => words("-p tcp", portMatch("tcp", number), "-j ACCEPT"));
  }
}

function styleOf(family: Family, options: RulesetOptions, fewRules: boolean): RuleStyle {
  const words = podMatches(options.detector, family);
  return {
    family,
    mark: markMatches(options.masqueradeBit),
    pods: words?.pods,
    marksOutside: options.masqueradeAll || words?.others !== undefined,
    recent: options.recent,
    comments: options.comments && fewRules,
  };
}
