/**
 * The chains of one port of a Service, and the rules that lead to them:
 * pkg/proxy/iptables/proxier.go, but that only a port with ClientIP affinity has a chain for each
 * endpoint. Pure.
 */
import type { Action } from "../../model/actions.ts";
import {
  addressOf,
  addressText,
  type FrontendKey,
  isNodePort,
  portOf,
} from "../../model/frontend-key.ts";
import type { Family } from "../../net/address.ts";
import type { ProtocolWord } from "../../net/protocol.ts";
import { MARK_MASQ } from "../syntax/known-chains.ts";
import { type PortChainPrefix, portHash } from "./chain-names.ts";
import type { Frontend } from "./frontend-model.ts";
import { comment, type MarkWords, oneOf, port, REJECT, recent, words } from "./rule-text.ts";

/** What the rules of all ports have in common. */
export interface RuleStyle {
  readonly family: Family;
  readonly mark: MarkWords;
  /**
   * How a pod of this node is told; "" where everybody is one, undefined where that is not known.
   */
  readonly pods: string | undefined;
  /** Connections from outside come with the mark. */
  readonly marksOutside: boolean;
  /** Clients can be remembered. */
  readonly recent: boolean;
  /** Rules that name a Service do so in a comment. */
  readonly comments: boolean;
}

/** A port and its frontends, sorted by their keys. */
export interface PortView {
  readonly name: string;
  readonly protocol: ProtocolWord;
  /** What its chains are called after, and its hash. */
  readonly identity: string;
  readonly hash: string;
  readonly frontends: readonly Frontend[];
}

/** The rules that one frontend has in chains of others; undefined: none. */
export interface FrontendRules {
  /** Where new connections are sent on. */
  readonly dispatch: string | undefined;
  /** What becomes of those that were not translated. */
  readonly refusal: string | undefined;
  /** The same of those from elsewhere than its source ranges. */
  readonly firewall: string | undefined;
}

type Choice = Extract<Action, { readonly verb: "pick" | "sticky" }>;

function choiceOf(action: Action | undefined): Choice | undefined {
  return action?.verb === "pick" || action?.verb === "sticky" ? action : undefined;
}

function slotsOf(frontend: Frontend, action: Action | undefined): Frontend["endpoints"] {
  const isLocal = choiceOf(action)?.source.endsWith("local-endpoints");
  return isLocal ? frontend.localEndpoints : frontend.endpoints;
}

/** externalIPs, addresses of load balancers and node ports, if they are served. */
function isExternal({ everyone, outside }: Frontend): boolean {
  const choice = choiceOf(everyone);
  return outside !== undefined || (choice !== undefined && choice.reach !== "plain");
}

/** Is there a rule that sends its connections on? */
export function isDispatched(frontend: Frontend): boolean {
  return choiceOf(frontend.everyone) !== undefined || frontend.outside !== undefined;
}

/** All chains of a port, by name. */
export function portChains(view: PortView, style: RuleStyle): Map<string, string> {
  const chains = new Map<string, string>();
  const { frontends, hash } = view;
  const external = frontends.filter(isExternal);
  const everywhere = frontends.find(
    (one) => choiceOf(one.everyone) && (isExternal(one) || !one.internalLocal),
  );
  const internal = frontends.find(
    (one) => choiceOf(one.everyone) && !isExternal(one) && one.internalLocal,
  );
  const outside = external.find((one) => choiceOf(one.outside));
  const seconds = style.recent ? affinity(frontends) : 0;
  const writer = new EndpointChains(view, style, seconds, chains);
  if (everywhere !== undefined)
    writer.write(`KUBE-SVC-${hash}`, slotsOf(everywhere, everywhere.everyone));
  const here =
    internal !== undefined
      ? slotsOf(internal, internal.everyone)
      : outside && slotsOf(outside, outside.outside);
  if (here !== undefined) writer.write(`KUBE-SVL-${hash}`, here);
  if (external.length > 0) chains.set(`KUBE-EXT-${hash}`, externalChain(external, hash, style));
  const guarded = external.find((one) => one.guarded);
  if (guarded !== undefined) {
    chains.set(`KUBE-FW-${hash}`, firewallChain(view.name, guarded.allowed, hash, style));
  }
  return chains;
}

/** The rules of one of its frontends. */
export function frontendRules(view: PortView, frontend: Frontend, style: RuleStyle): FrontendRules {
  const { key, unserved } = frontend;
  const { name, protocol, hash } = view;
  const says = (text: string) => (style.comments ? comment(text) : undefined);
  const prefix = targetPrefix(frontend);
  const target = prefix === undefined ? undefined : `-j ${prefix}${hash}`;
  const to = destination(key, style.family);
  const dport = port(protocol, portOf(key));
  const rule = (text: string, verdict: string) =>
    words(to, `-p ${protocol}`, says(text), dport, verdict);
  return {
    dispatch: target && rule(dispatchComment(name, frontend), target),
    refusal:
      unserved &&
      words(
        to,
        `-p ${protocol}`,
        says(`${name} has no ${unserved === "drop" ? "local " : ""}endpoints`),
        isNodePort(key) ? "-m addrtype --dst-type LOCAL" : undefined,
        dport,
        unserved === "drop" ? "-j DROP" : REJECT[style.family],
      ),
    firewall:
      prefix === "KUBE-FW-"
        ? rule(`${name} traffic not accepted by KUBE-FW-${hash}`, "-j DROP")
        : undefined,
  };
}

function targetPrefix(frontend: Frontend): PortChainPrefix | undefined {
  if (!isDispatched(frontend)) return undefined;
  if (isExternal(frontend)) return frontend.guarded ? "KUBE-FW-" : "KUBE-EXT-";
  return frontend.internalLocal ? "KUBE-SVL-" : "KUBE-SVC-";
}

function destination(key: FrontendKey, family: Family): string | undefined {
  if (addressOf(key) === undefined) return undefined;
  return `-d ${addressText(key)}/${family === 4 ? 32 : 128}`;
}

function dispatchComment(name: string, frontend: Frontend): string {
  if (isNodePort(frontend.key)) return name;
  if (!isExternal(frontend)) return `${name} cluster IP`;
  return `${name} ${frontend.guarded ? "loadbalancer" : "external"} IP`;
}

/** How long clients of the port are remembered; 0: they are not. */
function affinity(frontends: readonly Frontend[]): number {
  for (const { everyone, outside, seconds } of frontends) {
    if (seconds > 0 && (everyone?.verb === "sticky" || outside?.verb === "sticky")) return seconds;
  }
  return 0;
}

function externalChain(external: readonly Frontend[], hash: string, style: RuleStyle): string {
  const choice = external.map(({ everyone }) => choiceOf(everyone)).find((one) => one);
  const cluster = `-j KUBE-SVC-${hash}`;
  if (choice?.reach === "masquerade") return `-j ${MARK_MASQ}\n${cluster}`;
  const rules: string[] = [];
  if (style.marksOutside) rules.push(style.mark.clear);
  const local = "-m addrtype --src-type LOCAL";
  // Pods and the node itself reach every endpoint, as if through a load balancer and back.
  const inside = choice === undefined ? "-j RETURN" : cluster;
  if (style.pods !== undefined) rules.push(words(style.pods, inside));
  if (choice !== undefined) rules.push(`${local} -j ${MARK_MASQ}`);
  rules.push(`${local} ${inside}`);
  if (external.some(({ outside }) => choiceOf(outside))) rules.push(`-j KUBE-SVL-${hash}`);
  return rules.join("\n");
}

/** What falls out of its end is not translated, and dropped by the rule in KUBE-PROXY-FIREWALL. */
function firewallChain(
  name: string,
  allowed: readonly string[],
  hash: string,
  style: RuleStyle,
): string {
  const says = style.comments ? comment(`${name} loadbalancer IP`) : undefined;
  return [...allowed]
    .sort()
    .map((range) => words(`-s ${range}`, says, `-j KUBE-EXT-${hash}`))
    .join("\n");
}

/** Chains that choose among endpoints. */
class EndpointChains {
  readonly #view: PortView;
  readonly #style: RuleStyle;
  readonly #seconds: number;
  readonly #chains: Map<string, string>;

  constructor(view: PortView, style: RuleStyle, seconds: number, chains: Map<string, string>) {
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
      // Not by `words`: nearly all rules are of this kind.
      const rules = endpoints.map((endpoint, i) => {
        const chance = i < last - 1 ? `${oneOf(last - i)} ` : "";
        return `-p ${protocol} ${chance}-j DNAT --to-destination ${endpoint}`;
      });
      this.#chains.set(chain, rules.join("\n"));
      return;
    }
    const { family } = this.#style;
    const targets = endpoints.map((endpoint) => this.#endpointChain(endpoint));
    const check = `--rcheck --seconds ${this.#seconds} --reap`;
    const rules = [
      ...targets.map((target) => words(recent(family, check, target), `-j ${target}`)),
      ...targets.map((target, i) => words(oneOf(last - i), `-j ${target}`)),
    ];
    this.#chains.set(chain, rules.join("\n"));
  }

  /**
   * Shared by the chains of the port, so that a client stays where it is whichever way it comes.
   */
  #endpointChain(endpoint: string): string {
    const { identity, protocol } = this.#view;
    const chain = `KUBE-SEP-${portHash(identity + endpoint)}`;
    const set = recent(this.#style.family, "--set", chain);
    this.#chains.set(chain, words(`-p ${protocol}`, set, `-j DNAT --to-destination ${endpoint}`));
    return chain;
  }
}
