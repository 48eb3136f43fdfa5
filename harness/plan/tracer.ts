/**
 * Traces a packet through a plan. It applies the rules of the constant ruleset, in the kernel's
 * order, to the printed elements. It is small enough to compare with the ruleset by eye.
 */
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

/** The possible ends of a packet: endpoints (`*`: masqueraded), or one word. */
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

  const isNode = dataplane.nodeAddresses.includes(packet.from);
  const isPod =
    dataplane.pods !== undefined && cidrContains(parseRange(dataplane.pods), parseIp(packet.from));
  const chosen = services(elements, dataplane, packet, isNode, isPod);
  if (chosen === "accept" || chosen === undefined)
    return filter(elements, dataplane, packet, isNode);

  const [, , source, count, reach] = /^(pick|recall) (\S+) (\d+) ?(.*)$/.exec(chosen.action) ?? [];
  const marked = chosen.marked || reach === "masquerade" || (reach === "short-circuit" && isNode);
  return Array.from({ length: Number(count) }, (_, slot) => {
    const endpoint = elements.get(source ?? "", `${chosen.key} slot ${slot}`);
    if (endpoint === undefined) throw new Error(`no slot ${slot} of ${source} ${chosen.key}`);
    const address = endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, "");
    return marked || address === packet.from ? `${endpoint}*` : endpoint;
  });
}

/** nat prerouting and output: the action of the frontend, and whether to masquerade the packet. */
function services(
  elements: Elements,
  { pods, masqueradeAll }: Dataplane,
  packet: Packet,
  isNode: boolean,
  isPod: boolean,
): { action: string; key: string; marked: boolean } | "accept" | undefined {
  const frontend = `${packet.to} ${packet.port}`;
  const marked =
    elements.has("cluster-ips", packet.to) && (masqueradeAll || (pods !== undefined && !isPod));
  const isOutside = !isPod && !isNode;
  const isNodePort = elements.has("node-addresses", packet.to);
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

/** filter input, forward and output, for a packet that was not translated. */
function filter(
  elements: Elements,
  { nodeAddresses }: Dataplane,
  packet: Packet,
  isNode: boolean,
): PacketOutcome {
  const frontend = `${packet.to} ${packet.port}`;
  const refusal = elements.get("no-endpoints", frontend);
  const isForUs = nodeAddresses.includes(packet.to);
  if (isNode || !isForUs) {
    if (refusal !== undefined) return refusal as PacketOutcome;
    if (elements.has("cluster-ips", packet.to)) return "reject";
    if (elements.inRange("service-cidrs", packet.to)) return "drop";
  }
  if (!isForUs) return "untranslated";
  const nodePort = elements.has("node-addresses", packet.to)
    ? elements.get("nodeports-no-endpoints", packet.port)
    : undefined;
  return (nodePort ?? refusal ?? "untranslated") as PacketOutcome;
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

  inRange(table: string, address: string, before = ""): boolean {
    const start = `${table}${this.#family} ${before}`;
    return [...this.#values.keys()].some(
      (left) =>
        left.startsWith(start) &&
        cidrContains(parseRange(left.slice(start.length)), parseIp(address)),
    );
  }
}
