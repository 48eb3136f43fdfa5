/**
 * The running proxy: every part made once and connected, in the order in which a change passes them. It
 * decides nothing itself.
 */
import type { Backend } from "./apply/backend.ts";
import { Flows } from "./apply/conntrack/flows.ts";
import { type AddressWatch, watchAddresses } from "./apply/netlink/addresses.ts";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Core } from "./core/core.ts";
import { createBackend } from "./dataplane.ts";
import { messageOf, SluiceError } from "./errors.ts";
import { LARGE_SYNC_OPERATIONS, SYNC_REST_MS_MAX, SYNC_RETRY_MS } from "./limits.ts";
import type { Logger } from "./log.ts";
import { releaseGarbage, releaseProgramText } from "./memory.ts";
import { printCidr } from "./net/address.ts";
import { ConnectionCounters } from "./observe/connections.ts";
import { HealthTracker } from "./observe/health.ts";
import { HealthChecks } from "./observe/health-checks.ts";
import { Metrics } from "./observe/metrics.ts";
import { NoLocalEndpoints } from "./observe/no-local-endpoints.ts";
import { Problems } from "./observe/problems.ts";
import type { LastSync } from "./observe/view.ts";
import { prepareSource } from "./source.ts";
import { FrontendClaims } from "./state/claims.ts";
import { SyncLoop, type SyncReport } from "./sync/loop.ts";
import { Pacer } from "./sync/pacer.ts";
import { PlanInputs } from "./sync/plan-inputs.ts";
import { Repairs } from "./sync/repairs.ts";
import type { Cidr, Problem, TellProblems } from "./types.ts";
import type { Source, SourceEvents } from "./watch/source.ts";

export interface ProxyOptions {
  readonly config: Config;
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Logger;
  /** This node's name, lower case. */
  readonly nodeName: string;
  readonly random: () => number;
  readonly environment: { readonly [name: string]: string | undefined };
  /** A sync is complete, with this many operations. */
  readonly onSynced: (operations: number) => void;
  /** The process cannot go on: end it, so that its supervisor starts it afresh. */
  readonly onFatal: (error: unknown) => void;
}

/** What became of the table at start, for the log. */
const ADOPTIONS = {
  fresh: "Made the table inet sluice",
  adopted: "Took over the table inet sluice as it was",
  replaced: "Replaced the table inet sluice, which had another layout",
} as const;

/**
 * Starts everything.
 * @throws SluiceError PERMISSION_DENIED, KERNEL_UNSUPPORTED, TABLE_FOREIGN, CONFIG_INVALID, KUBECONFIG_INVALID
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const createSource = await prepareSource(options);
  const proxy = new RunningProxy(options, createSource);
  try {
    proxy.start();
  } catch (error) {
    proxy.stop();
    throw error;
  }
  return proxy;
}

/** All the parts; the admin server looks at them through view.ts. */
export class RunningProxy {
  readonly config: Config;
  readonly core: Core;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly problems: Problems;
  readonly health: HealthTracker;
  readonly healthChecks = new HealthChecks();
  readonly noLocalEndpoints = new NoLocalEndpoints();
  readonly metrics: Metrics;
  readonly connections: ConnectionCounters;
  readonly inputs: PlanInputs;
  readonly source: Source;
  /** Resolves after the first sync. */
  readonly firstSync: Promise<void>;

  readonly #options: ProxyOptions;
  readonly #log: Logger;
  readonly #claims: FrontendClaims;
  readonly #flows: Flows;
  readonly #repairs: Repairs;
  readonly #resolveFirstSync: () => void;
  readonly #tellProblems: TellProblems;
  #backend: Backend;
  #addresses: AddressWatch | undefined;
  #syncing: { readonly loop: SyncLoop; readonly pacer: Pacer } | undefined;
  #adopted = false;
  /** When the oldest change came that the sync under way does not cover, ms since the epoch. */
  #queuedWhileRunning: number | undefined;
  #lastSync: LastSync | undefined;
  #failing = false;
  #watching = false;

  constructor(options: ProxyOptions, createSource: (events: SourceEvents) => Source) {
    const { config, core, clock, nodeName } = options;
    const log = options.log.from("proxy.ts");
    this.config = config;
    this.core = core;
    this.#options = options;
    this.#log = log;
    this.startedAt = clock.now();
    this.problems = new Problems((problem) => sayProblem(log, problem));
    this.#tellProblems = (events) => this.problems.report(events);
    this.health = new HealthTracker(config.syncPeriodMs);
    this.metrics = new Metrics(this.startedAt);
    this.connections = new ConnectionCounters(core, config.endpointMetricsLimit, (error) =>
      log.warn("Could not read what was counted; the metrics of connections stand still", {
        error: messageOf(error),
      }),
    );
    this.#claims = new FrontendClaims((id) => core.serviceKey(id));
    this.inputs = new PlanInputs({
      core,
      claims: this.#claims,
      nodeName,
      bindAddress: config.bindAddress,
      nodePortAddresses: config.nodePortAddresses,
      externalIPs: config.externalIPs,
      problems: this.#tellProblems,
    });
    this.#flows = new Flows({
      core,
      clock,
      log,
      report: (report) => {
        this.metrics.flowsChecked(report);
        log.debug(2, "Looked for connections that lead to nobody", { ...report });
      },
    });
    this.#repairs = new Repairs({ clock, log, repair: () => this.#repair() });
    const first = Promise.withResolvers<void>();
    this.firstSync = first.promise;
    this.#resolveFirstSync = first.resolve;
    this.#backend = createBackend(config, []);
    this.source = createSource(this.#events());
  }

  get backend(): Backend {
    return this.#backend;
  }

  lastSync(): LastSync | undefined {
    return this.#lastSync;
  }

  /** Probes the kernel, adopts what is there, and begins to watch. Throws as `startProxy` does. */
  start(): void {
    const { clock, nodeName } = this.#options;
    this.#backend.probe();
    this.#addresses = watchAddresses(clock, (list) => {
      this.inputs.setInterfaceAddresses(list);
      this.#request();
    });
    // The detector of NodeCIDR mode needs the Node; all others adopt while the API server is read.
    if (!this.#needsNode) this.#adopt();
    this.source.start();
    this.#log.info("Watching", { source: this.source.status().name, node: nodeName });
  }

  /** Stops watching and syncing. The rules stay. */
  stop(): void {
    this.source.stop();
    this.#repairs.stop();
    this.#flows.close();
    this.#syncing?.pacer.stop();
    this.#addresses?.close();
    this.#backend.close();
  }

  get #needsNode(): boolean {
    return this.config.detectLocal.mode === "NodeCIDR";
  }

  #adopt(): void {
    if (this.#adopted) return;
    this.#adopted = true;
    this.#backend.countDeleted(this.connections.take);
    const { outcome, elements } = this.#backend.start(this.core);
    this.#log.info(ADOPTIONS[outcome], { elements });
    // What follows runs other parts of the program: the peak of memory is the sum of what is not given back.
    if (elements > LARGE_SYNC_OPERATIONS) releaseGarbage();
    releaseProgramText();
  }

  /** Something changed: there is to be a sync. */
  #request(): void {
    const now = this.#options.clock.now();
    this.health.queued(now);
    this.metrics.queued(now);
    this.metrics.changedTo(this.core.changeCounts());
    this.#queuedWhileRunning ??= now;
    this.#syncing?.pacer.request();
  }

  #repair(): void {
    this.#syncing?.loop.reread();
    this.#request();
  }

  #events(): SourceEvents {
    const { onFatal } = this.#options;
    return {
      onChange: () => this.#request(),
      onNode: (node) => this.#setNode(node),
      onServiceCidrs: (cidrs) => {
        this.inputs.setServiceCidrs(cidrs);
        this.#request();
      },
      onProblems: this.#tellProblems,
      onFatal,
      onSynced: () => {
        try {
          this.#beginSyncing();
        } catch (error) {
          onFatal(error);
        }
      },
    };
  }

  #setNode(node: unknown): void {
    const { nodeName, onFatal } = this.#options;
    const before = cidrText(this.inputs.node.podCidrs);
    this.inputs.setNode(node);
    const now = cidrText(this.inputs.node.podCidrs);
    if (this.#needsNode && this.#adopted && before !== now) {
      const message = `Cannot go on with other podCIDRs of Node ${nodeName}: rules depend on them: current value is ${now}`;
      onFatal(new SluiceError("OBJECT_INVALID", message, `Node ${nodeName}`));
    }
    this.#request();
  }

  /** Everything a first sync waits for is here. */
  #beginSyncing(): void {
    const { core } = this;
    if (this.#needsNode) {
      this.#backend.close();
      this.#backend = createBackend(this.config, this.inputs.node.podCidrs);
    }
    this.#adopt();
    const loop = this.#createLoop();
    this.#syncing = { loop, pacer: this.#createPacer(loop) };
    releaseProgramText();
    this.#log.info("Read everything there is", {
      services: core.serviceCount(),
      slices: core.sliceCount(),
      endpoints: core.endpointCount(),
    });
    this.#request();
  }

  #createLoop(): SyncLoop {
    const { core, inputs, problems } = this;
    const claims = this.#claims;
    return new SyncLoop({
      core,
      claims,
      backend: this.#backend,
      clock: this.#options.clock,
      context: () => inputs.context(),
      nodeVersion: () => inputs.version(),
      selected: (id, service, choices, localReady) => {
        const subject = `Service ${core.serviceKey(id)}`;
        problems.replace(subject, "FRONTEND_TAKEN", service ? claims.problems(service) : []);
        this.healthChecks.update(id, service, localReady);
        this.noLocalEndpoints.update(id, service, choices);
      },
      flowsChanged: () => this.#flows.changed(),
      problems: this.#tellProblems,
      wake: () => this.#request(),
      report: (report) => this.#synced(report),
    });
  }

  #createPacer(loop: SyncLoop): Pacer {
    const { clock, onFatal } = this.#options;
    return new Pacer({
      clock,
      minIntervalMs: this.config.minSyncMs,
      restMsMax: SYNC_REST_MS_MAX,
      retryMs: SYNC_RETRY_MS,
      retryMsMax: this.config.syncPeriodMs,
      run: async () => {
        this.#queuedWhileRunning = undefined;
        try {
          return await loop.run();
        } catch (error) {
          // A defect: the dataplane goes on as it is, a fresh process adopts it.
          onFatal(error);
          return false;
        }
      },
    });
  }

  #synced(report: SyncReport): void {
    const now = this.#options.clock.now();
    this.metrics.synced(report, now);
    if (report.outcome === "failed") {
      const said = "Could not sync; the kernel keeps what it has, and this is retried";
      if (!this.#failing) this.#log.error(said, report.error);
      this.#failing = true;
      return;
    }
    if (this.#failing) this.#log.info("Syncing again");
    this.#failing = false;
    this.health.committed(now, this.#queuedWhileRunning);
    this.healthChecks.publish();
    if (!this.#watching) this.#backend.watch((change) => this.#repairs.changed(change));
    this.#watching = true;
    this.#resolveFirstSync();
    this.#options.onSynced(report.operations);
    if (report.outcome === "nothing") return;
    this.#lastSync = { at: now, report };
    this.#log.debug(2, "Synced", {
      outcome: report.outcome,
      services: report.owners,
      operations: report.operations,
      transactions: report.transactions,
      kernelMs: round(report.kernelMs),
      durationMs: round(report.durationMs),
    });
  }
}

function sayProblem(log: Logger, { subject, code, field, message }: Problem): void {
  log.warn(message, { subject, code, ...(field !== "" && { field }) });
}

function cidrText(cidrs: readonly Cidr[]): string {
  return cidrs.map(printCidr).join(",");
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
