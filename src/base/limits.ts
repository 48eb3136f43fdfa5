/**
 * Defines limits and intervals that an operator may notice, each with its reason. Units are in the
 * names. A limit that matters to one protocol or file only is defined in that file.
 */

/**
 * Services planned and diffed together: enough to amortise calls into the core, few enough to stay
 * responsive.
 */
export const BATCH_SERVICES = 1000;
/**
 * Approximate number of elements in one transaction. A netlink batch of this size is 3 to 4 MB,
 * fits one send, and holds the kernel's commit lock for about 100 ms. A Service is never split.
 */
export const BATCH_ELEMENTS = 50_000;
/**
 * After a sync, the loop rests as long as the sync took, but at most this long, to coalesce bursts.
 */
export const SYNC_COOLDOWN_MS_MAX = 100;
/**
 * Same as SYNC_COOLDOWN_MS_MAX if another program (iptables-restore) writes the rules, because this
 * process stays idle meanwhile.
 */
export const SYNC_COOLDOWN_SINGLE_TRANSACTION_MS_MAX = 10;
/**
 * If the kernel refuses a batch without naming the owner, Sluice bisects the batch with at most
 * this many attempts. The rest waits for the next sync. Finding one owner among 10,000 takes 28
 * attempts, and each attempt may take as long as a full load.
 */
export const BISECT_ATTEMPTS_MAX = 64;
/**
 * At exit, Sluice waits this long for a running restore, so that its successor reads the result.
 */
export const STOP_TIMEOUT_MS = 10_000;
/** Delay before the first retry of a failed sync. It doubles up to kube-proxy's syncPeriod. */
export const SYNC_RETRY_MS = 100;
/**
 * Delay before the first retry of a Service with elements that the kernel refused. It doubles up to
 * REFUSED_RETRY_MS_MAX.
 */
export const REFUSED_RETRY_MS = 1000;
export const REFUSED_RETRY_MS_MAX = 300_000;
/**
 * Minimum time between two repairs of the same object after foreign changes. After more than
 * REPAIRS_BEFORE_BACKOFF repairs in a row it doubles each time, up to REPAIR_WAIT_MS_MAX.
 */
export const REPAIR_WAIT_MS = 250;
export const REPAIR_WAIT_MS_MAX = 2000;
export const REPAIRS_BEFORE_BACKOFF = 4;
/** After this long without foreign changes to an object, its repair backoff resets. */
export const REPAIR_QUIET_MS = 10_000;
/** Maximum number of objects with a remembered foreign change; the oldest are forgotten. */
export const REPAIR_OBJECTS_MAX = 4096;
/** If another program's table has replaced ours for this long, Sluice is unhealthy. */
export const RULES_MISSING_MS = 5000;
/**
 * Log lines about repairs: this many in this time. One more line at its end has the sum of the
 * others.
 */
export const REPAIR_LINES_MAX = 5;
export const REPAIR_LINES_MS = 60_000;
/**
 * How long an iptables tool waits for the xtables lock, as with kube-proxy (pkg/util/iptables:
 * WaitSecondsValue).
 */
export const XTABLES_LOCK_SECONDS = 5;
/**
 * Timeout of a program that Sluice runs. It covers the wait for the xtables lock and the work after
 * it.
 */
export const TOOL_TIMEOUT_MS = 60_000;
/**
 * Timeout of iptables-restore. On a busy node, 60,000 rules take up to 5 s in legacy tables and 30
 * s in nf_tables. A killed iptables-restore has written each table completely or not at all.
 */
export const RESTORE_TIMEOUT_MS = 300_000;
/**
 * Maximum output of a program in bytes. iptables-save prints about 15 MB for 10,000 Services, so
 * 100,000 Services fit.
 */
export const TOOL_OUTPUT_MAX = 256 << 20;
/**
 * Interval between checks for foreign changes to the iptables tables. A check is a few system
 * calls.
 */
export const CHANGE_COUNTER_POLL_MS = 1000;
/**
 * Interval between full comparisons of the iptables tables. Comparing may use at most
 * 1/COMPARE_FACTOR of the time (1/COMPARE_FACTOR_CHANGED after a change was detected).
 */
export const COMPARE_INTERVAL_MS = 60_000;
/**
 * Interval between these comparisons after a write of ours, if nothing tells whether another
 * program wrote at the same time.
 */
export const COMPARE_WRITTEN_MS = 5_000;
export const COMPARE_FACTOR = 100;
export const COMPARE_FACTOR_CHANGED = 10;
/**
 * Delay between a change and the pass over the node's connections, so that changes in quick
 * succession share one pass. A pass takes 1.8 to 2.7 s at 1,000,000 entries, because the kernel
 * walks its whole table for each dump.
 */
export const FLOWS_DELAY_MS = 10;
/** After a pass, the next one waits for this multiple of the pass's duration. */
export const FLOW_PASS_COOLDOWN_FACTOR = 4;
/** Interval between searches for rules of other proxies. */
export const OTHER_PROXY_POLL_MS = 60_000;
/**
 * Interval between these searches while a kube-proxy runs, and for OTHER_PROXY_POLL_MS after it was
 * last seen. Sluice can then remove its rules soon after it exits.
 */
export const OTHER_PROXY_RUNNING_POLL_MS = 5_000;
/**
 * Interval between checks for a kube-proxy that writes our chains and therefore blocks the start.
 */
export const CONFLICT_POLL_MS = 500;
/**
 * After this long without rules in kube-proxy's wording in our chains, Sluice assumes that their
 * writer has exited.
 */
export const OTHER_PROXY_QUIET_MS = 600_000;

/** Timeout for connecting to the API server, including the TLS handshake. */
export const CONNECT_TIMEOUT_MS = 10_000;
/**
 * TCP keepalive probes start after this much silence, so that a vanished host is noticed even if a
 * watch is quiet.
 */
export const KEEPALIVE_DELAY_MS = 15_000;
/**
 * First and longest delay after a failed request, from client-go's reflector. Jitter at most
 * doubles a delay and never exceeds WATCH_RETRY_MS_MAX.
 */
export const WATCH_RETRY_MS = 800;
export const WATCH_RETRY_MS_MAX = 30_000;
/** A longer Retry-After is cut to this, so that the node does not act on stale data. */
export const RETRY_AFTER_MS_MAX = 60_000;
/**
 * A watch's timeoutSeconds is random between this and twice this, so that watches do not end
 * together.
 */
export const WATCH_TIMEOUT_S_MIN = 300;
/**
 * A watch that receives no byte for this long is dead, or waits for a version that never comes. The
 * server writes a bookmark every minute. A false alarm costs two small requests.
 */
export const WATCH_SILENCE_MS = 90_000;
/**
 * After a lost connection, each reflector compares its version with the store's after a random part
 * of this. 5,000 nodes then send 20,000 small lists in 5 s, and each notices within 10 s that the
 * store went back.
 */
export const STORE_CHECK_MS_MAX = 5000;
/** A list that receives no byte for this long is dead; the server itself gives up after 60 s. */
export const LIST_SILENCE_MS = 70_000;
/**
 * A watch that was open this long, or delivered anything, counts as a success. It resets the
 * backoff.
 */
export const WATCH_HEALTHY_MS = 5000;
/** Objects per page, if the server pages. A list from the server's cache ignores it. */
export const LIST_PAGE = 500;
/**
 * A credential plugin of the kubeconfig is killed after this long. It is less than LIST_SILENCE_MS,
 * so that the error names the plugin.
 */
export const PLUGIN_TIMEOUT_MS = 30_000;
/** Interval between requests for an optional resource that the server does not have. */
export const ABSENT_RESOURCE_RETRY_MS = 600_000;
/**
 * The first sync waits at most this long for this node's Node object (kube-proxy's NodeManager).
 */
export const NODE_WAIT_MS = 30_000;
/**
 * With detectLocalMode NodeCIDR, the first sync waits this long for the Node's podCIDRs. Then
 * Sluice gives up (kube-proxy: 5 minutes).
 */
export const POD_CIDRS_WAIT_MS = 300_000;
/**
 * Interval between rescans of a manifest directory or the configuration file if no change event
 * arrives.
 */
export const DIRECTORY_RESCAN_MS = 30_000;

/** Interval between attempts to set sysctls that could not be set. */
export const SYSCTL_CHECK_MS = 60_000;

/** Longest ClientIP affinity that the API allows. */
export const AFFINITY_SECONDS_MAX = 86_400;
/**
 * A frontend counts as full for this many seconds after the last connection of a client that
 * session affinity could not remember.
 */
export const NOT_REMEMBERED_SECONDS = 300;
/** Interval between two searches for such frontends, while any Service has session affinity. */
export const NOT_REMEMBERED_POLL_MS = 10_000;
/**
 * Maximum number of endpoints behind one frontend; the rest is left out. An action stores the count
 * in 20 bits.
 */
export const SLOTS_MAX = 1_000_000;
/**
 * Health and metrics normally start after the first sync, because loading them costs 0.1 s. If the
 * source has not answered, they start after ADMIN_WAIT_MS. If its answer is still being programmed,
 * they start after ADMIN_WAIT_LOADING_MS.
 */
export const ADMIN_WAIT_MS = 1000;
export const ADMIN_WAIT_LOADING_MS = 3000;
/**
 * A scrape waits this long for the kernel's counters, then shows the last values read. During a
 * full load the counters are slow to read, and scrapers time out (usually after 10 s).
 */
export const SCRAPE_TIMEOUT_MS = 1000;
/**
 * Maximum number of series of sluice_service_connections_total: as many Services as a Prometheus
 * server can take from each node.
 */
export const SERVICE_SERIES_MAX = 10_000;
/**
 * A configuration file must stay unchanged this long before it is read. So must a manifest that was
 * written in place and lost an object.
 */
export const FILE_SETTLE_MS = 100;
/** A larger configuration file is a mistake: one with every field set is a few kilobytes. */
export const CONFIG_BYTES_MAX = 4_000_000;
/** After this many operations, garbage is worth collecting. */
export const LARGE_SYNC_OPERATIONS = 5000;
/** Memory is released after this long without a sync, and this long after a request. */
export const RELEASE_MEMORY_MS = 1000;
/** Maximum number of trigger times kept while syncs fail: enough to measure a large rollout. */
export const TRIGGER_TIMES_MAX = 16_384;
