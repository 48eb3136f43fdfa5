/**
 * The running proxy: every part made once and connected, in the order in which a change passes them. It
 * decides nothing itself.
 */
import { printCidr } from "./address.ts";
import type { Backend, LocalDetector } from "./apply/backend.ts";
import { UdpFlows } from "./apply/conntrack/flows.ts";
import { type AddressWatch, watchAddresses } from "./apply/netlink/addresses.ts";
import { createNftablesBackend } from "./apply/nftables/backend.ts";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Core } from "./core/core.ts";
import { messageOf, SluiceError } from "./errors.ts";
import { SYNC_REST_MS_MAX, SYNC_RETRY_MS } from "./limits.ts";
import type { Logger } from "./log.ts";
import { releaseProgramText } from "./memory.ts";
import { ConnectionCounters } from "./observe/connections.ts";
import { HealthTracker } from "./observe/health.ts";
import { HealthChecks } from "./observe/health-checks.ts";
import { Metrics } from "./observe/metrics.ts";
import { NoLocalEndpoints } from "./observe/no-local-endpoints.ts";
import { Problems } from "./observe/problems.ts";
import type { LastSync } from "./observe/view.ts";
import { FrontendClaims } from "./state/claims.ts";
import { SyncLoop } from "./sync/loop.ts";
import { Pacer } from "./sync/pacer.ts";
import { PlanInputs } from "./sync/plan-inputs.ts";
import { Repairs } from "./sync/repairs.ts";
import type { Cidr, Problem, TellProblems } from "./types.ts";
import { openAccess } from "./watch/access.ts";
import { createApiSource } from "./watch/api-source.ts";
import { encodeWatchEvent } from "./watch/encode.ts";
import { createManifestSource } from "./watch/manifests.ts";
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

/** All the parts, for the admin server to look at. */
export interface RunningProxy {
  readonly config: Config;
  readonly core: Core;
  readonly backend: Backend;
  readonly inputs: PlanInputs;
  readonly source: Source;
  readonly health: HealthTracker;
  readonly healthChecks: HealthChecks;
  readonly noLocalEndpoints: NoLocalEndpoints;
  readonly metrics: Metrics;
  readonly connections: ConnectionCounters;
  readonly problems: Problems;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  lastSync(): LastSync | undefined;
  /** Resolves after the first sync. */
  readonly firstSync: Promise<void>;
  /** Stops watching and syncing. The rules stay. */
  stop(): void;
}

/**
 * Starts everything.
 * @throws SluiceError PERMISSION_DENIED, KERNEL_UNSUPPORTED, TABLE_FOREIGN, KUBECONFIG_INVALID
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { config, core, clock, log, nodeName } = options;
  const startedAt = clock.now();
  const problems = new Problems((problem) => sayProblem(log, problem));
  const tellProblems: TellProblems = (events) => problems.report(events);
  const health = new HealthTracker(config.syncPeriodMs);
  const healthChecks = new HealthChecks();
  const noLocalEndpoints = new NoLocalEndpoints();
  const metrics = new Metrics(startedAt);
  const connections = new ConnectionCounters(core, config.endpointMetricsLimit, (error) =>
    log.warn("Could not read what was counted; the metrics of connections stand still", {
      error: messageOf(error),
    }),
  );
  const claims = new FrontendClaims((id) => core.serviceKey(id));
  const inputs = new PlanInputs({
    core,
    claims,
    nodeName,
    bindAddress: config.bindAddress,
    nodePortAddresses: config.nodePortAddresses,
    problems: tellProblems,
  });

  const createSource = await sourceOf(options);
  let backend = createBackend(config, []);
  backend.probe();
  let adopted = false;
  const adopt = () => {
    if (adopted) return;
    adopted = true;
    // Heard from before the table is read, so that nothing falls in between.
    backend.watch((change) => repairs.changed(change));
    backend.countDeleted(connections.take);
    const { outcome, elements } = backend.start(core);
    log.info(ADOPTIONS[outcome], { elements });
    // What follows runs other parts of the program: the peak of memory is the sum of what is not given back.
    releaseProgramText();
  };

  let last: LastSync | undefined;
  let firstSynced = () => {};
  const firstSync = new Promise<void>((resolve) => {
    firstSynced = resolve;
  });
  let queuedWhileRunning: number | undefined;

  let syncing: { loop: SyncLoop; pacer: Pacer } | undefined;
  const request = () => {
    const now = clock.now();
    health.queued(now);
    metrics.queued(now);
    metrics.changedTo(core.changeCounts());
    queuedWhileRunning ??= now;
    syncing?.pacer.request();
  };
  const flows = new UdpFlows({
    core,
    clock,
    log,
    report(report) {
      metrics.flowsChecked(report);
      log.debug(2, "Looked for flows of UDP that lead to nobody", { ...report });
    },
  });
  let rereadFirst = false;
  const repairs = new Repairs({
    clock,
    log,
    repair() {
      if (syncing === undefined) rereadFirst = true;
      else syncing.loop.reread();
      request();
    },
  });
  const createSyncing = () => {
    const loop = new SyncLoop({
      core,
      backend,
      clock,
      claims,
      context: () => inputs.context(),
      nodeVersion: () => inputs.version(),
      selected(id, service, choices, localReady) {
        const subject = `Service ${core.serviceKey(id)}`;
        problems.replace(subject, "FRONTEND_TAKEN", service ? claims.problems(service) : []);
        healthChecks.update(id, service, localReady);
        noLocalEndpoints.update(id, service, choices);
      },
      udpChanged: (frontends) => flows.changed(frontends),
      problems: tellProblems,
      wake: request,
      report(report) {
        const now = clock.now();
        metrics.synced(report, now);
        if (report.outcome === "failed") {
          log.error(
            "Could not sync; the kernel keeps what it has, and this is retried",
            report.error,
          );
          return;
        }
        health.committed(now, queuedWhileRunning);
        healthChecks.publish();
        firstSynced();
        options.onSynced(report.operations);
        if (report.outcome === "nothing") return;
        last = { at: now, report };
        log.debug(2, "Synced", {
          outcome: report.outcome,
          services: report.owners,
          operations: report.operations,
          transactions: report.transactions,
          kernelMs: round(report.kernelMs),
          durationMs: round(report.durationMs),
        });
      },
    });
    const pacer = new Pacer({
      clock,
      minIntervalMs: config.minSyncMs,
      restMsMax: SYNC_REST_MS_MAX,
      retryMs: SYNC_RETRY_MS,
      retryMsMax: config.syncPeriodMs,
      run: async () => {
        queuedWhileRunning = undefined;
        try {
          return await loop.run();
        } catch (error) {
          // A defect: the dataplane goes on as it is, a fresh process adopts it.
          options.onFatal(error);
          return false;
        }
      },
    });
    return { loop, pacer };
  };

  const events: SourceEvents = {
    onChange: request,
    onNode(node) {
      const podCidrs = cidrText(inputs.node.podCidrs);
      inputs.setNode(node);
      const now = cidrText(inputs.node.podCidrs);
      if (config.detectLocal.mode === "NodeCIDR" && adopted && podCidrs !== now) {
        const message = `Cannot go on with other podCIDRs of Node ${nodeName}: rules depend on them: current value is ${now}`;
        options.onFatal(new SluiceError("OBJECT_INVALID", message, `Node ${nodeName}`));
      }
      request();
    },
    onServiceCidrs(cidrs) {
      inputs.setServiceCidrs(cidrs);
      request();
    },
    onProblems: tellProblems,
    onFatal: options.onFatal,
    onSynced() {
      try {
        if (config.detectLocal.mode === "NodeCIDR") {
          backend.close();
          backend = createBackend(config, inputs.node.podCidrs);
        }
        adopt();
        syncing = createSyncing();
        if (rereadFirst) syncing.loop.reread();
        releaseProgramText();
        log.info("Read everything there is", {
          services: core.serviceCount(),
          slices: core.sliceCount(),
          endpoints: core.endpointCount(),
        });
        request();
      } catch (error) {
        options.onFatal(error);
      }
    },
  };

  let addresses: AddressWatch | undefined;
  try {
    addresses = watchAddresses(clock, (list) => {
      inputs.setInterfaceAddresses(list);
      request();
    });
    // The detector of NodeCIDR mode needs the Node; all others adopt while the API server is read.
    if (config.detectLocal.mode !== "NodeCIDR") adopt();
    const source = createSource(events);
    source.start();
    log.info("Watching", { source: source.status().name, node: nodeName });
    return {
      config,
      core,
      get backend() {
        return backend;
      },
      inputs,
      source,
      health,
      healthChecks,
      noLocalEndpoints,
      metrics,
      connections,
      problems,
      startedAt,
      lastSync: () => last,
      firstSync,
      stop() {
        source.stop();
        repairs.stop();
        flows.close();
        syncing?.pacer.stop();
        addresses?.close();
        backend.close();
      },
    };
  } catch (error) {
    addresses?.close();
    backend.close();
    throw error;
  }
}

function createBackend(config: Config, podCidrs: readonly Cidr[]): Backend {
  const { masqueradeBit, masqueradeAll, counters } = config;
  return createNftablesBackend({
    masqueradeBit,
    masqueradeAll,
    counters,
    detector: detectorOf(config, podCidrs),
  });
}

/** kube-proxy.md: detectLocalMode; only the first range of each family counts. */
function detectorOf(config: Config, podCidrs: readonly Cidr[]): LocalDetector {
  const { mode, bridgeInterface, interfaceNamePrefix } = config.detectLocal;
  if (mode === "BridgeInterface")
    return { kind: "interface", name: bridgeInterface, prefix: false };
  if (mode === "InterfaceNamePrefix") {
    return { kind: "interface", name: interfaceNamePrefix, prefix: true };
  }
  const cidrs = mode === "NodeCIDR" ? podCidrs : config.clusterCIDRs;
  const ipv4 = cidrs.find(({ family }) => family === 4);
  const ipv6 = cidrs.find(({ family }) => family === 6);
  return { kind: "cidr", ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** What became of the table at start, for the log. */
const ADOPTIONS = {
  fresh: "Made the table inet sluice",
  adopted: "Took over the table inet sluice as it was",
  replaced: "Replaced the table inet sluice, which had another layout",
} as const;

/** Everything about the source that can be wrong is found here, before anything in the kernel is touched. */
async function sourceOf(options: ProxyOptions): Promise<(events: SourceEvents) => Source> {
  const { config, core, clock, nodeName, random, environment } = options;
  const shared = { core, clock, nodeName, encode: encodeWatchEvent };
  const { kubeconfig, master, manifests } = config;
  if (manifests !== "") {
    return (events) => createManifestSource({ ...shared, events, directory: manifests });
  }
  const access = await openAccess({ kubeconfig, master, environment });
  const needsPodCidrs = config.detectLocal.mode === "NodeCIDR";
  return (events) => createApiSource({ ...shared, events, access, random, needsPodCidrs });
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
