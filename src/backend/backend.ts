/**
 * The contract between the sync and a dataplane; nftables/ and iptables/ implement it. Operations
 * are about elements of the tables in model/tables.ts. How an element is represented in the kernel
 * is up to the backend: an element of a map, or rules in chains.
 */
import type { SluiceError } from "../base/errors.ts";
import type { Core } from "../core/core.ts";
import type { OperationList } from "../model/operation-list.ts";
import type { Service } from "../model/service.ts";
import type { Cidr } from "../net/address.ts";
import type { Capabilities, Mode } from "./capabilities.ts";
import type { AffinityCleanup, ChainReader, CounterReader, LeftoverRules } from "./parts.ts";

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
      /**
       * The whole transaction may succeed later (EINTR, ENOBUFS, a lost table), rather than never.
       */
      readonly transient: boolean;
      /**
       * The kernel does not hold what was committed: somebody else deleted or added an element, or
       * the whole table. Every retry will fail until `verify` has looked there.
       */
      readonly drifted?: boolean;
    };

/** What was found in the kernel at start. */
export interface Adoption {
  /**
   * `fresh`: nothing was there. `adopted`: what we left was taken over. `replaced`: a table of
   * another layout, or chains of a kube-proxy, which serve until the first `apply`.
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

/**
 * What can be amiss: the table or one of its maps was gone; a chain; a map that was empty; a single
 * element.
 */
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
   * Owners of which the kernel refused an element: only what it has of theirs is committed now, and
   * is nobody's (OWNER_ADOPTED) until they are programmed again.
   */
  readonly refused: readonly { readonly owner: number; readonly error: SluiceError }[];
}

/** Who the owners of operations are. */
export interface OwnerLookup {
  /** `namespace/name`, or "" for the node. May be asked until the receipt is there. */
  readonly nameOf: (owner: number) => string;
  /**
   * The Service from which the operations were planned; undefined for the node, and if it is gone.
   */
  readonly serviceOf: (owner: number) => Service | undefined;
}

/** A dataplane. `probe` comes first, then `start`, and `close` last. */
export interface Backend {
  readonly mode: Mode;
  /** Valid from `probe` on. */
  readonly capabilities: Capabilities;
  /** Undefined: the kernel forgets clients together with the rules that remember them. */
  readonly affinity: AffinityCleanup | undefined;
  /** Undefined: connections are not counted. */
  readonly counters: CounterReader | undefined;
  /** Undefined: a Service is elements of maps, rather than rules in chains. */
  readonly chains: ChainReader | undefined;
  /**
   * Undefined: all leftovers are elements, which `start` hands to the core as those of
   * OWNER_ADOPTED.
   */
  readonly leftovers: LeftoverRules | undefined;
  /**
   * Tries every kernel feature that the rules need, in a scratch table or in scratch chains that
   * nothing leads to.
   * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED, TOOL_FAILED
   */
  probe(): void | Promise<void>;
  /**
   * Creates the fixed rules, or adopts those that are there. Elements in the kernel are handed to
   * `core.adopt`. Where the kernel holds the text of rules instead, the first `apply` compares it
   * and writes only what differs.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_REFUSED, PERMISSION_DENIED, TOOL_FAILED,
   * RULES_REFUSED
   */
  start(core: Core): Adoption | Promise<Adoption>;
  /**
   * Reports, until `close`, that somebody else touched our rules or may have done so; at once if
   * that may have happened since `start` began to read. `verify` finds out what it was. Watch after
   * a large load rather than before it: the kernel then announces every element, which makes a load
   * a third slower.
   * @throws SluiceError NETLINK_SOCKET
   */
  watch(changed: (change: ForeignChange) => void): void;
  /**
   * Looks in the kernel at what others touched since the last call, and at what refused a
   * transaction, and restores what is committed, which does not change. Also applies the options of
   * `reconfigure`. Resolves to undefined if nothing was touched. Other work runs between two large
   * transactions, but nothing may be committed meanwhile.
   * @throws SluiceError TABLE_FOREIGN, NETLINK_SOCKET, NETLINK_REFUSED, TOOL_FAILED, RULES_REFUSED:
   * call it again
   */
  verify(core: Core): Promise<Drift | undefined>;
  /**
   * The next `start` or `verify` replaces the fixed rules by those of these options, in one
   * transaction that leaves every element as it is. Returns false and changes nothing if elements
   * would have to change, because `counters` differs.
   */
  reconfigure(options: SkeletonOptions): boolean;
  /**
   * Applies all of the operations or none: after a failure nothing counts as committed. In nftables
   * this is one atomic transaction. In iptables each table of each family is one: a packet may meet
   * the new rules of one and the old ones of another, and a failure may leave a part in the kernel.
   * The backend knows that part, and the next `apply` or `verify` takes it back unless it is wanted
   * by then.
   *
   * `operations` and `owners.serviceOf` may be used only until `apply` returns. While its promise
   * is pending, nothing is compared or committed.
   */
  apply(operations: OperationList, owners: OwnerLookup): Receipt | Promise<Receipt>;
  /** Resolves when nothing is being written any more; later calls of `apply` fail. */
  close(): void | Promise<void>;
}
