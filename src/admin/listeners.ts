/** The addresses of the configuration, each with its server, through changes of the configuration. */
import type { Config } from "../config/config.ts";
import { parseListenAddress } from "../net/address.ts";
import { type Listener, type ListenOptions, listen } from "./serve.ts";

/** What is served at an address that the configuration names. */
export type ServerName = "health" | "metrics" | "admin";

const NAMES = ["health", "metrics", "admin"] as const;
const FIELDS = {
  health: "healthzBindAddress",
  metrics: "metricsBindAddress",
  admin: "sluice.adminBindAddress",
} as const satisfies { readonly [name in ServerName]: string };

/** Where the paths under /sluice/v1 are served alone; "": on the metrics address. */
export function ownAddress(config: Config): string {
  const { adminBindAddress, metricsBindAddress } = config;
  return adminBindAddress === metricsBindAddress ? "" : adminBindAddress;
}

export interface ListenersOptions extends Pick<ListenOptions, "clock" | "log" | "problems"> {
  readonly fetch: { readonly [name in ServerName]: ListenOptions["fetch"] };
  /** As in `ListenOptions`, by server. */
  readonly onFailed: (name: ServerName, error: unknown) => boolean;
}

/** Listens from the start where `config` says. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #open = new Map<ServerName, { readonly address: string; readonly listener: Listener }>();
  #changing: Promise<void> = Promise.resolve();

  constructor(config: Config, options: ListenersOptions) {
    this.#options = options;
    this.#openMissing(config);
  }

  /**
   * Listens where this configuration says. A server whose address stays goes on without a gap; of the others the
   * old ones are closed first, since the new address may be another's old one. One change at a time, in order.
   */
  update(config: Config): Promise<void> {
    return this.#inTurn(async () => {
      await this.#closeAllBut(config);
      this.#openMissing(config);
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#closeAllBut(undefined));
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    this.#changing = this.#changing.then(change);
    return this.#changing;
  }

  async #closeAllBut(config: Config | undefined): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const [name, { address, listener }] of this.#open) {
      if (config !== undefined && addressOf(config, name) === address) continue;
      this.#open.delete(name);
      closing.push(listener.close());
    }
    await Promise.all(closing);
  }

  /** The configuration has validated the addresses; "" turns a server off. */
  #openMissing(config: Config): void {
    const { fetch, onFailed, clock, log, problems } = this.#options;
    for (const name of NAMES) {
      const address = addressOf(config, name);
      const where = parseListenAddress(address);
      if (where === undefined || this.#open.has(name)) continue;
      const listener = listen({
        ...where,
        name,
        field: FIELDS[name],
        fetch: fetch[name],
        onFailed: (error) => onFailed(name, error),
        clock,
        log,
        problems,
      });
      this.#open.set(name, { address, listener });
    }
  }
}

function addressOf(config: Config, name: ServerName): string {
  if (name === "admin") return ownAddress(config);
  return name === "health" ? config.healthzBindAddress : config.metricsBindAddress;
}
