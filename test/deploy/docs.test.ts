import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { DEFAULT_NAME } from "../../build/image.ts";
import { ROOT, repositoryFiles, textOf } from "../../harness/repository.ts";
import manifest from "../../package.json" with { type: "json" };

const DOCS = ["docs/install.md", "docs/migrating.md"];
const MANIFESTS = repositoryFiles().filter((path) => /^deploy\/kubernetes\/.*\.yaml$/.test(path));

test.each(DOCS)("every file of ours that %s names exists", (path) => {
  const named = textOf(path).match(/(?<![\w/.-])(?:deploy|docs|scripts|test)\/[\w./-]*\w/g) ?? [];
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
});

test("every named option of the install script and of the image build exists", () => {
  const options = (command: RegExp) => {
    const lines = DOCS.flatMap((path) => textOf(path).split("\n")).filter((l) => command.test(l));
    return new Set(lines.flatMap((line) => line.match(/(?<=\s)--[a-z-]+(?=[\s=]|$)/g) ?? []));
  };
  const script = textOf("deploy/install.sh");
  const named = options(/^ {4}deploy\/install\.sh/);
  expect(named.size).toBeGreaterThan(2);
  expect([...named].filter((option) => !script.includes(`    ${option}`))).toEqual([]);
  const image = textOf("build/image.ts");
  const asked = [...options(/^ {4}npm run image -- /)];
  expect(asked).toEqual(["--target"]);
  expect(asked.filter((option) => !image.includes(`  ${option} `))).toEqual([]);
});

test("manifests and documents name the image that the build makes", () => {
  const [repository = "", tag] = DEFAULT_NAME.split(":");
  expect(tag).toBe(manifest.version);
  expect(textOf("docs/install.md")).toContain(`\`${DEFAULT_NAME}\``);
  for (const path of MANIFESTS.filter((name) => name.endsWith("kustomization.yaml"))) {
    const { images } = parse(textOf(path)) as { images: { name: string; newTag: string }[] };
    expect(images).toEqual([{ name: repository, newTag: manifest.version }]);
  }
  const named = MANIFESTS.flatMap((path) => textOf(path).match(/(?<=^ *image: ).+$/gm) ?? []);
  expect(new Set(named)).toEqual(new Set([repository]));
});

test("the documented command that sets the registry changes every folder, also a second time", () => {
  const command = textOf("docs/install.md").match(/(?<=^ {4})sed -i .*kustomization\.yaml$/m)?.[0];
  const folder = mkdtempSync(join(tmpdir(), "sluice-image-name-"));
  try {
    cpSync(join(ROOT, "deploy"), join(folder, "deploy"), { recursive: true });
    for (const tag of [manifest.version, "9.9.9"]) {
      const script = command?.replace(manifest.version, tag) ?? "false";
      expect(Bun.spawnSync(["sh", "-c", script], { cwd: folder }).exitCode).toBe(0);
      for (const name of ["base", "kubeadm", "cleanup"]) {
        const path = join(folder, "deploy/kubernetes", name, "kustomization.yaml");
        const { images } = parse(readFileSync(path, "utf8")) as { images: unknown };
        const [repository] = DEFAULT_NAME.split(":");
        expect(images).toEqual([{ name: repository, newName: "REGISTRY/sluice", newTag: tag }]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the commands in the manifests' comments are in the documents", () => {
  const text = DOCS.map((path) => textOf(path)).join("\n");
  const commands = MANIFESTS.flatMap(
    (path) => textOf(path).match(/(?<=^# {3})kubectl .+$/gm) ?? [],
  );
  expect(commands.length).toBeGreaterThan(4);
  expect(commands.filter((command) => !text.includes(command))).toEqual([]);
});
