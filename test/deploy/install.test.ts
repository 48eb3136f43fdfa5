import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { BINARY, missingBinaryOrRoot } from "../../harness/binary.ts";
import { runAsync } from "../../harness/commands.ts";
import { ROOT } from "../../harness/repository.ts";

const SCRIPT = join(ROOT, "deploy/install.sh");
const CONFIG = "/etc/sluice/config.yaml";
const FLAGS = "/etc/sluice/flags.env";
const UNIT = "/etc/systemd/system/sluice.service";
const PROGRAM = "/usr/local/bin/sluice";

const reason = missingBinaryOrRoot("namespaces of its own");
if (reason !== undefined) console.log(`skip: the install script: ${reason}`);
const noCheck = Bun.which("shellcheck") === null ? "shellcheck must be installed" : undefined;
if (noCheck !== undefined) console.log(`skip: the install script's style: ${noCheck}`);

/** Stands in for systemctl: runs units as far as the script needs it, and prints each call. */
const SYSTEMCTL = `#!/bin/sh
[ "$2" = --quiet ] || [ "$1" = show ] || echo "systemctl $*"
stop() { kill "$(cat "$1")"; while [ -d "/proc/$(cat "$1")" ]; do sleep 0.05; done; }
case $* in
"is-active --quiet kube-proxy.service") [ -e $STATE/kube-proxy-runs ] ;;
"is-enabled --quiet kube-proxy.service") [ -e $STATE/kube-proxy-enabled ] ;;
"show --property=MainPID --value kube-proxy.service") cat $STATE/kube-proxy-pid 2>/dev/null || echo 0 ;;
"show --property=ExecStart --value kube-proxy.service") [ ! -e $STATE/kube-proxy-argv ] || echo "{ path=/usr/bin/kube-proxy ; argv[]=$(cat $STATE/kube-proxy-argv) ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }" ;;
"disable --now kube-proxy.service") rm -f $STATE/kube-proxy-runs; [ ! -e $STATE/kube-proxy-pid ] || stop $STATE/kube-proxy-pid ;;
*"start --no-block sluice.service") [ -e $STATE/no-start ] || { ${PROGRAM} --config=${CONFIG} $(sed -n s/^SLUICE_FLAGS=//p ${FLAGS} 2>/dev/null) 2>$STATE/log & echo $! >$STATE/pid; } ;;
"disable --now sluice.service") stop $STATE/pid ;;
esac
`;

/** Prefixes of a command: a machine with an old kernel, and one without nf_tables. */
const OLD_KERNEL =
  "printf '#!/bin/sh\\necho 5.10.0-30-amd64\\n' >$STATE/uname; chmod +x $STATE/uname; export PATH=$STATE:$PATH;";
const NO_NF_TABLES = "touch $STATE/empty; mount --bind $STATE/empty /proc/kallsyms;";

test.skipIf(noCheck !== undefined)("shellcheck reports nothing", async () => {
  expect(await runAsync(["shellcheck", "--shell=sh", SCRIPT])).toBe("");
});

test("--help prints the comment at the top of the script", async () => {
  const printed = await runAsync(["sh", SCRIPT, "--help"]);
  expect(printed).toStartWith("usage: deploy/install.sh [--config FILE");
  expect(printed).toEndWith("--help                  print this text\n");
});

describe.skipIf(reason !== undefined)("the install script", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-install-"));
  beforeAll(() => {
    for (const name of ["bin", "manifests"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "bin/systemctl"), SYSTEMCTL);
    chmodSync(join(folder, "bin/systemctl"), 0o755);
    const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    const own = `mode: nftables\nhostnameOverride: here\nclusterCIDR: 10.244.0.0/16\nsluice:\n  manifests: ${folder}/manifests\n`;
    writeFileSync(join(folder, "config.yaml"), head + own);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /**
   * Runs shell commands on a machine of their own. /etc and /usr/local are layers over ours, the
   * network is empty, and none of our processes is visible. Everything ends with the commands. `$I`
   * is the script, `$STATE` a folder for the stand-in of systemctl. Returns their output, with
   * stderr, and the status.
   */
  function machine(commands: string): { readonly output: string; readonly status: number } {
    const script = `set -e
      mount -t tmpfs tmpfs ${folder}/state
      for name in etc usr/local; do
        mkdir -p ${folder}/state/$name/upper ${folder}/state/$name/work
        mount -t overlay overlay -o lowerdir=/$name,upperdir=${folder}/state/$name/upper,workdir=${folder}/state/$name/work /$name
      done
      rm -rf /etc/sluice ${UNIT} ${PROGRAM}
      ip link set lo up
      set +e
      export STATE=${folder}/state I=${SCRIPT} C=${folder}/config.yaml PATH=${folder}/bin:$PATH
      ${commands}`;
    mkdirSync(join(folder, "state"), { recursive: true });
    const { stdout, exitCode } = Bun.spawnSync(
      [
        ...["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
        ...["sh", "-c", `exec 2>&1\n${script}`],
      ],
      { stdin: "ignore", timeout: 60_000 },
    );
    return { output: stdout.toString(), status: exitCode };
  }

  test("installs program, unit and configuration, starts Sluice, and waits until it is healthy", () => {
    const { output, status } = machine(`$I --config $C && nft list tables
      cmp ${BINARY} ${PROGRAM} && cmp $C ${CONFIG} && cmp ${ROOT}/deploy/systemd/sluice.service ${UNIT}
      stat -c '%a %n' ${PROGRAM} ${CONFIG}`);
    expect(output.split("\n")).toEqual([
      `installing ${CONFIG}`,
      `installing ${PROGRAM}`,
      `installing ${UNIT}`,
      "systemctl daemon-reload",
      "systemctl enable sluice.service",
      "systemctl restart --no-block sluice.service",
      "Sluice is running and healthy: http://127.0.0.1:10256/livez",
      "table inet sluice",
      `755 ${PROGRAM}`,
      `600 ${CONFIG}`,
      "",
    ]);
    expect(status).toBe(0);
  });

  test.each([
    "/etc/a #b: c/kubeconfig",
    "/etc/it's [a] & {b}, 'c'",
    '/etc/say "yes"',
    "/etc/back\\slash \\n",
    "/etc/both \"quotes\" and 'more'",
    "/etc/- x: #",
  ])("takes a path with special characters: %s", (path) => {
    writeFileSync(join(folder, "path"), path);
    const { output, status } = machine(`P=$(cat ${folder}/path); R=$STATE/image
      mkdir -p "$R$(dirname "$P")"; touch "$R$P"
      $I --root $R --kubeconfig "$P" --cluster-cidr fd00::/64 || exit 1
      ${BINARY} --config $R${CONFIG} --write-config-to $STATE/out >/dev/null && cat $STATE/out`);
    const at = output.indexOf("apiVersion:");
    expect([status, at], output).toEqual([0, expect.any(Number)]);
    expect(parse(output.slice(at))).toMatchObject({
      clientConnection: { kubeconfig: path },
      clusterCIDR: "fd00::/64",
    });
  });

  test("takes a folder of manifests with special characters", () => {
    const { output, status } = machine(`mkdir "$STATE/a #b: c"
      sed "s|manifests:.*|manifests: '$STATE/a #b: c'|" $C >$STATE/c
      $I --dry-run --config $STATE/c`);
    expect([status, output]).toEqual([0, expect.stringContaining("would run: systemctl")]);
  });

  test("does nothing the second time, and keeps an existing configuration", () => {
    const { output, status } = machine(`$I --config $C >$STATE/first && echo '# mine' >>${CONFIG}
      $I --config $C && tail -1 ${CONFIG}`);
    expect(output.split("\n")).toEqual([
      `keeping ${CONFIG}, which differs from the requested one (--overwrite-config replaces it)`,
      "systemctl daemon-reload",
      "systemctl enable sluice.service",
      // This does nothing to a unit that runs. The stand-in starts a second instance, which exits.
      "systemctl start --no-block sluice.service",
      "Sluice is running and healthy: http://127.0.0.1:10256/livez",
      "# mine",
      "",
    ]);
    expect(status).toBe(0);
  });

  test("--uninstall removes everything except the configuration", () => {
    const { output, status } = machine(`$I --config $C >$STATE/first && $I --uninstall
      nft list tables; ls ${PROGRAM} ${UNIT}; ls ${CONFIG}; $I --uninstall`);
    expect(output).toContain("systemctl disable --now sluice.service\n");
    expect(output).not.toMatch(/^table /m);
    expect(output).toContain(`keeping ${CONFIG}\n`);
    expect(output.match(/No such file or directory/g)).toHaveLength(2);
    expect(status).toBe(0);
  });

  test("keeps the program while a kube-proxy runs that has no rules yet", () => {
    const { output, status } = machine(`$I --config $C >$STATE/first
      cp $(command -v sleep) $STATE/kube-proxy; $STATE/kube-proxy 60 &
      until [ "$(cat /proc/$!/comm)" = kube-proxy ]; do :; done
      $I --uninstall; echo "status $?"; nft list tables; ls ${PROGRAM} ${UNIT}; kill $!; $I --uninstall; nft list tables`);
    expect(output).toContain("has no rules yet; Sluice's rules stay");
    expect(output).toContain("uninstall: Sluice's rules are still in the kernel");
    expect(output).toContain(`status 1\ntable inet sluice\n${UNIT}\n${PROGRAM}\n`);
    expect(output).toContain("Removed table inet sluice\n");
    expect(output.match(/^table /gm)).toHaveLength(1);
    expect(status).toBe(0);
  });

  test("writes a configuration for a kubeconfig", () => {
    const { output } = machine(`touch $STATE/no-start $STATE/kc
      $I --kubeconfig $STATE/kc --cluster-cidr 10.1.0.0/16 --dry-run; ls /etc/sluice
      sed s/HEALTH_TIMEOUT=30/HEALTH_TIMEOUT=1/ $I >$STATE/install.sh; cp -r ${ROOT}/deploy/systemd $STATE
      sh $STATE/install.sh --binary ${BINARY} --kubeconfig $STATE/kc --cluster-cidr 10.1.0.0/16 || echo "status $?"
      cat ${CONFIG}`);
    // The dry run wrote nothing.
    expect(output).toContain("/etc/sluice");
    expect(output).toContain("would run: systemctl restart --no-block sluice.service\n");
    // The script reports that nothing was started.
    expect(output).toContain("Sluice is installed, but not healthy after 1 s");
    expect(output).toContain("status 1\n");
    expect(output).toEndWith(
      [
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        "kind: KubeProxyConfiguration",
        "mode: nftables",
        "clientConnection:",
        `  kubeconfig: '${folder}/state/kc'`,
        "clusterCIDR: '10.1.0.0/16'",
        "oomScoreAdj: -999",
        "",
      ].join("\n"),
    );
  });

  test.each([
    ["on an old kernel", OLD_KERNEL],
    ["on a kernel without nf_tables", NO_NF_TABLES],
  ])("Sluice serves with iptables %s", (_, machinery) => {
    const { output } = machine(`${machinery} sed s/nftables/iptables/ $C >$STATE/c
      $I --dry-run --config $STATE/c; echo "status $?"`);
    expect(output).toContain("would run: systemctl restart --no-block sluice.service\n");
    expect(output).toMatch(/^status 0$/m);
  });

  test.each([
    ["no configuration", "$I", "/etc/sluice/config.yaml does not exist yet"],
    [
      "a configuration that is no file",
      "$I --config $STATE",
      `--config ${folder}/state: not a file`,
    ],
    ["an unknown option", "$I --force", "option --force: unknown"],
    ["an option without a value", "$I --config", "option --config: needs a value"],
    ["a missing program", "$I --config $C --binary $STATE/none", "/state/none: no such file"],
    [
      "mode nftables on an old kernel",
      `${OLD_KERNEL} $I --config $C`,
      "mode nftables: Linux 5.10.0-30-amd64 is older than 5.13",
    ],
    [
      "mode nftables on a kernel without nf_tables",
      `${NO_NF_TABLES} $I --config $C`,
      "has no nf_tables, neither built in nor as a module",
    ],
    [
      "a machine without nftables and iptables",
      `${NO_NF_TABLES} sed /^mode/d $C >$STATE/c; mount -t tmpfs none /usr/sbin; $I --config $STATE/c`,
      ", and iptables is not installed",
    ],
    [
      "mode iptables on a machine with nftables only",
      "sed s/nftables/iptables/ $C >$STATE/c; mount -t tmpfs none /usr/sbin; $I --config $STATE/c --replace-kube-proxy",
      "mode iptables: iptables is not installed",
    ],
    [
      "a user who is not root",
      "setpriv --reuid=65534 --clear-groups sh $I --config $C",
      "must run as root, not as uid 65534",
    ],
    [
      "a kube-proxy.service that runs",
      "touch $STATE/kube-proxy-runs; $I --config $C",
      "kube-proxy.service is running (--replace-kube-proxy",
    ],
    [
      "a kube-proxy that is not a unit",
      "cp $(command -v sleep) $STATE/kube-proxy; $STATE/kube-proxy 60 & $I --replace-kube-proxy --config $C",
      "kube-proxy is running as process",
    ],
  ])("rejects %s, and changes nothing", (_, commands, message) => {
    const { output } = machine(
      `(${commands}); echo "status $?"; ls ${PROGRAM} ${UNIT} /etc/sluice`,
    );
    expect(output).toContain(message);
    expect(output).toMatch(/^status 1$/m);
    expect(output.match(/No such file or directory/g)).toHaveLength(3);
    expect(output).not.toContain("systemctl disable");
  });

  test.each([
    [
      "a configuration that Sluice cannot start with",
      "echo 'clusterCIDR: 10.0.0.0/99' >>$STATE/bad; $I --config $STATE/bad --replace-kube-proxy",
      "check the configuration: sluice: load ",
    ],
    [
      "an unusable configuration that exists already",
      `mkdir -p /etc/sluice; echo 'mode: bogus' >${CONFIG}; $I --replace-kube-proxy; rm -r /etc/sluice`,
      `sluice: load ${CONFIG}: `,
    ],
    [
      "a configuration with a missing kubeconfig",
      "sed '/manifests/s/.*/  counters: true/' $C >$STATE/c; printf 'clientConnection: {kubeconfig: /none}\\n' >>$STATE/c; $I --config $STATE/c --replace-kube-proxy",
      "clientConnection.kubeconfig: /none: not a file",
    ],
    [
      "a configuration without a kubeconfig",
      "sed '/manifests/s/.*/  counters: true/' $C >$STATE/c; $I --config $STATE/c --replace-kube-proxy",
      "clientConnection.kubeconfig: must be set",
    ],
    [
      "flags that Sluice does not know",
      "echo kube-proxy --bogus=1 >$STATE/kube-proxy-argv; $I --config $C --replace-kube-proxy",
      'unknown flag "--bogus=1" (see --help) (code CONFIG_INVALID)\n',
    ],
    [
      "flags with variables of a unit that does not run",
      "echo 'kube-proxy $ARGS' >$STATE/kube-proxy-argv; rm $STATE/kube-proxy-runs; $I --config $C --replace-kube-proxy",
      "flags of kube-proxy.service: invalid value",
    ],
  ])("stops no kube-proxy for %s, and changes nothing", (_, commands, message) => {
    const { output } = machine(
      `touch $STATE/kube-proxy-runs; (${commands}); echo "status $?"; ls ${PROGRAM} ${UNIT} /etc/sluice`,
    );
    expect(output).toContain(message);
    expect(output.match(/No such file or directory/g)).toHaveLength(3);
    expect(output).not.toMatch(/^systemctl/m);
  });

  test("stops kube-proxy.service last, if --replace-kube-proxy allows it", () => {
    const { output, status } = machine(
      "touch $STATE/kube-proxy-runs; $I --config $C --replace-kube-proxy",
    );
    expect(output.split("\n").slice(-6)).toEqual([
      "systemctl enable sluice.service",
      "stopping kube-proxy.service",
      "systemctl disable --now kube-proxy.service",
      "systemctl restart --no-block sluice.service",
      "Sluice is running and healthy: http://127.0.0.1:10256/livez",
      "",
    ]);
    expect(status).toBe(0);
  });

  test("takes over the file and the flags of the replaced kube-proxy", () => {
    const ask = `fetch('http://127.0.0.1:10249/sluice/v1/state').then((r) => r.json()).then(({ node }) => console.log(node.name))`;
    const { output, status } =
      machine(`ln -s ${BINARY} $STATE/kube-proxy; touch $STATE/kube-proxy-runs
      $STATE/kube-proxy --config $C --hostname-override=there -v 2 --vmodule='proxy=4,h*=1' 2>$STATE/old &
      echo $! >$STATE/kube-proxy-pid; while ! nft list table inet sluice >$STATE/table 2>&1; do sleep 0.05; done
      $I --replace-kube-proxy && cmp $C ${CONFIG} && cat ${FLAGS}; BUN_BE_BUN=1 ${PROGRAM} -e "${ask}"
      $I --replace-kube-proxy --dry-run; $I --uninstall | grep keeping`);
    expect(output).toContain(
      "# Flags of kube-proxy.service, for Sluice to use with its configuration file.\nSLUICE_FLAGS=--hostname-override=there -v 2 --vmodule=proxy=4,h*=1\nthere\n",
    );
    expect(output).toEndWith(`keeping ${CONFIG}\nkeeping ${FLAGS}\n`);
    expect(status).toBe(0);
  });

  test("writes a configuration from the flags of a kube-proxy, and keeps flags without a field", () => {
    const { output } =
      machine(`echo kube-proxy --kubeconfig=$STATE/kc --hostname-override there --cluster-cidr=10.1.0.0/16 --master https://10.0.0.1:6443 >$STATE/kube-proxy-argv
      touch $STATE/kc $STATE/no-start $STATE/kube-proxy-enabled; cp -r ${ROOT}/deploy/systemd $STATE
      sed s/HEALTH_TIMEOUT=30/HEALTH_TIMEOUT=1/ $I >$STATE/install.sh
      sh $STATE/install.sh --binary ${BINARY} --replace-kube-proxy; grep -E 'kubeconfig:|^hostname|clusterCIDR' ${CONFIG}; cat ${FLAGS}`);
    expect(output).toContain("making a configuration from the flags of kube-proxy.service\n");
    expect(output).toContain("Not written, because the file has no field for it: --master\n");
    expect(output).toContain("systemctl disable --now kube-proxy.service\n");
    expect(output).toEndWith(
      [
        `  kubeconfig: ${folder}/state/kc`,
        "hostnameOverride: there",
        "clusterCIDR: 10.1.0.0/16",
        "# Flags of kube-proxy.service, for Sluice to use with its configuration file.",
        "SLUICE_FLAGS=--master https://10.0.0.1:6443",
        "",
      ].join("\n"),
    );
  });

  test("prints how to go back if it stopped kube-proxy and Sluice is not healthy", () => {
    const { output } = machine(`touch $STATE/kube-proxy-runs $STATE/no-start
      sed s/HEALTH_TIMEOUT=30/HEALTH_TIMEOUT=1/ $I >$STATE/install.sh; cp -r ${ROOT}/deploy/systemd $STATE
      sh $STATE/install.sh --binary ${BINARY} --config $C --replace-kube-proxy || echo "status $?"`);
    expect(output).toEndWith(`To go back to kube-proxy, run in this order:
  systemctl disable --now sluice.service
  systemctl enable --now kube-proxy.service
  until curl -sf http://127.0.0.1:10256/healthz; do sleep 1; done
  ${PROGRAM} --cleanup --remove-kube-proxy-rules=false
status 1
`);
  });

  test("keeps a different configuration and says so, and replaces it on request", () => {
    const { output } = machine(`$I --config $C >$STATE/first; sed 's/here/elsewhere/' $C >$STATE/c
      $I --config $STATE/c; grep hostname ${CONFIG}; $I --config $STATE/c --overwrite-config; grep hostname ${CONFIG}`);
    expect(output).toStartWith(
      `keeping ${CONFIG}, which differs from the requested one (--overwrite-config replaces it)\n`,
    );
    expect(output).toContain("\nhostnameOverride: here\n");
    expect(output).toContain(`\ninstalling ${CONFIG}\nsystemctl daemon-reload\n`);
    expect(output).toContain("systemctl restart --no-block sluice.service\n");
    expect(output).toEndWith("\nhostnameOverride: elsewhere\n");
  });

  test("--dry-run prints all steps and performs none", () => {
    const { output, status } = machine(`touch $STATE/kube-proxy-runs
      $I --config $C --replace-kube-proxy --dry-run; ls ${PROGRAM} ${UNIT} /etc/sluice; ls $STATE/kube-proxy-runs`);
    for (const command of ["disable --now kube-proxy.service", "enable sluice.service"]) {
      expect(output).toContain(`would run: systemctl ${command}\n`);
    }
    expect(output).not.toMatch(/^systemctl /m);
    expect(output.match(/No such file or directory/g)).toHaveLength(3);
    expect(status).toBe(0);
  });

  test("installs into the root folder of another system", async () => {
    const root = join(folder, "image");
    const { output, status } = machine(`$I --config $C --root ${root}`);
    expect(output).toEndWith(`systemctl --root=${root} enable sluice.service\n`);
    expect(status).toBe(0);
    expect(readFileSync(join(root, CONFIG), "utf8")).toContain("hostnameOverride: here");
    expect(readdirSync(join(root, "usr/local/bin"))).toEqual(["sluice"]);
    expect(existsSync(join(root, UNIT))).toBe(true);
  });
});
