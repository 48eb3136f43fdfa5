/** The world of the demo, the program in it, and its manifests. */
import { closeSync, cpSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { FAMILIES, type Family, type Place } from "../test/netns/addresses.ts";
import type { Reply } from "../test/netns/board.ts";
import { BINARY, DEFAULT_FLAGS } from "../test/netns/program.ts";
import { World } from "../test/netns/world.ts";

/** Addresses of the manifests. */
export const WEB = {
  clusterIP: { 4: "10.96.0.10", 6: "fd00:10:96::10" },
  loadBalancer: { 4: "203.0.113.10", 6: "2001:db8:3::10" },
  node: { 4: "192.0.2.1", 6: "2001:db8:1::1" },
  nodePort: 30080,
} as const;
export const CART: Readonly<Record<Family, string>> = { 4: "10.96.0.20", 6: "fd00:10:96::20" };
export const SOON: Readonly<Record<Family, string>> = { 4: "10.96.0.30", 6: "fd00:10:96::30" };

const START_LIMIT_MS = 20_000;
const TRY_MS = 20;
/** Below those that the kernel hands out. */
const FIRST_SOURCE_PORT = 10_000;
/** With three endpoints the chance that none of so many meets one of them is (2/3)^100: never. */
const LATEST = 100;

/** Milliseconds since the epoch, with fractions; the same clock as that of a Reply. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export class Stage {
  readonly world: World;
  readonly manifests: string;
  private readonly log: string;
  private child: Subprocess | undefined;
  private sourcePort = FIRST_SOURCE_PORT;

  private constructor(world: World) {
    this.world = world;
    this.manifests = join(world.directory, "manifests");
    this.log = join(world.directory, "log");
    cpSync(join(import.meta.dir, "manifests"), this.manifests, { recursive: true });
  }

  static async build(): Promise<Stage> {
    return new Stage(await World.build({ prefix: "sluice" }));
  }

  /** The command line of the program, without the namespace it runs in. */
  command(): string[] {
    const own = ["--manifests", this.manifests, "--hostname-override", "node1"];
    return [BINARY, ...own, ...DEFAULT_FLAGS];
  }

  /** Starts the program and waits until Services answer and it says that it is healthy. */
  async start(): Promise<{ servesAfter: number; healthyAfter: number }> {
    const began = now();
    const log = openSync(this.log, "a");
    this.child = Bun.spawn(this.world.inside("node1", this.command()), {
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
    for (const family of FAMILIES) await this.wait(began, () => this.answers(family));
    const servesAfter = now() - began;
    await this.wait(began, () => this.healthy());
    return { servesAfter, healthyAfter: now() - began };
  }

  /** Kills it as a crash would. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.child?.exited;
  }

  /** Resident memory of the program in MB. */
  memory(): number {
    const status = readFileSync(`/proc/${this.child?.pid}/status`, "utf8");
    return Number(/VmRSS:\s*(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }

  /** GET from a server of the program: health (10256), metrics and admin (10249). */
  get(port: number, path: string): Promise<{ status: number; body: string }> {
    return this.world.board.http(this.world.namespace("node1"), "127.0.0.1", port, path);
  }

  /** Replaces a manifest, by rename as an editor does; when that was. */
  edit(file: string, change: (text: string) => string): number {
    const path = join(this.manifests, file);
    const draft = join(this.world.directory, "draft");
    writeFileSync(draft, change(readFileSync(path, "utf8")));
    const at = now();
    renameSync(draft, path);
    return at;
  }

  private async wait(began: number, condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition())) {
      if (this.child?.exitCode !== null || now() - began > START_LIMIT_MS) {
        throw new Error(`Cannot start ${BINARY}: it says:\n${readFileSync(this.log, "utf8")}`);
      }
      await Bun.sleep(1);
    }
  }

  private async answers(family: Family): Promise<boolean> {
    // A connection that is tried before there are rules leaves a flow without translation behind; its
    // source port is one that no other client gets by chance.
    this.sourcePort += 1;
    const options = { patience: TRY_MS, sourcePort: this.sourcePort };
    const { outcome } = await this.world.connect("a3", WEB.clusterIP[family], 80, options);
    return outcome === "answered";
  }

  private async healthy(): Promise<boolean> {
    try {
      return (await this.get(10256, "/healthz")).status === 200;
    } catch {
      return false; // Nothing listens yet.
    }
  }
}

/** Clients that connect without a pause, each from its place, until they are stopped. */
export class Stream {
  readonly replies: Reply[] = [];
  private running = true;
  private readonly clients: Promise<void>[];

  constructor(world: World, targets: readonly { from: Place; address: string; port: number }[]) {
    this.clients = targets.map(async ({ from, address, port }) => {
      while (this.running) this.replies.push(await world.connect(from, address, port));
    });
  }

  /** Waits until `count` more connections are through. */
  async more(count: number): Promise<void> {
    const until = this.replies.length + count;
    while (this.replies.length < until) await Bun.sleep(1);
  }

  /** Waits until the latest connections are as wanted, or it takes too long. */
  async until(isSo: (latest: readonly Reply[]) => boolean, limit: number): Promise<void> {
    const end = now() + limit;
    do await this.more(LATEST);
    while (!isSo(this.replies.slice(-LATEST)) && now() < end);
  }

  async stop(): Promise<readonly Reply[]> {
    this.running = false;
    await Promise.all(this.clients);
    return this.replies;
  }
}

/** Counts of who answered; outcomes where nobody did. */
export function count(replies: readonly Reply[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const reply of replies) {
    const name = reply.outcome === "answered" ? reply.name : reply.outcome;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return new Map([...counts].sort(([one], [other]) => one.localeCompare(other)));
}
