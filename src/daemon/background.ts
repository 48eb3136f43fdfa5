/**
 * What a serving proxy has around it and does not wait for: the HTTP servers, Events, a look at
 * other proxies' rules, and the configuration file. All of it is loaded once the rules are in the
 * kernel, or have to wait.
 */
import type { RunningAdmin } from "../admin/start.ts";
import type { ClusterAccess } from "../api-client/access.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { LogRoot } from "../base/log.ts";
import { type Config, logSettings } from "../config/config.ts";
import { type FlagValues, flagTexts, textOfFlag } from "../config/flag-values.ts";
import type { ConfigFollower } from "../config/follow.ts";
import type { Resolved } from "../config/resolve-config.ts";
import {
  type EventOutbox,
  healthServerFailed,
  metricsServerFailed,
  nodeReference,
  serviceHealthCheckFailed,
  started,
} from "../events/events.ts";
import type { HostSettings } from "../host/host-settings.ts";
import { mayServe } from "../state/families.ts";
import type { OtherProxies } from "../takeover/other-proxies.ts";
import { wantsLocalnet } from "./backend-options.ts";
import type { RunningProxy } from "./proxy.ts";
import { createView } from "./proxy-view.ts";

/**
 * A process that ends over an address that cannot be bound waits so long for the Event of it to be
 * sent.
 */
const LAST_EVENT_MS = 1000;

export interface BackgroundServicesOptions {
  readonly proxy: RunningProxy;
  readonly host: HostSettings;
  readonly log: LogRoot;
  readonly clock: Clock;
  readonly events: EventOutbox;
  /** Undefined without an API server: then there are no Events. */
  readonly access: ClusterAccess | undefined;
  readonly nodeName: string;
  /** What the process started with. */
  readonly resolved: Resolved;
  readonly flags: FlagValues;
  readonly version: string;
  /** A request was answered, for which parts of the program were read into memory. */
  readonly onAnswered: () => void;
  readonly onFatal: (error: unknown) => void;
}

export class BackgroundServices {
  readonly #options: BackgroundServicesOptions;
  #admin: RunningAdmin | undefined;
  #others: OtherProxies | undefined;
  #follower: ConfigFollower | undefined;
  #stopped = false;

  constructor(options: BackgroundServicesOptions) {
    this.#options = options;
  }

  /** Resolves when the servers listen, or try to. */
  async start(): Promise<void> {
    await this.#startAdmin();
    await this.#lookForOthers();
    await this.#followConfig();
    const { proxy, onFatal } = this.#options;
    proxy.firstSync.then(() => this.#beginEvents()).catch(onFatal);
  }

  stop(): void {
    this.#stopped = true;
    this.#follower?.stop();
    this.#others?.stop();
    this.#options.events.close();
  }

  async #startAdmin(): Promise<void> {
    const { proxy, log, clock, flags, version, events, nodeName } = this.#options;
    const { onAnswered, onFatal } = this.#options;
    const { metrics, healthChecks, tellProblems: problems } = proxy.observers;
    const { startAdmin } = await import("../admin/start.ts");
    this.#admin = startAdmin({
      view: createView({
        proxy,
        version,
        clock,
        flags: flagTexts(flags),
        notices: () => [...proxy.shortcomings.notices(), ...(this.#others?.notices() ?? [])],
      }),
      metrics,
      healthChecks,
      problems,
      clock,
      log,
      onAnswered,
      onFatal: (error) => {
        const told = this.#attachEvents().then(() => events.flush(LAST_EVENT_MS));
        void told.finally(() => onFatal(error));
      },
      nodePortAddresses: () => proxy.inputs.listenAddresses(),
      setVerbosity: (verbosity) => log.configure({ ...logSettings(proxy.config), verbosity }),
      onBindFailed: (server, error) => {
        const failed = server === "health" ? healthServerFailed : metricsServerFailed;
        events.record(failed(this.#node(), messageOf(error)));
      },
      onNodePortFailed: ({ namespace, name, port }, error) =>
        events.record(
          serviceHealthCheckFailed({ nodeName, namespace, name, port, error: messageOf(error) }),
        ),
    });
  }

  async #lookForOthers(): Promise<void> {
    const { proxy, log, clock } = this.#options;
    const { OtherProxies } = await import("../takeover/other-proxies.ts");
    const others = new OtherProxies({
      clock,
      log,
      problems: proxy.observers.tellProblems,
      own: proxy.backend.capabilities.ownRules,
      remove: () => proxy.config.removeKubeProxyRules,
      masqueradeBit: () => proxy.config.masqueradeBit,
      serves: (family) => mayServe(proxy.inputs.node, family),
    });
    this.#others = others;
    proxy.onForeignChange = (change) => others.changed(change);
    // In this order, so that what is removed was said before.
    void Promise.all([others.look(), proxy.firstSync]).then(() => others.afterFirstSync());
  }

  async #followConfig(): Promise<void> {
    const { proxy, log, clock, flags, resolved, onFatal } = this.#options;
    const file = textOfFlag(flags, "config");
    if (file === "" || this.#stopped) return;
    const { ConfigFollower } = await import("../config/follow.ts");
    this.#follower = new ConfigFollower({
      file,
      flags,
      clock,
      log,
      onFatal,
      current: resolved.config,
      notes: resolved.notes,
      problems: proxy.observers.tellProblems,
      apply: (config) => this.#configure(config),
    });
    this.#follower.start();
  }

  /**
   * Takes up a changed configuration, in which nothing differs that only a new process can take up.
   */
  async #configure(config: Config): Promise<void> {
    const { proxy, host, log } = this.#options;
    log.configure(logSettings(config));
    host.adjustOomScore(config.oomScoreAdj);
    host.tuneConntrack(config.conntrack);
    host.routeLocalnet(wantsLocalnet(proxy.backend, config));
    proxy.configure(config);
    void this.#others?.look();
    await this.#admin?.update(config);
  }

  async #beginEvents(): Promise<void> {
    await this.#attachEvents();
    this.#options.events.record(started(this.#node()));
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
        onDropped: () => proxy.observers.metrics.eventDropped(),
      });
    });
  }

  #node() {
    const { proxy, nodeName } = this.#options;
    return nodeReference(nodeName, proxy.inputs.node.uid);
  }
}
