/** Follows a packet through the text of chains, as the kernel does, with the odds of each path. */

import { parseIp, parseRange } from "../../../harness/plan/plan-text.ts";
import type { Ruleset } from "../../../src/iptables/rules/ruleset.ts";
import { cidrContains } from "../../../src/net/cidr.ts";

/** The first packet of a connection. */
export interface Packet {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
  readonly interface?: string;
}

export interface Walker {
  /** Addresses of this node: type LOCAL. */
  readonly local: readonly string[];
  /** Endpoint chains that remember the client. */
  readonly remembered?: readonly string[];
}

/** Endpoints with their odds (`*`: masqueraded), or another end of the packet. */
export type Odds = ReadonlyMap<string, number>;

interface Outcome {
  readonly odds: number;
  readonly marked: boolean;
  /** Undefined if the packet reached the end of the chain. */
  readonly verdict: string | undefined;
}

interface State extends Packet {
  readonly translated: boolean;
}

export class Walk {
  readonly #ruleset: Ruleset;
  readonly #walker: Walker;
  /** Rules that were evaluated. */
  lookups = 0;

  constructor(ruleset: Ruleset, walker: Walker) {
    this.#ruleset = ruleset;
    this.#walker = walker;
  }

  of(packet: Packet): Odds {
    const odds = new Map<string, number>();
    const end = (outcome: string, more: number) =>
      odds.set(outcome, (odds.get(outcome) ?? 0) + more);
    const own = this.#walker.local.includes(packet.from);
    const arriving = { ...packet, translated: false };
    for (const way of this.#builtIn("nat", own ? "OUTPUT" : "PREROUTING", arriving, false)) {
      const endpoint = /^DNAT (.*)$/.exec(way.verdict ?? "")?.[1];
      const colon = endpoint?.lastIndexOf(":") ?? 0;
      const state =
        endpoint === undefined
          ? arriving
          : {
              ...packet,
              translated: true,
              port: Number(endpoint.slice(colon + 1)),
              to: endpoint.slice(0, colon).replace(/^\[|\]$/g, ""),
            };
      const hook = own ? "OUTPUT" : this.#walker.local.includes(state.to) ? "INPUT" : "FORWARD";
      const [filtered = ""] = this.#builtIn("filter", hook, state, way.marked).map(
        ({ verdict = "ACCEPT" }) => verdict,
      );
      if (filtered !== "ACCEPT") {
        end(filtered.toLowerCase(), way.odds);
        continue;
      }
      const after = this.#builtIn("nat", "POSTROUTING", state, way.marked);
      const masqueraded = after.some(({ verdict }) => verdict?.startsWith("MASQUERADE"));
      end(`${endpoint ?? "untranslated"}${masqueraded ? "*" : ""}`, way.odds);
    }
    return odds;
  }

  /** The jumps of a built-in chain; each was inserted at the top. */
  #builtIn(table: "nat" | "filter", hook: string, state: State, marked: boolean): Outcome[] {
    const rules = this.#ruleset.jumps
      .filter((jump) => jump.table === table && jump.from === hook)
      .map(({ rule }) => rule)
      .reverse();
    return this.#run(table, rules, state, marked);
  }

  #chain(table: "nat" | "filter", chain: string, state: State, marked: boolean): Outcome[] {
    const text = this.#ruleset.chains[table].get(chain);
    if (text === undefined) throw new Error(`a rule leads to ${chain}, which does not exist`);
    return this.#run(table, text === "" ? [] : text.split("\n"), state, marked);
  }

  #run(
    table: "nat" | "filter",
    rules: readonly string[],
    state: State,
    marked: boolean,
  ): Outcome[] {
    let left: { odds: number; marked: boolean }[] = [{ odds: 1, marked }];
    const ended: Outcome[] = [];
    for (const rule of rules) {
      const next: typeof left = [];
      for (const one of left) {
        this.lookups++;
        const { chance, target } = this.#match(rule, state, one.marked);
        if (chance < 1) next.push({ ...one, odds: one.odds * (1 - chance) });
        if (chance === 0) continue;
        const odds = one.odds * chance;
        if (target === "MARK set") next.push({ odds, marked: true });
        else if (target === "MARK clear") next.push({ odds, marked: false });
        else if (/^(DNAT|MASQUERADE|ACCEPT|DROP|REJECT)/.test(target)) {
          ended.push({ odds, marked: one.marked, verdict: target });
        } else if (target === "RETURN") ended.push({ ...one, odds, verdict: undefined });
        else {
          for (const way of this.#chain(table, target, state, one.marked)) {
            if (way.verdict === undefined) next.push({ odds: odds * way.odds, marked: way.marked });
            else ended.push({ ...way, odds: odds * way.odds });
          }
        }
      }
      left = merge(next);
    }
    return [...ended, ...left.map((one) => ({ ...one, verdict: undefined }))];
  }

  #match(rule: string, state: State, marked: boolean): { chance: number; target: string } {
    const words = [...rule.matchAll(/"(?:[^"\\]|\\.)*"|\S+/g)].map(([word]) => word);
    let chance = 1;
    let not = false;
    const must = (holds: boolean) => {
      if (holds === not) chance = 0;
      not = false;
    };
    for (let i = 0; i < words.length; i++) {
      const argument = words[i + 1] ?? "";
      switch (words[i]) {
        case "!":
          not = true;
          continue;
        case "-s":
          must(matches(argument, state.from));
          break;
        case "-d":
          must(matches(argument, state.to));
          break;
        case "-i":
          must(
            argument.endsWith("+")
              ? (state.interface ?? "").startsWith(argument.slice(0, -1))
              : state.interface === argument,
          );
          break;
        case "-o":
          must((this.#walker.local.includes(state.to) ? "lo" : "eth0") === argument);
          break;
        case "-p":
          must(state.protocol === argument);
          break;
        case "--dport": {
          const [first, last = first] = argument.split(":").map(Number);
          must(state.port >= (first ?? 0) && state.port <= (last ?? 0));
          break;
        }
        case "--mark":
          must(marked);
          break;
        case "--ctstate":
          must(
            argument
              .split(",")
              .some((one) => one === "NEW" || (one === "DNAT" && state.translated)),
          );
          break;
        case "--src-type":
          must(this.#walker.local.includes(state.from));
          break;
        case "--dst-type":
          must(this.#walker.local.includes(state.to));
          break;
        case "--probability":
          chance *= Number(argument);
          break;
        case "--rcheck":
          must((this.#walker.remembered ?? []).includes(words[words.indexOf("--name") + 1] ?? ""));
          continue;
        case "-m":
        case "--comment":
        case "--mode":
        case "--name":
        case "--seconds":
        case "--mask":
          break;
        case "--set":
        case "--reap":
        case "--rsource":
          continue;
        case "-j":
          return { chance, target: targetOf(words.slice(i + 1)) };
        default:
          throw new Error(`a rule has a word that is not known here: ${words[i]} in ${rule}`);
      }
      i++;
    }
    throw new Error(`a rule has no target: ${rule}`);
  }
}

/** `range`: an address with a prefix length or a mask. */
function matches(range: string, address: string): boolean {
  const [wanted = "", mask = ""] = range.split("/");
  if (/^\d+$/.test(mask)) return cidrContains(parseRange(range), parseIp(address));
  const [bits, found] = [parseIp(mask).bytes, parseIp(address).bytes];
  return parseIp(wanted).bytes.every((byte, i) => byte === ((found[i] ?? 0) & (bits[i] ?? 0)));
}

function targetOf([target = "", , value = ""]: readonly string[]): string {
  if (target === "DNAT") return `DNAT ${value}`;
  if (target === "MARK") return value.startsWith("0x0/") ? "MARK clear" : "MARK set";
  return target;
}

function merge(ways: readonly { odds: number; marked: boolean }[]) {
  return [true, false].flatMap((marked) => {
    const odds = ways.reduce((sum, one) => sum + (one.marked === marked ? one.odds : 0), 0);
    return odds === 0 ? [] : [{ odds, marked }];
  });
}
