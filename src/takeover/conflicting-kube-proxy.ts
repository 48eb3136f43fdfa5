/**
 * Delays the start while a kube-proxy runs that writes the same chains. A kube-proxy in iptables
 * mode and Sluice in iptables mode would undo each other's work at every change.
 *
 * Sluice waits and does not exit. When a node's kube-proxy is replaced, the old one often stays for
 * some seconds, and its rules keep serving. If it stays for good, our pod never gets ready.
 * That stops the rollout, and the health body gives the reason. A pod that restarts gives none.
 *
 * A kube-proxy that writes other chains delays nothing; other-proxies.ts reports it. Sluice does
 * not fight a kube-proxy that it cannot see or that starts later. It reports a problem, and waits
 * longer before each repair of the same object (sync/repair-timing.ts).
 */

import type { OwnRules } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import { CONFLICT_POLL_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import {
  findKubeProxyProcesses,
  type KubeProxyProcesses,
  printProcesses,
} from "./kube-proxy-processes.ts";
import { NFT_FAMILY_NAMES, withNftReader } from "./nft-reader.ts";
import { KUBE_PROXY_TABLE } from "./rule-origin.ts";

/**
 * Reports whether a running kube-proxy writes the same chains as Sluice. `nftables`: the tables of
 * its nftables mode exist, which it deletes at its start in any other mode. In ipvs mode its chains
 * have the same names.
 */
export function writesSameChains(
  own: OwnRules,
  { nftables }: { readonly nftables: boolean },
): boolean {
  return own.sharesKubeProxyChains && !nftables;
}

export interface ConflictOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Capabilities.ownRules */
  readonly own: OwnRules;
  /** Replace the system in tests. */
  readonly findProcesses?: () => Promise<KubeProxyProcesses>;
  readonly usesNftables?: () => Promise<boolean>;
}

export interface ConflictWait {
  /** Resolves to true if the first look finds none. Rejects like `gone`. */
  readonly noConflict: Promise<boolean>;
  /**
   * Resolves when no kube-proxy that writes our chains is visible; never after `stop`. Rejects with
   * NETLINK_SOCKET or PERMISSION_DENIED if the tables cannot be read.
   */
  readonly gone: Promise<void>;
  stop(): void;
}

/** Looks at once, and then every CONFLICT_POLL_MS until none is left. */
export function waitForConflictingKubeProxy(options: ConflictOptions): ConflictWait {
  const { clock, own } = options;
  const log = options.log.from("conflicting-kube-proxy.ts");
  const { findProcesses = findKubeProxyProcesses } = options;
  const { usesNftables = () => hasKubeProxyTables(clock) } = options;
  let open = true;
  let cancel = () => {};
  /** Returns their process ids. */
  const look = async (): Promise<readonly number[]> => {
    const { pids } = await findProcesses();
    if (pids.length === 0 || !writesSameChains(own, { nftables: await usesNftables() })) return [];
    const text = `Waiting for ${printProcesses(pids)} to exit: it writes the same chains, and its rules serve until then (stop it)`;
    if (log.firstTime(text)) log.warn(text);
    return pids;
  };
  const pause = () =>
    new Promise<void>((resolve) => {
      cancel = clock.after(CONFLICT_POLL_MS, resolve);
    });
  const first = look();
  const wait = async () => {
    if ((await first).length === 0) return;
    do {
      await pause();
      if (!open) return new Promise<void>(() => {});
    } while ((await look()).length > 0);
    log.info("kube-proxy exited; adopting its chains");
    return;
  };
  const gone = wait();
  // `noConflict` rejects for the same reason, so `gone` may stay unhandled.
  gone.catch(() => {});
  return {
    noConflict: first.then(({ length }) => length === 0),
    gone,
    stop: () => {
      open = false;
      cancel();
    },
  };
}

function hasKubeProxyTables(clock: Clock): Promise<boolean> {
  return withNftReader(
    clock,
    (reader) =>
      reader.isAvailable() &&
      NFT_FAMILY_NAMES.some((family) => reader.hasTable(family, KUBE_PROXY_TABLE)),
  );
}
