/** Defines the options that the fixed rules depend on. Fixed rules do not depend on Services. */
import type { Cidr } from "../net/address.ts";

/** Recognizes pods of this node or cluster as the source of a packet (detectLocalMode). */
export type LocalDetector =
  | { readonly kind: "cidr"; readonly ipv4?: Cidr; readonly ipv6?: Cidr }
  | { readonly kind: "interface"; readonly name: string; readonly prefix: boolean };

export interface SkeletonOptions {
  /** Bit of the packet mark that requests masquerading, 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Drop forwarded packets in conntrack state invalid. */
  readonly dropInvalid: boolean;
  readonly detector: LocalDetector;
  /** Count new connections per element, if the backend can. */
  readonly counters: boolean;
  /** Also serve node ports on IPv4 loopback addresses, if the backend can. */
  readonly localhostNodePorts?: boolean;
}
