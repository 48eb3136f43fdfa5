import { expect, test } from "bun:test";
import { resolveArgs } from "../../harness/resolve-config.ts";
import { buildInfo, userAgent } from "../../src/observe/build-info.ts";

async function samples(flags: readonly string[]) {
  const { config } = await resolveArgs(["--cluster-cidr=10.0.0.0/8", ...flags]);
  const [build, features] = buildInfo("1.2.3+5.gabc", config).map((each) => each.samples());
  return { build: build?.[0]?.labels, features };
}

test("sluice_build_info has the versions and the platform", async () => {
  const { build } = await samples([]);
  expect(build).toMatchObject({ version: "1.2.3+5.gabc", bun: Bun.version });
  expect(build?.["platform"]).toMatch(/^linux\/(amd64|arm64)$/);
});

test("a feature gate has its configured value", async () => {
  const gate = { name: "AllowServiceExternalIPs", stage: "" };
  expect((await samples([])).features).toContainEqual({ labels: gate, value: 1 });
  const { features } = await samples(["--feature-gates=AllowServiceExternalIPs=false"]);
  expect(features).toContainEqual({ labels: gate, value: 0 });
});

test.each(["0.2.0", "from source"])(
  "the User-Agent of version %s begins like kube-proxy's",
  (text) => {
    expect(userAgent(text)).toMatch(
      /^kube-proxy\/v1\.36 \(linux\/\w+\) sluice\/(0\.2\.0|from-source)$/,
    );
  },
);
