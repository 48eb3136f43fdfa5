/**
 * The maxima and intervals an operator may meet, each with its reason. Units are in the names. What only one
 * protocol or file needs stands there.
 */

/** Services planned and diffed in one go: enough to amortise the border, few enough to stay responsive. */
export const BATCH_SERVICES = 1000;
/**
 * Elements in one transaction, about: a netlink batch of this many is 3 to 4 MB, which one send takes, and
 * holds the kernel's commit lock for some 100 ms. A single Service is never split.
 */
export const BATCH_ELEMENTS = 50_000;
/** A sync rests for as long as it took, at most this long, so that a burst is coalesced. */
export const SYNC_REST_MS_MAX = 100;
/** The same where other programs write the dataplane (iptables-restore): they leave this one free. */
export const SYNC_REST_SINGLE_TRANSACTION_MS_MAX = 10;
/**
 * Of a batch that is refused without a word about whose element it is, halves are tried so often; what is left then
 * waits for the next sync. One owner among 10,000 is found by 28, and each may take as long as a whole load.
 */
export const ATTEMPTS_MAX = 64;
/** A restore that is under way at the end of the process is waited for, so that a successor reads what comes of it. */
export const STOP_WRITING_MS = 10_000;
/** First retry after a failed sync; doubles up to kube-proxy's syncPeriod. */
export const SYNC_RETRY_MS = 100;
/** First retry of a Service whose elements the kernel refused; doubles up to REFUSED_RETRY_MS_MAX. */
export const REFUSED_RETRY_MS = 1000;
export const REFUSED_RETRY_MS_MAX = 300_000;
/** Least time between two repairs of the same thing that others changed; from this many in a row on it doubles, up to the maximum. */
export const REPAIR_WAIT_MS = 250;
export const REPAIR_WAIT_MS_MAX = 2000;
export const REPAIRS_BEFORE_BACKOFF = 4;
/** A thing was not changed by others for so long: the next change of it is repaired at once. */
export const REPAIR_CALM_MS = 10_000;
/** Things of which it is remembered that others changed them; the oldest are forgotten. */
export const REPAIR_OBJECTS_MAX = 4096;
/** A tool of iptables waits so long for the xtables lock, as kube-proxy's do (pkg/util/iptables: WaitSecondsValue). */
export const XTABLES_LOCK_SECONDS = 5;
/** So long a program that we run may take: after waiting for the xtables lock it may have much to do. */
export const TOOL_TIMEOUT_MS = 60_000;
/**
 * And iptables-restore: 60,000 rules take up to 5 s in the legacy tables and 30 s in nf_tables on a busy node. One that is
 * killed has written each table in full or not at all.
 */
export const RESTORE_TIMEOUT_MS = 300_000;
/** Bytes that a program may print: iptables-save of 10,000 Services is some 15 MB, and 100,000 are not too many. */
export const TOOL_OUTPUT_MAX = 256 << 20;
/** Whether somebody changed the tables of iptables is looked for so often: a few system calls. */
export const CHANGE_COUNTER_POLL_MS = 1000;
/**
 * They are compared with what they should be at least so often, but not sooner than so many times what a comparison
 * takes; and if something was changed, by whomever, than this many times.
 */
export const COMPARE_INTERVAL_MS = 60_000;
/** The same after we have written, where nothing tells whether somebody else did meanwhile. */
export const COMPARE_WRITTEN_MS = 5_000;
export const COMPARE_FACTOR = 100;
export const COMPARE_FACTOR_CHANGED = 10;
/** Remembered clients are looked through again no sooner than this, and than so many times what it took. */
export const AFFINITY_REST_MS = 250;
export const AFFINITY_REST_FACTOR = 4;
/**
 * A pass over the node's connections begins so long after a change, so that the changes at the heels of the first
 * share it: the kernel walks its whole table for one, 0.3 s on end where it holds 1,000,000.
 */
export const FLOWS_DELAY_MS = 10;
/** After a pass, the next one waits for this many times as long as the pass took. */
export const FLOW_PASS_COOLDOWN_FACTOR = 4;
/** Interval between two searches for rules of other proxies. */
export const OTHER_PROXY_POLL_MS = 60_000;
/**
 * The same while a kube-proxy runs, and for OTHER_PROXY_POLL_MS after it was last seen, so that its rules go
 * soon after its end.
 */
export const OTHER_PROXY_RUNNING_POLL_MS = 5_000;
/** Interval between two looks at a kube-proxy that writes our chains and keeps us from starting. */
export const CONFLICT_POLL_MS = 500;
/** After this long without kube-proxy's text in our chains, its writer counts as ended. */
export const OTHER_PROXY_QUIET_MS = 600_000;

/** How long a connection to the API server may take to come up, TLS included. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** TCP probes begin after this much silence, so a host that vanished is noticed while a watch is quiet. */
export const KEEPALIVE_DELAY_MS = 15_000;
/** First wait after a failed request, and the longest: client-go's reflector. Jitter doubles either at most. */
export const WATCH_RETRY_MS = 800;
export const WATCH_RETRY_MS_MAX = 30_000;
/** A Retry-After above this is taken for a mistake: what a node does must not be of yesterday. */
export const RETRY_AFTER_MS_MAX = 60_000;
/** timeoutSeconds of a watch is between this and twice this, at random, so that watches do not end together. */
export const WATCH_TIMEOUT_S_MIN = 300;
/**
 * A watch without a byte for so long is dead, or waits for a version that never comes: the server writes a
 * bookmark every minute. Being wrong costs two small requests.
 */
export const WATCH_SILENCE_MS = 90_000;
/** A list without a byte for so long is dead; the server itself gives up after 60 s. */
export const LIST_SILENCE_MS = 70_000;
/** A watch that lived for so long, or brought anything, was a success: the next failure starts over at the first wait. */
export const WATCH_HEALTHY_MS = 5000;
/** Objects per page where the server pages: a list from its cache ignores this. */
export const LIST_PAGE = 500;
/** An optional resource the server does not have is asked for again after so long. */
export const ABSENT_RETRY_MS = 600_000;
/** The first sync waits at most so long for this node's Node object (kube-proxy's NodeManager). */
export const NODE_WAIT_MS = 30_000;
/** In detectLocalMode NodeCIDR it waits so long for the Node's podCIDRs, and gives up then (kube-proxy: 5 minutes). */
export const POD_CIDRS_WAIT_MS = 300_000;
/** A directory of manifests, or the configuration file, is looked at again after so long even if nothing was announced. */
export const MANIFESTS_RESCAN_MS = 30_000;

/** Sysctls that could not be set are looked at again after so long. */
export const SYSCTL_LOOK_MS = 60_000;

/** The longest ClientIP affinity the API allows. */
export const AFFINITY_SECONDS_MAX = 86_400;
/** Endpoints behind one frontend; more are left out. An action holds the count in 20 bits. */
export const SLOTS_MAX = 1_000_000;
/**
 * Health and metrics come after the first sync. Without one they come after the first of these while the source
 * has not answered, and after the second while what it said is being programmed: loading them costs 0.1 s.
 */
export const ADMIN_WAIT_MS = 1000;
export const ADMIN_WAIT_LOADING_MS = 3000;
/**
 * A scrape waits so long for the counters of the kernel, and then shows what was read: while everything is being
 * programmed they are read as slowly as that goes, and scrapers have a patience of their own (10 s, mostly).
 */
export const SCRAPE_PATIENCE_MS = 1000;
/** Most series of sluice_service_connections_total: as many Services as a Prometheus server bears from each node. */
export const SERVICE_SERIES_MAX = 10_000;
/**
 * How long a configuration file, or a manifest that was written in place and lost an object, must stay
 * unchanged before it is read.
 */
export const FILE_SETTLE_MS = 100;
/** A larger configuration file is a mistake; one of every field is some kilobytes. */
export const CONFIG_BYTES_MAX = 4_000_000;
/** This many operations leave garbage worth collecting. */
export const LARGE_SYNC_OPERATIONS = 5000;
/** Memory is given back after this long without a sync, and after a request. */
export const RELEASE_MEMORY_MS = 1000;
/** Trigger times kept while syncs fail: enough for the latency of a large rollout. */
export const TRIGGER_TIMES_MAX = 16_384;
