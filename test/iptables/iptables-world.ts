/**
 * Runs a proxy without an API server over the real tables of iptables, while the test changes them
 * with iptables.
 */
import { onTestFinished } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../harness/commands.ts";
import { type FakeClock, RealLoopClock } from "../../harness/fakes/fake-clock.ts";
import { type SyncWorld, service, slice, worldOf } from "../../harness/sync/sync-world.ts";
import type { Adoption } from "../../src/backend/backend.ts";
import type { ForeignChange } from "../../src/backend/drift.ts";
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { CHANGE_COUNTER_POLL_MS } from "../../src/base/limits.ts";
import type { LogFields, Logger } from "../../src/base/log.ts";
import {
  createIptablesBackend,
  type IptablesBackend,
} from "../../src/iptables/iptables-backend.ts";
import type { Variant } from "../../src/iptables/syntax/known-chains.ts";
import { type Cidr, parseCidr } from "../../src/net/address.ts";
import type { RepairReport } from "../../src/sync/repair-log.ts";

export const VARIANTS: readonly Variant[] = ["legacy", "nft"];
const TOOLS = ["iptables", "ip6tables"] as const;
const TABLES = ["nat", "filter", "mangle"] as const;

export const OPTIONS: SkeletonOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: false,
  localhostNodePorts: false,
  detector: {
    kind: "cidr",
    ipv4: parseCidr("10.244.0.0/16") as Cidr,
    ipv6: parseCidr("fd00:10:244::/48") as Cidr,
  },
};

/** Tools of one variant that record their calls and can be made to fail. */
export class RealToolFolder {
  readonly folder = mkdtempSync(join(tmpdir(), "sluice-xt-"));
  readonly #variant: Variant;
  readonly #log = join(this.folder, "log");

  constructor(variant: Variant) {
    this.#variant = variant;
    onTestFinished(() => rmSync(this.folder, { recursive: true }));
    for (const tool of TOOLS)
      for (const suffix of ["", "-save", "-restore"]) this.real(tool, suffix);
  }

  /** Makes the tool work normally again. */
  real(tool: (typeof TOOLS)[number], suffix: string): void {
    this.fake(tool, suffix, "");
  }

  /**
   * Runs this script before the tool does its work; it may exit. `$INPUT` is a file with the input
   * of iptables-restore.
   */
  fake(tool: (typeof TOOLS)[number], suffix: string, script: string): void {
    const name = `${tool}-${this.#variant}${suffix}`;
    const input = join(this.folder, `${name}.input`);
    const body =
      suffix === "-restore"
        ? `INPUT=${input}\ncat > $INPUT\n${script}\nexec /usr/sbin/${name} "$@" < $INPUT`
        : `${script}\nexec /usr/sbin/${name} "$@"`;
    const path = join(this.folder, name);
    writeFileSync(path, `#!/bin/sh\necho "${name} $*" >> ${this.#log}\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** The calls since the last one: `iptables-legacy-restore`. */
  runs(): string[] {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, "utf8").split("\n") : [];
    rmSync(this.#log, { force: true });
    return lines.filter(Boolean).map((line) => line.split(" ", 1)[0] ?? "");
  }

  /** The last input of iptables-restore for one family. */
  input(tool: (typeof TOOLS)[number] = "iptables"): string {
    return readFileSync(join(this.folder, `${tool}-${this.#variant}-restore.input`), "utf8");
  }
}

export interface IptablesWorld extends SyncWorld<IptablesBackend> {
  readonly fakeTools: RealToolFolder;
  readonly variant: Variant;
  readonly adoption: Adoption;
  readonly options: SkeletonOptions;
  /** By the detector's clock, in ms. */
  detectorTime(): number;
  /** The detector's reports. */
  readonly changes: ForeignChange[];
  /** Messages at info and above. */
  readonly logged: string[];
  /** The output of `iptables-save` for a table, without comments and counters. */
  saved(table: string, tool?: "iptables" | "ip6tables"): string;
  /** Another program runs the tool with these arguments. */
  iptables(...args: string[]): string;
  /** Runs a check of the detector and the sync that it requires. Undefined: it found nothing. */
  repair(): Promise<RepairReport | undefined>;
}

export interface WorldOptions {
  readonly options?: Partial<SkeletonOptions>;
  readonly fakeTools?: RealToolFolder;
  /** Not yet synced. */
  readonly unsynced?: boolean;
  readonly objects?: (world: Pick<SyncWorld, "put" | "remove">) => void;
}

export async function iptablesWorld(
  variant: Variant,
  {
    options = {},
    fakeTools = new RealToolFolder(variant),
    unsynced = false,
    objects = fill,
  }: WorldOptions = {},
): Promise<IptablesWorld> {
  const detectorClock = new RealLoopClock();
  const logged: string[] = [];
  const backend = createIptablesBackend(
    { ...OPTIONS, ...options },
    { clock: detectorClock, log: remember(logged), search: { folders: [fakeTools.folder] } },
  );
  onTestFinished(() => backend.close());
  await backend.probe();
  let starting: Promise<Adoption> | Adoption | undefined;
  const start = backend.start.bind(backend);
  backend.start = (core) => {
    starting = start(core);
    return starting;
  };
  const world = worldOf(backend);
  const adoption = (await starting) as Adoption;
  const changes: ForeignChange[] = [];
  objects(world);
  if (!unsynced) {
    await world.sync();
    backend.watch((change) => changes.push(change));
  }
  return {
    ...world,
    fakeTools,
    variant,
    adoption,
    changes,
    logged,
    options: { ...OPTIONS, ...options },
    detectorTime: () => detectorClock.monotonic(),
    saved: (table, tool) => saved(variant, table, tool),
    iptables: (...args) => run(`iptables-${variant}`, "-w", "5", ...args),
    async repair() {
      changes.length = 0;
      await watched(detectorClock, changes);
      if (changes.length === 0) return undefined;
      changes.length = 0;
      world.verify();
      await world.sync();
      return world.reports.at(-1)?.repair;
    },
  };
}

/** Advances time until the detector has compared everything once, or found that unnecessary. */
async function watched(clock: FakeClock, reported: readonly unknown[]): Promise<void> {
  // Only the detector uses this clock. While it compares, its timer is not set.
  while (clock.waiting > 0 && reported.length === 0) await clock.advance(CHANGE_COUNTER_POLL_MS);
  while (clock.waiting === 0) {
    await new Promise(setImmediate);
    await clock.advance(0);
  }
}

/** The output of iptables-save for a table, without comments and counters. */
export function saved(
  variant: Variant,
  table: string,
  tool: "iptables" | "ip6tables" = "iptables",
): string {
  return run(`${tool}-${variant}-save`, "-t", table)
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\[\d+:\d+\]/g, "[0:0]");
}

/** Resets both variants to an unused state. */
export function clearTables(): void {
  run("nft", "flush", "ruleset");
  for (const tool of TOOLS) {
    for (const table of TABLES) {
      run(`${tool}-legacy`, "-t", table, "-F");
      run(`${tool}-legacy`, "-t", table, "-X");
    }
  }
}

/** A Service for each kind of chain. */
export function fill(world: Pick<SyncWorld, "put">): void {
  const port = { name: "http", protocol: "TCP", port: 80 };
  const many: readonly [JsonObject, JsonObject][] = [
    [
      service("web", "10.96.0.1"),
      slice("web-1", "web", ["10.244.0.1!", "10.244.1.1", "10.244.1.2"]),
    ],
    [
      service("sticky", "10.96.0.2", {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
      }),
      slice("sticky-1", "sticky", ["10.244.0.2!", "10.244.1.3"]),
    ],
    [
      service("outside", "10.96.0.3", {
        type: "NodePort",
        externalTrafficPolicy: "Local",
        externalIPs: ["198.51.100.3"],
        ports: [{ ...port, nodePort: 30080 }],
      }),
      slice("outside-1", "outside", ["10.244.0.3!"]),
    ],
    [service("idle", "10.96.0.4"), slice("idle-1", "idle", [])],
    [service("six", "fd00:96::1"), slice("six-1", "six", ["fd00:10:244::1!", "fd00:10:244:1::1"])],
  ];
  for (const [one, endpoints] of many) {
    world.put("Service", one);
    world.put("EndpointSlice", endpoints);
  }
}

function remember(logged: string[]): Logger {
  const reported = new Set<string>();
  const put = (message: string, fields: LogFields = {}) => {
    logged.push(`${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = {
    verbosity: 0,
    info: put,
    warn: put,
    error: put,
    debug: () => {},
    firstTime: (key) => !reported.has(key) && Boolean(reported.add(key)),
    rearm: (key) => void reported.delete(key),
    from: () => logger,
  };
  return logger;
}
