/**
 * Measures what the rules of two builds cost a new connection. A pod sends single datagrams, each
 * from another port, through a node in network namespaces. Both builds write their rules in turn.
 *
 * usage: npm run bench -- --connections --against BINARY [--runs 30]
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

/**
 * Nanoseconds of one kind of connection: medians. `bare` is this build without the rules that
 * compare both ends of a connection.
 */
export interface ConnectionFigures {
  readonly about: string;
  readonly other: number;
  readonly ours: number;
  readonly bare: number;
  /** Medians of the differences run by run. */
  readonly oursMinusOther: number;
  readonly oursMinusBare: number;
}

const SIDES = ["other", "ours", "bare"] as const;
type Side = (typeof SIDES)[number];

const DATAGRAMS = 5000;
const SERVERS: readonly Pod[] = ["a1", "a2", "b1"];

interface Kind {
  readonly about: string;
  readonly to: (family: Family) => string;
}

/** The clusterIP with the number 1 leads to the first of the servers, and so on. */
const KINDS: readonly Kind[] = [
  { about: "no Service, pod on this node", to: (family) => addressOf("a2", family) },
  { about: "no Service, pod on another node", to: (family) => addressOf("b1", family) },
  { about: "endpoint on this node", to: (family) => clusterIp(2, family) },
  { about: "endpoint on another node", to: (family) => clusterIp(3, family) },
  { about: "the calling pod itself", to: (family) => clusterIp(1, family) },
];

/** Measures each kind of connection with each backend. */
export async function measureConnections(
  runs: number,
  builds: { readonly ours: string; readonly other: string },
): Promise<readonly ConnectionFigures[]> {
  const figures: ConnectionFigures[] = [];
  for (const backend of BACKENDS) figures.push(...(await measureBackend(backend, runs, builds)));
  return figures;
}

async function measureBackend(
  backend: Backend,
  runs: number,
  builds: { readonly ours: string; readonly other: string },
): Promise<readonly ConnectionFigures[]> {
  const world = await World.build({ prefix: "sl-bench" });
  const children: LineChild[] = [];
  const start = async (place: Pod, role: "client" | "server") => {
    const script = join(import.meta.dir, "first-datagrams.ts");
    const child = new LineChild(world.inside(place, [process.execPath, script, role]));
    children.push(child);
    if ((await child.line()) !== "ready") throw new Error(`the ${role} in ${place} ended`);
    return child;
  };
  try {
    const program = new SluiceProcess(world, { backend });
    const ports = [{ port: SERVER_PORT, target: SERVER_PORT, protocol: "UDP" as const }];
    for (const [index, place] of SERVERS.entries()) {
      const number = index + 1;
      const name = `s${number}`;
      program.put([service({ name, number, ports }), ...slices(name, [place], { ports })]);
      await start(place, "server");
    }
    const client = await start("a1", "client");
    const rows = KINDS.flatMap(({ about, to }) =>
      FAMILIES.map((family) => ({
        about: `${backend}: ${about} (IPv${family})`,
        to: to(family),
        costs: { other: [] as number[], ours: [] as number[], bare: [] as number[] },
      })),
    );
    const askAll = async (run: number, side: Side) => {
      for (const { to, costs } of rows) {
        await world.run("node1", ["conntrack", "-F"]);
        const request: DatagramRequest = { to, count: DATAGRAMS };
        const ns = await client.ask(request);
        // The first run warms up.
        if (run > 0) costs[side].push(ns);
      }
    };
    for (let run = 0; run <= runs; run++) {
      for (const side of run % 2 === 0 ? SIDES : SIDES.toReversed()) {
        await program.start(DEFAULT_FLAGS, side === "other" ? builds.other : builds.ours);
        // The rules stay, and nobody repairs them.
        await program.stop();
        if (side === "bare") await emptyHairpins(world, backend);
        await askAll(run, side);
        const cleanup = program.commandOnNode([builds.ours, "--cleanup"]);
        await Bun.spawn(cleanup, { stdio: ["ignore", "ignore", "inherit"] }).exited;
      }
      writeSync(2, `\r${backend}: run ${run} of ${runs}`);
    }
    writeSync(2, "\n");
    return rows.map(({ about, costs }) => summary(about, costs));
  } finally {
    for (const each of children) each.kill();
    await world.close();
  }
}

async function emptyHairpins(world: World, backend: Backend): Promise<void> {
  const variant = variantOf(backend);
  for (const family of FAMILIES) {
    if (variant === undefined) {
      await world.run("node1", ["nft", "flush", "chain", "inet", "sluice", hairpinChain(family)]);
    } else await iptables(world, variant, family, "-t", "nat", "-F", HAIRPIN);
  }
}

function summary(about: string, costs: Readonly<Record<Side, number[]>>): ConnectionFigures {
  const { other, ours, bare } = costs;
  const difference = (from: readonly number[]) =>
    quantile(
      ours.map((ns, run) => ns - (from[run] ?? Number.NaN)),
      0.5,
    );
  return {
    about,
    other: quantile(other, 0.5),
    ours: quantile(ours, 0.5),
    bare: quantile(bare, 0.5),
    oursMinusOther: difference(other),
    oursMinusBare: difference(bare),
  };
}
