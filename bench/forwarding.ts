/**
 * Measures what the filter hooks of the nftables rules cost a packet: one that the node forwards,
 * and one that it sends. Pods and the node send small datagrams and open connections, with the
 * rules of dist/sluice in network namespaces. The same flows are measured with and without the
 * hooks, and on demand with the rules of another build, in turn.
 *
 * usage: npm run bench -- --forwarding [--against BINARY] [--runs 30]
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { addressOf, clusterIp } from "../harness/netns/addresses.ts";
import { SluiceProcess } from "../harness/netns/program.ts";
import { World } from "../harness/netns/world.ts";
import { service, slices } from "../harness/netns/world-objects.ts";
import { ANSWERED_PORT, CONNECT_PORT, type FloodRequest, UNANSWERED_PORT } from "./flood.ts";
import { LineChild } from "./line-child.ts";
import { quantile } from "./measures.ts";

/** The rules that are in the kernel during a measurement. */
type Rules = "hooks" | "no hooks" | "other build";

/** Nanoseconds of one kind of packet or connection: medians. */
export interface ForwardingFigures {
  readonly about: string;
  readonly hooks: number;
  /** The other rules, and the medians of the differences to them, run by run. */
  readonly others: readonly {
    readonly rules: Rules;
    readonly ns: number;
    readonly difference: number;
  }[];
}

const TABLE = ["inet", "sluice"];
const HOOKS = ["filter-forward", "filter-output"];
const SERVICE = clusterIp(1, 4);
const ESTABLISHED = { what: "answered", count: 200_000 } as const;
const NEW = { what: "unanswered", count: 200_000 } as const;
const CONNECTIONS = { what: "connect", count: 5000 } as const;

/** The pod a1 talks to the Service, the node to the pod a3. Both also connect to the pod a2. */
const KINDS: readonly (readonly [string, "a1" | "node1", FloodRequest])[] = [
  ["forwarded packet of an established connection", "a1", ESTABLISHED],
  ["forwarded datagram of a flow without replies", "a1", NEW],
  ["forwarded new TCP connection to a Service", "a1", CONNECTIONS],
  ["the same to a pod", "a1", { ...CONNECTIONS, to: addressOf("a2", 4) }],
  ["sent packet of an established connection", "node1", ESTABLISHED],
  ["sent datagram of a flow without replies", "node1", NEW],
  ["sent new TCP connection to a Service", "node1", { ...CONNECTIONS, to: SERVICE }],
  ["the same to a pod", "node1", { ...CONNECTIONS, to: addressOf("a2", 4) }],
];

/** Measures each kind of packet. `other` is the binary of the other build. */
export async function measureForwarding(
  runs: number,
  other: string | undefined,
): Promise<readonly ForwardingFigures[]> {
  const world = await World.build({ prefix: "sl-bench" });
  const children: LineChild[] = [];
  try {
    const ports = [
      { name: "answered", port: ANSWERED_PORT, target: ANSWERED_PORT, protocol: "UDP" },
      { name: "unanswered", port: UNANSWERED_PORT, target: UNANSWERED_PORT, protocol: "UDP" },
      { name: "connect", port: CONNECT_PORT, target: CONNECT_PORT },
    ] as const;
    const name = "flood";
    const program = new SluiceProcess(world);
    program.put([service({ name, number: 1, ports }), ...slices(name, ["a2"], { ports })]);
    const rules = new KernelRules(world, program, other);
    await rules.change("hooks");
    // Clients reuse their ports, because they open more connections than there are ports.
    for (const place of ["a1", "node1"] as const) {
      const namespace = world.namespace(place);
      await world.switchboard.command({
        do: "sysctl",
        namespace,
        values: { "ipv4/tcp_tw_reuse": "1" },
      });
    }
    const child = async (place: "a1" | "a2" | "a3" | "node1", ...words: string[]) => {
      const made = new LineChild(world.inside(place, floodCommand(words)));
      children.push(made);
      if ((await made.line()) !== "ready") throw new Error(`flood ${words[0]}: it ended`);
      return made;
    };
    await child("a2", "server", addressOf("a1", 4));
    await child("a3", "server", addressOf("node1", 4));
    const clients = {
      a1: await child("a1", "client", SERVICE),
      node1: await child("node1", "client", addressOf("a3", 4)),
    };
    return await compare(clients, rules, runs);
  } finally {
    for (const each of children) each.kill();
    await world.close();
  }
}

function floodCommand(words: readonly string[]): string[] {
  return [process.execPath, join(import.meta.dir, "flood.ts"), ...words];
}

/** Changes the rules in the kernel. No process runs meanwhile, so nobody repairs them. */
class KernelRules {
  readonly all: readonly Rules[];
  readonly #world: World;
  readonly #program: SluiceProcess;
  readonly #other: string | undefined;
  #current: Rules = "no hooks";

  constructor(world: World, program: SluiceProcess, other: string | undefined) {
    this.#world = world;
    this.#program = program;
    this.#other = other;
    this.all = ["hooks", "no hooks", ...(other === undefined ? [] : (["other build"] as const))];
  }

  async change(next: Rules): Promise<void> {
    if (next === this.#current) return;
    // Neither build adopts the layout of the other.
    await this.#nft("add", "table", ...TABLE);
    await this.#nft("delete", "table", ...TABLE);
    await this.#program.start(undefined, next === "other build" ? this.#other : undefined);
    await this.#program.stop();
    if (next === "no hooks") {
      for (const chain of HOOKS) {
        await this.#nft("flush", "chain", ...TABLE, chain);
        await this.#nft("delete", "chain", ...TABLE, chain);
      }
    }
    this.#current = next;
  }

  #nft(...words: string[]): Promise<string> {
    return this.#world.run("node1", ["nft", ...words]);
  }
}

async function compare(
  clients: Readonly<Record<"a1" | "node1", LineChild>>,
  rules: KernelRules,
  runs: number,
): Promise<readonly ForwardingFigures[]> {
  const costs = KINDS.map(() => new Map(rules.all.map((each) => [each, [] as number[]])));
  // The first run warms up.
  for (let run = 0; run <= runs; run++) {
    for (const each of run % 2 === 0 ? rules.all : rules.all.toReversed()) {
      await rules.change(each);
      for (const [index, [, client, request]] of KINDS.entries()) {
        const ns = await clients[client].ask(request);
        if (run > 0) costs[index]?.get(each)?.push(ns);
      }
    }
    writeSync(2, `\rrun ${run} of ${runs}`);
  }
  writeSync(2, "\n");
  return KINDS.map(([about], index) => summary(about, costs[index] ?? new Map()));
}

function summary(about: string, costs: ReadonlyMap<Rules, readonly number[]>): ForwardingFigures {
  const hooks = costs.get("hooks") ?? [];
  const others = [...costs].filter(([rules]) => rules !== "hooks");
  return {
    about,
    hooks: quantile(hooks, 0.5),
    others: others.map(([rules, values]) => ({
      rules,
      ns: quantile(values, 0.5),
      difference: quantile(
        hooks.map((ns, run) => ns - (values[run] ?? Number.NaN)),
        0.5,
      ),
    })),
  };
}
