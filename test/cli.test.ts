import { describe, expect, test } from "bun:test";
import { parseArguments, usage, versionText } from "../src/cli.ts";
import { FLAGS } from "../src/config/flags.ts";

/** `run config=x v=2`. */
function printed(argv: readonly string[]): string {
  const command = parseArguments(argv);
  if (command.kind === "version") return command.raw ? "version raw" : "version";
  if (command.kind !== "run") return command.kind;
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
    ["--kube-api-qps 1.5", "run kube-api-qps=1.5"],
    ["--cleanup", "cleanup"],
    ["--cleanup -v2", "cleanup"],
    ["--cleanup=false", "run cleanup=false"],
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
    ["-x", 'no flag has this name: current value is "-x"'],
    ["--windows-service", 'no flag has this name: current value is "--windows-service"'],
    ["--constructor", "no flag has this name"],
    ["--config", "Cannot use flag --config: it needs a value"],
    ["serve", 'Cannot use arguments: Sluice takes flags only: current value is "serve"'],
    ["--masquerade-all false", 'Sluice takes flags only: current value is "false"'],
    ["-v x", 'Cannot use flag --v: it must be an integer of 32 bits: current value is "x"'],
    ["--masquerade-all=maybe", "Cannot use flag --masquerade-all: it must be true or false"],
    ["--iptables-sync-period=30", "it must be a duration such as 30s"],
    ["--feature-gates=A", "it must be a mapping of names to true or false"],
    ["--init-only", "Cannot use flag --init-only: there is no privileged step"],
    ["--write-config-to=f", "Cannot use flag --write-config-to: read /configz"],
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

test("the usage shows every flag that does something", () => {
  const text = usage();
  for (const { name, help } of FLAGS) {
    if (help !== undefined) expect(text).toContain(`${name === "v" ? "-v" : `--${name}`} `);
  }
  expect(text).not.toContain("--ipvs-scheduler");
});
