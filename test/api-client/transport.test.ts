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
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import { until } from "../../harness/waiting.ts";
import type { ClusterAccess, TlsMaterial } from "../../src/api-client/access.ts";
import { openTransport, type Transport } from "../../src/api-client/transport.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { RETRY_AFTER_MS_MAX } from "../../src/base/limits.ts";

let folder: string;
let ca: string;
let otherCa: string;
let client: Certificate;
let api: FakeApi;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-transport-"));
  const [authority, other] = await Promise.all([
    makeAuthority(folder, "ca"),
    makeAuthority(folder, "other"),
  ]);
  ca = readFileSync(authority.certificate, "utf8");
  otherCa = readFileSync(other.certificate, "utf8");
  const [server, user] = await Promise.all([
    makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1", "api.test"]),
    makeCertificate(authority, folder, "client", "/CN=the-node"),
  ]);
  client = user;
  api = await startFakeApi({ certificate: server, clientAuthority: ca });
});

afterAll(async () => {
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

function access(tls: Partial<TlsMaterial>, host = "127.0.0.1", authorization = ""): ClusterAccess {
  return {
    server: `https://${host}:${api.port}`,
    identity: async () => ({ authorization, tls: { insecure: false, ...tls } }),
    credentialsRefused() {},
  };
}

interface Answer {
  status: number;
  contentType: string;
  body: string;
}

function get(transport: Transport, path = "/api/v1/services"): Promise<Answer> {
  const answer: Answer = { status: 0, contentType: "", body: "" };
  return new Promise((resolve, reject) => {
    transport.get(path, "application/json", {
      onStart(status, contentType) {
        answer.status = status;
        answer.contentType = contentType;
      },
      onData(chunk) {
        answer.body += new TextDecoder().decode(chunk);
      },
      onEnd: () => resolve(answer),
      onError: reject,
    });
  });
}

async function once(access: ClusterAccess): Promise<Answer | SluiceError> {
  const transport = openTransport(access);
  try {
    return await get(transport);
  } catch (thrown) {
    return rejectionOf(Promise.reject(thrown));
  } finally {
    transport.close();
  }
}

describe("TLS", () => {
  test("trusts the cluster's authority", async () => {
    expect(await once(access({ ca }))).toMatchObject({ status: 200 });
  });

  test.each([
    ["another authority", () => access({ ca: otherCa })],
    ["the system's authorities", () => access({})],
    ["a certificate for another name", () => access({ ca, serverName: "other.test" })],
    ["a certificate for another host", () => access({ ca }, "localhost")],
  ])("refuses %s, and reports TLS as the cause", async (_what, make) => {
    const before = api.seen.length;
    const result = await once(make());
    expect(result).toBeInstanceOf(SluiceError);
    expect(result).toMatchObject({
      code: "API_UNREACHABLE",
      message: expect.stringMatching(/^request to https:\/\/.*: TLS handshake failed: .*[A-Z_]{8}/),
    });
    expect(api.seen).toHaveLength(before);
  });

  test("verifies tls-server-name instead of the host", async () => {
    const result = await once(access({ ca, serverName: "api.test" }, "localhost"));
    expect(result).toMatchObject({ status: 200 });
  });

  test("verifies nothing with insecure-skip-tls-verify", async () => {
    expect(await once(access({ insecure: true }))).toMatchObject({ status: 200 });
  });

  test("shows the client's certificate to the server", async () => {
    const cert = readFileSync(client.certificate, "utf8");
    const key = readFileSync(client.key, "utf8");
    expect(await once(access({ ca, cert, key }))).toMatchObject({ status: 200 });
    expect(api.seen.at(-1)?.client).toBe("the-node");
    await once(access({ ca }));
    expect(api.seen.at(-1)?.client).toBe("");
  });

  test("uses a certificate that was rotated from the next request on", async () => {
    let tls: TlsMaterial = { insecure: false, ca };
    const transport = openTransport({
      ...access({}),
      identity: async () => ({ authorization: "", tls }),
    });
    await get(transport);
    expect(api.seen.at(-1)?.client).toBe("");
    tls = {
      ...tls,
      cert: readFileSync(client.certificate, "utf8"),
      key: readFileSync(client.key, "utf8"),
    };
    await get(transport);
    expect(api.seen.at(-1)?.client).toBe("the-node");
    transport.close();
  });
});

describe("a request", () => {
  test("carries the token", async () => {
    await once(access({ ca }, "127.0.0.1", "Bearer secret"));
    expect(api.seen.at(-1)?.authorization).toBe("Bearer secret");
  });

  test("keeps the path of the server's URL", async () => {
    const base = access({ ca });
    const result = await once({ ...base, server: `${base.server}/k8s/clusters/c-1` });
    expect(result).toMatchObject({ status: 200 });
    expect(api.seen.at(-1)?.path).toBe("/k8s/clusters/c-1/api/v1/services");
  });

  test("fails with the login's own error", async () => {
    const failure = new SluiceError("KUBECONFIG_INVALID", "Cannot use /token");
    const identity = () => Promise.reject(failure);
    expect(await once({ ...access({ ca }), identity })).toBe(failure);
  });

  test("that is aborted fails with the reason, even before it is sent", async () => {
    const reason = new SluiceError("API_UNREACHABLE", "stopped");
    for (const path of ["/api/v1/services", "/api/v1/services?watch=true&resourceVersion=1000"]) {
      const transport = openTransport(access({ ca }));
      const { promise, reject } = Promise.withResolvers<never>();
      const abort = transport.get(path, "application/json", {
        onStart: () => abort(reason),
        onData() {},
        onEnd: () => reject(new Error("ended")),
        onError: reject,
      });
      if (!path.includes("watch")) abort(reason);
      expect(await rejectionOf(promise)).toBe(reason);
      transport.close();
    }
  });

  test("with a throwing handler ends with that error", async () => {
    const transport = openTransport(access({ ca }));
    const failure = new SluiceError("CORE_MEMORY", "Cannot grow");
    const { promise, reject } = Promise.withResolvers<never>();
    transport.get("/api/v1/services", "application/json", {
      onStart() {},
      onData() {
        throw failure;
      },
      onEnd: () => reject(new Error("ended")),
      onError: reject,
    });
    expect(await rejectionOf(promise)).toBe(failure);
    // The connection stays usable.
    expect(await get(transport)).toMatchObject({ status: 200 });
    transport.close();
  });

  test("fails if the server cuts the connection", async () => {
    const transport = openTransport(access({ ca }));
    const watch = get(transport, "/api/v1/services?watch=true&resourceVersion=1000");
    await until("the watch is there", () => api.seen.at(-1)?.parameters.get("watch") === "true");
    api.disconnect();
    expect((await rejectionOf(watch)).code).toBe("API_UNREACHABLE");
    transport.close();
  });

  test("without a server fails with the reason", async () => {
    const base = access({ ca });
    const result = await once({ ...base, server: "https://127.0.0.1:1" });
    expect(result).toMatchObject({
      code: "API_UNREACHABLE",
      message: expect.stringContaining(": connection refused (ECONNREFUSED)"),
    });
  });

  test("without an address for the server's name names the lookup", async () => {
    const result = await once({ ...access({ ca }), server: "https://api.invalid:6443" });
    // Without a name server, the resolver cannot say that the name does not exist.
    expect(result).toMatchObject({
      code: "API_UNREACHABLE",
      message: expect.stringMatching(
        /^request to https:\/\/api\.invalid:6443: lookup api\.invalid: (no such host \(ENOTFOUND\)|temporary failure in name resolution \(EAI_AGAIN\))$/,
      ),
    });
  });

  test.each([
    ["7", 7000],
    ["3000000", RETRY_AFTER_MS_MAX],
    ["0", 0],
    ["-7", 0],
    ["7.5", 0],
    ["soon", 0],
    ["Fri, 31 Dec 1999 23:59:59 GMT", 0],
    ["Fri, 31 Dec 2999 23:59:59 GMT", RETRY_AFTER_MS_MAX],
  ])(
    "goes without TLS to an http server, and returns a Retry-After of %s as %p ms",
    async (text, ms) => {
      const server = createServer((_request, response) => {
        response.writeHead(429, { "retry-after": text });
        response.end("slow down");
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      const transport = openTransport({ ...access({}), server: `http://127.0.0.1:${port}` });
      const started = new Promise((resolve, reject) => {
        transport.get("/", "application/json", {
          onStart: (status, _type, retryAfterMs) => resolve([status, retryAfterMs]),
          onData() {},
          onEnd() {},
          onError: reject,
        });
      });
      expect(await started).toEqual([429, ms]);
      transport.close();
      server.close();
    },
  );

  test("is not redirected, and the error names the target without secrets", async () => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(String(request.url));
      response.writeHead(307, { location: "https://me:geheim@other.test/login?token=geheim" });
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const base = `http://127.0.0.1:${port}`;
    const result = await once({ ...access({}), server: base });
    expect(result).toMatchObject({
      code: "API_STATUS",
      message: `request to ${base}: 307: the server redirects to https://other.test/login (Sluice does not follow; set the address of the API server itself)`,
    });
    expect(seen).toEqual(["/api/v1/services"]);
    server.close();
  });

  test("may have a body, and the connection it used is closed with the transport", async () => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        const { "content-type": type, "user-agent": agent } = request.headers;
        seen.push(`${request.method} ${request.url} ${type} ${agent} ${body}`);
        response.end("{}");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const to = { server: `http://127.0.0.1:${port}/prefix`, userAgent: "kube-proxy/v1" };
    const transport = openTransport({ ...access({}), ...to });
    const contentType = "application/json";
    for (const method of ["POST", "PATCH"] as const) {
      await new Promise<void>((resolve, reject) => {
        const request = { method, path: "/events", contentType, body: "{é}" };
        const ignored = { onStart() {}, onData() {} };
        transport.send(request, { ...ignored, onEnd: resolve, onError: reject });
      });
    }
    expect(seen).toEqual([
      "POST /prefix/events application/json kube-proxy/v1 {é}",
      "PATCH /prefix/events application/json kube-proxy/v1 {é}",
    ]);
    const closed = new Promise((resolve) => server.close(resolve));
    transport.close();
    // Resolves when no connection is left.
    await closed;
  });
});
