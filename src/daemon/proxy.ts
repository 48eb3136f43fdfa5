/**
 * Creates each part of the running proxy once and connects them in the order in which a change
 * passes through them. The parts decide what to do; this file decides when each of them runs.
 */
import type { Adoption, Backend } from "../backend/backend.ts";
import { servedFamilies } from "../backend/capabilities.ts";
import type { ForeignChange } from "../backend/drift.ts";
import type { Clock } from "../base/clock.ts";
import { STOP_TIMEOUT_MS, SYNC_RETRY_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { FlowReconciler } from "../conntrack/reconcile-flows.ts";
import type { Core } from "../core/core.ts";
import type { Cidr } from "../net/address.ts";
import { LOOPBACK } from "../net/cidr.ts";
import { type LocalRangesWatch, watchLocalRanges } from "../netlink/local-ranges.ts";
import { UnsupportedFeatures } from "../observe/unsupported-features.ts";
import type { MemoryReclaimer } from "../os/memory.ts";
import type { Source, SourceEvents } from "../source/source.ts";
import { FrontendClaims } from "../state/claims.ts";
import { FamilyWarnings } from "../state/families.ts";
import { SyncLoop, type SyncReport } from "../sync/loop.ts";
import { Pacer, type SyncIntervals } from "../sync/pacer.ts";
import { PlanInputs } from "../sync/plan-inputs.ts";
import { RepairTiming } from "../sync/repair-timing.ts";
import { NO_CONFLICT, waitForConflictEnd } from "../takeover/await-conflict.ts";
import { needsRouteLocalnet, skeletonOptions, usesPodCidrs } from "./backend-options.ts";
import type { CreateSource } from "./choose-source.ts";
import type { Telemetry } from "./telemetry.ts";

export interface ProxyOptions {
  readonly config: Config;
  /** Probed but not started. */
  readonly backend: Backend;
  readonly core: Core;
  readonly clock: Clock;
  readonly log: Logger;
  /** This node's name, in lower case. */
  readonly nodeName: string;
  readonly telemetry: Telemetry;
  readonly createSource: CreateSource;
  readonly memory: MemoryReclaimer;
  /** Called if the process cannot continue. Exit, so that the supervisor starts a new process. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * Starts the proxy.
 * @throws SluiceError PERMISSION_DENIED, TABLE_FOREIGN, NETLINK_REFUSED, TOOL_FAILED
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const proxy = new RunningProxy(options);
  try {
    await proxy.start();
  } catch (error) {
    await proxy.stop();
    throw error;
  }
  return proxy;
}

/** Holds the parts of the proxy. The admin server sees them through proxy-view.ts. */
export class RunningProxy {
  readonly core: Core;
  readonly telemetry: Telemetry;
  readonly unsupportedFeatures: UnsupportedFeatures;
  readonly inputs: PlanInputs;
  readonly source: Source;
  readonly backend: Backend;
  /** Resolves after the first sync. */
  readonly firstSync: Promise<void>;
  /** Called when another program changes our rules. */
  onForeignChange: (change: ForeignChange) => void = () => {};

  readonly #options: ProxyOptions;
  readonly #log: Logger;
  readonly #claims: FrontendClaims;
  readonly #flows: FlowReconciler;
  readonly #repairs: RepairTiming;
  readonly #resolveFirstSync: () => void;
  #config: Config;
  #localRanges: LocalRangesWatch | undefined;
  #syncing: { readonly loop: SyncLoop; readonly pacer: Pacer } | undefined;
  /** The wait for a kube-proxy that writes the same chains. Nothing is written before it ends. */
  #conflict = NO_CONFLICT;
  readonly #familyWarnings: FamilyWarnings;
  #adopted = false;
  #watching = false;

  constructor(options: ProxyOptions) {
    const { config, core, clock, nodeName, telemetry } = options;
    const { reportProblems: problems } = telemetry;
    const { capabilities } = options.backend;
    const log = options.log.from("proxy.ts");
    this.core = core;
    this.telemetry = telemetry;
    this.unsupportedFeatures = new UnsupportedFeatures({ capabilities, core, problems });
    this.#familyWarnings = new FamilyWarnings((sentence) => log.warn(sentence));
    telemetry.metrics.serves(servedFamilies(capabilities));
    this.#options = options;
    this.#log = log;
    this.#config = config;
    this.#claims = new FrontendClaims((id) => core.serviceKey(id));
    this.inputs = new PlanInputs({
      core,
      claims: this.#claims,
      nodeName,
      ...config,
      problems,
      opensHealthCheckPorts: capabilities.opensHealthCheckPorts,
      affinityMaps: capabilities.affinityMaps,
    });
    this.#flows = new FlowReconciler({
      core,
      clock,
      log,
      report: (report) => telemetry.metrics.flowsChecked(report),
      nodePortRanges: () => this.#nodePortRanges(),
    });
    this.#repairs = new RepairTiming({ clock, log, repair: () => this.#repair() });
    const first = Promise.withResolvers<void>();
    this.firstSync = first.promise;
    this.#resolveFirstSync = first.resolve;
    this.backend = options.backend;
    this.source = options.createSource(this.#events());
  }

  /** The configuration in effect. */
  get config(): Config {
    return this.#config;
  }

  /**
   * Adopts the rules in the kernel, unless that has to wait, and starts the source. Throws like
   * `startProxy`.
   */
  async start(): Promise<void> {
    const { clock, nodeName } = this.#options;
    const { ownRules: own } = this.backend.capabilities;
    this.#localRanges = watchLocalRanges(clock, (ranges, gained) => {
      if (this.inputs.setLocalRanges(ranges)) this.#request();
      if (this.#watching) this.#checkNodePortFlows(gained);
    });
    this.#conflict = await waitForConflictEnd({ clock, log: this.#log, own });
    const free = await this.#conflict.noConflict;
    // Rules that depend on podCIDRs wait for the Node. All others are adopted before the first
    // request to the API server.
    if (free && !usesPodCidrs(this.#config)) await this.#adopt();
    this.source.start();
    this.#log.info("Watching", { source: this.source.status().name, node: nodeName });
  }

  /**
   * Applies another configuration. The caller has checked that no changed setting needs a restart.
   */
  configure(config: Config): void {
    this.#config = config;
    this.telemetry.configure(config);
    this.inputs.configure(config);
    this.#checkFamilies();
    this.#reconfigureBackend();
    this.#syncing?.pacer.configure(paceOf(config));
    this.#request();
  }

  /**
   * Stops watching and syncing. The rules stay in the kernel. Resolves when a write in progress has
   * finished, or after STOP_TIMEOUT_MS.
   */
  async stop(): Promise<void> {
    this.source.stop();
    this.#conflict.stop();
    this.#repairs.stop();
    this.#flows.close();
    this.#syncing?.pacer.stop();
    this.#localRanges?.close();
    this.telemetry.fullFrontends.stop();
    const closed = Promise.resolve(this.backend.close());
    const deadline = new Promise<void>((resolve) => {
      this.#options.clock.after(STOP_TIMEOUT_MS, resolve);
    });
    await Promise.race([closed, deadline]);
  }

  /** Without a loop (before the first sync), the first verification applies the new chains. */
  #reconfigureBackend(): void {
    this.backend.reconfigure(skeletonOptions(this.#config, this.inputs.podCidrs));
    this.#syncing?.loop.verify();
  }

  async #adopt(): Promise<void> {
    if (this.#adopted) return;
    this.#adopted = true;
    this.backend.counters?.onDelete(this.telemetry.connections.addDeleted);
    const { outcome, what, elements } = await this.backend.start(this.core);
    this.#log.info(adoptionText(outcome, what), { elements });
    this.#options.memory.phaseEnded(elements);
  }

  /** Requests a sync after a change. */
  #request(): void {
    this.telemetry.queued();
    this.#syncing?.pacer.request();
  }

  /** The kernel's state has changed, so that a sync which failed before may work now. */
  #repair(): void {
    this.#syncing?.loop.verify();
    this.telemetry.queued();
    this.#syncing?.pacer.hurry();
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
      onProblems: this.telemetry.reportProblems,
      onFatal,
      onSynced: () => void this.#startSyncing().catch(onFatal),
    };
  }

  #setNode(node: unknown): void {
    const podCidrsChanged = this.inputs.setNode(node);
    this.#checkFamilies();
    if (podCidrsChanged && usesPodCidrs(this.#config)) this.#reconfigureBackend();
    this.#request();
  }

  #checkFamilies(): void {
    this.unsupportedFeatures.update(this.#config, this.inputs.node);
    this.#familyWarnings.update(this.#config, this.inputs.node);
  }

  /** Starts syncing. Everything that the first sync needs is present. */
  async #startSyncing(): Promise<void> {
    const { core } = this;
    await this.#conflict.gone;
    await this.#adopt();
    const loop = this.#createLoop();
    this.#syncing = { loop, pacer: this.#createPacer(loop) };
    this.#options.memory.phaseEnded();
    this.#log.info("Initial list complete", {
      services: core.serviceCount(),
      slices: core.sliceCount(),
      endpoints: core.endpointCount(),
    });
    this.#request();
  }

  #createLoop(): SyncLoop {
    const { core, inputs, telemetry } = this;
    const claims = this.#claims;
    return new SyncLoop({
      core,
      claims,
      backend: this.backend,
      clock: this.#options.clock,
      context: () => inputs.context(),
      nodeVersion: () => inputs.version(),
      selected: (id, service, choices, localReady) => {
        const taken = service ? claims.problems(service) : [];
        telemetry.problems.replace(`Service ${core.serviceKey(id)}`, "FRONTEND_TAKEN", taken);
        telemetry.serviceHealth.update(id, service, localReady);
        telemetry.noLocalEndpoints.update(id, service, choices);
      },
      flowsChanged: () => this.#flows.changed(),
      problems: telemetry.reportProblems,
      wake: () => this.#request(),
      report: (report) => this.#synced(report),
    });
  }

  #createPacer(loop: SyncLoop): Pacer {
    const { clock, onFatal } = this.#options;
    return new Pacer({
      clock,
      ...paceOf(this.#config),
      cooldownMsMax: this.backend.capabilities.syncCooldownMsMax,
      retryMs: SYNC_RETRY_MS,
      run: async () => {
        this.telemetry.syncing();
        try {
          return await loop.run();
        } catch (error) {
          // A defect. The rules stay as they are, and a new process adopts them.
          onFatal(error);
          return false;
        }
      },
    });
  }

  #synced(report: SyncReport): void {
    if (!this.telemetry.synced(report)) return;
    this.unsupportedFeatures.update(this.#config, this.inputs.node);
    if (!this.#watching) {
      this.#watch();
      this.#watching = true;
      this.telemetry.fullFrontends.start(this.backend.fullFrontends);
      // The node may have gained an address while no Sluice ran.
      this.#checkNodePortFlows();
    }
    this.#resolveFirstSync();
    this.#options.memory.syncCompleted(report.operations);
  }

  /**
   * Looks for connections to node ports that began before these ranges were local; all local ranges
   * by default.
   */
  #checkNodePortFlows(gained?: readonly Cidr[]): void {
    const { core, inputs } = this;
    const served = inputs.localNodePortRanges(gained);
    for (const family of [4, 6] as const) {
      if (served.some((range) => range.family === family)) core.flows.recordNodePorts(family);
    }
    if (core.flows.hasChanges()) this.#flows.changed();
  }

  /** The local addresses that serve node ports. */
  #nodePortRanges(): readonly Cidr[] {
    const ranges = this.inputs.localNodePortRanges();
    return needsRouteLocalnet(this.backend, this.#config) ? [...ranges, LOOPBACK[4]] : ranges;
  }

  #watch(): void {
    this.backend.watch((change) => {
      this.#repairs.changed(change);
      this.onForeignChange(change);
    });
  }
}

/** Returns the log text for the result of the adoption. */
function adoptionText(outcome: Adoption["outcome"], what: string): string {
  if (outcome === "fresh") return `Created ${what}`;
  if (outcome === "adopted") return `Adopted ${what}`;
  return `Replacing ${what}, which kube-proxy or another version of Sluice wrote`;
}

function paceOf({ minSyncMs, syncPeriodMs }: Config): SyncIntervals {
  return { minIntervalMs: minSyncMs, retryMsMax: syncPeriodMs };
}
