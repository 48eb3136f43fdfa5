/**
 * Starts the program as a daemon: creates everything in dependency order and serves until a signal
 * ends it.
 */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import corePath from "../../asm/out/core.release.wasm" with { type: "file" };
import { type Clock, systemClock, TIMER_MS_MAX } from "../base/clock.ts";
import { SluiceError } from "../base/errors.ts";
import { createLogger, type Logger, type LogRoot } from "../base/log.ts";
import { logSettings } from "../config/config.ts";
import { type ConfigWarning, hostWarnings, warningsForMode } from "../config/config-warnings.ts";
import type { FlagValues } from "../config/flag-values.ts";
import { type ResolvedConfig, resolveConfig } from "../config/resolve-config.ts";
import type { Core } from "../core/core.ts";
import { createCore } from "../core/create.ts";
import { EventOutbox } from "../events/events.ts";
import { HostSettings, initializeHost } from "../host/host-settings.ts";
import { lockNetworkNamespace } from "../host/namespace-lock.ts";
import { SystemdNotifier } from "../host/systemd-notify.ts";
import { userAgent } from "../observe/build-info.ts";
import { MemoryReclaimer } from "../os/memory.ts";
import { StderrWriter } from "../os/stderr-writer.ts";
import { ProblemRegistry } from "../problems/problem-registry.ts";
import { waitUntilAdminIsDue } from "./admin-due.ts";
import { needsRouteLocalnet } from "./backend-options.ts";
import { BackgroundServices } from "./background.ts";
import { chooseBackend } from "./choose-backend.ts";
import { chooseSource } from "./choose-source.ts";
import { startProxy } from "./proxy.ts";
import { logProblem, Telemetry } from "./telemetry.ts";

/** SIGHUP is included so that Sluice logs its end when its terminal closes. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * Resolves when everything has been started. The program then serves until a signal ends it.
 * @throws SluiceError for anything that prevents the start
 */
export async function serve(flags: FlagValues, version: string): Promise<void> {
  const clock = systemClock;
  const resolved = await resolveConfig(flags, (path) => readFile(path, "utf8"));
  const { config } = resolved;
  const log = createLog(resolved, version, clock);
  const unlock = lockNetworkNamespace();
  const events = new EventOutbox(() => clock.now());
  const onFatal = exitOnFatal(log);
  const nodeName = (config.hostnameOverride || hostname()).trim().toLowerCase();
  const memory = new MemoryReclaimer(clock);
  const core = await loadCore(nodeName);
  memory.phaseEnded();

  const telemetry = new Telemetry({ config, core, clock, log });
  const shared = { config, core, clock, log, nodeName, telemetry };
  const { createSource, access } = await chooseSource({
    ...shared,
    random: Math.random,
    environment: process.env,
    meter: telemetry.metrics.restClient,
    userAgent: userAgent(version),
  });
  const host = new HostSettings({ clock, log, problems: telemetry.reportProblems });
  host.adjustOomScore(config.oomScoreAdj);
  // From here on, startup may wait for other processes, so signals need a handler.
  const setStop = stopOnSignal((signal) => {
    log.info("Stopping before startup completed", { signal });
    unlock();
    process.exit(0);
  });
  const backend = await chooseBackend(config, log);
  if (config.mode === "auto") logWarnings(log, warningsForMode(config, backend.mode));
  const proxy = await startProxy({ ...shared, backend, createSource, memory, onFatal });
  // Probing the kernel has loaded connection tracking, so its settings exist now.
  host.tuneConntrack(config.conntrack);
  host.routeLocalnet(needsRouteLocalnet(backend, config));
  const notifier = createNotifier(telemetry, clock, log);
  void proxy.firstSync.then(() => notifier.ready(`serving ${core.serviceCount()} Services`));
  const background = new BackgroundServices({
    proxy,
    host,
    log,
    clock,
    events,
    access,
    nodeName,
    resolved,
    flags,
    version,
    onFatal,
    onAnswered: () => memory.requestServed(),
  });
  setStop((signal) => {
    log.info("Stopping; leaving the rules in place", { signal });
    notifier.stopping();
    background.stop();
    host.stop();
    void proxy.stop().then(() => {
      unlock();
      process.exit(0);
    });
  });

  await waitUntilAdminIsDue({
    firstSync: proxy.firstSync,
    connected: () => proxy.source.status().connected,
    clock,
  });
  await background.start();
}

/**
 * Runs --init-only: makes the host settings that need all privileges, so that the next run needs
 * fewer. It does not contact the API server.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED
 */
export async function initialize(flags: FlagValues, version: string): Promise<void> {
  const resolved = await resolveConfig(flags, (path) => readFile(path, "utf8"));
  const { config } = resolved;
  // The process that serves logs all warnings.
  const warnings = hostWarnings(resolved.warnings);
  const log = createLog({ config, warnings }, version, systemClock);
  const problems = new ProblemRegistry((problem) => logProblem(log, problem));
  const host = new HostSettings({
    clock: systemClock,
    log,
    problems: (events) => problems.report(events),
  });
  const probe = async () => {
    const backend = await chooseBackend(config, log);
    backend.close();
    return backend.capabilities;
  };
  log.info(await initializeHost(config, host, probe));
  host.stop();
}

/** Calls `stop` at a signal. The returned function replaces `stop`. */
function stopOnSignal(stop: (signal: string) => void): (next: typeof stop) => void {
  let latest = stop;
  for (const signal of STOP_SIGNALS) process.once(signal, () => latest(signal));
  return (next) => {
    latest = next;
  };
}

function createNotifier({ health }: Telemetry, clock: Clock, log: Logger): SystemdNotifier {
  return new SystemdNotifier({
    environment: process.env,
    pid: process.pid,
    clock,
    log,
    // Healthy before the first sync, because a new process would not reach the API server any
    // sooner.
    healthy: () => {
      const { healthy, lastUpdated } = health.at(clock.now());
      return healthy || lastUpdated === undefined;
    },
  });
}

function createLog({ config, warnings }: ResolvedConfig, version: string, clock: Clock): LogRoot {
  const now = () => clock.now();
  const stderr = new StderrWriter(2);
  const write = (line: string) => stderr.write(line);
  const log = createLogger({ ...logSettings(config), now, write, pid: process.pid }, "daemon.ts");
  log.info("Starting", { version });
  logWarnings(log, warnings);
  return log;
}

function logWarnings(log: Logger, warnings: readonly ConfigWarning[]): void {
  for (const { message, fields } of warnings) log.warn(message, fields);
}

async function loadCore(nodeName: string): Promise<Core> {
  const module = new WebAssembly.Module(await readFile(corePath));
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return createCore(module, { seed, nodeName });
}

/**
 * Returns a function that logs a fatal error and ends the process. It also keeps the process alive.
 */
function exitOnFatal(log: LogRoot): (error: unknown) => void {
  const onFatal = (error: unknown) => {
    // A changed configuration is no error, and its reader has logged the settings.
    const isPlanned = error instanceof SluiceError && error.code === "CONFIG_CHANGED";
    if (!isPlanned) log.error("Fatal error; exiting and leaving the rules in place", error);
    process.exit(1);
  };
  process.on("uncaughtException", onFatal);
  process.on("unhandledRejection", onFatal);
  // Timers and sockets do not keep the process alive here. This timer does while everything waits.
  setInterval(() => {}, TIMER_MS_MAX);
  return onFatal;
}
