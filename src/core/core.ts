/**
 * The face of the Wasm core: everything that is per endpoint or per element happens behind it, in
 * linear memory (asm/). The border is crossed once per chunk, per batch of Services, per netlink
 * buffer.
 *
 * Views of memory returned here are valid until the next call: memory may grow and move.
 */

import type { Choice } from "../model/choice.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { OwnerId } from "../model/owner.ts";
import type { Service, ServiceId } from "../model/service.ts";
import type { TableId } from "../model/tables.ts";
import type { ProblemEvent } from "../problems/problem.ts";

/** Kinds that are many: the core decodes them itself. */
export type ObjectKind = "Service" | "EndpointSlice";

/** What one `feed` brought. Absent fields did not occur. */
export interface FeedResult {
  /** Some object was added, changed or removed: there may be dirty Services. */
  readonly objects: boolean;
  /**
   * The newest resourceVersion of this chunk: of its last watch event or bookmark, or of the list's
   * metadata. A watch resumes from it, so leaving events out would replay old states after a break.
   */
  readonly resourceVersion?: string;
  /** The bookmark that ends WatchList's initial events. */
  readonly initialEnd: boolean;
  /** A list page's continue token, "" on the last page. */
  readonly continueToken?: string;
  /** The list was read to its last byte. A list body that ends without this was cut off. */
  readonly listEnd?: true;
  /** An ERROR event, such as 410 Gone. */
  readonly status?: { readonly code: number; readonly message: string };
}

/** Decodes one HTTP body of the API server into rows, chunk by chunk. */
export interface ObjectStream {
  /** Memory to copy the next chunk into. */
  reserve(bytes: number): Uint8Array;
  /**
   * Takes `bytes` bytes of what `reserve` returned.
   * @throws SluiceError API_MALFORMED when the framing is broken; CORE_MEMORY. Objects fed before
   * stay.
   */
  feed(bytes: number): FeedResult;
  /** Frees its buffers; a second time does nothing. Objects fed so far stay. */
  close(): void;
}

/** One dump of the kernel's entries of connection tracking. */
export interface FlowDump {
  readonly family: 4 | 6;
  readonly protocol: "TCP" | "UDP";
}

/** What came of one chunk of a dump. */
export interface FlowVerdict {
  /** Entries read, and those among them that must not go on as they are. */
  readonly entries: number;
  readonly condemned: number;
  /** Messages that delete these, as send(2) takes them. */
  readonly deletions: Uint8Array;
  /** The dump is over; with an error, if this is not 0. */
  readonly end: boolean;
  readonly errno: number;
  /** NLM_F_DUMP_INTR: the kernel's table changed so that entries may be missing. */
  readonly interrupted: boolean;
  /** The chunk ends within a message. */
  readonly cut: boolean;
}

/**
 * Which connections must not go on as they are: those of UDP, and those of TCP that nobody has
 * answered yet, that lead from a frontend that changed to somebody who does not serve it. What
 * changed is noted with every commit, and looked for in a pass of its own.
 */
export interface FlowJudge {
  /**
   * Notes what the last `commit` changed: frontends of UDP, and those of TCP of a Service that lost
   * an endpoint.
   */
  noteCommit(): void;
  /** Notes all frontends of an owner, of these protocols. */
  noteOwner(owner: OwnerId, protocols: { readonly udp: boolean; readonly tcp: boolean }): void;
  /** Notes all frontends of UDP and TCP. */
  noteAll(): void;
  /** Is there anything for a pass to do? */
  noted(): boolean;
  /**
   * Begins a pass over what was noted; it needs these dumps. Not before the last pass was finished.
   */
  begin(): readonly FlowDump[];
  /** Judges the next datagram of a dump, by what the core knows by now. */
  judge(bytes: Uint8Array): FlowVerdict;
  /** Ends the pass; `again`: it failed, so all it was about is noted anew. */
  finish(again: boolean): void;
}

/** Decodes, selects, remembers what is committed, and diffs. One instance for each process. */
export interface Core {
  /** The linear memory, for writers of desired records and readers of endpoint spans. */
  memory(): Uint8Array;

  // ── state ──
  /**
   * For one HTTP body: protobuf of a `list`, or the frames of a `watch`. Close it in any case.
   * @throws SluiceError CORE_MEMORY
   */
  openStream(kind: ObjectKind, format: "list" | "watch"): ObjectStream;
  /** Everything of this kind that is not fed again before `endReplace` is gone. */
  beginReplace(kind: ObjectKind): void;
  /** Removes what was not fed since `beginReplace`; Services concerned become dirty. */
  endReplace(kind: ObjectKind): void;
  /** This node's zone; every Service with zone hints becomes dirty when it changes. */
  setZone(zone: string): void;
  /**
   * Whether `readService` gives Services their externalIPs (upstream's gate
   * AllowServiceExternalIPs); at first it does. A change makes every Service dirty.
   */
  serveExternalIPs(serve: boolean): void;
  /** Services to recompute. */
  dirtyCount(): number;
  /** Takes up to `max` of them, oldest first, off the dirty list. */
  takeDirty(max: number): ServiceId[];
  /** Last in the list, unless it is in it; an id not in use is passed over. */
  markDirty(id: ServiceId): void;
  /** Also of what has only slices or elements left. */
  markAllDirty(): void;
  /** Undefined when only slices or elements of it exist. */
  readService(id: ServiceId): Service | undefined;
  /** `namespace/name`, also when the Service itself is gone. "" for an id not in use. */
  serviceKey(id: ServiceId): string;
  /** The id of `namespace/name`, if anything of it exists. */
  findService(key: string): ServiceId | undefined;
  /**
   * Services that are served: headless ones, those of type ExternalName and those of another proxy
   * are not kept.
   */
  serviceCount(): number;
  /**
   * How many times a Service, or a slice (its endpoints), was added, changed in what matters or
   * removed since the start.
   */
  changeCounts(): { readonly service: number; readonly endpoint: number };
  /** EndpointSlices kept, also those whose Service is not there. */
  sliceCount(): number;
  /** Endpoints in them; one that two slices name counts twice. */
  endpointCount(): number;
  /** Addresses of all endpoints on this node, each once: what can hairpin. */
  localAddresses(family: 4 | 6): Uint8Array[];
  /** Grows by one whenever `localAddresses` changes. */
  localAddressesVersion(): number;
  /**
   * Problems found while decoding since the last call. An object that is decoded anew ends all it
   * had, and begins those it has.
   */
  takeProblems(): ProblemEvent[];
  /**
   * last-change-trigger-time annotations (ms since the epoch) of slices ingested since the last
   * call.
   */
  takeTriggerTimes(): number[];

  // ── select ──
  /**
   * Chooses endpoints for every port and family of each Service, in order. `lingers`: some endpoint
   * serves that is neither Ready nor chosen, so connections that it has may go on.
   */
  select(
    ids: readonly ServiceId[],
    each: (id: ServiceId, choices: readonly Choice[], localReady: number, lingers: boolean) => void,
  ): void;

  // ── diff ──
  /**
   * Memory to write desired records into (layout: asm/layout/desired.ts). At least `bytes` long.
   */
  reserveDesired(bytes: number): Uint8Array;
  /**
   * Compares the desired records just written (`bytes` of them) with what is committed, for these
   * owners: their committed elements that are not desired are deleted (of OWNER_ADOPTED's no more
   * than LEFTOVERS_AT_ONCE). Nothing changes until `commit`.
   */
  diff(bytes: number, owners: readonly OwnerId[]): OperationList;
  /** The last `diff` is in the kernel. */
  commit(): void;
  /**
   * Elements that were read from the kernel: their owner is OWNER_ADOPTED until a Service claims
   * them. One that is committed already keeps its owner and takes the kernel's value, so that its
   * owner's next diff mends it. A diff that is not committed yet is void afterwards.
   */
  adopt(table: TableId, keysAndValues: Uint8Array, count: number): void;
  /**
   * Compares elements that were read from the kernel with what is committed. For each:
   * COMPARED_SAME if it is that, else whose it should be; OWNER_ADOPTED if its key is not committed
   * (asm/layout/).
   */
  compare(table: TableId, keysAndValues: Uint8Array, count: number): Int32Array;
  /**
   * These elements (`count` keys) were lost in the kernel, and are there again: `count` starts
   * over.
   */
  madeAnew(table: TableId, keys: Uint8Array, count: number): void;
  /** Number of committed elements, of one table or of all. */
  elementCount(table?: TableId): number;
  /** Number of committed elements of an owner, counted no further than `most`. */
  ownedElements(owner: OwnerId, most: number): number;
  /**
   * Every committed element of a table, for audits and the admin API; views die with the callback.
   */
  eachElement(
    table: TableId,
    each: (key: Uint8Array, value: Uint8Array, owner: OwnerId) => void,
  ): void;
  /** Owner of a committed element; undefined if there is none. */
  ownerOf(table: TableId, key: Uint8Array): OwnerId | undefined;
  /** Value of a committed element; undefined if there is none. */
  committedValue(table: TableId, key: Uint8Array): Uint8Array | undefined;
  /** Does some slot of this frontend (key without slot) lead to this endpoint? */
  hasEndpoint(table: TableId, frontendKey: Uint8Array, endpoint: Uint8Array): boolean;
  /**
   * Takes counters read from the kernel: `count` of key + u64 packets (little-endian). Returns, for
   * each, the packets since the last reading (the element's own; a re-created element starts at 0).
   * 0 for an element that is not committed, and for the first reading of an adopted one.
   */
  count(table: TableId, keysAndPackets: Uint8Array, count: number): Float64Array;
  /** Bytes of linear memory. */
  memoryBytes(): number;

  // ── flows ──
  readonly flows: FlowJudge;
}
