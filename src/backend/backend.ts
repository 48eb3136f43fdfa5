/**
 * What applies operations to a dataplane: the contract of nftables/ and iptables/. An element is of a table of plan/tables.ts;
 * what stands for it in the kernel is for the backend to say: an element of a map, or rules in chains.
 */

import type { ErrorCode, SluiceError } from "../base/errors.ts";
import type { Core } from "../core/core.ts";
import type { RuleTable, Variant } from "../iptables/syntax/known-chains.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { TableId } from "../model/tables.ts";
import type { Cidr, Family } from "../net/address.ts";

/** How to tell local pods from everybody else (detectLocalMode). */
export type LocalDetector =
  | { readonly kind: "cidr"; readonly ipv4?: Cidr; readonly ipv6?: Cidr }
  | { readonly kind: "interface"; readonly name: string; readonly prefix: boolean };

/** What the fixed part of the dataplane depends on. */
export interface SkeletonOptions {
  /** Bit of the packet mark that asks for masquerading, 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Forwarded packets that connection tracking takes for invalid go no further. */
  readonly dropInvalid: boolean;
  readonly detector: LocalDetector;
  /** Count new connections on elements. Only nftables can. */
  readonly counters: boolean;
  /** Node ports answer on IPv4 loopback addresses too. Only iptables can. */
  readonly localhostNodePorts?: boolean;
}

/** The outcome of one `apply`. */
export type Receipt =
  | { readonly ok: true; readonly bytes: number; readonly kernelMs: number }
  | {
      readonly ok: false;
      readonly error: SluiceError;
      /** The owner of the element the kernel named, when it named one. */
      readonly owner?: number;
      /** The whole transaction may succeed later (EINTR, ENOBUFS, a lost table), rather than never. */
      readonly transient: boolean;
      /**
       * The kernel does not hold what was committed: somebody else deleted or added an element, or the whole
       * table. Every retry will fail until `verify` has looked there.
       */
      readonly drifted?: boolean;
    };

/** What was found in the kernel at start. */
export interface Adoption {
  /**
   * `fresh`: nothing was there. `adopted`: what we left was taken over. `replaced`: a table of another layout, or chains of a
   * kube-proxy, which serve until the first `apply`.
   */
  readonly outcome: "fresh" | "adopted" | "replaced";
  /** Where: `the table inet sluice`, `the chains of iptables-nft`. */
  readonly what: string;
  /** How much was taken over: elements of maps, or chains. */
  readonly elements: number;
}

/** Somebody else touched what is ours. */
export interface ForeignChange {
  /** For the log: `chain services, elements of frontends4` */
  readonly what: string;
  /** For the log: `nft (pid 123)` */
  readonly by: string;
  /** Each thing that was touched, for whoever asks whether it is the same again and again. */
  readonly objects: readonly string[];
}

/** What can be amiss: the table or one of its maps was gone; a chain; a map that was empty; a single element. */
export type DriftObject = "table" | "chain" | "map" | "element";

/** What was written, in one transaction or several. */
export interface Written {
  readonly operations: number;
  /** Of these, those that added an element. */
  readonly added: number;
  /** Of netlink messages, or of the text that iptables-restore was told. */
  readonly bytes: number;
  readonly transactions: number;
  readonly kernelMs: number;
}

/** What became of a suspicion that the kernel does not hold what was committed. */
export interface Drift {
  /** The first change that aroused it, and how many there were. */
  readonly change: Omit<ForeignChange, "objects">;
  readonly changes: number;
  /** When that was noticed, monotonic ms. */
  readonly noticedAt: number;
  /** How many objects differed and were put right. None: there was nothing to mend. */
  readonly amiss: { readonly [kind in DriftObject]?: number };
  /** What that took for elements. */
  readonly written: Written;
  /**
   * Owners of which the kernel refused an element: only what it has of theirs is committed now, and is nobody's
   * (OWNER_ADOPTED) until they are programmed again.
   */
  readonly refused: readonly { readonly owner: number; readonly error: SluiceError }[];
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

/** What one family's rules and restores are like: what upstream measures in its iptables mode. */
export interface RestoreStatistics {
  readonly family: Family;
  /** Rules of ours by table; `last`: of them, those that the last restore wrote. */
  readonly rules: readonly {
    readonly table: RuleTable;
    readonly total: number;
    readonly last: number;
  }[];
  /** Restores since the start that failed, whatever came after; `partial` of them were about some chains only. */
  readonly failures: number;
  readonly partialFailures: number;
}

/** Which rules a backend makes: in iptables mode its chains bear the names of kube-proxy's. */
export type OwnRules =
  | { readonly kind: "nftables" }
  | { readonly kind: "iptables"; readonly variant: Variant };

/** A family of which no rule is made, since this node cannot. */
export interface UnservedFamily {
  readonly family: Family;
  readonly code: ErrorCode;
  /** For the operator: `ip6tables-nft or ip6tables for nf_tables is not installed` */
  readonly reason: string;
}

export interface Backend {
  /** Known from `probe` on. */
  readonly own: OwnRules;
  /** Known from `probe` on. Absent: both families are served. */
  readonly unserved?: readonly UnservedFamily[];
  /** What is not served of the families that are, a sentence each; known from `probe` on. Absent: all is. */
  readonly lacks?: readonly string[];
  /**
   * Most operations that one `apply` takes, whatever they are: a transaction is one datagram, which without
   * CAP_NET_ADMIN in the first user namespace is bounded by net.core.wmem_max. Absent: any number.
   */
  readonly maxOperations?: number;
  /**
   * One `apply` takes about the same time whatever is in it: everything that is dirty goes into one. Without it, a
   * batch is bounded, so that everything else has its turn.
   */
  readonly wholesale?: boolean;
  /**
   * Tries every kernel feature the skeleton needs, in a scratch table or in scratch chains that nothing leads to.
   * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED.
   */
  probe(): void | Promise<void>;
  /**
   * Makes the skeleton, or takes over what is there. What can be told by elements is handed to `core.adopt`; where the kernel
   * holds text instead, it is compared with what the first `apply` makes, which writes the difference only.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, PERMISSION_DENIED
   */
  start(core: Core): Adoption | Promise<Adoption>;
  /**
   * Calls back whenever somebody else has touched what is ours, or may have, until `close`; at once if that may
   * have been since `start` began to read. What it was is for `verify` to look at. The kernel then tells of every
   * element, which makes a large load a third slower: so watch after it.
   * @throws SluiceError NETLINK_SOCKET
   */
  watch(changed: (change: ForeignChange) => void): void;
  /**
   * Looks in the kernel at what others touched since the last call, and at what refused a transaction, and makes
   * it what is committed again, which does not change by that. Also puts in place what `reconfigure` changed.
   * Undefined: nothing was touched. Everything else has its turn between two large transactions, but nothing may
   * be committed meanwhile.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_SOCKET, NETLINK_REFUSED: it is yet to be done, call again
   */
  verify(core: Core): Promise<Drift | undefined>;
  /**
   * From the next `start` or `verify` on the chains are those of these options, by one transaction that leaves
   * every element as it is. False, and nothing has changed, if elements would have to change: `counters` differ.
   */
  reconfigure(options: SkeletonOptions): boolean;
  /**
   * All of the operations or none: after a failure nothing counts as committed. In nftables it is one atomic transaction. In
   * iptables each table of each family is one: a packet may meet the new rules of one and the old ones of another, and of a
   * failure a part may be in the kernel. That is known there, and the next `apply` or `verify` takes it back unless it is
   * wanted then. `ownerName` names an owner for comments and for errors. The operations may be read only until it returns;
   * while a promise of it is pending, nothing is compared or committed.
   */
  apply(
    operations: OperationList,
    ownerName: (owner: number) => string,
  ): Receipt | Promise<Receipt>;
  /**
   * Since `start` everything there is has been applied or refused: what was there before and nobody wants any more goes
   * now. To be called again if it fails. Absent: that is OWNER_ADOPTED's elements.
   * @throws SluiceError as `apply` reports
   */
  sweep?(): Promise<void>;
  /** May clients be remembered for what is gone? Then `forgetAffinity` is due. */
  remembersOutdated(): boolean;
  /**
   * Forgets clients of frontends and endpoints that are gone since the last call; returns how many entries were
   * deleted.
   */
  forgetAffinity(core: Core): number;
  /**
   * Reads the counters of every committed element that has one, slice by slice, and lets everything else have its
   * turn in between. Elements that went meanwhile are left out. True if no transaction came in between, so that
   * what was read is all there is.
   * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
   */
  readCounters(each: CounterSink): Promise<boolean>;
  /**
   * Where in the kernel the port of a Service is that an element's frontend is of: names of chains. Absent: the
   * tables' own names tell.
   */
  locate?(table: TableId, key: Uint8Array): readonly string[];
  /** As of now, one for each family that is served. Absent: rules are not restored. */
  restoreStatistics?(): readonly RestoreStatistics[];
  /** Has `each` hear what elements counted that a transaction is about to delete, if they are few. */
  countDeleted(each: CounterSink): void;
  /** Resolves when nothing is being written any more; what comes later is refused. */
  close(): void | Promise<void>;
}
