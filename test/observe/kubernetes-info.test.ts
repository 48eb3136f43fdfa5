import { expect, test } from "bun:test";
import { kubernetesInfo } from "../../src/observe/kubernetes-info.ts";
import { resolve } from "../config/config.ts";

async function samples(flags: readonly string[], version = "1.2.3+5.gabc") {
  const { config } = await resolve(["--cluster-cidr=10.0.0.0/8", ...flags]);
  const [build, features] = kubernetesInfo(version, config).map((each) => each.samples());
  return { build: build?.[0]?.labels, features };
}

test("the build is ours, by upstream's labels", async () => {
  const { build } = await samples([]);
  expect(build).toMatchObject({ major: "1", minor: "2", git_version: "1.2.3+5.gabc" });
  expect(build?.["go_version"]).toBe(`bun${Bun.version}`);
  expect(build?.["platform"]).toMatch(/^linux\/(amd64|arm64)$/);
  expect((await samples([], "from source")).build).toMatchObject({ major: "", minor: "" });
});

test("a feature gate is shown as the configuration has it", async () => {
  const gate = { name: "AllowServiceExternalIPs", stage: "" };
  expect((await samples([])).features).toContainEqual({ labels: gate, value: 1 });
  const { features } = await samples(["--feature-gates=AllowServiceExternalIPs=false"]);
  expect(features).toContainEqual({ labels: gate, value: 0 });
});
