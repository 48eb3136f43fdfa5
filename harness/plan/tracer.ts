/**
 * Traces a packet through a plan. It applies the rules of the constant ruleset, in the kernel's
 * order, to the printed elements. It is small enough to compare with the ruleset by eye.
 */
import { isLoopback } from "../../src/net/address.ts";
import { cidrContains } from "../../src/net/cidr.ts";
import { parseIp, parseRange } from "./plan-text.ts";

/** The first packet of a connection. */
export interface Packet {
  readonly from: string;
  readonly to: string;
  /** `tcp 80`. */
  readonly port: string;
}

/** The input other than Services: this node, and how pods are recognized. */
export interface Dataplane {
  /** Addresses of this node, whether they serve node ports or not: `fib saddr type local`. */
  readonly nodeAddresses: readonly string[];
  /** The local detector's range; undefined without a detector. */
  readonly pods: string | undefined;
  readonly masqueradeAll: boolean;
}

/**
 * The possible ends of a packet: endpoints (`*`: masqueraded), or one word. An endpoint that is
 * itself refused has the word after it: `10.96.0.9:80 reject`.
 */
export type PacketOutcome = readonly string[] | "drop" | "reject" | "untranslated";

/** Follows one packet. `plan` is the text of `planText`. */
export function trace(
  plan: readonly string[],
  dataplane: Dataplane,
  packet: Packet,
): PacketOutcome {
  const elements = new Elements(plan, packet.to.includes(":") ? 6 : 4);
  const frontend = `${packet.to} ${packet.port}`;
  if (elements.has("restricted", frontend) && !elements.allows(frontend, packet.from))
    return "drop";

  const source = sourceOf(dataplane, packet.from);
  const chosen = services(elements, dataplane, packet, source);
  if (chosen === "accept" || chosen === undefined) {
    return judge(elements, dataplane, packet, source) ?? "untranslated";
  }

  const [, , table, count, reach] = /^(pick|recall) (\S+) (\d+) ?(.*)$/.exec(chosen.action) ?? [];
  const isNode = source === "node";
  const marked = chosen.marked || reach === "masquerade" || (reach === "short-circuit" && isNode);
  return Array.from({ length: Number(count) }, (_, slot) => {
    const endpoint = elements.get(table ?? "", `${chosen.key} slot ${slot}`);
    if (endpoint === undefined) throw new Error(`no slot ${slot} of ${table} ${chosen.key}`);
    const colon = endpoint.lastIndexOf(":");
    const address = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
    const port = `${packet.port.split(" ")[0]} ${endpoint.slice(colon + 1)}`;
    const refusal = judge(elements, dataplane, { ...packet, to: address, port }, source);
    if (refusal !== undefined) return `${endpoint} ${refusal}`;
    return marked || address === packet.from ? `${endpoint}*` : endpoint;
  });
}

type Source = "pod" | "node" | "outside";

function sourceOf({ nodeAddresses, pods }: Dataplane, from: string): Source {
  if (nodeAddresses.includes(from)) return "node";
  const isPod = pods !== undefined && cidrContains(parseRange(pods), parseIp(from));
  return isPod ? "pod" : "outside";
}

/** nat prerouting and output: the action of the frontend, and whether to masquerade the packet. */
function services(
  elements: Elements,
  { pods, masqueradeAll, nodeAddresses }: Dataplane,
  packet: Packet,
  source: Source,
): { action: string; key: string; marked: boolean } | "accept" | undefined {
  const frontend = `${packet.to} ${packet.port}`;
  const marked =
    elements.has("cluster-ips", packet.to) &&
    (masqueradeAll || (pods !== undefined && source !== "pod"));
  const isOutside = source === "outside";
  const isNodePort = elements.servesNodePorts(packet.to, nodeAddresses);
  const lookups: readonly [boolean, string, string][] = [
    [isOutside, "outside", frontend],
    [true, "frontends", frontend],
    [isOutside && isNodePort, "nodeports-outside", packet.port],
    [isNodePort, "nodeports", packet.port],
  ];
  for (const [applies, table, key] of lookups) {
    const action = applies ? elements.get(table, key) : undefined;
    if (action === "accept") return "accept";
    if (action !== undefined) return { action, key, marked };
  }
  return undefined;
}

/**
 * filter forward and output, and nat input, with the destination after translation. The chain is
 * the same in all three.
 */
function judge(
  elements: Elements,
  { nodeAddresses }: Dataplane,
  { to, port }: Packet,
  source: Source,
): "drop" | "reject" | undefined {
  const lookups: readonly [boolean, string, string][] = [
    [true, "no-endpoints", `${to} ${port}`],
    [elements.servesNodePorts(to, nodeAddresses), "nodeports-no-endpoints", port],
  ];
  for (const [applies, table, key] of lookups) {
    const refusal = applies ? elements.get(table, key) : undefined;
    if (refusal === "drop-outside") return source === "outside" ? "drop" : undefined;
    if (refusal !== undefined) return refusal as "drop" | "reject";
  }
  if (nodeAddresses.includes(to)) return undefined;
  if (elements.has("cluster-ips", to)) return "reject";
  return elements.inRange("service-cidrs", to) ? "drop" : undefined;
}

/** The elements of one family, by table and key. */
class Elements {
  readonly #values = new Map<string, string>();
  readonly #family: 4 | 6;

  constructor(plan: readonly string[], family: 4 | 6) {
    this.#family = family;
    for (const line of plan) {
      const [left, value] = line.replace(/ \([^(]*\)$/, "").split(" -> ");
      this.#values.set(left ?? "", value ?? "");
    }
  }

  get(table: string, key: string): string | undefined {
    return this.#values.get(`${table}${this.#family} ${key}`);
  }

  has(table: string, key: string): boolean {
    return this.get(table, key) !== undefined;
  }

  allows(frontend: string, source: string): boolean {
    return this.inRange("allowed-sources", source, `${frontend} from `);
  }

  servesNodePorts(address: string, local: readonly string[]): boolean {
    const inRange = this.inRange("node-port-ranges", address);
    return inRange && local.includes(address) && !isLoopback(parseIp(address));
  }

  inRange(table: string, address: string, before = ""): boolean {
    const start = `${table}${this.#family} ${before}`;
    return [...this.#values.keys()].some(
      (left) =>
        left.startsWith(start) &&
        cidrContains(parseRange(left.slice(start.length)), parseIp(address)),
    );
  }
}
