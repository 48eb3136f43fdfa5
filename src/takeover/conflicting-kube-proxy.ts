/**
 * In iptables mode a kube-proxy in the same mode writes the very chains that are ours. Two that
 * write them undo each other's work at every change, so Sluice does not begin while one is seen to
 * run. It waits rather than ends: when a node's kube-proxy is replaced, by the kubelet or by hand,
 * the old one is often still there for some seconds, and its rules serve meanwhile; and if it
 * stays, a pod that never gets ready holds up the rollout, and says why in its health body, where
 * one that restarts says nothing. One that is not seen, or comes later, is not fought either:
 * repairs of what is changed again and again wait (sync/repairs.ts), and it is a problem.
 */

import type { OwnRules } from "../backend/capabilities.ts";
import type { Clock } from "../base/clock.ts";
import { RIVAL_LOOK_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import { FAMILIES_OF_NFT } from "./find-rules.ts";
import { findLiving, type Living, nameOf } from "./processes.ts";
import { withReader } from "./read-nft.ts";
import { KUBE_PROXY_TABLE } from "./remove-nft.ts";

/**
 * Does a kube-proxy that runs write the chains that are ours? `nftables`: its tables of the
 * nftables mode are there, which it deletes at its start in any other mode. The IPVS mode has
 * chains of the same names.
 */
export function writesOurs(own: OwnRules, { nftables }: { readonly nftables: boolean }): boolean {
  return own.sharesKubeProxyChains && !nftables;
}

export interface RivalOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Capabilities.ownRules */
  readonly own: OwnRules;
  /** In place of the machine. */
  readonly findLiving?: () => Promise<Living>;
  readonly usesNftables?: () => Promise<boolean>;
}

export interface WaitForRival {
  /** Is there none at the first look? Rejects as `gone`. */
  readonly none: Promise<boolean>;
  /**
   * Resolves when no kube-proxy is seen that writes our chains; never if it was stopped before.
   * Rejects with NETLINK_SOCKET or PERMISSION_DENIED if that cannot be told.
   */
  readonly gone: Promise<void>;
  stop(): void;
}

/** Looks at once, and then again and again until there is none. */
export function waitForRival(options: RivalOptions): WaitForRival {
  const { clock, own } = options;
  const log = options.log.from("conflicting-kube-proxy.ts");
  const { findLiving: look = () => findLiving(), usesNftables = () => hasTables(clock) } = options;
  let open = true;
  let cancel = () => {};
  /** Process ids of those that there are. */
  const rivals = async (): Promise<readonly number[]> => {
    const { pids } = await look();
    if (pids.length === 0 || !writesOurs(own, { nftables: await usesNftables() })) return [];
    const text = `Cannot begin: ${nameOf(pids)} runs here and writes the same chains; stop it. Its rules serve until then`;
    if (log.once(text)) log.warn(text);
    return pids;
  };
  const rest = () =>
    new Promise<void>((resolve) => {
      cancel = clock.after(RIVAL_LOOK_MS, resolve);
    });
  const first = rivals();
  const wait = async () => {
    if ((await first).length === 0) return;
    do {
      await rest();
      if (!open) return new Promise<void>(() => {});
    } while ((await rivals()).length > 0);
    log.info("kube-proxy has ended; its chains are taken over");
    return;
  };
  const gone = wait();
  // Whoever asks for the first look is told.
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

function hasTables(clock: Clock): Promise<boolean> {
  return withReader(
    clock,
    (reader) =>
      reader.isThere() &&
      FAMILIES_OF_NFT.some((family) => reader.hasTable(family, KUBE_PROXY_TABLE)),
  );
}
