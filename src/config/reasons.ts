/**
 * Why settings of kube-proxy do nothing here. They are accepted all the same: a file or a command line that
 * kube-proxy starts with is to start Sluice too.
 */
export const REASONS = {
  ipvs: "IPVS is not served",
  resync: "objects are never resynced: nothing is ever missed that a resync would bring",
  requests:
    "there are a few watches and now and then an event: no client-side rate limit is needed",
  encoding:
    "objects are asked for as protobuf, and JSON is understood where a server has nothing else",
  unbuffered:
    "each line of the log is written to stderr at once: there is nothing to flush or to split",
  hidden: "no metric is hidden here",
  windows: "it is about Windows",
  leftover: "it is a leftover, kube-proxy makes no use of it either",
} as const satisfies { readonly [reason: string]: string };

export type Reason = keyof typeof REASONS;
