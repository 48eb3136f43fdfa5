/**
 * The architecture as data: which folder of src/ and asm/ may import from which, types included,
 * and which modules from outside. A file belongs to the first layer with a path that contains it.
 */
export interface Layer {
  /** A folder, or a single file: `src/plan`, `src/base/clock.ts`. */
  readonly path: string;
  /** Paths of the other layers that it imports from. Each is needed. */
  readonly from: readonly string[];
  /** Packages and modules of the runtime that it imports, by prefix. Each is needed. */
  readonly outside?: readonly string[];
  /** No clock, no randomness, no input or output. */
  readonly pure: boolean;
  readonly because: string;
}

const asm = (...names: readonly string[]) => names.map((name) => `asm/${name}`);
const src = (...names: readonly string[]) => names.map((name) => `src/${name}`);

export const LAYERS: readonly Layer[] = [
  // ── the Wasm core ──
  {
    path: "asm/layout",
    from: [],
    pure: true,
    because: "both sides of the boundary import it: it holds constants alone",
  },
  {
    path: "asm/memory",
    from: asm("layout"),
    pure: true,
    because: "an allocator and its containers know nothing of Services",
  },
  {
    path: "asm/cluster",
    from: asm("layout", "memory"),
    pure: true,
    because: "it holds what the API said; who decodes or reads it comes above",
  },
  {
    path: "asm/ingest",
    from: asm("cluster", "layout", "memory"),
    pure: true,
    because: "it decodes objects into the tables of cluster/",
  },
  {
    path: "asm/select",
    from: asm("cluster", "layout", "memory"),
    pure: true,
    because: "the choice of endpoints follows from cluster/ alone",
  },
  {
    path: "asm/committed",
    from: asm("cluster", "layout", "memory"),
    pure: true,
    because: "it knows elements and their owners, not how they were chosen",
  },
  {
    path: "asm/flows",
    from: asm("cluster", "committed", "layout", "memory", "select"),
    pure: true,
    because: "it compares connections with what is committed and with what serves",
  },
  {
    path: "asm/index.ts",
    from: asm("cluster", "committed", "flows", "ingest", "memory", "select"),
    pure: true,
    because: "it lists the exports of the module",
  },
  // ── vocabulary ──
  {
    path: "src/base/clock.ts",
    from: [],
    pure: false,
    because: "it is the one place that asks for the time; everything else is given a Clock",
  },
  {
    path: "src/base/log.ts",
    from: src("base"),
    pure: false,
    because: "it is the one place that formats log lines",
  },
  {
    path: "src/base",
    from: [],
    outside: ["yaml"],
    pure: true,
    because: "errors, limits and JSON depend on nothing",
  },
  {
    path: "src/net",
    from: src("base"),
    pure: true,
    because: "an address has one text and one order, whoever asks",
  },
  {
    path: "src/problems",
    from: src("base"),
    pure: true,
    because: "everything that reports a problem does it in the same way",
  },
  {
    path: "src/model",
    from: [...asm("layout"), ...src("base", "net")],
    pure: true,
    because: "the values between the steps of the flow belong to none of the steps",
  },
  {
    path: "src/os",
    from: src("base", "base/clock.ts"),
    outside: ["bun:ffi", "node:"],
    pure: false,
    because: "it wraps the C library and the process, and knows nothing of Services",
  },
  // ── watch, state, select, plan, diff ──
  {
    path: "src/core",
    from: [...asm("layout"), ...src("base", "model", "net", "problems")],
    pure: true,
    because: "it is given its Wasm module, so that tests can give it the one with assertions",
  },
  {
    path: "src/source",
    from: [...asm("layout"), ...src("base", "core", "problems")],
    pure: true,
    because: "the API server and manifests yield the same objects in the same form",
  },
  {
    path: "src/api-client",
    from: [...asm("layout"), ...src("base", "base/clock.ts", "core", "net")],
    outside: ["node:", "socks", "undici/"],
    pure: false,
    because: "it makes requests; what they are about is for its callers",
  },
  {
    path: "src/watch",
    from: src("api-client", "base", "base/clock.ts", "core", "net", "problems", "source"),
    pure: false,
    because: "it feeds objects to the core, and does not know what becomes of them",
  },
  {
    path: "src/manifests",
    from: src("base", "base/clock.ts", "core", "os", "problems", "source"),
    outside: ["node:"],
    pure: false,
    because: "it is a second source of objects",
  },
  {
    path: "src/config",
    from: src("base", "base/clock.ts", "base/log.ts", "net", "os", "problems"),
    outside: ["node:", "yaml"],
    pure: false,
    because: "it turns a file and flags into one Config, and does not know who acts on it",
  },
  {
    path: "src/state",
    from: src("base", "config", "model", "net", "problems"),
    pure: true,
    because: "what is known of the cluster follows from events alone, so tests can replay them",
  },
  {
    path: "src/plan",
    from: [...asm("layout"), ...src("base", "model", "net", "state")],
    pure: true,
    because: "what is desired follows from state and configuration alone",
  },
  // ── apply ──
  {
    path: "src/backend",
    from: src("base", "core", "model", "net"),
    pure: true,
    because: "the contract knows none of its implementations",
  },
  {
    path: "src/netlink",
    from: src("base", "base/clock.ts", "net", "os"),
    pure: false,
    because: "it speaks netlink; the meaning of messages is for its users",
  },
  {
    path: "src/conntrack",
    from: [
      ...asm("layout"),
      ...src("base", "base/clock.ts", "base/log.ts", "core", "net", "netlink", "os"),
    ],
    outside: ["node:"],
    pure: false,
    because: "it ends connections that the core names",
  },
  {
    path: "src/nftables/wire",
    from: [...asm("layout"), ...src("backend", "base", "model", "net", "netlink", "os")],
    pure: false,
    because: "it writes and reads messages of nf_tables, and decides nothing",
  },
  {
    path: "src/nftables/ruleset",
    from: src("backend", "base", "model", "net", "netlink", "nftables/wire"),
    pure: false,
    because: "it says what the table contains besides elements",
  },
  {
    path: "src/nftables/read",
    from: [
      ...asm("layout"),
      ...src(
        "backend",
        "base",
        "core",
        "model",
        "net",
        "netlink",
        "nftables/ruleset",
        "nftables/wire",
      ),
    ],
    pure: false,
    because: "it reads the kernel, and changes nothing",
  },
  {
    path: "src/nftables/repair",
    from: [
      ...asm("layout"),
      ...src(
        "backend",
        "base",
        "base/clock.ts",
        "core",
        "model",
        "netlink",
        "nftables/read",
        "nftables/ruleset",
        "nftables/wire",
      ),
    ],
    pure: false,
    because: "it compares the kernel with what is committed, and restores that",
  },
  {
    path: "src/nftables",
    from: src(
      "backend",
      "base",
      "base/clock.ts",
      "core",
      "model",
      "net",
      "netlink",
      "nftables/read",
      "nftables/repair",
      "nftables/ruleset",
      "nftables/wire",
      "os",
    ),
    pure: false,
    because: "it applies operations, and does not know where they come from",
  },
  {
    path: "src/iptables/syntax",
    from: [],
    pure: true,
    because: "both the backend and the takeover of kube-proxy's rules read these texts",
  },
  {
    path: "src/iptables/rules",
    from: src("backend", "iptables/syntax", "model", "net"),
    outside: ["node:crypto"],
    pure: true,
    because: "the text of chains follows from the tables alone",
  },
  {
    path: "src/iptables/tools",
    from: src(
      "backend",
      "base",
      "base/log.ts",
      "iptables/syntax",
      "net",
      "netlink",
      "nftables/wire",
      "os",
    ),
    outside: ["node:child_process", "node:"],
    pure: false,
    because: "it runs programs, whatever the rules are; iptables-nft keeps its rules in nf_tables",
  },
  {
    path: "src/iptables",
    from: src(
      "backend",
      "base",
      "base/clock.ts",
      "base/log.ts",
      "core",
      "iptables/rules",
      "iptables/syntax",
      "iptables/tools",
      "model",
      "net",
    ),
    pure: false,
    because: "it applies operations, and does not know where they come from",
  },
  {
    path: "src/takeover",
    from: src(
      "backend",
      "base",
      "base/clock.ts",
      "base/log.ts",
      "iptables/syntax",
      "iptables/tools",
      "model",
      "net",
      "netlink",
      "nftables",
      "nftables/read",
      "nftables/wire",
      "os",
      "problems",
    ),
    outside: ["node:"],
    pure: false,
    because: "it removes what another proxy left, while ours serves",
  },
  {
    path: "src/sync",
    from: src(
      "backend",
      "base",
      "base/clock.ts",
      "base/log.ts",
      "core",
      "model",
      "net",
      "plan",
      "problems",
      "state",
    ),
    pure: false,
    because: "it knows the order of the steps; access to the world is handed in",
  },
  // ── outside the pipeline ──
  {
    path: "src/events",
    from: src("api-client", "base", "base/clock.ts", "base/log.ts"),
    pure: false,
    because: "it writes Events, and reads nothing of the cluster",
  },
  {
    path: "src/host",
    from: src("base", "base/clock.ts", "base/log.ts", "config", "os", "problems"),
    outside: ["node:"],
    pure: false,
    because: "it prepares the machine and reports to systemd; Services are not its business",
  },
  {
    path: "src/observe",
    from: src(
      "api-client",
      "backend",
      "base",
      "base/clock.ts",
      "config",
      "conntrack",
      "core",
      "model",
      "net",
      "plan",
      "problems",
      "source",
      "state",
      "sync",
    ),
    outside: ["node:", "prom-client/"],
    pure: false,
    because: "it reads; what it observes does not know of it",
  },
  {
    path: "src/admin",
    from: src("base", "base/clock.ts", "base/log.ts", "config", "net", "observe", "problems"),
    outside: ["bun:jsc", "hono", "node:"],
    pure: false,
    because: "it shows through read-only views what others know",
  },
];

/** May import everything: the program's wiring. */
export const WIRING: readonly string[] = ["src/main.ts", "src/daemon"];
