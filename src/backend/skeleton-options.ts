/** What the fixed rules depend on: those that are there whatever Services there are. */
import type { Cidr } from "../net/address.ts";

/** How to recognize pods of this node or cluster as the source of a packet (detectLocalMode). */
export type LocalDetector =
  | { readonly kind: "cidr"; readonly ipv4?: Cidr; readonly ipv6?: Cidr }
  | { readonly kind: "interface"; readonly name: string; readonly prefix: boolean };

export interface SkeletonOptions {
  /** Bit of the packet mark that requests masquerading, 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Drop forwarded packets that connection tracking considers invalid. */
  readonly dropInvalid: boolean;
  readonly detector: LocalDetector;
  /** Count new connections on elements, where the backend can (`Backend.counters`). */
  readonly counters: boolean;
  /** Serve node ports on IPv4 loopback addresses too, where the backend can. */
  readonly localhostNodePorts?: boolean;
}
