import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import { until } from "../../harness/waiting.ts";
import type { ClusterAccess } from "../../src/api-client/access.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import { PluginFailure, runPlugin } from "../../src/api-client/run-plugin.ts";
import type { JsonObject } from "../../src/base/json.ts";

let folder: string;
let authority: Certificate;
let client: Certificate;
let other: Certificate;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-exec-"));
  authority = await makeAuthority(folder, "ca");
  [client, other] = await Promise.all([
    makeCertificate(authority, folder, "client", "/CN=node"),
    makeCertificate(authority, folder, "other", "/CN=other"),
  ]);
});

beforeEach(() => {
  for (const name of ["calls", "seen", "pid"]) rmSync(join(folder, name), { force: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const V1 = "client.authentication.k8s.io/v1";
const PATH = process.env["PATH"];
const text = (file: string) => readFileSync(file, "utf8");
const calls = () => text(join(folder, "calls")).length / 2;

/** The text that a plugin prints. `$n` is the number of its run. */
function credential(status: JsonObject | undefined, more: JsonObject = {}): string {
  return JSON.stringify({ apiVersion: V1, kind: "ExecCredential", status, ...more });
}

const TOKEN = credential({ token: "t$n" });

/** Writes the plugin `plugin.sh`. `script` may use $folder and $n, the number of the run. */
function install(script: string): void {
  const head = `#!/bin/sh\nfolder=${folder}\necho x >> $folder/calls\nn=$(wc -l < $folder/calls)\n`;
  writeFileSync(join(folder, "plugin.sh"), head + script, { mode: 0o755 });
}

const prints = (output: string) => install(`cat <<END\n${output}\nEND\n`);

async function open(exec: JsonObject = {}, cluster: JsonObject = {}): Promise<ClusterAccess> {
  const path = join(folder, "kubeconfig");
  const config = { apiVersion: V1, interactiveMode: "Never", command: "./plugin.sh", ...exec };
  const content = {
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", user: "u" } }],
    clusters: [{ name: "k", cluster: { server: "https://127.0.0.1:1/", ...cluster } }],
    users: [{ name: "u", user: { exec: config } }],
  };
  writeFileSync(path, JSON.stringify(content));
  return openAccess({ kubeconfig: path, master: "", environment: { PATH, OUTER: "1" } });
}

const authorizationOf = async (access: ClusterAccess) => (await access.identity()).authorization;

test("a token stays in use until the server refuses it", async () => {
  prints(TOKEN);
  const access = await open({}, { "certificate-authority": "ca.crt" });
  const first = await access.identity();
  expect(first).toEqual({
    authorization: "Bearer t1",
    tls: { insecure: false, ca: text(authority.certificate) },
  });
  expect(await authorizationOf(access)).toBe("Bearer t1");
  access.credentialsRefused(first);
  expect(await authorizationOf(access)).toBe("Bearer t2");
  // Another request with the first token is answered late.
  access.credentialsRefused(first);
  expect(await authorizationOf(access)).toBe("Bearer t2");
});

test("requests at the same time share one run", async () => {
  prints(TOKEN);
  const access = await open();
  const all = await Promise.all([1, 2, 3, 4].map(() => authorizationOf(access)));
  expect(all).toEqual(["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t1"]);
  expect(calls()).toBe(1);
});

test.each([
  ["2001-01-01T00:00:00Z", "Bearer t2"],
  ["2001-01-01T00:00:00.5+01:00", "Bearer t2"],
  ["2999-01-01T00:00:00Z", "Bearer t1"],
  [null, "Bearer t1"],
])(
  "with expirationTimestamp %p, the second request has %s",
  async (expirationTimestamp, second) => {
    prints(credential({ token: "t$n", expirationTimestamp }));
    const access = await open();
    expect(await authorizationOf(access)).toBe("Bearer t1");
    expect(await authorizationOf(access)).toBe(second);
  },
);

test("a failure is not remembered", async () => {
  install(
    `if [ $n = 1 ]; then echo '${credential(undefined)}'; else echo '${TOKEN.replace("$n", "2")}'; fi`,
  );
  const access = await open();
  expect((await rejectionOf(access.identity())).message).toEndWith("plugin.sh: printed no status");
  expect(await authorizationOf(access)).toBe("Bearer t2");
});

test("a certificate is used, and its other key is refused", async () => {
  const clientCertificateData = text(client.certificate);
  prints(credential({ clientCertificateData, clientKeyData: text(client.key) }));
  const { authorization, tls } = await (await open()).identity();
  expect([authorization, tls.cert, tls.key]).toEqual(["", clientCertificateData, text(client.key)]);
  prints(credential({ clientCertificateData, clientKeyData: text(other.key) }));
  const { message } = await rejectionOf((await open()).identity());
  expect(message).toEndWith("clientKeyData: the private key does not belong to the certificate");
});

test.each(["./plugin.sh", "bin/../plugin.sh", "<folder>/plugin.sh"])(
  "the command %s is relative to the kubeconfig",
  async (command) => {
    prints(TOKEN);
    const access = await open({ command: command.replace("<folder>", folder) });
    expect(await authorizationOf(access)).toBe("Bearer t1");
  },
);

test.each(["plugin.sh", "/nonexistent/plugin", "./nonexistent"])(
  "the command %s is not found",
  async (command) => {
    prints(TOKEN);
    const access = await open({ command, installHint: "apt\nget" });
    const { message } = await rejectionOf(access.identity());
    expect(message).toContain("users[0].user.exec: credential plugin ");
    expect(message).toEndWith(": program not found (apt get)");
  },
);

test("a plugin in PATH is found there", async () => {
  prints(TOKEN);
  const path = join(folder, "kubeconfig");
  await open({ command: "plugin.sh" });
  const environment = { PATH: `relative::/nonexistent:${folder}:${PATH}` };
  const access = await openAccess({ kubeconfig: path, master: "", environment });
  expect(await authorizationOf(access)).toBe("Bearer t1");
});

test("a plugin has no input, our environment, and its own variables", async () => {
  install(
    `cat > $folder/seen; echo "$OUTER $A $1 $2" >> $folder/seen; echo '${TOKEN.replace("$n", "1")}'`,
  );
  const env = [
    { name: "A", value: "a" },
    { name: "A", value: "b" },
  ];
  await (await open({ env, args: ["x y", "z"] })).identity();
  expect(text(join(folder, "seen"))).toBe("1 b x y z\n");
});

/** client-go has the same texts. */
test.each([
  [{}, {}, `{"kind":"ExecCredential","apiVersion":"${V1}","spec":{"interactive":false}}`],
  [
    { provideClusterInfo: true },
    {
      "tls-server-name": "x",
      "insecure-skip-tls-verify": true,
      "proxy-url": "http://a:b@127.0.0.1:2",
      "disable-compression": true,
      extensions: [{ name: "client.authentication.k8s.io/exec", extension: { a: ["x"], b: 1 } }],
    },
    `{"kind":"ExecCredential","apiVersion":"${V1}","spec":{"cluster":{"server":"https://127.0.0.1:1/","tls-server-name":"x","insecure-skip-tls-verify":true,"proxy-url":"http://a:b@127.0.0.1:2","disable-compression":true,"config":{"a":["x"],"b":1}},"interactive":false}}`,
  ],
  [
    { provideClusterInfo: true },
    { "certificate-authority": "ca.crt" },
    `{"kind":"ExecCredential","apiVersion":"${V1}","spec":{"cluster":{"server":"https://127.0.0.1:1/","certificate-authority-data":"<ca>","config":null},"interactive":false}}`,
  ],
])("KUBERNETES_EXEC_INFO for %j and %j", async (exec, cluster, info) => {
  install(`printf %s "$KUBERNETES_EXEC_INFO" > $folder/seen; echo '${TOKEN}'`);
  await (await open(exec, cluster)).identity();
  const ca = readFileSync(authority.certificate).toString("base64");
  expect(text(join(folder, "seen")).trimEnd()).toBe(info.replace("<ca>", ca));
});

describe("the error names the plugin and", () => {
  const beta = credential({ token: "t" }, { apiVersion: "client.authentication.k8s.io/v1beta1" });
  test.each([
    [
      "its exit status",
      "echo first >&2; printf '\\033[31mlast\\033[0m\\n' >&2; exit 3",
      "exit status 3: last",
    ],
    ["its signal", "kill -9 $$", "ended by SIGKILL"],
    ["no output", "", "printed no ExecCredential"],
    ["other output", "echo Please log in", "printed no ExecCredential"],
    ["broken output", "echo '{'", "printed no ExecCredential"],
    [
      "another version",
      `echo '${beta}'`,
      `printed ExecCredential of ${V1}beta1 instead of ExecCredential of ${V1}`,
    ],
    [
      "another kind",
      `echo '${credential({ token: "t" }, { kind: "Pod" })}'`,
      `printed Pod of ${V1} instead of ExecCredential of ${V1}`,
    ],
    ["no status", `echo '${credential(undefined)}'`, "printed no status"],
    ["an empty status", `echo '${credential({})}'`, "printed neither a token nor a certificate"],
    [
      "a certificate without key",
      `echo '${credential({ clientCertificateData: "x" })}'`,
      "printed only one of certificate and key",
    ],
    [
      "a bad certificate",
      `echo '${credential({ clientCertificateData: "x", clientKeyData: "y" })}'`,
      "clientCertificateData: invalid PEM: must contain a CERTIFICATE block",
    ],
    [
      "a bad token",
      `printf %s '${credential({ token: "a\nb" })}'`,
      "printed a token of more than one line",
    ],
    [
      "a bad time",
      `echo '${credential({ token: "t", expirationTimestamp: "soon" })}'`,
      "printed an invalid expirationTimestamp",
    ],
    [
      "too much",
      "head -c 2000000 /dev/zero; sleep 1000",
      "printed more than 1048576 bytes; killed",
    ],
  ])("%s", async (_what, script, message) => {
    install(script);
    const error = await rejectionOf((await open()).identity());
    expect(error.code).toBe("KUBECONFIG_INVALID");
    expect(error.message).toBe(
      `${join(folder, "kubeconfig")}: users[0].user.exec: credential plugin ${join(folder, "plugin.sh")}: ${message}`,
    );
  });

  test("that it needs a terminal", async () => {
    const { message } = await rejectionOf((await open({ interactiveMode: "Always" })).identity());
    expect(message).toEndWith("interactiveMode Always needs a terminal");
  });
});

function isAlive(pid: number): boolean {
  try {
    // A zombie has no command line.
    return text(`/proc/${pid}/cmdline`) !== "";
  } catch {
    return false;
  }
}

const pidOfChild = () => Number(text(join(folder, "pid")));

test("a plugin that hangs is killed with its children", async () => {
  install("sleep 1000 & echo $! > $folder/pid; wait");
  const config = {
    command: join(folder, "plugin.sh"),
    args: [],
    env: [],
    apiVersion: V1,
    provideClusterInfo: false,
    interactive: false,
    installHint: "",
  };
  const thrown = await runPlugin(config, "", { PATH }, 300).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(PluginFailure);
  expect(thrown).toHaveProperty("message", "no result within 0.3 s; killed");
  await until("the child has ended", () => !isAlive(pidOfChild()));
});

test("a plugin does not outlive this process", async () => {
  install("sleep 1000 & echo $! > $folder/pid.new; mv $folder/pid.new $folder/pid; wait");
  const child = join(import.meta.dir, "children/run-plugin.ts");
  const program = Bun.spawn([
    process.execPath,
    child,
    join(folder, "plugin.sh"),
    join(folder, "pid"),
  ]);
  await program.exited;
  await until("the child has ended", () => !isAlive(pidOfChild()));
});
