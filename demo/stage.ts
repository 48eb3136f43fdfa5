/** The world of the demo, with the program and its manifests. */
import { closeSync, cpSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { BINARY } from "../harness/binary.ts";
import { FAMILIES, type Family } from "../harness/netns/addresses.ts";
import { DEFAULT_FLAGS } from "../harness/netns/program.ts";
import { World } from "../harness/netns/world.ts";
import { memoryOf, type ProcessMemory } from "../harness/process-memory.ts";
import { GaveUp, withTimeout } from "./wait.ts";

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
const KILL_LIMIT_MS = 5000;
const SYNC_LIMIT_MS = 5000;
const TRY_MS = 20;
/** These ports are below the range that the kernel assigns. */
const FIRST_SOURCE_PORT = 10_000;

/** The latest sync as the program reports it: when it ended, and its duration in milliseconds. */
export interface Sync {
  readonly at: number;
  readonly durationMs: number;
  readonly kernelMs: number;
}

interface State {
  readonly lastSync: { readonly at: string; durationMs: number; kernelMs: number } | null;
}

/** Milliseconds since the epoch, with fractions; the same clock as in a Reply. */
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

  /** The command line of the program, without its namespace. */
  command(): string[] {
    const own = ["--manifests", this.manifests, "--hostname-override", "node1"];
    return [BINARY, ...own, ...DEFAULT_FLAGS];
  }

  /** Starts the program and waits until Services answer and the program is healthy. */
  async start(): Promise<{ servesAfter: number; healthyAfter: number }> {
    const began = now();
    const log = openSync(this.log, "a");
    this.child = Bun.spawn(this.world.inside("node1", this.command()), {
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
    let awaited = "answering";
    const ready = async () => {
      for (const family of FAMILIES) await this.wait(() => this.answers(family));
      const servesAfter = now() - began;
      awaited = "healthy";
      await this.wait(() => this.healthy());
      return { servesAfter, healthyAfter: now() - began };
    };
    const soFar = () => `it is not ${awaited}; its log:\n${this.logText()}`;
    return withTimeout(START_LIMIT_MS, "start the program", ready(), soFar);
  }

  /** Kills it, to simulate a crash. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    const ended = Promise.resolve(this.child?.exited);
    await withTimeout(KILL_LIMIT_MS, "wait for the program to exit after kill -9", ended);
  }

  /** Memory of the program while it runs. */
  memory(): ProcessMemory {
    return memoryOf(Number(this.child?.pid));
  }

  /** GET from a server of the program: health (10256), metrics and admin (10249). */
  get(port: number, path: string): Promise<{ status: number; body: string }> {
    return this.world.switchboard.http(this.world.namespace("node1"), "127.0.0.1", port, path);
  }

  /** Returns the first sync that ended after a moment (of `now`). */
  syncAfter(moment: number): Promise<Sync> {
    const asked = async (): Promise<Sync> => {
      for (;;) {
        const { body } = await this.get(10249, "/sluice/v1/state");
        const { lastSync }: State = JSON.parse(body);
        const at = Date.parse(lastSync?.at ?? "");
        // The program reports whole milliseconds.
        if (lastSync !== null && at >= Math.floor(moment)) return { ...lastSync, at };
        await Bun.sleep(1);
      }
    };
    return withTimeout(SYNC_LIMIT_MS, "wait for a sync after a change", asked());
  }

  /** Replaces a manifest by rename, as an editor does. Returns the time of the change. */
  edit(file: string, change: (text: string) => string): number {
    const path = join(this.manifests, file);
    const draft = join(this.world.directory, "draft");
    writeFileSync(draft, change(readFileSync(path, "utf8")));
    const at = now();
    renameSync(draft, path);
    return at;
  }

  private async wait(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition())) {
      if (this.child?.exitCode !== null) {
        throw new GaveUp(`start the program: it exited; its log:\n${this.logText()}`);
      }
      await Bun.sleep(1);
    }
  }

  private logText(): string {
    return readFileSync(this.log, "utf8");
  }

  private async answers(family: Family): Promise<boolean> {
    // A connection before the rules exist leaves an untranslated flow. Its source port must be one
    // that no other client gets by chance.
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
