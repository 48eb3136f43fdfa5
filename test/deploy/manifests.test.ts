import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { V1ControllerRevision, V1DaemonSet } from "@kubernetes/client-node";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { runAsync } from "../../harness/commands.ts";
import { inNamespace } from "../../harness/daemon.ts";
import { ROOT, textOf } from "../../harness/repository.ts";

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: the manifests: ${reason}`);

const folder = (name: string) => join(ROOT, "deploy/kubernetes", name);
const SERVER_SIDE = ["--server-side", "--force-conflicts"];

describe.skipIf(reason !== undefined)("deploy/kubernetes", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
  }, 180_000);
  afterAll(() => plane?.stop());

  const daemonSet = async (name: string) =>
    JSON.parse(
      await plane.kubectl("-n", "kube-system", "get", "daemonset", name, "-o", "json"),
    ) as V1DaemonSet;

  /** Creates the pod of a DaemonSet with a server-side dry run. */
  const dryRunPod = async (name: string) => {
    const { spec } = await daemonSet(name);
    await plane.api.request("POST", "/api/v1/namespaces/kube-system/pods?dryRun=All", {
      metadata: { name: "checked", labels: spec?.template.metadata?.labels },
      spec: spec?.template.spec,
    });
  };

  const can = async (account: string, verb: string, resource: string) => {
    const user = `system:serviceaccount:kube-system:${account}`;
    const question = ["auth", "can-i", `--as=${user}`, "--all-namespaces", verb, resource];
    return (await plane.kubectl(...question).catch((error) => String(error))).trim();
  };

  describe("base", () => {
    test("is accepted by the API server without changes", async () => {
      await plane.kubectl("apply", ...SERVER_SIDE, "--dry-run=server", "-k", folder("base"));
      await plane.kubectl("apply", ...SERVER_SIDE, "-k", folder("base"));
      await plane.kubectl("diff", "--server-side", "-k", folder("base"));
      await dryRunPod("sluice");
    }, 60_000);

    test.each([
      ...[
        "services",
        "endpointslices.discovery.k8s.io",
        "servicecidrs.networking.k8s.io",
        "nodes",
      ].flatMap((resource) => [["list", resource] as const, ["watch", resource] as const]),
      ["get", "nodes"] as const,
      ...["create", "patch", "update"].map((verb) => [verb, "events"] as const),
      ["create", "events.events.k8s.io"] as const,
    ])("allows its ServiceAccount to %s %s", async (verb, resource) => {
      expect(await can("sluice", verb, resource)).toBe("yes");
    });

    test.each([
      ["list", "secrets"],
      ["list", "pods"],
      ["update", "nodes"],
      ["update", "services"],
      ["delete", "events"],
    ])("does not allow it to %s %s", async (verb, resource) => {
      expect(await can("sluice", verb, resource)).not.toBe("yes");
    });

    test("has two capabilities, and can write only to the lock file", async () => {
      const pod = (await daemonSet("sluice")).spec?.template.spec;
      const [container] = pod?.containers ?? [];
      expect(container?.securityContext).toMatchObject({
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
      });
      const writable = container?.volumeMounts?.filter(({ readOnly }) => readOnly !== true);
      expect(writable?.map(({ mountPath }) => mountPath)).toEqual(["/run/xtables.lock"]);
    });

    test("the cleanup sees the processes of the node, also a privileged kube-proxy", async () => {
      const text = await plane.kubectl(
        ...["create", "--dry-run=client", "-o", "json", "-k", folder("cleanup")],
      );
      const { spec } = (JSON.parse(text) as V1DaemonSet).spec?.template ?? {};
      expect(spec).toMatchObject({ hostPID: true, hostNetwork: true });
      expect(spec?.initContainers?.map(({ securityContext }) => securityContext)).toEqual([
        { privileged: true, readOnlyRootFilesystem: true },
      ]);
    });

    test("every container that runs iptables has the node's lock", async () => {
      const text = await plane.kubectl(
        ...["create", "--dry-run=client", "-o", "json", "-k", folder("cleanup")],
      );
      const cleanup = JSON.parse(text) as V1DaemonSet;
      for (const daemon of [await daemonSet("sluice"), cleanup]) {
        const { initContainers = [], containers = [], volumes } = daemon.spec?.template.spec ?? {};
        expect(volumes?.flatMap(({ hostPath }) => hostPath ?? [])).toEqual([
          { path: "/run/xtables.lock", type: "FileOrCreate" },
        ]);
        const runs = [...initContainers, ...containers].filter(({ name }) => name !== "done");
        expect(runs.map(({ name, volumeMounts = [] }) => [name, volumeMounts.at(-1)])).toEqual(
          runs.map(({ name }) => [name, { name: "xtables-lock", mountPath: "/run/xtables.lock" }]),
        );
      }
    });

    test("is deleted with one command", async () => {
      await plane.kubectl("delete", "--wait=false", "-k", folder("base"));
      const left = await plane.kubectl("-n", "kube-system", "get", "daemonsets", "-o", "name");
      expect(left).toBe("");
    });
  });

  describe("kubeadm", () => {
    let before: V1DaemonSet;
    beforeAll(async () => {
      await plane.kubectl("create", "-f", join(ROOT, "test/deploy/kubeadm.yaml"));
      before = await daemonSet("kube-proxy");
      await writeRevision(before, 1);
    });

    test("changes the image, probes and the port name, and keeps everything else", async () => {
      await patch();
      const now = await daemonSet("kube-proxy");
      const [theirs] = before.spec?.template.spec?.containers ?? [];
      const [ours] = now.spec?.template.spec?.containers ?? [];
      const { image, ports, startupProbe, livenessProbe, readinessProbe, ...rest } = ours ?? {};
      expect(ports?.map(({ name, containerPort }) => [name, containerPort])).toEqual([
        ["metrics", 10249],
      ]);
      expect(image).toMatch(/^localhost\/sluice:/);
      expect(startupProbe?.httpGet?.path).toBe("/livez");
      expect(livenessProbe?.httpGet?.path).toBe("/livez");
      expect(readinessProbe?.httpGet?.path).toBe("/healthz");
      const { image: theirImage, ...theirRest } = theirs ?? {};
      expect(rest as unknown).toEqual(theirRest);
      expect({ ...now.spec?.template.spec, containers: [] } as unknown).toEqual({
        ...before.spec?.template.spec,
        containers: [],
      });
      await dryRunPod("kube-proxy");
    }, 60_000);

    test("is undone by the documented commands", async () => {
      await writeRevision(await daemonSet("kube-proxy"), 2);
      await plane.kubectl("-n", "kube-system", "rollout", "undo", "daemonset/kube-proxy");
      const after = await daemonSet("kube-proxy");
      expect(after.spec as unknown).toEqual(before.spec);
      expect(after.metadata?.labels).toEqual(before.metadata?.labels as Record<string, string>);

      await plane.kubectl("apply", "--dry-run=server", "-k", folder("cleanup"));
      await plane.kubectl("apply", "-k", folder("cleanup"));
      await dryRunPod("sluice-cleanup");
      await plane.kubectl("delete", "--wait=false", "-k", folder("cleanup"));
    }, 60_000);

    test("changes nothing the second time, also if kubectl apply created the DaemonSet", async () => {
      await plane.kubectl("apply", "-f", join(ROOT, "test/deploy/kubeadm.yaml"));
      await patch();
      const once = await daemonSet("kube-proxy");
      expect(once.spec?.template.spec?.volumes).toHaveLength(3);
      await patch();
      expect((await daemonSet("kube-proxy")).metadata?.generation).toBe(
        once.metadata?.generation as number,
      );
    });

    test("changes one node first, tries another ConfigMap, and continues, by the documented commands", async () => {
      const output =
        textOf("docs/migrating.md").match(/(?<=^ {4})kubectl -n kube-system .+$/gm) ?? [];
      const kubectl = [
        ...[...inNamespace(plane.netns.name), join(plane.programs, "kubectl")],
        `--kubeconfig=${plane.kubeconfigs.admin}`,
      ].join(" ");
      /** Returns the first documented command that contains the text. */
      const documented = async (words: string) => {
        const command = output.find((each) => each.includes(words)) ?? `false # ${words}`;
        const script = `kubectl() { ${kubectl} "$@"; }\ncd ${plane.workdir}\n${command}`;
        return await runAsync(["bash", "-e", "-o", "pipefail", "-c", script]);
      };
      const strategy = async () => (await daemonSet("kube-proxy")).spec?.updateStrategy;
      const mounted = async () =>
        (await daemonSet("kube-proxy")).spec?.template.spec?.volumes?.flatMap(
          ({ configMap }) => configMap?.name ?? [],
        );
      await documented('"OnDelete"');
      expect(await strategy()).toEqual({ type: "OnDelete" });
      await documented("> trial.yaml");
      await plane.kubectl("apply", "-f", join(plane.workdir, "trial.yaml"));
      await documented('"name":"kube-proxy-trial"');
      expect(await mounted()).toEqual(["kube-proxy-trial"]);
      await documented('"configMap":{"name":"kube-proxy"}');
      expect(await mounted()).toEqual(["kube-proxy"]);
      await documented('"RollingUpdate"');
      expect((await strategy())?.rollingUpdate?.maxUnavailable).toBe(1);
      await documented("delete pod -l");
    }, 60_000);

    test("creates no DaemonSet if there is none", async () => {
      await plane.kubectl("-n", "kube-system", "delete", "daemonset", "kube-proxy");
      await expect(patch()).rejects.toThrow(`"kube-proxy" not found`);
    });

    /** Runs the documented command. */
    async function patch(): Promise<void> {
      const text = await plane.kubectl("kustomize", folder("kubeadm"));
      const what = ["-n", "kube-system", "patch", "daemonset", "kube-proxy"];
      await plane.kubectl(...what, "--patch", text);
    }

    /**
     * Writes what the DaemonSet controller keeps of each template, because no controller runs here
     * (pkg/controller/daemon/update.go).
     */
    async function writeRevision(set: V1DaemonSet, revision: number): Promise<void> {
      const template = { ...set.spec?.template, $patch: "replace" };
      await plane.api.request<V1ControllerRevision>(
        "POST",
        "/apis/apps/v1/namespaces/kube-system/controllerrevisions",
        {
          metadata: {
            name: `kube-proxy-${revision}`,
            labels: set.spec?.selector.matchLabels,
            ownerReferences: [
              {
                apiVersion: "apps/v1",
                kind: "DaemonSet",
                name: "kube-proxy",
                uid: set.metadata?.uid,
                controller: true,
              },
            ],
          },
          revision,
          data: { spec: { template } },
        },
      );
    }
  });
});
