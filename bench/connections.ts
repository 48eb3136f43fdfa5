/**
 * Measures what the rules of two builds cost a new connection. A pod sends single datagrams, each
 * from another port, through a node in network namespaces. Each run has a world for each set of
 * rules, and the worlds take turns.
 *
 * usage: npm run bench -- --connections --against BINARY [--runs 10]
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import {
  addressOf,
  clusterIp,
  FAMILIES,
  type Family,
  type Pod,
} from "../harness/netns/addresses.ts";
import { BACKENDS, type Backend, iptables, variantOf } from "../harness/netns/backends.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../harness/netns/program.ts";
import { World } from "../harness/netns/world.ts";
import { service, slices } from "../harness/netns/world-objects.ts";
import { HAIRPIN } from "../src/iptables/syntax/known-chains.ts";
import { hairpinChain } from "../src/nftables/ruleset/hairpin.ts";
import { type DatagramRequest, SERVER_PORT } from "./first-datagrams.ts";
import { LineChild } from "./line-child.ts";
import { quantile } from "./measures.ts";

/** `bare`: this build without the rules that compare both ends of a connection. */
const SIDES = ["other", "ours", "bare"] as const;
type Side = (typeof SIDES)[number];
/** Values of each kind of connection. */
type Costs = readonly Readonly<Record<Side, number[]>>[];

/** Nanoseconds of one kind of connection: the median, and the differences. */
export interface ConnectionFigures {
  readonly about: string;
  readonly ours: number;
  readonly oursMinusOther: CostDifference;
  readonly oursMinusBare: CostDifference;
}

/** The median of the differences run by run, and its standard error. */
export interface CostDifference {
  readonly median: number;
  readonly error: number;
}

export interface Builds {
  readonly ours: string;
  readonly other: string;
}

/** With the interquartile range and the root of the number of runs: the error of a median. */
const ERROR_FACTOR = 0.93;
const TURNS = 8;
const DATAGRAMS = 2000;
const FIRST_PORT = 10_000;
const SERVERS: readonly Pod[] = ["a1", "a2", "b1"];

/** The clusterIP with the number 1 leads to the first of the servers, and so on. */
const DESTINATIONS: readonly (readonly [string, (family: Family) => string])[] = [
  ["no Service, pod on this node", (family) => addressOf("a2", family)],
  ["no Service, pod on another node", (family) => addressOf("b1", family)],
  ["endpoint on this node", (family) => clusterIp(2, family)],
  ["endpoint on another node", (family) => clusterIp(3, family)],
  ["the calling pod itself", (family) => clusterIp(1, family)],
];

/** Each destination has its own ports, so that two never lead to the same connection. */
const KINDS = DESTINATIONS.flatMap(([about, to], index) =>
  FAMILIES.map((family) => ({
    about: `${about} (IPv${family})`,
    request: {
      to: to(family),
      firstPort: FIRST_PORT + index * DATAGRAMS,
      count: DATAGRAMS,
    } satisfies DatagramRequest,
  })),
);

/** Measures each kind of connection with each backend. */
export async function measureConnections(
  runs: number,
  builds: Builds,
): Promise<readonly ConnectionFigures[]> {
  const figures: ConnectionFigures[] = [];
  for (const backend of BACKENDS) {
    const costs = emptyCosts();
    for (let run = 0; run < runs; run++) {
      const measured = await measureRun(backend, run, builds);
      for (const [kind, of] of costs.entries()) {
        for (const side of SIDES) of[side].push(quantile(measured[kind]?.[side] ?? [], 0.5));
      }
      writeSync(2, `\r${backend}: run ${run + 1} of ${runs}`);
    }
    writeSync(2, "\n");
    for (const [kind, { about }] of KINDS.entries()) {
      const { ours = [], other = [], bare = [] } = costs[kind] ?? {};
      figures.push({
        about: `${backend}: ${about}`,
        ours: quantile(ours, 0.5),
        oursMinusOther: differenceOf(ours, other),
        oursMinusBare: differenceOf(ours, bare),
      });
    }
  }
  return figures;
}

function emptyCosts(): Costs {
  return KINDS.map(() => ({ other: [], ours: [], bare: [] }));
}

async function measureRun(backend: Backend, run: number, builds: Builds): Promise<Costs> {
  const sides = run % 2 === 0 ? SIDES : SIDES.toReversed();
  const places: (readonly [Side, MeasuredWorld])[] = [];
  const costs = emptyCosts();
  try {
    for (const side of sides) {
      const binary = side === "other" ? builds.other : builds.ours;
      const place = await MeasuredWorld.build(backend, binary);
      places.push([side, place]);
      if (side === "bare") await place.emptyHairpins();
    }
    // The first turn warms up.
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [side, place] of places) {
        await place.forgetConnections();
        for (const [kind, { request }] of KINDS.entries()) {
          const ns = await place.ask(request);
          if (turn > 0) costs[kind]?.[side].push(ns);
        }
      }
    }
    return costs;
  } finally {
    for (const [, place] of places) await place.close();
  }
}

/** A world with the rules of a build. No process repairs them. */
class MeasuredWorld {
  readonly #world: World;
  readonly #backend: Backend;
  readonly #children: LineChild[] = [];
  #client: LineChild | undefined;

  private constructor(world: World, backend: Backend) {
    this.#world = world;
    this.#backend = backend;
  }

  static async build(backend: Backend, binary: string): Promise<MeasuredWorld> {
    const made = new MeasuredWorld(await World.build({ prefix: "sl-bench" }), backend);
    try {
      await made.#start(binary);
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  async #start(binary: string): Promise<void> {
    const program = new SluiceProcess(this.#world, { backend: this.#backend });
    const ports = [{ port: SERVER_PORT, target: SERVER_PORT, protocol: "UDP" as const }];
    for (const [index, place] of SERVERS.entries()) {
      const number = index + 1;
      const name = `s${number}`;
      program.put([service({ name, number, ports }), ...slices(name, [place], { ports })]);
      await this.#child(place, "server");
    }
    this.#client = await this.#child("a1", "client");
    await program.start(DEFAULT_FLAGS, binary);
    await program.stop();
  }

  async #child(place: Pod, role: "client" | "server"): Promise<LineChild> {
    const script = join(import.meta.dir, "first-datagrams.ts");
    const child = new LineChild(this.#world.inside(place, [process.execPath, script, role]));
    this.#children.push(child);
    if ((await child.line()) !== "ready") throw new Error(`the ${role} in ${place} ended`);
    return child;
  }

  async emptyHairpins(): Promise<void> {
    const variant = variantOf(this.#backend);
    for (const family of FAMILIES) {
      if (variant !== undefined) {
        await iptables(this.#world, variant, family, "-t", "nat", "-F", HAIRPIN);
        continue;
      }
      const chain = ["inet", "sluice", hairpinChain(family)];
      await this.#world.run("node1", ["nft", "flush", "chain", ...chain]);
    }
  }

  async forgetConnections(): Promise<void> {
    await this.#world.run("node1", ["conntrack", "-F"]);
  }

  /** Nanoseconds of each connection. */
  async ask(request: DatagramRequest): Promise<number> {
    return (await this.#client?.ask(request)) ?? Number.NaN;
  }

  async close(): Promise<void> {
    for (const each of this.#children) each.kill();
    await this.#world.close();
  }
}

function differenceOf(ours: readonly number[], others: readonly number[]): CostDifference {
  const differences = ours.map((ns, run) => ns - (others[run] ?? Number.NaN));
  const range = quantile(differences, 0.75) - quantile(differences, 0.25);
  return {
    median: quantile(differences, 0.5),
    error: (ERROR_FACTOR * range) / Math.sqrt(differences.length),
  };
}
