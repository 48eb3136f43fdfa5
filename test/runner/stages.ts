/**
 * The stages of `npm test` and CI, in their order, and which test files belong to each. The comment
 * of test/run.sh describes them.
 *
 * A test file's stage follows from what it imports, so a new file needs no entry here.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A command that passes or fails as a whole. */
export interface Command {
  readonly name: string;
  readonly command: readonly string[];
}

export interface Stage {
  readonly name: string;
  /** Stages that must have passed before this one can run. */
  readonly needs: readonly string[];
  /** Without commands, the stage runs test files. */
  readonly commands?: readonly Command[];
  /** Flags of `bun test` for its files. */
  readonly flags?: readonly string[];
}

const BUN = process.execPath;

/** One file at a time: its tests use a kernel, processors and timing that another would disturb. */
const ALONE = ["--isolate"];

export const STAGES: readonly Stage[] = [
  {
    name: "setup",
    needs: [],
    commands: [],
  },
  {
    name: "check",
    needs: [],
    commands: [
      { name: "type check", command: ["node_modules/.bin/tsc", "-p", "tsconfig.json"] },
      {
        name: "format and lint",
        command: ["node_modules/.bin/biome", "check", "--diagnostic-level=warn", "."],
      },
      { name: "prose", command: [BUN, "prose/lint.ts"] },
    ],
  },
  {
    name: "build",
    needs: [],
    commands: [{ name: "build", command: [BUN, "build.ts", "--if-stale"] }],
  },
  {
    name: "unit",
    needs: [],
    flags: ["--parallel"],
  },
  {
    name: "kernel",
    needs: [],
    flags: ALONE,
  },
  {
    name: "binary",
    needs: ["build"],
    flags: ALONE,
  },
  {
    name: "cluster",
    needs: ["build"],
    flags: ALONE,
  },
];

/**
 * A test file that imports one of these modules belongs to its stage; the first match decides. An
 * import through other files of test/ and harness/ counts as well, an import of types does not.
 */
const MODULES: readonly (readonly [stage: string, module: string])[] = [
  ["cluster", "harness/cluster/control-plane.ts"],
  ["binary", "harness/binary.ts"],
  ["kernel", "harness/fresh-netns.ts"],
  ["kernel", "harness/netns/world.ts"],
  ["kernel", "harness/cluster/cabled-netns.ts"],
];

/** Test files that start programs themselves, so that their imports do not show their stage. */
export const EXCEPTIONS: Readonly<Record<string, string>> = {
  "test/build/build.test.ts": "binary",
  "test/demo/demo.test.ts": "binary",
  "test/iptables/rules/saved-text.test.ts": "kernel",
  "test/takeover/without-nfnetlink.test.ts": "kernel",
};

/** The stages of test files. `root` is the root of the repository. */
export class TestStages {
  readonly #root: string;
  readonly #exceptions: Readonly<Record<string, string>>;
  readonly #transpiler = new Bun.Transpiler({ loader: "ts" });
  readonly #imports = new Map<string, readonly string[]>();

  constructor(root: string, exceptions: Readonly<Record<string, string>> = EXCEPTIONS) {
    this.#root = root;
    this.#exceptions = exceptions;
  }

  /** `path` is relative to the root: `test/plan/plan.test.ts`. */
  stageOf(path: string): string {
    const exception = this.#exceptions[path];
    if (exception !== undefined) return exception;
    const reached = this.#reachedFrom(path);
    return MODULES.find(([, module]) => reached.has(module))?.[0] ?? "unit";
  }

  #reachedFrom(path: string): ReadonlySet<string> {
    const reached = new Set([path]);
    // An iteration over a Set includes elements added during it.
    for (const file of reached) for (const to of this.#importsOf(file)) reached.add(to);
    return reached;
  }

  #importsOf(path: string): readonly string[] {
    const known = this.#imports.get(path);
    if (known !== undefined) return known;
    const source = readFileSync(join(this.#root, path), "utf8");
    const imports = this.#transpiler
      .scanImports(source)
      .filter((found) => found.path.startsWith(".") && found.path.endsWith(".ts"))
      .map((found) => join(dirname(path), found.path))
      .filter((to) => /^(?:test|harness)\//.test(to));
    this.#imports.set(path, imports);
    return imports;
  }
}

/**
 * Returns the stages with these names and the stages that they need, in their order. Without names,
 * it returns all stages.
 * @throws if no stage has the name
 */
export function selectStages(names: readonly string[]): readonly Stage[] {
  if (names.length === 0) return STAGES;
  const selected = new Set(["setup", ...names]);
  for (const name of selected) {
    const stage = STAGES.find((candidate) => candidate.name === name);
    if (stage === undefined) {
      const known = STAGES.map((candidate) => candidate.name).join(", ");
      throw new Error(`--stage: invalid value "${name}": must be one of ${known}`);
    }
    for (const needed of stage.needs) selected.add(needed);
  }
  return STAGES.filter(({ name }) => selected.has(name));
}
