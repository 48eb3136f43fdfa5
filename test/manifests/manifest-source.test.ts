/** Tests the directory of manifests as a source, on a real file system. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { encode, FakeCore } from "../../harness/fakes/fake-core.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { until } from "../../harness/waiting.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { DIRECTORY_RESCAN_MS, FILE_SETTLE_MS } from "../../src/base/limits.ts";
import { ManifestSource } from "../../src/manifests/manifest-source.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import { metadataOf } from "../../src/source/object-fields.ts";
import type { Source } from "../../src/source/source.ts";

let folder: string;
let directory: string;
let core: FakeCore;
let clock: FakeClock;
let source: Source;
let reported: RecordedProblems;
let fatal: unknown[];
let nodes: (string | undefined)[];
let cidrs: string[][];
let changes: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-manifests-"));
  directory = join(folder, "manifests");
  mkdirSync(directory);
  core = new FakeCore();
  clock = new FakeClock();
  reported = new RecordedProblems();
  fatal = [];
  nodes = [];
  cidrs = [];
  changes = 0;
  source = new ManifestSource({
    directory,
    core,
    encode,
    nodeName: "here",
    clock,
    events: {
      onChange: () => {
        changes += 1;
      },
      onNode: (node) => nodes.push(node && metadataOf(node).name),
      onServiceCidrs: (all) => cidrs.push(all.map((each) => metadataOf(each).name)),
      onProblems: (events) => reported.report(events),
      onFatal: (error) => fatal.push(error),
      onSynced() {},
    },
  });
});

afterEach(() => {
  source.stop();
  rmSync(folder, { recursive: true, force: true });
});

function service(name: string, more: JsonObject = {}): string {
  const spec = { clusterIP: "10.96.0.1", ports: [{ port: 80 }], ...more };
  return JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name }, spec });
}

/** Another document in the same file. */
const more = (name: string) => `\n---\n${service(name)}`;

function object(kind: string, apiVersion: string, name: string): string {
  return JSON.stringify({ kind, apiVersion, metadata: { name } });
}

/** Replaces a file by rename, as the documentation advises. */
function put(name: string, ...documents: string[]): void {
  const draft = join(directory, `.${name}`);
  writeFileSync(draft, documents.join("\n---\n"));
  renameSync(draft, join(directory, name));
}

async function started(): Promise<void> {
  source.start();
  await until("the source is synced", () => source.synced);
}

const has = (...names: string[]) =>
  until(`the core has ${names}`, () => core.names().join() === names.join(), { clock });

test("an aborted core is fatal, and not a problem of the manifest", async () => {
  put("a.yaml", service("web"));
  core.broken = new SluiceError("CORE_ABORT", "core aborted at ingest.ts:1:1");
  source.start();
  await until("it is fatal", () => fatal.length > 0);
  expect(fatal).toEqual([core.broken]);
  expect(reported.events).toEqual([]);
});

test("all files are read before the source is synced", async () => {
  put("a.yaml", service("web"), service("db"));
  put("b.yaml", object("Node", "v1", "here"), object("Node", "v1", "there"));
  put("c.json", object("ServiceCIDR", "networking.k8s.io/v1", "kubernetes"));
  put("ignored.txt", "no manifest");
  await started();
  expect(core.names()).toEqual(["db", "web"]);
  expect(nodes).toEqual(["here"]);
  expect(cidrs).toEqual([["kubernetes"]]);
  expect(reported.events).toEqual([]);
  expect(changes).toBe(1);
});

describe("a file that", () => {
  test("appears, changes and disappears is followed", async () => {
    await started();
    put("a.yaml", service("web"));
    await has("web");
    put("a.yaml", service("web", { type: "NodePort" }), service("db"));
    await has("db", "web");
    unlinkSync(join(directory, "a.yaml"));
    await has();
    expect(core.log).toEqual([
      "ADDED Service default/web@1",
      "MODIFIED Service default/web@2",
      "ADDED Service default/db@3",
      "DELETED Service default/web@4",
      "DELETED Service default/db@5",
    ]);
  });

  test("is written in place is followed", async () => {
    put("a.yaml", service("web"));
    await started();
    writeFileSync(join(directory, "a.yaml"), service("web", { type: "NodePort" }) + more("db"));
    await has("db", "web");
    expect(core.log.at(1)).toBe("MODIFIED Service default/web@2");
  });

  test("is emptied in place loses its objects only when it stays empty", async () => {
    put("a.yaml", service("web"));
    await started();
    const file = join(directory, "a.yaml");
    writeFileSync(file, "");
    await until("the event was seen", () => clock.waiting > 1);
    await clock.advance(FILE_SETTLE_MS - 1);
    expect(core.names()).toEqual(["web"]);
    writeFileSync(file, service("web") + more("db"));
    await has("db", "web");
    writeFileSync(file, service("db"));
    await has("db");
    expect(core.log).not.toContain("DELETED Service default/db@3");
  });

  test("is written again with the same objects changes nothing", async () => {
    put("a.yaml", service("web"));
    await started();
    put("a.yaml", `# a comment\n${service("web")}`);
    put("b.yaml", service("db"));
    await has("db", "web");
    expect(core.log).toHaveLength(2);
  });

  test("is half written keeps its last good version, and the problem has its line", async () => {
    put("a.yaml", service("web"), service("db"));
    await started();
    const where = join(directory, "a.yaml");
    writeFileSync(where, "apiVersion: v1\nkind: Service\nmetadata: {");
    await until("the problem is reported", () => reported.begun.length === 1, { clock });
    expect(reported.begun[0]?.subject).toBe(`${where}:3`);
    expect(reported.begun[0]?.code).toBe("MANIFEST_INVALID");
    expect(source.status().lastError).toContain(`${where}:3`);
    expect(core.names()).toEqual(["db", "web"]);
    writeFileSync(where, service("web") + more("db") + more("new"));
    await has("db", "new", "web");
    expect(reported.ended.at(-1)).toMatchObject({ subject: `${where}:3` });
    expect(source.status().lastError).toBe("");
  });

  test("was never valid is left out, and the others are read", async () => {
    put("a.yaml", "{");
    put("b.yaml", service("web"));
    await started();
    expect(core.names()).toEqual(["web"]);
    expect(reported.begun).toHaveLength(1);
  });

  test("replaces one fault by another shows only the new one", async () => {
    put("a.yaml", "{");
    await started();
    put("a.yaml", service("web").replace('"kind":"Service"', '"kind":"Serving"'));
    await until("the old problem is over", () => reported.ended.length === 1, { clock });
    const problems = new ProblemRegistry(() => {});
    problems.report(reported.events);
    const subject = `${join(directory, "a.yaml")}:1`;
    expect(problems.list()).toMatchObject([{ subject, field: "kind" }]);
  });

  test("has an object that the core rejects keeps the object's last good version", async () => {
    put("a.yaml", service("web"), service("db"));
    await started();
    put("a.yaml", service("web").replace('"spec"', '"refuse":true,"spec"'), service("other"));
    await has("other", "web");
    expect(reported.begun).toHaveLength(1);
    expect(reported.begun[0]?.subject).toBe(`${join(directory, "a.yaml")}:1`);
    put("a.yaml", service("web", { type: "NodePort" }));
    await has("web");
    expect(reported.ended).toHaveLength(1);
  });

  test("repeats an object of an earlier file is a problem, and counts when that file is deleted", async () => {
    put("b.yaml", service("web", { type: "NodePort" }));
    put("a.yaml", service("web"));
    await started();
    const a = `${join(directory, "a.yaml")}:1`;
    expect(reported.begun).toHaveLength(1);
    expect(reported.begun[0]?.subject).toBe(`${join(directory, "b.yaml")}:1`);
    expect(reported.begun[0]?.message).toEndWith(
      `: metadata.name: Service default/web is already defined in ${a}`,
    );
    expect(core.objects.get("Service default/web")).toMatchObject({ spec: { type: "ClusterIP" } });
    unlinkSync(join(directory, "a.yaml"));
    await until("the problem is over", () => reported.ended.length === 1, { clock });
    expect(core.objects.get("Service default/web")).toMatchObject({ spec: { type: "NodePort" } });
    expect(core.log.at(-1)).toBe("MODIFIED Service default/web@2");
  });
});

test("an object that contains itself is a problem with file and line, and the others are served", async () => {
  put(
    "a.yaml",
    service("web"),
    "{apiVersion: v1, kind: Service, metadata: {name: odd, annotations: &a {b: *a}}, spec: {clusterIP: 10.96.0.9}}",
    service("db"),
  );
  await started();
  expect(core.names()).toEqual(["db", "web"]);
  expect(reported.begun).toHaveLength(1);
  expect(reported.begun[0]?.subject).toBe(`${join(directory, "a.yaml")}:3`);
  expect(reported.begun[0]?.message).toContain(":3: invalid YAML: a value contains itself");
});

test("a Service without creationTimestamp that appears later is younger than the first ones", async () => {
  put("b.yaml", service("web"));
  await started();
  await clock.advance(5000);
  put("a.yaml", service("dup"));
  await has("dup", "web");
  const createdOf = (name: string) => {
    const { metadata } = core.objects.get(`Service default/${name}`) as { metadata: JsonObject };
    return metadata["creationTimestamp"];
  };
  expect(createdOf("web")).toBeUndefined();
  const seen = new Date(clock.now()).toISOString();
  expect(Date.parse(String(createdOf("dup")))).toBeLessThanOrEqual(Date.parse(seen));
  const first = createdOf("dup");
  await clock.advance(5000);
  put("a.yaml", service("dup", { type: "NodePort" }));
  await until("it has changed", () => core.log.length === 3, { clock });
  expect(createdOf("dup")).toBe(first);
});

test("a Node that disappears is passed on", async () => {
  put("a.yaml", object("Node", "v1", "here"));
  await started();
  unlinkSync(join(directory, "a.yaml"));
  await until("the node is gone", () => nodes.length === 2, { clock });
  expect(nodes).toEqual(["here", undefined]);
});

describe("a directory that", () => {
  test("is switched by a link inside it, as for a ConfigMap, is read again", async () => {
    for (const [version, name] of [
      ["v1", "web"],
      ["v2", "db"],
    ] as const) {
      mkdirSync(join(directory, `..${version}`));
      writeFileSync(join(directory, `..${version}`, "a.yaml"), service(name));
    }
    symlinkSync("..v1", join(directory, "..data"));
    symlinkSync("..data/a.yaml", join(directory, "a.yaml"));
    await started();
    expect(core.names()).toEqual(["web"]);
    symlinkSync("..v2", join(directory, "..next"));
    renameSync(join(directory, "..next"), join(directory, "..data"));
    await has("db");
  });

  test("is replaced is read again, and watched from then on", async () => {
    put("a.yaml", service("web"));
    await started();
    const next = join(folder, "next");
    mkdirSync(next);
    writeFileSync(join(next, "a.yaml"), service("db"));
    renameSync(directory, join(folder, "old"));
    renameSync(next, directory);
    await has("db");
    put("b.yaml", service("more"));
    await has("db", "more");
  });

  test("does not exist at first is read once it exists", async () => {
    rmSync(directory, { recursive: true });
    source.start();
    await until("the absence is reported", () => reported.begun.length === 1, { clock });
    expect(reported.begun[0]?.subject).toBe(directory);
    expect(source.synced).toBe(false);
    expect(source.status().connected).toBe(false);
    mkdirSync(directory);
    await until("it is synced", () => source.synced);
    put("a.yaml", service("web"));
    await has("web");
    expect(reported.ended).toHaveLength(1);
    expect(source.status().connected).toBe(true);
  });

  test("is deleted changes nothing", async () => {
    put("a.yaml", service("web"));
    await started();
    renameSync(directory, join(folder, "away"));
    await until("the absence is reported", () => !source.status().connected, { clock });
    expect(core.names()).toEqual(["web"]);
  });

  test("changes further up its path, without an event, is read by the rescan", async () => {
    source.stop();
    put("a.yaml", service("web"));
    mkdirSync(join(folder, "other", "manifests"), { recursive: true });
    writeFileSync(join(folder, "other", "manifests", "a.yaml"), service("db"));
    const link = join(folder, "link");
    symlinkSync(folder, link);
    const through = new ManifestSource({
      directory: join(link, "manifests"),
      core,
      encode,
      nodeName: "here",
      clock,
      events: {
        onChange() {},
        onNode() {},
        onServiceCidrs() {},
        onProblems() {},
        onFatal: unexpectedError,
        onSynced() {},
      },
    });
    through.start();
    await has("web");
    unlinkSync(link);
    symlinkSync(join(folder, "other"), link);
    await clock.advance(DIRECTORY_RESCAN_MS);
    await has("db");
    through.stop();
  });
});
