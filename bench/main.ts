/**
 * Measures dist/sluice, and optionally kube-proxy, with a real API server on a real kernel.
 *
 * bench/run.sh starts it and has the usage.
 *
 * Prints a table for each size and writes bench/results/TIME.json. Compare only figures of one run,
 * because they depend on the machine.
 *
 * Memory is listed by kind. Anonymous memory is the process's own. File-backed memory is mostly
 * program text, which the kernel can drop and read again. Sluice releases its text when it has been
 * idle for a second, so its file-backed memory is small between changes. The kernel records one
 * peak, of all kinds together. Peaks of one kind are samples every 20 ms and may be too low.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startControlPlane } from "../harness/cluster/control-plane.ts";
import { clusterIp, createNode, loadObjects } from "../harness/cluster/many-objects.ts";
import { runAsync } from "../harness/commands.ts";
import { type Comparison, compareBuilds } from "./against.ts";
import { Commits } from "./commits.ts";
import { type ConnectionFigures, measureConnections } from "./connections.ts";
import { type ConntrackFigures, measureConntrack } from "./conntrack.ts";
import { measureDrift, type RepairFigures } from "./drift.ts";
import { type ForwardingFigures, measureForwarding } from "./forwarding.ts";
import { type IptablesResult, measureIptables } from "./iptables.ts";
import { type Figures, measure, measureStart } from "./measures.ts";
import { measurePieces, type Piece } from "./micro.ts";
import {
  type Contestant,
  NODE,
  removeAllRules,
  sluice,
  upstream,
  writeConfiguration,
} from "./proxies.ts";
import {
  comparisonTable,
  connectionsTable,
  conntrackTable,
  forwardingTable,
  iptablesTable,
  piecesTable,
  repairsTable,
  table,
} from "./report.ts";

const root = join(import.meta.dir, "..");
const UPSTREAM_MAX = 10_000;
const UPSTREAM_CHANGES = 20;
const CHANGES = 200;
const IPTABLES_CHANGES = 50;
const COMPARED_CHANGES = 50;

const OPTIONS = {
  sizes: { type: "string", default: "100,1000,10000" },
  large: { type: "boolean", default: false },
  endpoints: { type: "string", default: "5" },
  changes: { type: "string" },
  upstream: { type: "boolean", default: false },
  "only-upstream": { type: "boolean", default: false },
  against: { type: "string" },
  runs: { type: "string", default: "10" },
  micro: { type: "boolean", default: false },
  drift: { type: "boolean", default: false },
  iptables: { type: "boolean", default: false },
  conntrack: { type: "boolean", default: false },
  forwarding: { type: "boolean", default: false },
  connections: { type: "boolean", default: false },
  entries: { type: "string", default: "10000,1000000" },
} as const;

function readOptions() {
  const { values } = parseArgs({ options: OPTIONS });
  for (const name of ["endpoints", "changes", "runs", "sizes", "entries"] as const) {
    const isList = name === "sizes" || name === "entries";
    const numbers = isList ? values[name].split(",") : [values[name] ?? "1"];
    if (numbers.every((number) => /^[1-9]\d*$/.test(number))) continue;
    const rule = isList ? "numbers above 0, separated by commas" : "a number above 0";
    throw new Error(`--${name}: invalid value "${values[name]}": must be ${rule}`);
  }
  if (values.connections && values.against === undefined) {
    throw new Error("--connections: needs --against");
  }
  return values;
}

function optionsOrExit(): ReturnType<typeof readOptions> {
  try {
    return readOptions();
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error} (see --help)\n`);
    process.exit(2);
  }
}

const options = optionsOrExit();
const sizes = options.sizes.split(",").map(Number);
if (options.large) sizes.push(50_000);
const endpoints = Number(options.endpoints);

interface Result {
  readonly services: number;
  readonly endpoints: number;
  readonly proxy: string;
  readonly figures: Figures;
}

async function measureSize(services: number, versions: Map<string, string>): Promise<Result[]> {
  const plane = await startControlPlane();
  const results: Result[] = [];
  try {
    await createNode(plane.api, NODE, plane.netns.address);
    await loadObjects(plane, services, endpoints);
    writeConfiguration(plane);
    const contestants: Contestant[] = [];
    if (!options["only-upstream"]) contestants.push(sluice(root));
    if ((options.upstream || options["only-upstream"]) && services <= UPSTREAM_MAX) {
      contestants.push(upstream(plane));
    }
    for (const contestant of contestants) {
      versions.set(contestant.name, await contestant.version());
      await removeAllRules(plane);
      const startUnwatched = await measureStart(plane, contestant, services);
      await removeAllRules(plane);
      const commits = await Commits.watch(plane.netns.name, clusterIp(0), services);
      const slow = contestant.name !== "sluice" && services >= 1000;
      const changes = slow ? UPSTREAM_CHANGES : Number(options.changes ?? CHANGES);
      const bench = { plane, services, endpoints, changes, commits };
      try {
        const figures = { startUnwatched, ...(await measure(bench, contestant)) };
        results.push({ services, endpoints, proxy: contestant.name, figures });
      } finally {
        commits.stop();
      }
    }
  } finally {
    await plane.stop();
  }
  return results;
}

/** Compares this build with another one, in turn. */
async function measureAgainst(services: number, executable: string): Promise<Comparison> {
  const plane = await startControlPlane();
  try {
    await createNode(plane.api, NODE, plane.netns.address);
    await loadObjects(plane, services, endpoints);
    writeConfiguration(plane);
    const changes = Number(options.changes ?? COMPARED_CHANGES);
    const runs = Number(options.runs);
    const other = { ...sluice(root), name: "other", executable };
    return await compareBuilds({ plane, services, endpoints, changes, runs }, sluice(root), other);
  } finally {
    await plane.stop();
  }
}

/** Measures repairs of foreign changes at this number of Services. */
async function measureRepairs(services: number): Promise<RepairFigures[]> {
  const plane = await startControlPlane();
  try {
    await createNode(plane.api, NODE, plane.netns.address);
    await loadObjects(plane, services, endpoints);
    writeConfiguration(plane);
    const commits = await Commits.watch(plane.netns.name, clusterIp(0), services);
    try {
      return await measureDrift({ plane, services, endpoints, changes: 0, commits }, sluice(root));
    } finally {
      commits.stop();
    }
  } finally {
    await plane.stop();
  }
}

const versions = new Map<string, string>();
const results: Result[] = [];
const pieces: Piece[] = [];
const repairs: { [size: string]: readonly RepairFigures[] } = {};
const connections: ConntrackFigures[] = [];
const comparisons: { [size: string]: Comparison } = {};
const iptables: IptablesResult[] = [];
for (const entries of options.conntrack ? options.entries.split(",").map(Number) : []) {
  const measured = await measureConntrack(root, entries);
  if (typeof measured === "string") console.log(`\n${entries} connections: skipped: ${measured}`);
  else connections.push(measured);
}
if (connections.length > 0) console.log(`\n${conntrackTable(connections)}`);
const forwarding: ForwardingFigures[] = [];
if (options.forwarding) {
  const runs = Number(options.runs);
  const other = options.against === undefined ? undefined : resolve(options.against);
  forwarding.push(...(await measureForwarding(runs, other)));
  console.log(`\n${forwardingTable(runs, forwarding)}`);
}
const newConnections: ConnectionFigures[] = [];
if (options.connections) {
  const runs = Number(options.runs);
  const builds = { ours: sluice(root).executable, other: resolve(options.against ?? "") };
  newConnections.push(...(await measureConnections(runs, builds)));
  console.log(`\n${connectionsTable(runs, newConnections)}`);
}
const isOnePart = options.conntrack || options.forwarding || options.connections;
for (const services of isOnePart ? [] : sizes) {
  if (options.micro) {
    const measured = await measurePieces(services, endpoints);
    pieces.push(...measured);
    console.log(`\n${piecesTable(measured)}`);
    continue;
  }
  if (options.drift) {
    const size = `${services} × ${endpoints}`;
    const measured = await measureRepairs(services);
    repairs[size] = measured;
    console.log(`\n${repairsTable(size, measured)}`);
    continue;
  }
  if (options.against !== undefined) {
    const comparison = await measureAgainst(services, resolve(options.against));
    comparisons[`${services} × ${endpoints}`] = comparison;
    console.log(`\n${comparisonTable(`${services} × ${endpoints}`, comparison)}`);
    continue;
  }
  if (options.iptables) {
    const ours = !options["only-upstream"];
    const measured = await measureIptables(
      root,
      {
        services,
        endpoints,
        ours,
        upstream: options.upstream || !ours,
        changes: Number(options.changes ?? IPTABLES_CHANGES),
      },
      versions,
    );
    iptables.push(...measured);
    console.log(`\n${iptablesTable(`${services} × ${endpoints}`, measured)}`);
    continue;
  }
  const measured = await measureSize(services, versions);
  results.push(...measured);
  const columns = measured.map(({ proxy, figures }) => [proxy, figures] as const);
  console.log(`\n${table(`${services} × ${endpoints}`, columns)}`);
}

const machine = {
  kernel: release(),
  processors: cpus().length,
  processor: cpus()[0]?.model ?? "",
  bun: Bun.version,
  nft: (await runAsync(["nft", "--version"])).trim(),
  kubernetes: /k8s\.io\/kubernetes (v[\d.]+)/.exec(
    readFileSync(join(root, "harness/cluster/go.mod"), "utf8"),
  )?.[1],
  programs: Object.fromEntries(versions),
};
console.log(`\n${JSON.stringify(machine, undefined, 1)}`);
const folder = join(root, "bench/results");
mkdirSync(folder, { recursive: true });
const path = join(folder, `${new Date().toISOString().replaceAll(":", "-")}.json`);
writeFileSync(
  path,
  JSON.stringify(
    {
      machine,
      results,
      pieces,
      repairs,
      connections,
      newConnections,
      forwarding,
      iptables,
      comparisons,
    },
    undefined,
    1,
  ),
);
console.log(relative(root, path));
process.exit(0);
