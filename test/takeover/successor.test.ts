/**
 * Runs a cleanup while a kube-proxy runs. Sluice's rules stay until kube-proxy has replaced them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipe, run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { runCleanup } from "../../src/daemon/cleanup.ts";
import { SLUICE, savedRules } from "./kube-proxy-ruleset.ts";

useFreshNetns();

const VARIANTS = ["nft", "legacy"] as const;
const RULES = savedRules([
  { name: "web", clusterIp: "10.96.0.7", endpoints: ["10.244.1.11:8080"] },
]);
const OURS = (...families: readonly (4 | 6)[]) => `table inet sluice {
  comment "sluice: layout 1, sets 0";
  ${families.map((family) => `set frontends${family} { type mark; elements = { 1 } }`).join("\n")}
}`;
const FILLED = (family: string) => `table ${family} kube-proxy { chain services { counter; }; }`;

let folder: string;
let kubeProxy: Bun.Subprocess;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-successor-"));
  const program = join(folder, "kube-proxy");
  copyFileSync("/bin/sleep", program);
  kubeProxy = Bun.spawn([program, "600"]);
  while (readFileSync(`/proc/${kubeProxy.pid}/comm`, "utf8") !== "kube-proxy\n") await Bun.sleep(1);
});
afterAll(async () => {
  kubeProxy.kill("SIGKILL");
  await kubeProxy.exited;
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  run("nft", "flush", "ruleset");
  for (const table of ["nat", "filter", "mangle"]) {
    for (const how of ["-F", "-X"]) run("iptables-legacy", "-t", table, how);
  }
});

const nft = (text: string) => pipe(text, "nft", "-f", "-");
const restore = (variant: string, text: string) =>
  pipe(text, `iptables-${variant}-restore`, "--noflush");
const everything = () =>
  [run("nft", "list", "ruleset"), run("iptables-legacy-save")].join("").replaceAll(/^#.*\n/gm, "");
const mustWait = (what: string, takes = "") =>
  `remove ${what}: kube-proxy (pid ${kubeProxy.pid}) has no rules yet${takes}; Sluice's rules stay (run --cleanup again when http://127.0.0.1:10256/healthz answers 200) (code OTHER_PROXY)`;

describe("the table inet sluice", () => {
  const EMPTY = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n";
  test.each<[string, () => void]>([
    ["nothing", () => {}],
    ["a table without rules", () => nft("table ip kube-proxy { chain services { }; }")],
    ["chains of iptables-nft without rules", () => restore("nft", EMPTY)],
    ["chains of iptables-legacy without rules", () => restore("legacy", EMPTY)],
    ["rules of one family, where Services are of both", () => nft(`${OURS(6)}\n${FILLED("ip")}`)],
  ])("stays while kube-proxy has %s", async (_what, has) => {
    nft(OURS(4));
    has();
    const before = everything();
    expect((await runCleanup(true)).errors).toEqual([mustWait("table inet sluice")]);
    expect(everything()).toBe(before);
  });

  test.each<[string, () => void]>([
    ["its table", () => nft(FILLED("ip"))],
    ["its chains of iptables-nft", () => restore("nft", RULES)],
    ["its chains of iptables-legacy", () => restore("legacy", RULES)],
  ])("is removed once kube-proxy has filled %s", async (_what, has) => {
    has();
    const before = everything();
    nft(OURS(4));
    expect(await runCleanup(true)).toEqual({
      lines: ["Removed table inet sluice"],
      errors: [],
    });
    expect(everything()).toBe(before);
  });
});

describe.each(VARIANTS)("chains that Sluice created with iptables-%s", (variant) => {
  const where = variant === "nft" ? "table ip nat" : "iptables-legacy table nat";
  const ours = () => {
    restore(variant, RULES);
    restore(variant, SLUICE);
  };

  test("stay while kube-proxy has nothing, independent of other removals", async () => {
    ours();
    const before = everything();
    const takes = " and adopts them at its first sync";
    const { errors } = await runCleanup(true);
    expect(errors).toEqual([mustWait(`Sluice's chains in ${where}`, takes)]);
    expect((await runCleanup(false)).errors).toEqual([
      ...errors,
      `remove kube-proxy's rules: kube-proxy (pid ${kubeProxy.pid}) is running (stop it first, or keep its rules with --remove-kube-proxy-rules=false) (code OTHER_PROXY)`,
    ]);
    expect(everything()).toBe(before);
  });

  test("stay while one in ipvs mode uses the same names, and that is no failure", async () => {
    ours();
    const before = everything();
    run("ip", "link", "add", "kube-ipvs0", "type", "bridge");
    try {
      const { lines, errors } = await runCleanup(true);
      expect(errors).toEqual([]);
      expect(lines.join()).toStartWith(`Kept Sluice's chains in ${where}: kube-proxy (pid `);
      expect(everything()).toBe(before);
    } finally {
      run("ip", "link", "del", "kube-ipvs0");
    }
  });

  test("are not removed once kube-proxy has taken them over", async () => {
    restore(variant, RULES);
    const before = everything();
    expect(await runCleanup(true)).toEqual({
      lines: ["Nothing to remove"],
      errors: [],
    });
    expect(everything()).toBe(before);
  });

  test("are leftovers and removed once kube-proxy serves in another mode", async () => {
    nft(FILLED("ip"));
    ours();
    const { lines, errors } = await runCleanup(true);
    expect(errors).toEqual([]);
    expect(lines.join()).toContain(`Sluice's chains in ${where}`);
    expect(everything()).not.toContain("KUBE-SVC");
    expect(everything()).toContain("kube-proxy");
  });
});
