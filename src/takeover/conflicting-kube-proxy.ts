/**
 * A kube-proxy in iptables mode writes the same chains as Sluice in iptables mode. Two writers undo
 * each other's work at every change, so Sluice does not start while it sees such a kube-proxy.
 *
 * It waits and does not exit. When a node's kube-proxy is replaced, the old one often stays for
 * some seconds, and its rules serve meanwhile. If it stays for good, a pod that never gets ready
 * holds up the rollout and gives the reason in its health body; a pod that restarts would say
 * nothing.
 *
 * Sluice does not fight a kube-proxy that it cannot see or that comes later either: it reports a
 * problem, and repairs of the same thing wait longer each time (sync/repair-timing.ts).
 */

import type { OwnRules } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import { CONFLICT_POLL_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import {
  findKubeProxyProcesses,
  type KubeProxyProcesses,
  nameProcesses,
} from "./kube-proxy-processes.ts";
import { NFT_FAMILY_NAMES, withNftReader } from "./nft-reader.ts";
import { KUBE_PROXY_TABLE } from "./rule-origin.ts";

/**
 * Whether a running kube-proxy writes the same chains as we. `nftables`: the tables of its nftables
 * mode are there, which it deletes at its start in any other mode. Its IPVS mode has chains of the
 * same names.
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
  /** These replace the machine in tests. */
  readonly findProcesses?: () => Promise<KubeProxyProcesses>;
  readonly usesNftables?: () => Promise<boolean>;
}

export interface ConflictWait {
  /** Whether the first look finds none. Rejects like `gone`. */
  readonly none: Promise<boolean>;
  /**
   * Resolves when no kube-proxy is seen that writes our chains; never if it was stopped before.
   * Rejects with NETLINK_SOCKET or PERMISSION_DENIED if the tables cannot be looked for.
   */
  readonly gone: Promise<void>;
  stop(): void;
}

/** Looks at once, and then every CONFLICT_POLL_MS until there is none. */
export function waitForConflictingKubeProxy(options: ConflictOptions): ConflictWait {
  const { clock, own } = options;
  const log = options.log.from("conflicting-kube-proxy.ts");
  const { findProcesses = findKubeProxyProcesses } = options;
  const { usesNftables = () => hasKubeProxyTables(clock) } = options;
  let open = true;
  let cancel = () => {};
  /** Their process ids. */
  const look = async (): Promise<readonly number[]> => {
    const { pids } = await findProcesses();
    if (pids.length === 0 || !writesSameChains(own, { nftables: await usesNftables() })) return [];
    const text = `Cannot begin: ${nameProcesses(pids)} runs here and writes the same chains; stop it. Its rules serve until then`;
    if (log.once(text)) log.warn(text);
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
    log.info("kube-proxy has ended; its chains are taken over");
    return;
  };
  const gone = wait();
  // Whoever awaits `none` gets the same rejection.
  gone.catch(() => {});
  return {
    none: first.then(({ length }) => length === 0),
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
      reader.isThere() &&
      NFT_FAMILY_NAMES.some((family) => reader.hasTable(family, KUBE_PROXY_TABLE)),
  );
}
