/**
 * Parts that only some backends have. `Backend` has a field for each: undefined says that this
 * backend has no such part, so that callers need no empty implementations and do not ask which
 * backend it is.
 */
import type { Core } from "../core/core.ts";
import type { TableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";

/**
 * Clients that session affinity remembers in the kernel. They outlive the frontend or endpoint that
 * they lead to, so somebody has to delete them.
 */
export interface AffinityCleanup {
  /** Clients may be remembered for frontends or endpoints that are gone. */
  readonly stale: boolean;
  /**
   * Deletes the clients of frontends and endpoints that went since the last call; returns how many.
   * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
   */
  purge(core: Core): number;
}

/** Counters of some elements of one table, read just now. */
export interface CounterSlice {
  readonly table: TableId;
  readonly count: number;
  /** `count` times a key and a little-endian u64 of packets, as `core.count` takes them. */
  readonly keysAndPackets: Uint8Array;
  /** The value of each. */
  readonly values: Uint8Array;
}

/** Takes counters before anything else can change what is committed. */
export type CounterSink = (slice: CounterSlice) => void;

/** Counters of new connections on elements. */
export interface CounterReader {
  /**
   * Reads the counters of every committed element that has one, slice by slice, and lets other work
   * run in between. Elements that are deleted meanwhile are left out. Resolves to true if no
   * transaction came in between, so that the slices are complete.
   * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
   */
  read(each: CounterSink): Promise<boolean>;
  /**
   * From now on `each` gets the counters of elements that a transaction is about to delete, if they
   * are few.
   */
  onDelete(each: CounterSink): void;
}

/** Rules and restores of one family: what upstream measures in its iptables mode. */
export interface RestoreStatistics {
  readonly family: Family;
  /** Our rules by table; `last` of them were written by the last restore. */
  readonly rules: readonly {
    readonly table: "nat" | "filter";
    readonly total: number;
    readonly last: number;
  }[];
  /**
   * Failed restores since the start, also if a retry succeeded; `partial` of them covered only some
   * chains.
   */
  readonly failures: number;
  readonly partialFailures: number;
}

/** Rules in named chains, which iptables-restore writes. */
export interface ChainReader {
  /** Names of the chains for the Service port that an element's frontend belongs to. */
  locate(table: TableId, key: Uint8Array): readonly string[];
  /** As of now, one for each served family. */
  statistics(): readonly RestoreStatistics[];
}

/** Rules from before `start` that the core cannot adopt, because they are not elements. */
export interface LeftoverRules {
  /**
   * Removes them. To be called when everything since `start` has been applied or refused, and again
   * if it fails. Once it succeeded, it does nothing.
   * @throws SluiceError as `apply` reports
   */
  remove(): Promise<void>;
}
