/**
 * Builds the chains of one Service port and the rules that lead to them, as in
 * pkg/proxy/iptables/proxier.go. Unlike upstream, only ports with ClientIP affinity have a chain
 * for each endpoint. Pure.
 */
import type { Action, PickAction } from "../../model/actions.ts";
import {
  addressOf,
  addressText,
  type FrontendKey,
  isNodePort,
  portOf,
} from "../../model/frontend-key.ts";
import type { Family } from "../../net/address.ts";
import type { LowercaseProtocol } from "../../net/protocol.ts";
import { MARK_MASQ } from "../syntax/known-chains.ts";
import { type PortChainPrefix, portHash } from "./chain-names.ts";
import type { FrontendElements } from "./frontend-model.ts";
import {
  commentWords,
  type MarkMatches,
  portMatch,
  REJECT,
  randomMatch,
  recentMatch,
  words,
} from "./rule-text.ts";

/** Properties that the rules of all ports share. */
export interface RuleStyle {
  readonly family: Family;
  readonly mark: MarkMatches;
  /**
   * Matches packets from pods of this node; "" if all packets match, undefined if pods cannot be
   * recognized.
   */
  readonly pods: string | undefined;
  /** Connections arrive with the mark set, unless they come from local pods. */
  readonly marksOutside: boolean;
  /** xt_recent is available for session affinity. */
  readonly recent: boolean;
  /** Rules that name a Service have a comment. */
  readonly comments: boolean;
}

/** A port and its frontends, sorted by their keys. */
export interface PortWithFrontends {
  readonly name: string;
  readonly protocol: LowercaseProtocol;
  /** The text that names the port's chains, and its hash. */
  readonly identity: string;
  readonly hash: string;
  readonly frontends: readonly FrontendElements[];
}

/** The rules of one frontend in shared chains; undefined if it has none. */
export interface FrontendRules {
  /** Sends new connections to the port's chains. */
  readonly dispatch: string | undefined;
  /** Drops or rejects connections that were not translated. */
  readonly refusal: string | undefined;
  /** Drops connections from outside the frontend's source ranges. */
  readonly firewall: string | undefined;
}

function pickActionOf(action: Action | undefined): PickAction | undefined {
  return action?.verb === "pick" || action?.verb === "recall" ? action : undefined;
}

function slotsOf(
  frontend: FrontendElements,
  action: Action | undefined,
): FrontendElements["endpoints"] {
  const isLocal = pickActionOf(action)?.slotTable.endsWith("local-endpoints");
  return isLocal ? frontend.localEndpoints : frontend.endpoints;
}

/** True for served externalIPs, load-balancer addresses and node ports. */
function isExternal({ everyone, outside }: FrontendElements): boolean {
  const choice = pickActionOf(everyone);
  return outside !== undefined || (choice !== undefined && choice.snat !== "plain");
}

/** Reports whether a rule dispatches the frontend's connections. */
export function isDispatched(frontend: FrontendElements): boolean {
  return pickActionOf(frontend.everyone) !== undefined || frontend.outside !== undefined;
}

/** All chains of a port, by name. */
export function portChains(view: PortWithFrontends, style: RuleStyle): Map<string, string> {
  const chains = new Map<string, string>();
  const { frontends, hash } = view;
  const external = frontends.filter(isExternal);
  const everywhere = frontends.find(
    (one) => pickActionOf(one.everyone) && (isExternal(one) || !one.internalLocal),
  );
  const internal = frontends.find(
    (one) => pickActionOf(one.everyone) && !isExternal(one) && one.internalLocal,
  );
  const outside = external.find((one) => pickActionOf(one.outside));
  const seconds = style.recent ? affinityOf(frontends) : 0;
  const writer = new EndpointChains(view, style, seconds, chains);
  if (everywhere !== undefined)
    writer.write(`KUBE-SVC-${hash}`, slotsOf(everywhere, everywhere.everyone));
  const here =
    internal !== undefined
      ? slotsOf(internal, internal.everyone)
      : outside && slotsOf(outside, outside.outside);
  if (here !== undefined) writer.write(`KUBE-SVL-${hash}`, here);
  if (external.length > 0) chains.set(`KUBE-EXT-${hash}`, externalChain(external, hash, style));
  const restricted = external.find((one) => one.hasSourceRanges);
  if (restricted !== undefined) {
    chains.set(`KUBE-FW-${hash}`, firewallChain(view.name, restricted.sourceRanges, hash, style));
  }
  return chains;
}

/** The rules of one of the port's frontends. */
export function frontendRules(
  view: PortWithFrontends,
  frontend: FrontendElements,
  style: RuleStyle,
): FrontendRules {
  const { key, unserved } = frontend;
  const { name, protocol, hash } = view;
  const says = (text: string) => (style.comments ? commentWords(text) : undefined);
  const prefix = targetPrefix(frontend);
  const target = prefix === undefined ? undefined : `-j ${prefix}${hash}`;
  const to = destinationMatch(key, style.family);
  const dport = portMatch(protocol, portOf(key));
  const rule = (text: string, verdict: string) =>
    words(to, `-p ${protocol}`, says(text), dport, verdict);
  // The node itself reaches endpoints elsewhere. If one has the frontend's own address and port,
  // the connection looks untranslated in OUTPUT, which upstream does not filter.
  const spared =
    unserved === "drop" && isExternal(frontend) ? "-m addrtype ! --src-type LOCAL" : undefined;
  return {
    dispatch: target && rule(dispatchComment(name, frontend), target),
    refusal:
      unserved &&
      words(
        to,
        `-p ${protocol}`,
        says(`${name} has no ${unserved === "drop" ? "local " : ""}endpoints`),
        isNodePort(key) ? "-m addrtype --dst-type LOCAL" : spared,
        dport,
        unserved === "drop" ? "-j DROP" : REJECT[style.family],
      ),
    firewall:
      prefix === "KUBE-FW-"
        ? rule(`${name} traffic not accepted by KUBE-FW-${hash}`, "-j DROP")
        : undefined,
  };
}

function targetPrefix(frontend: FrontendElements): PortChainPrefix | undefined {
  if (!isDispatched(frontend)) return undefined;
  if (isExternal(frontend)) return frontend.hasSourceRanges ? "KUBE-FW-" : "KUBE-EXT-";
  return frontend.internalLocal ? "KUBE-SVL-" : "KUBE-SVC-";
}

function destinationMatch(key: FrontendKey, family: Family): string | undefined {
  if (addressOf(key) === undefined) return undefined;
  return `-d ${addressText(key)}/${family === 4 ? 32 : 128}`;
}

function dispatchComment(name: string, frontend: FrontendElements): string {
  if (isNodePort(frontend.key)) return name;
  if (!isExternal(frontend)) return `${name} cluster IP`;
  return `${name} ${frontend.hasSourceRanges ? "loadbalancer" : "external"} IP`;
}

/** Session affinity timeout in seconds; 0 if there is no affinity. */
function affinityOf(frontends: readonly FrontendElements[]): number {
  for (const { everyone, outside, affinitySeconds } of frontends) {
    if (affinitySeconds > 0 && (everyone?.verb === "recall" || outside?.verb === "recall"))
      return affinitySeconds;
  }
  return 0;
}

function externalChain(
  external: readonly FrontendElements[],
  hash: string,
  style: RuleStyle,
): string {
  const choice = external.map(({ everyone }) => pickActionOf(everyone)).find((one) => one);
  const cluster = `-j KUBE-SVC-${hash}`;
  if (choice?.snat === "masquerade") return `-j ${MARK_MASQ}\n${cluster}`;
  const rules: string[] = [];
  if (style.marksOutside) rules.push(style.mark.clear);
  const local = "-m addrtype --src-type LOCAL";
  // Pods and the node itself reach every endpoint, as if through a load balancer and back.
  const inside = choice === undefined ? "-j RETURN" : cluster;
  if (style.pods !== undefined) rules.push(words(style.pods, inside));
  if (choice !== undefined) rules.push(`${local} -j ${MARK_MASQ}`);
  rules.push(`${local} ${inside}`);
  if (external.some(({ outside }) => pickActionOf(outside))) rules.push(`-j KUBE-SVL-${hash}`);
  return rules.join("\n");
}

/** Packets that reach the end of this chain stay untranslated; KUBE-PROXY-FIREWALL drops them. */
function firewallChain(
  name: string,
  allowed: readonly string[],
  hash: string,
  style: RuleStyle,
): string {
  const says = style.comments ? commentWords(`${name} loadbalancer IP`) : undefined;
  return [...allowed]
    .sort()
    .map((range) => words(`-s ${range}`, says, `-j KUBE-EXT-${hash}`))
    .join("\n");
}

/** Builds the chains that choose among endpoints. */
class EndpointChains {
  readonly #view: PortWithFrontends;
  readonly #style: RuleStyle;
  readonly #seconds: number;
  readonly #chains: Map<string, string>;

  constructor(
    view: PortWithFrontends,
    style: RuleStyle,
    seconds: number,
    chains: Map<string, string>,
  ) {
    this.#view = view;
    this.#style = style;
    this.#seconds = seconds;
    this.#chains = chains;
  }

  write(chain: string, slots: readonly (string | undefined)[]): void {
    const endpoints = slots.filter((one) => one !== undefined).sort();
    const last = endpoints.length;
    const { protocol } = this.#view;
    if (this.#seconds === 0) {
      // Avoids `words` for speed: nearly all rules are of this kind.
      const rules = endpoints.map((endpoint, i) => {
        const chance = i < last - 1 ? `${randomMatch(last - i)} ` : "";
        return `-p ${protocol} ${chance}-j DNAT --to-destination ${endpoint}`;
      });
      this.#chains.set(chain, rules.join("\n"));
      return;
    }
    const { family } = this.#style;
    const targets = endpoints.map((endpoint) => this.#endpointChain(endpoint));
    const check = `--rcheck --seconds ${this.#seconds} --reap`;
    const rules = [
      ...targets.map((target) => words(recentMatch(family, check, target), `-j ${target}`)),
      ...targets.map((target, i) => words(randomMatch(last - i), `-j ${target}`)),
    ];
    this.#chains.set(chain, rules.join("\n"));
  }

  /**
   * The chain of one endpoint. All chains of the port share it, so that a client keeps its endpoint
   * on every path.
   */
  #endpointChain(endpoint: string): string {
    const { identity, protocol } = this.#view;
    const chain = `KUBE-SEP-${portHash(identity + endpoint)}`;
    const set = recentMatch(this.#style.family, "--set", chain);
    this.#chains.set(chain, words(`-p ${protocol}`, set, `-j DNAT --to-destination ${endpoint}`));
    return chain;
  }
}
