/** Compares what Sluice makes of kubeconfigs with client-go. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority, makeCertificate } from "../../harness/cluster/certificates.ts";
import type { Identity } from "../../src/api-client/access.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import { SluiceError } from "../../src/base/errors.ts";

interface Outcome {
  readonly error?: string;
  readonly server?: string;
  readonly authorization?: string;
  readonly serverName?: string;
  readonly insecure?: boolean;
  readonly authority?: boolean;
  readonly certificate?: boolean;
  readonly exec?: boolean;
}

interface Connection extends Outcome {
  readonly kubeconfig: string;
  readonly master?: string;
}

/** Made by client-go: test/fixtures/kubeconfig/generate.go. */
const file = join(import.meta.dir, "../fixtures/kubeconfig/connections.json");
const connections = JSON.parse(readFileSync(file, "utf8")) as Connection[];

let folder: string;

/** Writes the files of generate.go. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-client-go-"));
  const authority = await makeAuthority(folder, "ca");
  const client = await makeCertificate(authority, folder, "client", "/CN=client");
  await makeCertificate(authority, folder, "other", "/CN=other");
  const text = readFileSync(client.certificate, "utf8");
  const damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const files = {
    "bom.crt": `\ufeff${text}`,
    "line.crt": text.replaceAll("\n", " "),
    "crlf.crt": text.replaceAll("\n", "\r\n"),
    "comment.crt": `# Our authority\n${text}`,
    "indented.crt": text.replaceAll("\n", "\n  "),
    "cut.crt": text.slice(0, text.length / 2),
    "damaged.crt": damaged,
    "some-damaged.crt": damaged + text,
    "none.crt": "no certificate\n",
    empty: "",
    token: "from-file\n",
    lines: "one\ntwo\n",
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function connect({ kubeconfig, master = "" }: Connection): Promise<Outcome> {
  let text = kubeconfig;
  for (const name of readdirSync(folder)) {
    text = text.replaceAll(`{${name}}`, readFileSync(join(folder, name)).toString("base64"));
  }
  const path = join(folder, "kubeconfig");
  writeFileSync(path, text);
  let exec = false;
  try {
    const access = await openAccess({ kubeconfig: path, master, environment: {} });
    const { authorization, tls } = await access.identity().catch((thrown: Error): Identity => {
      // The plugin does not exist.
      exec = thrown.message.includes(": credential plugin /plugin: ");
      if (!exec) throw thrown;
      return { authorization: "", tls: { insecure: false } };
    });
    return {
      server: access.server,
      ...(authorization === "" ? {} : { authorization }),
      ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
      ...(tls.insecure ? { insecure: true } : {}),
      ...(tls.ca === undefined ? {} : { authority: true }),
      ...(tls.cert === undefined ? {} : { certificate: true }),
      ...(exec ? { exec } : {}),
    };
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown;
    return { error: thrown.message };
  }
}

/** Parts of kubeconfigs that client-go refuses. Sluice ignores mistakes in what it does not use. */
const ONLY_ACCEPTED_HERE = [
  "extension: {}}, {name: a",
  "{cluster: {}}, {cluster: {}}",
  "null, null",
  "{name: x, cluster: {server: 5}}",
  "{name: x, cluster: text}",
  "}, text]",
  "}, 5]",
  "{name: 5}",
  "{name: x, cluster: {certificate-authority-data: '*'}}",
  "{name: x, user: {exec: text}}",
  "{name: x, user: {token: 5}}",
  "{name: x, context: {cluster: y, user: z}}", // y is a boolean
  "absent, client-key: client.key}}]\nclusters: [{name: k, cluster: {server: 'http:",
];
/** Parts of kubeconfigs that client-go accepts, and that cannot work. */
const ONLY_REFUSED_HERE = ['token: "abc\\n"', "tokenFile: lines", "certificate-authority: empty"];

test.each(connections.map((each) => [each.kubeconfig, each] as const))(
  "%j",
  async (_text, each) => {
    const { kubeconfig, master: _, error, ...expected } = each;
    const has = (part: string) => kubeconfig.includes(part);
    const ours = await connect(each);
    const refused =
      (error !== undefined && !ONLY_ACCEPTED_HERE.some(has)) || ONLY_REFUSED_HERE.some(has);
    if (refused) expect(ours.error).toContain(folder);
    else if (error === undefined) expect(ours).toEqual(expected);
    else expect(ours.error).toBeUndefined();
  },
);
