/** Keeps one server per configured address, and follows changes of the configuration. */
import type { Config } from "../config/config.ts";
import { parseListenAddress } from "../net/address.ts";
import { ClientConnections } from "./client-connections.ts";
import { type HttpListener, type ListenOptions, listenWithRetry } from "./serve.ts";

/** The servers that have a configured address. */
export type ServerName = "health" | "metrics" | "admin";

const NAMES = ["health", "metrics", "admin"] as const;
const FIELDS = {
  health: "healthzBindAddress",
  metrics: "metricsBindAddress",
  admin: "sluice.adminBindAddress",
} as const satisfies { readonly [name in ServerName]: string };

/**
 * Returns the separate address for the paths under /sluice/v1; "" if the metrics address serves
 * them.
 */
export function separateAdminAddress(config: Config): string {
  const { adminBindAddress, metricsBindAddress } = config;
  return adminBindAddress === metricsBindAddress ? "" : adminBindAddress;
}

export interface ListenersOptions extends Pick<ListenOptions, "clock" | "log" | "problems"> {
  readonly fetch: { readonly [name in ServerName]: ListenOptions["fetch"] };
  /** Like `onFailed` of `ListenOptions`, with the name of the server. */
  readonly onFailed: (name: ServerName, error: unknown) => boolean;
}

/** Listens on the addresses of `config` from the start. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #open = new Map<
    ServerName,
    { readonly address: string; readonly listener: HttpListener }
  >();
  #changing: Promise<void> = Promise.resolve();

  constructor(config: Config, options: ListenersOptions) {
    this.#options = options;
    this.#openMissing(config);
  }

  /**
   * Applies the addresses of another configuration. A server with an unchanged address continues
   * without a gap. Others are closed before any is opened, because a new address may be the old
   * address of another server. Changes run one at a time, in order.
   */
  update(config: Config): Promise<void> {
    return this.#enqueue(async () => {
      await this.#closeAllBut(config);
      this.#openMissing(config);
      await this.attempted();
    });
  }

  /** Resolves after the first attempt to bind each address. */
  async attempted(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ listener }) => listener.attempted));
  }

  close(): Promise<void> {
    return this.#enqueue(() => this.#closeAllBut(undefined));
  }

  #enqueue(change: () => Promise<void>): Promise<void> {
    this.#changing = this.#changing.then(change);
    return this.#changing;
  }

  async #closeAllBut(config: Config | undefined): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const [name, { address, listener }] of this.#open) {
      if (config !== undefined && serverAddress(config, name) === address) continue;
      this.#open.delete(name);
      closing.push(listener.close());
    }
    await Promise.all(closing);
  }

  /** Opens the missing servers. The addresses are already validated; "" disables a server. */
  #openMissing(config: Config): void {
    const { fetch, onFailed, clock, log, problems } = this.#options;
    for (const name of NAMES) {
      const address = serverAddress(config, name);
      const where = parseListenAddress(address);
      if (where === undefined || this.#open.has(name)) continue;
      const listener = listenWithRetry({
        ...where,
        name,
        field: FIELDS[name],
        fetch: fetch[name],
        connections: new ClientConnections(clock),
        onFailed: (error) => onFailed(name, error),
        clock,
        log,
        problems,
      });
      this.#open.set(name, { address, listener });
    }
  }
}

function serverAddress(config: Config, name: ServerName): string {
  if (name === "admin") return separateAdminAddress(config);
  return name === "health" ? config.healthzBindAddress : config.metricsBindAddress;
}
