/** The messages of a TLS handshake that fails. The server is OpenSSL's own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import type { TlsMaterial } from "../../src/api-client/access.ts";
import { openTransport } from "../../src/api-client/transport.ts";

let folder: string;
let authority: Certificate;
let server: Certificate;
let foreign: Certificate;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-alerts-"));
  authority = await makeAuthority(folder, "ca");
  server = await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]);
  const other = await makeAuthority(folder, "other");
  foreign = await makeCertificate(other, folder, "foreign", "/CN=the-node");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const read = (path: string) => readFileSync(path, "utf8");

async function failure(url: string, tls: Partial<TlsMaterial>): Promise<string> {
  const transport = openTransport({
    server: url,
    identity: async () => ({ authorization: "", tls: { insecure: false, ...tls } }),
    credentialsRefused() {},
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  transport.get("/", "application/json", {
    onStart() {},
    onData() {},
    onEnd: resolve,
    onError: reject,
  });
  const { message } = await rejectionOf(promise.finally(() => transport.close()));
  return message.replace(`request to ${url}: `, "");
}

/** Runs OpenSSL's server with these options while `use` runs. */
async function withServer<T>(
  options: readonly string[],
  use: (url: string) => Promise<T>,
): Promise<T> {
  const child = Bun.spawn(
    [
      ...["openssl", "s_server", "-accept", "127.0.0.1:0", "-www"],
      ...["-cert", server.certificate, "-key", server.key],
      ...["-CAfile", authority.certificate, ...options],
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
  );
  try {
    let printed = "";
    for await (const chunk of child.stdout) {
      printed += new TextDecoder().decode(chunk);
      const port = /ACCEPT [^\n]*:(\d+)\n/.exec(printed)?.[1];
      if (port !== undefined) return await use(`https://127.0.0.1:${port}`);
    }
    throw new Error(`openssl s_server did not start: ${printed}`);
  } finally {
    child.kill();
    await child.exited;
  }
}

const VERIFY = ["-Verify", "1", "-verify_return_error"];
const ABOUT = "about our client certificate";

describe("an alert of the server", () => {
  test.each([
    ["-tls1_3", `"certificate required" ${ABOUT} (ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED)`],
    ["-tls1_2", '"handshake failure" (ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE)'],
  ])("that requires a client certificate is named (%s)", async (version, alert) => {
    const message = await withServer([version, ...VERIFY], (url) =>
      failure(url, { ca: read(authority.certificate) }),
    );
    expect(message).toBe(`TLS handshake failed: the server sent the alert ${alert}`);
  });

  test.each(["-tls1_3", "-tls1_2"])(
    "that rejects our certificate is named (%s)",
    async (version) => {
      const message = await withServer([version, ...VERIFY], (url) =>
        failure(url, {
          ca: read(authority.certificate),
          cert: read(foreign.certificate),
          key: read(foreign.key),
        }),
      );
      expect(message).toBe(
        `TLS handshake failed: the server sent the alert "unknown ca" ${ABOUT} (ERR_SSL_TLSV1_ALERT_UNKNOWN_CA)`,
      );
    },
  );

  test("that rejects our versions of TLS is named", async () => {
    const options = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    const message = await withServer(options, (url) => failure(url, { insecure: true }));
    expect(message).toBe(
      'TLS handshake failed: the server sent the alert "protocol version" (ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION)',
    );
  });
});

test("a server without TLS is recognized", async () => {
  const plain = createServer((_request, response) => response.end());
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${(plain.address() as AddressInfo).port}`;
  expect(await failure(url, {})).toBe(
    "TLS handshake failed: the server does not speak TLS (ERR_SSL_WRONG_VERSION_NUMBER)",
  );
  plain.close();
});
