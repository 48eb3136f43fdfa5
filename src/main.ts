/** The program: arguments, wiring, signals. Everything that decides something is elsewhere. */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import corePath from "../asm/out/core.release.wasm" with { type: "file" };
import { adminDue } from "./admin/due.ts";
import { cleanUp } from "./apply/cleanup.ts";
import { lockNetworkNamespace } from "./apply/lock.ts";
import { createNftablesBackend } from "./apply/nftables/backend.ts";
import { type Command, parseArguments, usage, versionText } from "./cli.ts";
import { systemClock } from "./clock.ts";
import { resolveConfig } from "./config/resolve.ts";
import type { Config } from "./config.ts";
import { createCore } from "./core/create.ts";
import { messageOf } from "./errors.ts";
import { createLogger, type Logger, writeStderr } from "./log.ts";
import { MemoryKeeper, releaseProgramText } from "./memory.ts";
import { startProxy } from "./proxy.ts";
import { createView } from "./view.ts";

/** Set by build.ts; a run from source has none. */
declare const SLUICE_VERSION: string | undefined;
const VERSION = typeof SLUICE_VERSION === "string" ? SLUICE_VERSION : "from source";

/** SIGHUP too: a terminal that closes must not end the program without a word. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/** As long as a timer can be. */
const FOREVER_MS = 2 ** 31 - 1;

async function main(): Promise<void> {
  const command = parseArguments(process.argv.slice(2));
  switch (command.kind) {
    case "help":
      process.stdout.write(usage());
      return;
    case "version":
      process.stdout.write(versionText(VERSION, command.raw));
      return;
    case "cleanup":
      await cleanup();
      return;
    case "run":
      await run(command.flags);
  }
}

async function cleanup(): Promise<void> {
  const backend = createNftablesBackend({
    masqueradeBit: 0,
    masqueradeAll: false,
    dropInvalid: false,
    counters: false,
    detector: { kind: "cidr" },
  });
  const { removeKubeProxyRules } = await import("./apply/kube-proxy/remove.ts");
  const removeOthers = () => removeKubeProxyRules({ clock: systemClock });
  // Its waits between two transactions hold no process alive.
  const alive = setInterval(() => {}, FOREVER_MS);
  const { removed, notes, failures } = await cleanUp(backend, removeOthers);
  clearInterval(alive);
  backend.close();
  const lines = [...removed.map((what) => `Removed ${what}`), ...notes];
  if (lines.length === 0 && failures.length === 0) lines.push("There was nothing to remove");
  for (const line of lines) process.stdout.write(`${line}\n`);
  for (const { message } of failures) process.stderr.write(`sluice: ${message}\n`);
  if (failures.length > 0) process.exitCode = 1;
}

async function run(flags: Extract<Command, { kind: "run" }>["flags"]): Promise<void> {
  const { config, notes } = await resolveConfig(flags, (path) => readFile(path, "utf8"));
  const log = logger(config);
  log.info("Starting", { version: VERSION });
  for (const { severity, message, fields } of notes) log[severity](message, fields);

  const unlock = lockNetworkNamespace();
  const nodeName = (config.hostnameOverride || hostname()).trim().toLowerCase();
  const module = new WebAssembly.Module(await readFile(corePath));
  const core = createCore(module, {
    seed: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    nodeName,
  });
  const fatal = (error: unknown) => {
    log.error("Cannot go on; the rules stay as they are", error);
    process.exit(1);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  // Timers and sockets here hold no process alive: while everything waits to try again, this does.
  setInterval(() => {}, FOREVER_MS);
  releaseProgramText();
  const memory = new MemoryKeeper(systemClock);
  const proxy = await startProxy({
    config,
    core,
    log,
    nodeName,
    clock: systemClock,
    random: Math.random,
    environment: process.env,
    onSynced: (operations) => memory.worked(operations),
    onFatal: fatal,
  });
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info("Stopping; the rules stay in the kernel", { signal });
    proxy.stop();
    unlock();
    process.exit(0);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, () => stop(signal));

  await adminDue({
    firstSync: proxy.firstSync,
    connected: () => proxy.source.status().connected,
    clock: systemClock,
  });
  const view = createView({
    proxy,
    version: VERSION,
    now: () => systemClock.now(),
  });
  const { startAdmin } = await import("./admin/start.ts");
  startAdmin({
    view,
    metrics: proxy.metrics,
    healthChecks: proxy.healthChecks,
    nodePortAddresses: () => proxy.inputs.listenAddresses(),
    problems: (events) => proxy.problems.report(events),
    clock: systemClock,
    log,
    onFatal: fatal,
  });
}

function logger(config: Config): Logger {
  const { verbosity, logFormat: format } = config;
  const now = () => systemClock.now();
  return createLogger({ verbosity, format, now, write: writeStderr, pid: process.pid });
}

main().catch((error: unknown) => {
  process.stderr.write(`sluice: ${messageOf(error)}\n`);
  process.exit(1);
});
