/**
 * Runs everything that the proxy does not wait for: HTTP servers, Events, the search for rules of
 * other proxies, and reloads of the configuration file. They are loaded when the rules are in
 * the kernel, or when the first sync has to wait.
 */
import type { RunningAdmin } from "../admin/start.ts";
import type { ClusterAccess } from "../api-client/access.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { LogRoot } from "../base/log.ts";
import { type Config, logSettings } from "../config/config.ts";
import { type FlagValues, flagTexts, printFlagValues } from "../config/flag-values.ts";
import type { ConfigFollower } from "../config/reload-config.ts";
import type { ResolvedConfig } from "../config/resolve-config.ts";
import {
  type EventOutbox,
  healthServerFailedEvent,
  metricsServerFailedEvent,
  nodeReference,
  serviceHealthCheckFailedEvent,
  startedEvent,
} from "../events/events.ts";
import type { HostSettings } from "../host/host-settings.ts";
import { mayHaveFamily } from "../state/families.ts";
import type { OtherProxies } from "../takeover/other-proxies.ts";
import { needsRouteLocalnet } from "./backend-options.ts";
import type { RunningProxy } from "./proxy.ts";
import { createView } from "./proxy-view.ts";

/**
 * If an address cannot be bound and the process must exit, it waits this long for the Event to be
 * sent (ms).
 */
const LAST_EVENT_MS = 1000;

export interface BackgroundServicesOptions {
  readonly proxy: RunningProxy;
  readonly host: HostSettings;
  readonly log: LogRoot;
  readonly clock: Clock;
  readonly events: EventOutbox;
  /** Undefined without an API server. In that case there are no Events. */
  readonly access: ClusterAccess | undefined;
  readonly nodeName: string;
  /** The configuration that the process started with. */
  readonly resolved: ResolvedConfig;
  readonly flags: FlagValues;
  readonly version: string;
  /**
   * Called after a request was answered, because answering it loaded parts of the program into
   * memory.
   */
  readonly onAnswered: () => void;
  readonly onFatal: (error: unknown) => void;
}

export class BackgroundServices {
  readonly #options: BackgroundServicesOptions;
  #admin: RunningAdmin | undefined;
  #otherProxies: OtherProxies | undefined;
  #follower: ConfigFollower | undefined;
  #synced = false;
  #stopped = false;

  constructor(options: BackgroundServicesOptions) {
    this.#options = options;
  }

  /** Resolves when the servers listen or have started trying to. */
  async start(): Promise<void> {
    const { proxy, onFatal } = this.#options;
    void proxy.firstSync.then(() => {
      this.#synced = true;
    });
    await this.#startAdmin();
    await this.#startOtherProxies();
    await this.#followConfig();
    proxy.firstSync.then(() => this.#startEvents()).catch(onFatal);
  }

  stop(): void {
    this.#stopped = true;
    this.#follower?.stop();
    this.#otherProxies?.stop();
    this.#options.events.close();
  }

  async #startAdmin(): Promise<void> {
    const { proxy, log, clock, flags, version, events, nodeName } = this.#options;
    const { onAnswered, onFatal } = this.#options;
    const { metrics, serviceHealth, reportProblems: problems } = proxy.telemetry;
    const { startAdmin } = await import("../admin/start.ts");
    this.#admin = startAdmin({
      view: createView({
        proxy,
        version,
        clock,
        flags: flagTexts(flags),
        notices: () => [
          ...proxy.unsupportedFeatures.notices(),
          ...(this.#otherProxies?.notices() ?? []),
        ],
      }),
      metrics,
      serviceHealth: serviceHealth,
      problems,
      clock,
      log,
      onAnswered,
      onFatal: (error) => {
        const flushed = this.#attachEvents().then(() => events.flush(LAST_EVENT_MS));
        void flushed.finally(() => onFatal(error));
      },
      nodePortAddresses: () => proxy.inputs.listenAddresses(),
      setVerbosity: (verbosity) => log.configure({ ...logSettings(proxy.config), verbosity }),
      onBindFailed: (server, error) => {
        const failed = server === "health" ? healthServerFailedEvent : metricsServerFailedEvent;
        events.record(failed(this.#node(), messageOf(error)));
      },
      onNodePortFailed: ({ namespace, name, port }, error) =>
        events.record(
          serviceHealthCheckFailedEvent({
            nodeName,
            namespace,
            name,
            port,
            error: messageOf(error),
          }),
        ),
    });
    await this.#admin.attempted;
  }

  async #startOtherProxies(): Promise<void> {
    const { proxy, log, clock } = this.#options;
    const { OtherProxies } = await import("../takeover/other-proxies.ts");
    const others = new OtherProxies({
      clock,
      log,
      problems: proxy.telemetry.reportProblems,
      own: proxy.backend.capabilities.ownRules,
      remove: () => proxy.config.removeKubeProxyRules,
      masqueradeBit: () => proxy.config.masqueradeBit,
      serves: (family) => mayHaveFamily(proxy.inputs.node, family),
    });
    this.#otherProxies = others;
    proxy.onForeignChange = (change) => others.rulesChanged(change);
    // While Sluice waits for the first sync, the log and the notices name the rules that serve.
    const looked = this.#synced ? undefined : others.search();
    void Promise.all([looked, proxy.firstSync]).then(() => others.afterFirstSync());
  }

  async #followConfig(): Promise<void> {
    const { proxy, log, clock, flags, resolved, onFatal } = this.#options;
    const file = printFlagValues(flags, "config");
    if (file === "" || this.#stopped) return;
    const { ConfigFollower } = await import("../config/reload-config.ts");
    this.#follower = new ConfigFollower({
      file,
      flags,
      clock,
      log,
      onFatal,
      current: resolved.config,
      warnings: resolved.warnings,
      problems: proxy.telemetry.reportProblems,
      apply: (config) => this.#configure(config),
    });
    this.#follower.start();
  }

  /**
   * Applies a changed configuration. The caller has checked that no changed setting needs a
   * restart.
   */
  async #configure(config: Config): Promise<void> {
    const { proxy, host, log } = this.#options;
    log.configure(logSettings(config));
    host.adjustOomScore(config.oomScoreAdj);
    host.tuneConntrack(config.conntrack);
    host.routeLocalnet(needsRouteLocalnet(proxy.backend, config));
    proxy.configure(config);
    void this.#otherProxies?.search();
    await this.#admin?.update(config);
  }

  async #startEvents(): Promise<void> {
    await this.#attachEvents();
    this.#options.events.record(startedEvent(this.#node()));
  }

  async #attachEvents(): Promise<void> {
    const { access, events, clock, log, proxy } = this.#options;
    if (access === undefined || this.#stopped) return;
    await events.attach(async () => {
      const { ApiEventRecorder } = await import("../events/event-recorder.ts");
      const { hostname } = await import("node:os");
      const { random } = Math;
      return new ApiEventRecorder({
        access,
        clock,
        log,
        random,
        hostname: hostname(),
        onDropped: () => proxy.telemetry.metrics.eventDropped(),
      });
    });
  }

  #node() {
    const { proxy, nodeName } = this.#options;
    return nodeReference(nodeName, proxy.inputs.node.uid);
  }
}
