/**
 * Defines the optional parts of a backend. `Backend` has a field for each, which is undefined if
 * the backend lacks the part. Callers therefore need no empty implementations and need not know
 * which backend it is.
 */
import type { TableId } from "../model/tables.ts";
import type { Family } from "../net/address.ts";

/** Fresh counters of some elements of one table. */
export interface CounterSlice {
  readonly table: TableId;
  readonly count: number;
  /**
   * `count` times a key and a little-endian u64 of packets, in the layout that `core.count`
   * expects.
   */
  readonly keysAndPackets: Uint8Array;
  /** The values of the elements. */
  readonly values: Uint8Array;
}

/** Receives counters before the committed state can change. */
export type CounterSink = (slice: CounterSlice) => void;

/** Reads the counters of new connections per element. */
export interface CounterReader {
  /**
   * Reads the counters of all committed elements that have one. Works in portions and lets other
   * work run in between. Skips elements that are deleted meanwhile. Resolves to true if no
   * transaction came in between, so that the portions are complete.
   * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
   */
  read(sink: CounterSink): Promise<boolean>;
  /**
   * From now on, `each` receives the counters of elements that a transaction is about to delete,
   * unless there are too many.
   */
  onDelete(each: CounterSink): void;
}

/**
 * A frontend that had no room for a new client of session affinity during the last minutes. `table`
 * and `key` identify its element in `learn` or `nodeports-learn`.
 */
export interface FullFrontend {
  readonly table: TableId;
  readonly key: Uint8Array;
  /**
   * Connections of clients that could not be remembered, since the frontend became full. 0 if the
   * backend does not count connections.
   */
  readonly connections: number;
}

/** Reads which frontends cannot remember new clients. */
export interface FullFrontendReader {
  /**
   * Reads all full frontends. Call it only while elements with session affinity are committed.
   * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
   */
  read(): readonly FullFrontend[];
}

/** Rules and restores of one family, as upstream measures them in its iptables mode. */
export interface RestoreStatistics {
  readonly family: Family;
  /** Our rules by table. The last restore that touched the table wrote `last` of them. */
  readonly rules: readonly {
    readonly table: "nat" | "filter";
    readonly total: number;
    readonly last: number;
  }[];
  /**
   * Failed restores since the start, including those with a successful retry. `partialFailures` of
   * them covered only some chains.
   */
  readonly failures: number;
  readonly partialFailures: number;
}

/** Gives access to named chains, which iptables-restore writes. */
export interface ChainReader {
  /** Names of the chains of the Service port that an element's frontend belongs to. */
  locate(table: TableId, key: Uint8Array): readonly string[];
  /** The current statistics, one entry per served family. */
  statistics(): readonly RestoreStatistics[];
}

/**
 * Rules from before `start` that the core did not adopt: chains of iptables, or a table with
 * another layout. Elements that it adopted belong to OWNER_ADOPTED instead.
 */
export interface LeftoverRules {
  /**
   * Removes the leftover rules that no `apply` has replaced. Call it when everything since `start`
   * has been applied or refused, and again if it fails. After a success, it does nothing.
   * @throws SluiceError as `apply` reports
   */
  remove(): Promise<void>;
}
