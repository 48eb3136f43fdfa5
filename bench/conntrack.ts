/**
 * Measures the cost of a pass over the kernel's connections, and of a change during the pass. It
 * runs dist/sluice with a directory of manifests, in a network namespace with a full conntrack
 * table.
 *
 * usage: npm run bench -- --conntrack [--entries 10000,1000000]
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runAsync } from "../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../harness/daemon.ts";
import { memoryOf } from "../harness/process-memory.ts";
import { Commits } from "./commits.ts";
import { cpuOf, quantile } from "./measures.ts";
import { MARKS } from "./monitor.ts";

/** Milliseconds, mebibytes and counts, for one size of the kernel's table. */
export interface ConntrackFigures {
  readonly entries: number;
  /**
   * A pass over UDP and TCP on an idle node: its duration, and the time that it blocked the event
   * loop.
   */
  readonly passMs: number;
  readonly loopMs: number;
  /** Processor time of the process for it, including the kernel's work. */
  readonly cpuMs: number;
  /** Number of entries that the kernel returned, and number of deleted ones. */
  readonly read: number;
  readonly deleted: number;
  /** Resident memory that it added at its peak. */
  readonly memory: number;
  /** From a manifest's change to the kernel's notification: without a pass, and during one. */
  readonly quietP50: number;
  readonly quietP99: number;
  readonly quietChanges: number;
  readonly meanwhileP50: number;
  readonly meanwhileP99: number;
  readonly meanwhileMax: number;
  readonly meanwhileChanges: number;
}

const MAX = "/proc/sys/net/netfilter/nf_conntrack_max";
const NODE = "bench-node";
/** The clusterIP of the Service `watched`, the destination of all entries. */
const ADDRESS = "10.96.0.10";
const CHANGING = 20;
const ENDPOINTS = [1, 2, 3, 4, 5].map((last) => `10.244.1.${last}`);
const PATIENCE_MS = 60_000;
const QUIET_CHANGES = 100;
const WARM_CHANGES = 5;
const BETWEEN_MS = 10;
/** Room for the machine's own connections. */
const SLACK = 20_000;

/** One pass, as the log reports it. */
interface Pass {
  readonly entries: number;
  readonly deleted: number;
  readonly busyMs: number;
  readonly durationMs: number;
}

/**
 * Measures one size.
 *
 * @returns the reason instead of figures if this machine cannot hold as many entries
 */
export async function measureConntrack(
  root: string,
  entries: number,
): Promise<ConntrackFigures | string> {
  const before = readFileSync(MAX, "utf8").trim();
  const wanted = Math.max(Number(before), entries + SLACK);
  try {
    if (wanted > Number(before)) writeFileSync(MAX, String(wanted));
  } catch (error) {
    return `${MAX} is ${before} and cannot be set to ${wanted}: ${String(error)}`;
  }
  const restore = () => writeFileSync(MAX, before);
  process.once("exit", restore);
  const bench = await Bench.start(root);
  try {
    return await bench.measure(entries);
  } finally {
    await bench.stop();
    process.off("exit", restore);
    restore();
  }
}

class Bench {
  readonly #netns: string;
  readonly #folder: string;
  readonly #commits: Commits;
  readonly #daemon: Daemon;
  /** Endpoints of the changing Services. There are enough Services that none becomes large. */
  readonly #changing: readonly string[][] = Array.from({ length: CHANGING }, () => []);
  #mark = 0;

  private constructor(netns: string, folder: string, commits: Commits, daemon: Daemon) {
    this.#netns = netns;
    this.#folder = folder;
    this.#commits = commits;
    this.#daemon = daemon;
  }

  static async start(root: string): Promise<Bench> {
    const netns = `sl-conntrack-${process.pid}`;
    run("ip", "netns", "add", netns);
    run("ip", "-n", netns, "link", "set", "lo", "up");
    const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
    const manifests = join(folder, "manifests");
    mkdirSync(manifests);
    const commits = await Commits.watch(netns, ADDRESS, 1);
    const flags = ["--cluster-cidr=10.244.0.0/16", "--conntrack-max-per-core=0", "-v=2"];
    const daemon = startDaemon(
      netns,
      [
        join(root, "dist/sluice"),
        `--manifests=${manifests}`,
        `--hostname-override=${NODE}`,
        ...flags,
      ],
      join(folder, "log"),
    );
    const bench = new Bench(netns, folder, commits, daemon);
    bench.#lead(ENDPOINTS);
    await bench.#change();
    return bench;
  }

  async measure(entries: number): Promise<ConntrackFigures> {
    await runAsync([
      ...[...inNamespace(this.#netns), process.execPath],
      ...[join(import.meta.dir, "conntrack-entries.ts"), `${entries}`, ADDRESS, ...ENDPOINTS],
    ]);
    const quiet = await this.#changes(QUIET_CHANGES, () => false);

    await this.#rest(entries);
    const { pid } = this.#daemon;
    // The idle program also released its own text from memory, and a pass does not cause that.
    await this.#changes(WARM_CHANGES, () => false);
    // Resets the recorded peak (proc(5), clear_refs).
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
    const resident = memoryOf(pid).resident;
    const cpu = cpuOf(pid);
    const alone = await this.#pass(ENDPOINTS.slice(1));
    const cpuMs = cpuOf(pid) - cpu;
    const memory = memoryOf(pid).peak - resident;

    const meanwhile: number[] = [];
    for (const from of [2, 3, 4]) {
      await this.#rest(entries);
      let over = false;
      const pass = this.#pass(ENDPOINTS.slice(from)).finally(() => {
        over = true;
      });
      meanwhile.push(...(await this.#changes(Number.POSITIVE_INFINITY, () => over)));
      await pass;
    }
    return {
      entries,
      passMs: alone.durationMs,
      loopMs: alone.busyMs,
      cpuMs,
      read: alone.entries,
      deleted: alone.deleted,
      memory,
      quietP50: quantile(quiet, 0.5),
      quietP99: quantile(quiet, 0.99),
      quietChanges: quiet.length,
      meanwhileP50: quantile(meanwhile, 0.5),
      meanwhileP99: quantile(meanwhile, 0.99),
      meanwhileMax: Math.max(...meanwhile),
      meanwhileChanges: meanwhile.length,
    };
  }

  async stop(): Promise<void> {
    await this.#daemon.stop();
    this.#commits.stop();
    await runAsync(["ip", "netns", "del", this.#netns]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Replaces the endpoints of the Service that owns the entries. A pass follows. */
  async #pass(endpoints: readonly string[]): Promise<Pass> {
    const known = this.#passes().length;
    this.#lead(endpoints);
    return this.#nextPass(known);
  }

  async #nextPass(known: number): Promise<Pass> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const pass = this.#passes()
        .slice(known)
        .find(({ deleted }) => deleted > 0);
      if (pass !== undefined) return pass;
      if (performance.now() > deadline) throw new Error(`No pass:\n${this.#daemon.tail()}`);
      await Bun.sleep(BETWEEN_MS);
    }
  }

  #passes(): Pass[] {
    const lines = readFileSync(this.#daemon.log, "utf8").split("\n");
    return lines.flatMap((line) => {
      if (!line.includes("Checked conntrack entries")) return [];
      const number = (name: string) => Number(new RegExp(`\\b${name}=([\\d.]+)`).exec(line)?.[1]);
      return [
        {
          entries: number("entries"),
          deleted: number("deleted"),
          busyMs: number("busyMs"),
          durationMs: number("durationMs"),
        },
      ];
    });
  }

  /**
   * Makes changes one after the other, up to a number or until the end. Returns the time of each.
   */
  async #changes(most: number, over: () => boolean): Promise<number[]> {
    const elapsed: number[] = [];
    while (elapsed.length < most && !over()) {
      elapsed.push(await this.#change());
      await Bun.sleep(BETWEEN_MS);
    }
    return elapsed;
  }

  /** Adds a new endpoint to a Service. This requests no pass. */
  async #change(): Promise<number> {
    const mark = ++this.#mark;
    const before = this.#commits.count;
    const endpoint = [...MARKS, mark >> 8, mark & 255].join(".");
    const number = mark % CHANGING;
    const endpoints = this.#changing[number] as string[];
    endpoints.push(endpoint);
    const begun = now();
    this.#write(`changing-${number}`, `10.96.1.${number + 1}`, endpoints);
    const commit = await this.#commits.find(before, PATIENCE_MS, ({ marks }) =>
      marks.includes(mark),
    );
    return commit.at - begun;
  }

  /** Waits until the passes for earlier changes are over, including the pause after them. */
  async #rest(entries: number): Promise<void> {
    for (let seen = -1; seen !== this.#passes().length; ) {
      seen = this.#passes().length;
      await Bun.sleep(REST_MS + entries * REST_MS_PER_ENTRY);
    }
  }

  #lead(endpoints: readonly string[]): void {
    this.#write("watched", ADDRESS, endpoints);
  }

  #write(name: string, address: string, endpoints: readonly string[]): void {
    const objects = [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace: "default", name },
        spec: {
          type: "ClusterIP",
          clusterIP: address,
          clusterIPs: [address],
          ports: [
            { name: "http", protocol: "TCP", port: 80 },
            ...(name === "watched" ? [{ name: "dns", protocol: "UDP", port: 53 }] : []),
          ],
        },
      },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        addressType: "IPv4",
        metadata: {
          namespace: "default",
          name: `${name}-1`,
          labels: { "kubernetes.io/service-name": name },
        },
        ports: [
          { name: "http", protocol: "TCP", port: 8080 },
          { name: "dns", protocol: "UDP", port: 5353 },
        ],
        endpoints: endpoints.map((each) => ({ addresses: [each], conditions: { ready: true } })),
      },
    ];
    const draft = join(this.#folder, "draft");
    writeFileSync(draft, objects.map((each) => JSON.stringify(each)).join("\n---\n"));
    renameSync(draft, join(this.#folder, "manifests", `${name}.yaml`));
  }
}

/** Longer than a pass and the pause after it. */
const REST_MS = 1000;
const REST_MS_PER_ENTRY = 0.008;

/** Milliseconds since the epoch, with fractions, comparable between processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
