import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { V1Service, V1ServiceList } from "@kubernetes/client-node";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../../harness/cluster/control-plane.ts";
import { runAsync } from "../../../harness/commands.ts";

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: control plane: ${reason}`);

describe.skipIf(reason !== undefined)("the test control plane", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
  }, 180_000);
  afterAll(() => plane?.stop());

  test("answers kubectl with the version it was built from", async () => {
    const { serverVersion } = JSON.parse(await plane.kubectl("version", "-o", "json")) as {
      serverVersion: { gitVersion: string };
    };
    const module = readFileSync(`${import.meta.dir}/../../../harness/cluster/go.mod`, "utf8");
    expect(module).toContain(`k8s.io/kubernetes ${serverVersion.gitVersion}`);
    expect(await plane.kubectl("get", "services", "-o", "name")).toBe("service/kubernetes\n");
  });

  test("serves each kubeconfig as its own user", async () => {
    for (const [file, user] of [
      [plane.kubeconfigs.admin, "admin"],
      [plane.kubeconfigs.certificate, "certificate-admin"],
      [plane.kubeconfigs.proxy, "system:kube-proxy"],
    ] as const) {
      const answer = await runAsync([
        ...[`${plane.programs}/kubectl`, `--kubeconfig=${file}`],
        ...["auth", "whoami", "-o", "json"],
      ]);
      expect(JSON.parse(answer)).toMatchObject({ status: { userInfo: { username: user } } });
    }
  });

  test("lets the proxy's user watch Services and EndpointSlices, and not write them", async () => {
    const can = (verb: string, resource: string) =>
      runAsync([
        ...[`${plane.programs}/kubectl`, `--kubeconfig=${plane.kubeconfigs.proxy}`],
        ...["auth", "can-i", verb, resource],
      ]).then(
        (answer) => answer.trim(),
        () => "no",
      );
    expect(await can("watch", "services")).toBe("yes");
    expect(await can("list", "endpointslices.discovery.k8s.io")).toBe("yes");
    expect(await can("update", "services")).toBe("no");
  });

  test("keeps its objects over a restart, on the same address", async () => {
    const created = await plane.api.request<V1Service>(
      "POST",
      "/api/v1/namespaces/default/services",
      {
        metadata: { name: "stays" },
        spec: { ports: [{ port: 80 }] },
      },
    );
    await plane.stopApiserver();
    expect(await plane.api.status("/readyz")).toBe(0);
    await plane.startApiserver();
    const kept = await plane.api.request<V1Service>(
      "GET",
      "/api/v1/namespaces/default/services/stays",
    );
    expect(kept.metadata?.uid).toBe(created.metadata?.uid as string);
  }, 180_000);

  test("loses its objects with its store, and starts resource versions over", async () => {
    const list = () => plane.api.request<V1ServiceList>("GET", "/api/v1/services");
    for (let index = 0; index < 200; index++) {
      await plane.api.request("PUT", "/api/v1/namespaces/default/services/stays", {
        metadata: { name: "stays", labels: { round: `${index}` } },
        spec: { ports: [{ port: 80 }] },
      });
    }
    const before = Number((await list()).metadata?.resourceVersion);
    await plane.resetStore();
    const after = await list();
    expect(after.items.map((item) => item.metadata?.name)).not.toContain("stays");
    expect(Number(after.metadata?.resourceVersion)).toBeLessThan(before);
  }, 180_000);
});
