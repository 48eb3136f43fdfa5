/**
 * Which folder of src may import from which, and what it may use of the world outside. It governs values:
 * types may come from anywhere.
 */
export interface Layer {
  /** `src/plan`; or a single file of src, `src/clock.ts`. */
  readonly path: string;
  /** Other layers it may import from. */
  readonly from: readonly string[];
  /** Packages and modules of the runtime, by prefix. */
  readonly outside: readonly string[];
  /** No clock, no randomness, no input or output. */
  readonly pure: boolean;
  readonly because: string;
}

/** Vocabulary that everybody may import. */
const COMMON = ["asm/layout.ts", "src/errors.ts", "src/json.ts", "src/limits.ts", "src/types.ts"];
const PURE = [...COMMON, "src/net", "src/reports.ts"];

export const LAYERS: readonly Layer[] = [
  {
    path: "src/types.ts",
    from: [],
    outside: [],
    pure: true,
    because: "it is the vocabulary, and depends on nobody",
  },
  {
    path: "src/errors.ts",
    from: ["src/types.ts"],
    outside: [],
    pure: true,
    because: "an error can be made anywhere",
  },
  {
    path: "src/limits.ts",
    from: [],
    outside: [],
    pure: true,
    because: "numbers with a reason, nothing else",
  },
  {
    path: "src/json.ts",
    from: [],
    outside: [],
    pure: true,
    because: "JSON may come from anywhere, and be of any shape",
  },
  {
    path: "src/net",
    from: COMMON,
    outside: [],
    pure: true,
    because:
      "the same address has one text and one order, whoever asks; no network is needed for it",
  },
  {
    path: "src/reports.ts",
    from: COMMON,
    outside: [],
    pure: true,
    because: "whoever checks something as a whole tells of it in the same way",
  },
  {
    path: "src/clock.ts",
    from: COMMON,
    outside: [],
    pure: false,
    because: "the one place that asks for the time; everybody else is given a Clock",
  },
  {
    path: "src/stderr.ts",
    from: [...COMMON, "src/libc.ts"],
    outside: ["node:"],
    pure: false,
    because: "it writes bytes, whatever they say",
  },
  {
    path: "src/log.ts",
    from: COMMON,
    outside: ["node:"],
    pure: false,
    because: "the one place that prints",
  },
  {
    path: "src/directory.ts",
    from: [...COMMON, "src/clock.ts"],
    outside: ["node:"],
    pure: false,
    because: "it notices changes of files for whoever reads them",
  },
  {
    path: "src/libc.ts",
    from: COMMON,
    outside: ["bun:ffi"],
    pure: false,
    because: "the one file that calls the C library",
  },
  {
    path: "src/memory.ts",
    from: [...COMMON, "src/clock.ts", "src/libc.ts"],
    outside: ["node:"],
    pure: false,
    because: "it is about this process, and asks the C library by the one file that knows it",
  },
  {
    path: "src/state",
    from: PURE,
    outside: [],
    pure: true,
    because:
      "what is known of the cluster must follow from the events alone, to be replayed in tests",
  },
  {
    path: "src/select",
    from: PURE,
    outside: [],
    pure: true,
    because: "the choice of endpoints must be the same wherever it is computed",
  },
  {
    path: "src/plan",
    from: [...PURE, "src/state"],
    outside: [],
    pure: true,
    because: "what is desired must follow from state and configuration alone",
  },
  {
    path: "src/diff",
    from: [...PURE, "src/plan"],
    outside: [],
    pure: true,
    because: "operations must follow from two tables alone",
  },
  {
    path: "src/core",
    from: [...PURE, "src/diff", "src/plan"],
    outside: [],
    pure: true,
    because: "it is given its Wasm module, so that tests can give it the one with assertions",
  },
  {
    path: "src/watch",
    from: [...PURE, "src/clock.ts", "src/directory.ts", "src/log.ts"],
    outside: ["node:", "undici/", "yaml", "@kubernetes/client-node"],
    pure: false,
    because: "it turns bytes into events, and must not know what becomes of them",
  },
  {
    path: "src/apply/iptables/rules",
    from: [...PURE, "src/plan", "src/apply/iptables/types.ts", "src/apply/xtables"],
    outside: ["node:crypto"],
    pure: true,
    because: "the text of chains depends on the tables alone",
  },
  {
    path: "src/apply/iptables",
    from: [
      ...[...PURE, "src/libc.ts", "src/clock.ts", "src/log.ts", "src/plan", "src/diff"],
      ...["netlink", "nftables", "xtables"].map((folder) => `src/apply/${folder}`),
    ],
    outside: ["node:"],
    pure: false,
    because: "what is a kube-proxy's is found by its tools, not the other way round",
  },
  {
    path: "src/apply/xtables",
    from: [],
    outside: [],
    pure: true,
    because: "both the iptables backend and the search for other proxies stand on these names",
  },
  {
    path: "src/apply",
    from: [...PURE, "src/libc.ts", "src/clock.ts", "src/log.ts", "src/plan", "src/diff"],
    outside: ["node:"],
    pure: false,
    because: "it obeys operations, and must not know where they come from",
  },
  {
    path: "src/host",
    from: [...PURE, "src/libc.ts", "src/clock.ts", "src/log.ts"],
    outside: ["node:"],
    pure: false,
    because: "it prepares the machine and tells its supervisor; Services are not its business",
  },
  {
    path: "src/sync",
    from: [...PURE, "src/clock.ts", "src/log.ts", "src/state", "src/plan", "src/diff", "src/core"],
    outside: [],
    pure: false,
    because: "it knows the order of things; doors to the world are handed in",
  },
  {
    path: "src/observe",
    from: [...PURE, "src/clock.ts", "src/log.ts", "src/plan", "src/state"],
    outside: ["prom-client/", "node:"],
    pure: false,
    because: "it reads; what it observes does not know of it",
  },
  {
    path: "src/admin",
    from: [
      ...PURE,
      "src/clock.ts",
      "src/config.ts",
      "src/log.ts",
      "src/plan",
      "src/state",
      "src/observe",
    ],
    outside: ["hono", "@hono/", "zod", "node:", "bun:jsc"],
    pure: false,
    because: "it shows what the others know through read-only views, and owns nothing",
  },
  {
    path: "src/config",
    from: [...PURE, "src/clock.ts", "src/config.ts", "src/directory.ts", "src/log.ts"],
    outside: ["node:", "yaml"],
    pure: false,
    because: "it turns a file and flags into one Config, and must not know who acts on it",
  },
  {
    path: "src/config.ts",
    from: [...PURE, "src/config"],
    outside: ["node:", "yaml"],
    pure: false,
    because: "configuration is read once, before anything runs",
  },
];

/** What may import everything: the program's wiring. */
export const WIRING = [
  "main",
  "cli",
  "daemon",
  "surroundings",
  "remove-everything",
  "proxy",
  "observers",
  "dataplane",
  "source",
  "view",
].map((name) => `src/${name}.ts`);
