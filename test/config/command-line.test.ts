import { describe, expect, test } from "bun:test";
import { parseArguments, versionText } from "../../src/config/command-line.ts";
import { NO_EFFECT_REASONS } from "../../src/config/field.ts";
import { FLAGS, reasonOf } from "../../src/config/flags.ts";
import { helpOf, printUsage, WITHOUT_EFFECT_TITLE } from "../../src/config/usage.ts";

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

describe("a mistake gives an error", () => {
  test.each([
    ["--cluster-cidrs=x", 'unknown flag "--cluster-cidrs=x" (did you mean --cluster-cidr?)'],
    ["--kubconfig x", "(did you mean --kubeconfig?)"],
    ["-config x", "did you mean --config?"],
    ["-x", 'unknown flag "-x" (see --help)'],
    ["--windows-service", 'unknown flag "--windows-service" (see --help)'],
    ["--constructor", 'unknown flag "--constructor"'],
    ["--config", "--config: needs a value (see --help)"],
    ["serve", 'unexpected argument "serve" (sluice takes only flags)'],
    [
      "--masquerade-all false",
      'unexpected argument "false" (write a boolean flag as --flag=false)',
    ],
    ["-v x", '-v: invalid value "x": must be a 32-bit integer'],
    ["-v=x", '-v: invalid value "x": must be a 32-bit integer'],
    ["--v=x", '-v: invalid value "x": must be a 32-bit integer'],
    ["-v= 2", '-v: invalid value "": must be a 32-bit integer'],
    ["-v2x", '-v: invalid value "2x": must be a 32-bit integer'],
    ["-h=x", '--help: invalid value "x": must be true or false'],
    ["-version", 'unknown flag "-version" (did you mean --version?)'],
    ["-vmodule=a=1", 'unknown flag "-vmodule=a=1" (did you mean --vmodule?)'],
    ["--masquerade-all=maybe", '--masquerade-all: invalid value "maybe": must be true or false'],
    [
      "--iptables-sync-period=30",
      '--iptables-sync-period: invalid value "30": must be a duration such as 30s',
    ],
    ["--feature-gates=A", ": must be NAME=true or NAME=false, separated by commas"],
    ["--feature-gates==true", ": must be NAME=true or NAME=false, separated by commas"],
    ["--feature-gates=A=maybe", ": must be NAME=true or NAME=false, separated by commas"],
    ["--vmodule=proxy", ": must be FILE=N, separated by commas"],
    ["--vmodule=proxy=-1", ": must be FILE=N, separated by commas"],
    ["--vmodule==1", ": must be FILE=N, separated by commas"],
    [
      "--log-text-info-buffer-size=big",
      'invalid value "big": must be a number of bytes such as 4096 or 4Ki',
    ],
    ["--init-onyl", "did you mean --init-only?"],
  ])("%s", (line, message) => {
    expect(() => parseArguments(line.split(" "))).toThrow(message);
  });
});

test("the raw version adds lines to the version", () => {
  expect(versionText("1.2.3", false)).toBe("Sluice 1.2.3\n");
  expect(versionText("1.2.3", true)).toBe(
    `Sluice 1.2.3\nBun ${Bun.version}\n${process.platform}-${process.arch}\n`,
  );
});

describe("the usage", () => {
  const lines = printUsage().split("\n");

  test("fits a terminal of 100 columns", () => {
    expect(lines.filter((line) => line.length > 100 || line.endsWith(" "))).toEqual([]);
  });

  test("shows every flag once, with a description", () => {
    const text = lines.join("\n");
    for (const { name } of FLAGS) {
      const dashes = name === "v" ? "-v" : `--${name}`;
      const entries = text.match(new RegExp(`^ .{3}(.*, )?${dashes}(?=[ ,\n])`, "gm")) ?? [];
      expect(`${dashes} ${entries.length}`).toBe(`${dashes} 1`);
    }
    const idle = text.slice(text.indexOf(WITHOUT_EFFECT_TITLE));
    const names = new Set(idle.match(/--[\w-]+/g));
    for (const flag of FLAGS) {
      const reason = reasonOf(flag);
      expect(names.has(`--${flag.name}`)).toBe(reason !== undefined);
      if (reason === undefined) expect(helpOf(flag)).not.toBe("");
      else expect(idle).toContain(NO_EFFECT_REASONS[reason]);
    }
  });

  test("shows defaults, and the flags that count with --config", () => {
    const text = lines.join(" ").replaceAll(/ +/g, " ");
    expect(text).toContain("--iptables-sync-period DURATION longest delay of a retry");
    expect(text).toContain("unhealthy (default: 30s)");
    expect(text).toContain(
      "* --counters count new connections per Service and endpoint. No effect with iptables (default: true)",
    );
  });
});
