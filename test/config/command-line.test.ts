import { describe, expect, test } from "bun:test";
import { parseArguments, versionText } from "../../src/config/command-line.ts";
import { REASONS } from "../../src/config/field.ts";
import { FLAGS, reasonOf } from "../../src/config/flags.ts";
import { helpOf, usage } from "../../src/config/usage.ts";

/** `run config=x v=2`. */
function printed(argv: readonly string[]): string {
  const command = parseArguments(argv);
  if (command.kind === "version") return command.raw ? "version raw" : "version";
  if (command.kind === "write-config") return `write-config ${command.file}`;
  if (command.kind === "cleanup" && command.keepKubeProxy) return "cleanup keeping kube-proxy's";
  if (command.kind !== "run" && command.kind !== "init") return command.kind;
  const flags = [...command.flags].map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [command.kind, ...flags].join(" ");
}

describe("arguments", () => {
  test.each([
    ["", "run"],
    ["--config f", 'run config="f"'],
    ["--config=f", 'run config="f"'],
    ["--config f --config g", 'run config="g"'],
    ["--hostname_override=a_b", 'run hostname-override="a_b"'],
    ["--masquerade-all", "run masquerade-all=true"],
    ["--masquerade-all=F", "run masquerade-all=false"],
    ["-v 2", "run v=2"],
    ["-v=3", "run v=3"],
    ["-v4", "run v=4"],
    ["--v=5", "run v=5"],
    ["--iptables-sync-period 1m", "run iptables-sync-period=60000"],
    ["--nodeport-addresses a,b --nodeport-addresses c", 'run nodeport-addresses=["a","b","c"]'],
    ["--nodeport-addresses=", "run nodeport-addresses=[]"],
    ["--feature-gates=A=true,B=false", 'run feature-gates={"A":true,"B":false}'],
    ["--feature-gates=A=1, --feature-gates=A=0,B=t", 'run feature-gates={"A":false,"B":true}'],
    [
      "--vmodule=a=1,b*=2, --vmodule c=3",
      'run vmodule=[{"filePattern":"a","verbosity":1},{"filePattern":"b*","verbosity":2},{"filePattern":"c","verbosity":3}]',
    ],
    ["--log-flush-frequency=1m", "run log-flush-frequency=60000"],
    ["--kube-api-qps 1.5", "run kube-api-qps=1.5"],
    ["--cleanup", "cleanup"],
    ["--cleanup -v2", "cleanup"],
    ["--cleanup --remove-kube-proxy-rules=false", "cleanup keeping kube-proxy's"],
    ["--cleanup=false", "run cleanup=false"],
    ["--cleanup --init-only", "cleanup"],
    ["--init-only -v2", "init init-only=true v=2"],
    ["--init-only=false", "run init-only=false"],
    ["--write-config-to=f --cleanup --init-only", "write-config f"],
    ["--write-config-to=f --version", "version"],
    ["--write-config-to=", 'run write-config-to=""'],
    ["--version", "version"],
    ["--version=raw", "version raw"],
    ["--version=false", 'run version="false"'],
    ["-h", "help"],
    ["--help --cleanup", "help"],
  ])("%s", (line, wanted) => {
    expect(printed(line.split(" ").filter((word) => word !== ""))).toBe(wanted);
  });
});

describe("a mistake is named", () => {
  test.each([
    [
      "--cluster-cidrs=x",
      'no flag has this name; did you mean --cluster-cidr?: current value is "--cluster-cidrs=x"',
    ],
    ["--kubconfig x", "did you mean --kubeconfig?"],
    ["-config x", "did you mean --config?"],
    ["-x", 'no flag has this name; --help shows them: current value is "-x"'],
    [
      "--windows-service",
      'no flag has this name; --help shows them: current value is "--windows-service"',
    ],
    ["--constructor", "no flag has this name"],
    ["--config", "Cannot use flag --config: it needs a value"],
    ["serve", 'Cannot use arguments: Sluice takes flags only: current value is "serve"'],
    ["--masquerade-all false", 'Sluice takes flags only: current value is "false"'],
    ["-v x", 'Cannot use flag --v: it must be an integer of 32 bits: current value is "x"'],
    ["--masquerade-all=maybe", "Cannot use flag --masquerade-all: it must be true or false"],
    ["--iptables-sync-period=30", "it must be a duration such as 30s"],
    ["--feature-gates=A", "it must be a mapping of names to true or false"],
    ["--feature-gates==true", "it must be a mapping of names to true or false"],
    ["--feature-gates=A=maybe", "it must be a mapping of names to true or false"],
    ["--vmodule=proxy", "it must be a list of filePattern (without = and ,) and verbosity"],
    ["--vmodule=proxy=-1", "it must be a list of filePattern (without = and ,) and verbosity"],
    ["--vmodule==1", "it must be a list of filePattern (without = and ,) and verbosity"],
    ["--log-text-info-buffer-size=big", "it must be a number of bytes such as 4096 or 4Ki"],
    ["--init-onyl", "did you mean --init-only?"],
  ])("%s", (line, message) => {
    expect(() => parseArguments(line.split(" "))).toThrow(message);
  });
});

test("the raw version says more than the version, line by line", () => {
  expect(versionText("1.2.3", false)).toBe("Sluice 1.2.3\n");
  expect(versionText("1.2.3", true)).toBe(
    `Sluice 1.2.3\nBun ${Bun.version}\n${process.platform}-${process.arch}\n`,
  );
});

describe("the usage", () => {
  const lines = usage().split("\n");

  test("fits a terminal of 100 columns", () => {
    expect(lines.filter((line) => line.length > 100 || line.endsWith(" "))).toEqual([]);
  });

  test("shows every flag once, and says something of it", () => {
    const text = lines.join("\n");
    for (const { name } of FLAGS) {
      const dashes = name === "v" ? "-v" : `--${name}`;
      const entries = text.match(new RegExp(`^ .{3}(.*, )?${dashes}(?=[ ,\n])`, "gm")) ?? [];
      expect(`${dashes} ${entries.length}`).toBe(`${dashes} 1`);
    }
    const idle = text.slice(text.indexOf("Accepted for kube-proxy's sake"));
    const names = new Set(idle.match(/--[\w-]+/g));
    for (const flag of FLAGS) {
      const reason = reasonOf(flag);
      expect(names.has(`--${flag.name}`)).toBe(reason !== undefined);
      if (reason === undefined) expect(helpOf(flag)).not.toBe("");
      else expect(idle).toContain(REASONS[reason]);
    }
  });

  test("says defaults, and which flags count beside a file", () => {
    const text = lines.join(" ").replaceAll(/ +/g, " ");
    expect(text).toContain("--iptables-sync-period DURATION longest wait of a retry");
    expect(text).toContain("unhealthy (default: 30s)");
    expect(text).toContain(
      "* --counters count new connections by Service and endpoint. Only nftables can: without effect where iptables serves (default: true)",
    );
  });
});
