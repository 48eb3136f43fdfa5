/**
 * Declares the interface of the Wasm core. Everything per endpoint or per element happens inside
 * the core, in linear memory (asm/). Bulk data crosses the boundary once per chunk, per batch of
 * Services, or per netlink buffer. `readService`, `serviceKey` and `ownedElements` are called for
 * individual Services.
 *
 * Views of memory returned here are valid until the next call, because memory may grow and move.
 */

import type { EndpointSelection } from "../model/choice.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import type { Service, ServiceId } from "../model/service.ts";
import type { TableId } from "../model/tables.ts";
import type { Cidr, Family } from "../net/address.ts";
import type { ProblemEvent } from "../problems/problem.ts";

/** The kinds with many objects; the core decodes them itself. */
export type ObjectKind = "Service" | "EndpointSlice";

/** Result of one `feed`. A field is absent if nothing of its kind occurred. */
export interface FeedResult {
  /** True if an object was added, changed or removed, so that there may be dirty Services. */
  readonly objects: boolean;
  /**
   * Newest resourceVersion in this chunk: from the last watch event, the last bookmark, or the
   * list's metadata. A watch resumes from it. Watch events must count, because otherwise a broken
   * watch would replay old states.
   */
  readonly resourceVersion?: string;
  /** True if the chunk contains the bookmark that ends WatchList's initial events. */
  readonly initialEnd: boolean;
  /** The list page's continue token; "" on the last page. */
  readonly continueToken?: string;
  /**
   * Set when the list has been read to its last byte. If a body ends without it, the body was cut
   * off.
   */
  readonly listEnd?: true;
  /** Content of an ERROR event, such as 410 Gone. */
  readonly status?: { readonly code: number; readonly message: string };
}

/** Decodes one HTTP body from the API server, chunk by chunk, into rows. */
export interface ObjectStream {
  /** Returns memory to copy the next chunk into. */
  reserve(bytes: number): Uint8Array;
  /**
   * Decodes the first `bytes` bytes of the memory that `reserve` returned.
   * @throws SluiceError API_MALFORMED if the framing is broken; CORE_MEMORY. Objects fed earlier
   *   stay.
   */
  feed(bytes: number): FeedResult;
  /** Frees the stream's buffers. Further calls do nothing. Objects fed so far stay. */
  close(): void;
}

/** One dump of the kernel's connection tracking entries. */
export interface FlowDump {
  readonly family: 4 | 6;
  readonly protocol: "TCP" | "UDP";
}

/** Result of checking one chunk of a dump. */
export interface FlowsResult {
  /** Number of entries read, and how many of them must be deleted. */
  readonly entries: number;
  readonly stale: number;
  /** Netlink messages that delete the stale entries, ready for send(2). */
  readonly deletions: Uint8Array;
  /** True if the dump has ended; with an error if `errno` is not 0. */
  readonly end: boolean;
  readonly errno: number;
  /** NLM_F_DUMP_INTR: the kernel's table changed during the dump, so entries may be missing. */
  readonly interrupted: boolean;
  /** True if the chunk ends inside a message. */
  readonly cut: boolean;
}

/**
 * Decides which connections must end: those from a changed frontend to a destination that does not
 * serve it. This applies to UDP, and to TCP connections that have not been answered yet. Every
 * commit records its changes; a separate pass looks for the connections.
 */
export interface FlowChecker {
  /**
   * Records the changes of the last `commit`: UDP frontends, and TCP frontends of Services that
   * lost an endpoint. If node ports answer on further addresses, records all of them.
   */
  recordCommit(): void;
  /** Records all frontends of an owner with these protocols. */
  recordOwner(owner: OwnerId, protocols: { readonly udp: boolean; readonly tcp: boolean }): void;
  /** Records all UDP and TCP frontends. */
  recordAll(): void;
  /** Records all UDP and TCP node ports of a family. */
  recordNodePorts(family: Family): void;
  /** Reports whether a pass has anything to do. */
  hasChanges(): boolean;
  /**
   * Begins a pass over the recorded frontends and returns the dumps it needs. A connection to a
   * node port counts only if its destination is in `local`. Call it only after the previous pass
   * was finished.
   */
  begin(local: readonly Cidr[]): readonly FlowDump[];
  /** Checks the next datagram of a dump against the core's current state. */
  check(bytes: Uint8Array): FlowsResult;
  /** Ends the pass. Set `again` if it failed: all its frontends are then recorded again. */
  finish(again: boolean): void;
}

/**
 * Decodes objects, selects endpoints, stores committed elements, and diffs. One instance per
 * process.
 */
export interface Core {
  /** The linear memory, for code that writes desired records or reads endpoint spans. */
  memory(): Uint8Array;

  // ── state ──
  /**
   * Opens a decoder for one HTTP body: the protobuf of a `list`, or the frames of a `watch`. Always
   * close it.
   * @throws SluiceError CORE_MEMORY
   */
  openStream(kind: ObjectKind, format: "list" | "watch"): ObjectStream;
  /**
   * Starts a replacement: `endReplace` will remove every object of this kind that has not been fed
   * again by then.
   */
  beginReplace(kind: ObjectKind): void;
  /** Removes the objects that were not fed since `beginReplace`, and marks their Services dirty. */
  endReplace(kind: ObjectKind): void;
  /** Sets this node's zone. If it changes, every Service with zone hints becomes dirty. */
  setZone(zone: string): void;
  /**
   * Sets whether `readService` returns externalIPs (upstream's gate AllowServiceExternalIPs);
   * initially true. A change makes every Service dirty.
   */
  serveExternalIPs(serve: boolean): void;
  /** Number of Services to recompute. */
  dirtyCount(): number;
  /** Removes up to `max` Services from the dirty list, oldest first, and returns them. */
  takeDirty(max: number): ServiceId[];
  /** Appends a Service to the dirty list unless it is in it. Ignores an unused id. */
  markDirty(id: ServiceId): void;
  /** Marks every Service dirty, even if only its slices or elements are left. */
  markAllDirty(): void;
  /** Undefined if only slices or elements of the Service exist. */
  readService(id: ServiceId): Service | undefined;
  /** Returns `namespace/name`, even if the Service itself is gone; "" for an unused id. */
  serviceKey(id: ServiceId): string;
  /** Returns the id of `namespace/name` if the Service, its slices or its elements exist. */
  findService(key: string): ServiceId | undefined;
  /**
   * Number of Services that are served. The core does not store headless Services, Services of type
   * ExternalName, or Services of another proxy.
   */
  serviceCount(): number;
  /**
   * Number of additions, relevant changes and removals since the start: `service` counts Services,
   * `endpoint` counts EndpointSlices.
   */
  changeCounts(): { readonly service: number; readonly endpoint: number };
  /** Number of stored EndpointSlices, including those without a Service. */
  sliceCount(): number;
  /** Number of endpoints in all slices; an endpoint in two slices counts twice. */
  endpointCount(): number;
  /**
   * Returns the decoding problems since the last call. Decoding an object again ends all its old
   * problems and begins its current ones.
   */
  takeProblems(): ProblemEvent[];
  /**
   * Returns the last-change-trigger-time annotations (ms since the epoch) of slices ingested since
   * the last call.
   */
  takeTriggerTimes(): number[];

  // ── select ──
  /**
   * Chooses endpoints for every port and family of each Service, in order. `servesUnselected` is
   * true if an endpoint still serves but is neither Ready nor chosen, so that its existing
   * connections may continue.
   */
  select(
    ids: readonly ServiceId[],
    each: (
      id: ServiceId,
      choices: readonly EndpointSelection[],
      localReady: number,
      servesUnselected: boolean,
    ) => void,
  ): void;

  // ── diff ──
  /**
   * Returns at least `bytes` bytes of memory for desired records (layout: asm/layout/desired.ts).
   */
  reserveDesired(bytes: number): Uint8Array;
  /**
   * Compares the `bytes` bytes of desired records just written with the committed elements of these
   * owners. Committed elements that are not desired are deleted; for OWNER_ADOPTED at most
   * LEFTOVERS_AT_ONCE of them. Nothing changes until `commit`.
   */
  diff(bytes: number, owners: readonly OwnerId[]): OperationList;
  /** Confirms that the last `diff` is in the kernel. */
  commit(): void;
  /**
   * Adds elements that were read from the kernel. OWNER_ADOPTED owns them until their owner
   * claims them. An element that is already committed keeps its owner and takes the kernel's
   * value, so that its owner's next diff repairs it. Discards an uncommitted diff.
   */
  adopt(table: TableId, keysAndValues: Uint8Array, countPackets: number): void;
  /**
   * Compares elements that were read from the kernel with the committed ones. Returns one number
   * for each: COMPARED_SAME if it matches, otherwise the owner of the committed element;
   * OWNER_ADOPTED if its key is not committed (asm/layout/).
   */
  compare(table: TableId, keysAndValues: Uint8Array, count: number): Int32Array;
  /**
   * Records that these `count` elements were lost in the kernel and created again: their counters
   * restart at 0.
   */
  resetCounters(table: TableId, keys: Uint8Array, count: number): void;
  /** Number of committed elements, in one table or in all. */
  elementCount(table?: TableId): number;
  /** Number of an owner's committed elements; counting stops at `most`. */
  ownedElements(owner: OwnerId, most: number): number;
  /**
   * Iterates over the committed elements of a table, for repair and the admin API. Views are valid
   * only during the callback.
   */
  eachElement(
    table: TableId,
    each: (key: Uint8Array, value: Uint8Array, owner: OwnerId) => void,
  ): void;
  /** Owner of a committed element; undefined if the key is not committed. */
  ownerOf(table: TableId, key: Uint8Array): OwnerId | undefined;
  /** Value of a committed element; undefined if the key is not committed. */
  committedValue(table: TableId, key: Uint8Array): Uint8Array | undefined;
  /**
   * Takes counters read from the kernel: `count` times a key and a u64 of packets (little-endian).
   * Returns for each the packets since the last reading; a re-created element starts at 0. The
   * result is 0 for an element that is not committed, and for the first reading of an adopted one.
   */
  count(table: TableId, keysAndPackets: Uint8Array, count: number): Float64Array;
  /** Size of linear memory in bytes. */
  memoryBytes(): number;

  // ── flows ──
  readonly flows: FlowChecker;
}
