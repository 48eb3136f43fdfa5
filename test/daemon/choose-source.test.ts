/** The settings that reach the source. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileCore } from "../../build/compile-core.ts";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { writeKubeconfig } from "../../harness/cluster/kubeconfig.ts";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { until } from "../../harness/waiting.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createCore } from "../../src/core/create.ts";
import { type ChosenSource, chooseSource } from "../../src/daemon/choose-source.ts";
import type { Source } from "../../src/source/source.ts";

let folder: string;
let authority: Certificate;
let certificate: Certificate;
let module: WebAssembly.Module;
let api: FakeApi;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-source-"));
  authority = await makeAuthority(folder, "ca");
  certificate = await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]);
  module = new WebAssembly.Module(readFileSync(await compileCore("debug")));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(async () => {
  api = await startFakeApi({ certificate });
});

afterEach(() => api.stop());

async function prepare(...flags: string[]): Promise<ChosenSource> {
  const { config } = await resolveArgs(flags);
  return chooseSource({
    config,
    core: createCore(module, { seed: 1, nodeName: "here" }),
    clock: systemClock,
    nodeName: "here",
    random: Math.random,
    environment: {},
    meter: { answered() {}, completed() {} },
    userAgent: "sluice",
  });
}

function open({ createSource }: ChosenSource): Source {
  return createSource({
    onChange() {},
    onNode() {},
    onServiceCidrs() {},
    onProblems() {},
    onFatal: unexpectedError,
    onSynced() {},
  });
}

function kubeconfig(): string {
  const server = `https://127.0.0.1:${api.port}`;
  return writeKubeconfig(join(folder, "kubeconfig"), server, authority, { token: "one" });
}

describe("an API server", () => {
  test.each([
    ["asked for a list", [], null],
    [
      "asked for a stream where WatchListClient is on",
      ["--feature-gates=WatchListClient=true"],
      "true",
    ],
  ] as const)("is %s", async (_what, flags, sendInitialEvents) => {
    const source = open(await prepare("--kubeconfig", kubeconfig(), ...flags));
    source.start();
    await until("four resources are asked for", () => api.seen.length >= 4);
    source.stop();
    const first = ["services", "endpointslices", "nodes", "servicecidrs"].map((name) =>
      api.seen.find(({ path }) => path.endsWith(`/${name}`))?.parameters.get("sendInitialEvents"),
    );
    expect(first).toEqual(Array(4).fill(sendInitialEvents));
  });

  test("can be written to", async () => {
    const { access } = await prepare("--kubeconfig", kubeconfig());
    expect(access?.server).toBe(`https://127.0.0.1:${api.port}`);
  });
});

test("a directory of manifests has no API server", async () => {
  expect((await prepare("--manifests", folder)).access).toBeUndefined();
});
