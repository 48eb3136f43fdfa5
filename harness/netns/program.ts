/** Runs the program under test on node1 of a world, with a directory of manifests as its source. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { BINARY } from "../binary.ts";
import { CLUSTER_CIDR, clusterIp, FAMILIES } from "./addresses.ts";
import { type Backend, flagsOf, variantOf } from "./backends.ts";
import { FakeToolFolder, type FakeToolOptions } from "./iptables-tools.ts";
import type { Outcome } from "./switchboard/switchboard-client.ts";
import type { World } from "./world.ts";
import { commonObjects, type Manifest, service, slices } from "./world-objects.ts";

/** Flags of a node with the ClusterCIDR detector. */
export const DEFAULT_FLAGS: readonly string[] = [
  "--cluster-cidr",
  FAMILIES.map((family) => CLUSTER_CIDR[family]).join(","),
];

const BARRIER = "zz-barrier";
const BARRIER_FIRST = 50_000;
/** Without endpoints. */
const REFUSED = "zz-refused";
const REFUSED_FIRST = 55_000;
const BARRIER_TIMEOUT_MS = 15;
const GIVE_UP_MS = 20_000;

export interface ProgramOptions {
  /** Words of a command line that run another one, here the program. */
  readonly wrapper?: readonly string[];
  /** Flags that select a backend; none by default. */
  readonly backend?: Backend;
  /** The iptables tools that it finds; by default only the ones for the backend. */
  readonly tools?: FakeToolOptions;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** A problem as the admin API shows it. */
export interface ListedProblem {
  readonly code: string;
  readonly subject: string;
  readonly field: string;
  readonly message: string;
}

export class SluiceProcess {
  readonly manifests: string;
  readonly logFile: string;
  readonly backend: Backend;
  /** Undefined if the program must find the system's tools. */
  readonly fakeTools: FakeToolFolder | undefined;
  private readonly world: World;
  private readonly wrapper: readonly string[];
  private readonly objects = new Map<string, Manifest>();
  private child: Subprocess | undefined;
  private generation = 0;
  private flags: readonly string[] = DEFAULT_FLAGS;

  constructor(world: World, options: ProgramOptions = {}) {
    const { wrapper = [], backend = "nftables" } = options;
    const variant = variantOf(backend);
    const tools = options.tools ?? (variant && { variants: [variant] });
    this.world = world;
    this.backend = backend;
    this.fakeTools = tools && new FakeToolFolder(world, tools);
    this.wrapper = [...(this.fakeTools?.wrapper ?? []), ...wrapper];
    this.manifests = join(world.directory, "manifests");
    this.logFile = join(world.directory, "log");
    mkdirSync(this.manifests);
    this.put(commonObjects());
  }

  /** Adds objects to the manifests; the program sees them at `untilSettled`. */
  put(objects: readonly Manifest[]): void {
    for (const each of objects) this.objects.set(keyOf(each), each);
  }

  /** Removes objects again. */
  remove(objects: readonly Manifest[]): void {
    for (const each of objects) this.objects.delete(keyOf(each));
  }

  /** Starts it and waits until the manifests are in force. `binary`: see `spawn`. */
  async start(flags: readonly string[] = this.flags, binary = BINARY): Promise<void> {
    this.write();
    this.spawn(flags, binary);
    await this.untilInForce();
  }

  /** Starts it without waiting. `binary` may be another version. */
  spawn(flags: readonly string[] = this.flags, binary = BINARY): void {
    this.flags = flags;
    const log = openSync(this.logFile, "a");
    const command = this.command(flags, binary);
    this.child = Bun.spawn(command, { stdin: "ignore", stdout: log, stderr: log });
    closeSync(log);
  }

  /** The command line that runs it on node1. */
  command(flags: readonly string[] = this.flags, binary = BINARY): string[] {
    const own = ["--manifests", this.manifests, "--hostname-override", "node1"];
    return this.commandOnNode([binary, ...own, ...flagsOf(this.backend), ...flags]);
  }

  /** The command line that runs a command on node1 in the program's environment. */
  commandOnNode(command: readonly string[]): string[] {
    return this.world.inside("node1", [...this.wrapper, ...command]);
  }

  /** Writes the objects and waits until they are in force. */
  async untilSettled(): Promise<void> {
    this.write();
    await this.untilInForce();
  }

  /**
   * Writes all objects into one file, followed by a Service that did not exist before. When that
   * Service answers, all objects are in force.
   */
  write(): void {
    this.generation += 1;
    const barrier = { name: BARRIER, number: BARRIER_FIRST + this.generation };
    const refused = { name: REFUSED, number: REFUSED_FIRST + this.generation };
    const port = { port: 1, target: 9090 };
    const all = [
      ...this.objects.values(),
      service({ ...barrier, ports: [port] }),
      ...slices(BARRIER, ["a1"], { ports: [port] }),
      ...(variantOf(this.backend) === undefined ? [] : [service({ ...refused, ports: [port] })]),
    ];
    const text = all.map((each) => `${JSON.stringify(each)}\n`).join("---\n");
    const draft = join(this.world.directory, "draft");
    writeFileSync(draft, text);
    renameSync(draft, join(this.manifests, "world.yaml"));
  }

  /** Waits until the last written objects are in force. */
  async untilInForce(): Promise<void> {
    await this.untilRunning(BARRIER_FIRST, "answered");
    // iptables has two tables, and the one that refuses comes last.
    if (variantOf(this.backend) !== undefined) await this.untilRunning(REFUSED_FIRST, "refused");
  }

  /** Waits until nothing is on its way to the kernel or back. */
  async untilAtRest(): Promise<void> {
    const time = (body: string, what: string) =>
      Number(new RegExp(`_${what}_timestamp_seconds\\{\\S* (\\S+)`).exec(body)?.[1]);
    const until = performance.now() + GIVE_UP_MS;
    for (;;) {
      const { body } = await this.get("/metrics");
      if (time(body, "rules_last") >= time(body, "last_queued")) return;
      if (performance.now() > until) throw new Error(`It did not come to rest:\n${this.log()}`);
      await Bun.sleep(BARRIER_TIMEOUT_MS);
    }
  }

  private async untilRunning(first: number, wanted: Outcome): Promise<void> {
    const until = performance.now() + GIVE_UP_MS;
    for (const family of FAMILIES) {
      const address = clusterIp(first + this.generation, family);
      const timeoutMs = BARRIER_TIMEOUT_MS;
      for (;;) {
        const { outcome } = await this.world.connect("a2", address, 1, { timeoutMs });
        if (outcome === wanted) break;
        if (this.child?.exitCode !== null || performance.now() > until) {
          throw new Error(
            `The manifests were not in force after ${GIVE_UP_MS} ms, exit code ${this.child?.exitCode}:\n${this.log()}`,
          );
        }
        if (outcome !== "timeout") await Bun.sleep(BARRIER_TIMEOUT_MS);
      }
    }
  }

  get pid(): number {
    return this.child?.pid ?? -1;
  }

  /** Ends it by a signal and returns its exit status. */
  async stop(signal: "SIGTERM" | "SIGINT" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    this.child?.kill(signal);
    await this.child?.exited;
    return this.child?.exitCode ?? null;
  }

  /** Waits until it exits, and returns its exit status. */
  async exited(): Promise<number | null> {
    await this.child?.exited;
    return this.child?.exitCode ?? null;
  }

  /** Its complete output. */
  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  /**
   * GET from its health server (10256) or its metrics and admin server (10249). They listen some
   * time after the first Service answers, so this waits for them.
   */
  async get(path: string, port = 10249): Promise<HttpAnswer> {
    for (const until = performance.now() + GIVE_UP_MS; ; await Bun.sleep(BARRIER_TIMEOUT_MS)) {
      try {
        return await this.getOnce(path, port);
      } catch (error) {
        const ended = this.child?.exitCode !== null || this.child.signalCode !== null;
        if (ended || performance.now() > until) throw error;
      }
    }
  }

  /**
   * The problems that it lists. Without CAP_SYS_RESOURCE on the testing machine, it cannot set
   * oom_score_adj; that one is left out.
   */
  async problems(): Promise<ListedProblem[]> {
    const { body } = await this.get("/sluice/v1/problems");
    const all: ListedProblem[] = JSON.parse(body).problems;
    return all.filter(({ field }) => field !== "oomScoreAdj");
  }

  /** Like `get`. @throws if nothing listens */
  getOnce(path: string, port = 10249): Promise<HttpAnswer> {
    return this.world.switchboard.http(this.world.namespace("node1"), "127.0.0.1", port, path);
  }
}

/** The ruleset in the kernel of node1: `nft list ruleset`. */
export function ruleset(world: World): Promise<string> {
  return world.run("node1", ["nft", "list", "ruleset"]);
}

function keyOf(object: Manifest): string {
  return `${object.kind}/${object.metadata.name}`;
}
