import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { V1EndpointSliceList, V1Service, V1ServiceList } from "@kubernetes/client-node";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../../harness/cluster/control-plane.ts";
import {
  clusterIp,
  createNode,
  createObjects,
  endpointAddress,
  loadObjects,
} from "../../../harness/cluster/many-objects.ts";

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: bulk loading: ${reason}`);

describe.skipIf(reason !== undefined)("objects loaded in bulk", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
    await loadObjects(plane, 500, 5);
  }, 180_000);
  afterAll(() => plane?.stop());

  test("are served like objects created one by one", async () => {
    await createObjects(plane.api, 500, 502, 5);
    const services = await plane.api.request<V1ServiceList>(
      "GET",
      "/api/v1/namespaces/default/services?labelSelector=app",
    );
    const slices = await plane.api.request<V1EndpointSliceList>(
      "GET",
      "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name",
    );
    expect(services.items).toHaveLength(502);
    expect(slices.items.filter(({ metadata }) => metadata?.name?.startsWith("bench"))).toHaveLength(
      502,
    );
    for (const index of [0, 1, 250, 499, 501]) {
      expect(services.items[index]?.spec?.clusterIPs).toEqual([clusterIp(index)]);
      expect(slices.items[index]?.endpoints?.map(({ addresses }) => addresses)).toEqual(
        [0, 1, 2, 3, 4].map((position) => [endpointAddress(index * 5 + position)]),
      );
    }
    // Both ways give the same fields, so a measurement of one is valid for the other.
    const fields = ({ metadata, spec }: V1Service) => [
      Object.keys(metadata ?? {}).sort(),
      Object.keys(spec ?? {}).sort(),
    ];
    const [bulk, single] = [services.items[250], services.items[501]];
    expect(fields(bulk as V1Service)).toEqual(fields(single as V1Service));
  });

  test("hold their clusterIPs: no other Service gets one", async () => {
    const taken = plane.api.request("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "late" },
      spec: { clusterIP: clusterIp(250), ports: [{ port: 80 }] },
    });
    await expect(taken).rejects.toThrow("provided IP is already allocated");
  });

  test("can be changed and deleted through the API", async () => {
    const path = "/api/v1/namespaces/default/services/bench-00100";
    const changed = await plane.api.request<V1Service>("PATCH", path, {
      spec: { externalIPs: ["192.0.2.1"] },
    });
    expect(changed.spec?.externalIPs).toEqual(["192.0.2.1"]);
    await plane.api.request("DELETE", path);
    expect(await plane.api.status(path)).toBe(404);
  });

  test("come with a Node with its address", async () => {
    await createNode(plane.api, "here", plane.netns.address);
    const output = await plane.kubectl("get", "node", "here", "-o", "jsonpath={.status.addresses}");
    expect(JSON.parse(output)).toEqual([{ type: "InternalIP", address: plane.netns.address }]);
  });
});
