/** Creates many Services and EndpointSlices at once, as an API server stores them. */
import type { V1EndpointSlice, V1Service } from "@kubernetes/client-node";
import { type AdminClient, forEachParallel } from "./admin-client.ts";
import type { ControlPlane } from "./control-plane.ts";

export const NAMESPACE = "default";
/** Pods are in 10.128.0.0/9; this node's pods are in its first /24. */
export const POD_CIDR = "10.128.0.0/9";

/** Name of Service number `index`; the first number is 0. */
export function serviceName(index: number): string {
  return `bench-${String(index).padStart(5, "0")}`;
}

/** Its clusterIP; the first is 10.98.0.1. */
export function clusterIp(index: number): string {
  return dotted(0x0a_62_00_01 + index);
}

/** Address of an endpoint; the first is 10.129.0.0. Each endpoint has its own. */
export function endpointAddress(number: number): string {
  return dotted(0x0a_81_00_00 + number);
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

/** The Service number `index` as a request body. */
export function makeService(index: number): V1Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: serviceName(index), labels: { app: serviceName(index) } },
    spec: {
      clusterIP: clusterIp(index),
      selector: { app: serviceName(index) },
      ports: [{ name: "http", port: 80, targetPort: 8080, protocol: "TCP" }],
    },
  };
}

/** The EndpointSlice of Service number `index`, as the controller writes it. */
export function makeSlice(index: number, endpoints: number): V1EndpointSlice {
  const pod = (number: number): string => `${serviceName(index)}-${1_000_000 + number}`;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${serviceName(index)}-slice`,
      generateName: `${serviceName(index)}-`,
      labels: {
        "kubernetes.io/service-name": serviceName(index),
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: Array.from({ length: endpoints }, (_, position) => {
      const number = index * endpoints + position;
      return {
        addresses: [endpointAddress(number)],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: `node-${number % 100}`,
        zone: `zone-${number % 3}`,
        targetRef: { kind: "Pod", namespace: NAMESPACE, name: pod(number) },
      };
    }),
  };
}

const SERVICES = `/api/v1/namespaces/${NAMESPACE}/services`;
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
const CONTROLLER = "?fieldManager=kube-controller-manager";

/** Path of the EndpointSlice of Service number `index`. */
export function slicePath(index: number): string {
  return `${SLICES}/${serviceName(index)}-slice`;
}

/** Creates Services and slices `from` to `to` (exclusive) through the API, about 200 a second. */
export async function createObjects(
  api: AdminClient,
  from: number,
  to: number,
  endpoints: number,
): Promise<void> {
  const numbers = Array.from({ length: to - from }, (_, position) => from + position);
  await forEachParallel(numbers, async (index) => {
    await api.request("POST", SERVICES, makeService(index));
    await api.request("POST", `${SLICES}${CONTROLLER}`, makeSlice(index, endpoints));
  });
}

/**
 * Creates Services and slices 0 to `count` by writing to etcd what the API server would write, some
 * thousands a second. The API server creates number 0, and the others are copies, so that each
 * is as large as in a real cluster.
 *
 * Use it only without watchers. Objects of one etcd transaction share a resource version, so a
 * watch that resumes between them misses the rest. With a watcher, use createObjects.
 */
export async function loadObjects(
  plane: ControlPlane,
  count: number,
  endpoints: number,
): Promise<void> {
  await createObjects(plane.api, 0, 1, endpoints);
  const ipPath = `/apis/networking.k8s.io/v1/ipaddresses/${clusterIp(0)}`;
  const patterns = [
    { key: `services/specs/${NAMESPACE}/`, path: `${SERVICES}/${serviceName(0)}` },
    { key: `endpointslices/${NAMESPACE}/`, path: slicePath(0) },
    // Without this, the API server finds the clusterIP unallocated and repairs that during the
    // test.
    { key: "ipaddresses/", path: ipPath },
  ];
  const texts: { key: string; text: string }[] = [];
  for (const { key, path } of patterns) {
    const object = await plane.api.request<Stored>("GET", path);
    delete object.metadata.resourceVersion;
    texts.push({ key, text: JSON.stringify(object) });
  }
  const first = Array.from({ length: endpoints }, (_, position) => endpointAddress(position));
  const writes: EtcdPut[] = [];
  for (let index = 1; index < count; index++) {
    const addresses = new Map(
      first.map((address, position) => [address, endpointAddress(index * endpoints + position)]),
    );
    for (const { key, text } of texts) {
      const copy = text
        .replaceAll(serviceName(0), serviceName(index))
        .replaceAll(clusterIp(0), clusterIp(index))
        .replaceAll(/"10\.129\.[\d.]+"/g, (quoted) => `"${addresses.get(quoted.slice(1, -1))}"`);
      const object = JSON.parse(copy) as Stored;
      object.metadata.uid = crypto.randomUUID();
      writes.push({
        key: base64(`/registry/${key}${object.metadata.name}`),
        value: base64(JSON.stringify(object)),
      });
    }
  }
  await writeToEtcd(plane.etcdUrl, writes);
  // The API server sees them by its own watch of etcd. A list that must be current waits for that.
  for (const list of [SERVICES, SLICES, "/apis/networking.k8s.io/v1/ipaddresses"]) {
    const { metadata } = await plane.api.request<Stored>("GET", `${list}?limit=1`);
    await plane.api.request(
      "GET",
      `${list}?limit=1&resourceVersion=${metadata.resourceVersion}&resourceVersionMatch=NotOlderThan`,
    );
  }
}

interface Stored {
  readonly metadata: { readonly name: string; uid: string; resourceVersion?: string };
}

/** Number of puts in one transaction. The limit of etcd is 1024 here (control-plane.ts). */
const ETCD_TRANSACTION = 300;

interface EtcdPut {
  readonly key: string;
  readonly value: string;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Puts many keys through etcd's JSON gateway, some hundred in each transaction. */
async function writeToEtcd(url: string, writes: readonly EtcdPut[]): Promise<void> {
  for (let from = 0; from < writes.length; from += ETCD_TRANSACTION) {
    const success = writes.slice(from, from + ETCD_TRANSACTION).map((put) => ({ requestPut: put }));
    const answer = await fetch(`${url}/v3/kv/txn`, {
      method: "POST",
      body: JSON.stringify({ success }),
    });
    if (!answer.ok) throw new Error(`write to etcd: ${answer.status} ${await answer.text()}`);
  }
}

/** Creates the Node that a proxy looks for, with this address. */
export async function createNode(api: AdminClient, name: string, address: string): Promise<void> {
  await api.request("POST", "/api/v1/nodes", {
    metadata: { name, labels: { "topology.kubernetes.io/zone": "zone-0" } },
    spec: { podCIDR: "10.128.0.0/24", podCIDRs: ["10.128.0.0/24"] },
  });
  await api.request("PATCH", `/api/v1/nodes/${name}/status`, {
    status: { addresses: [{ type: "InternalIP", address }] },
  });
}
