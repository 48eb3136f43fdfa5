import { describe, expect, test } from "bun:test";
import { type ManifestFile, parseManifest } from "../../src/manifests/parse-manifest.ts";

const SERVICE = `apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  clusterIP: 10.96.0.10
  ports: [{ port: 80 }]
`;
const SLICE = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.0.0.1] }]
`;

async function parse(text: string, path = "/m/web.yaml"): Promise<ManifestFile> {
  const file = await parseManifest(path, text);
  if ("message" in file) throw new Error(file.message);
  return file;
}

const whole = async (text: string, path?: string) => {
  const { objects, problems } = await parse(text, path);
  return [
    ...objects.map((each) => `${each.key} ${each.where}`),
    ...problems.map((each) => each.message),
  ];
};

describe("a manifest", () => {
  test("has any number of documents, each with its line", async () => {
    expect(await whole(`# two\n${SERVICE}---\n${SLICE}---\n`)).toEqual([
      "Service default/web /m/web.yaml:2",
      "EndpointSlice shop/web-1 /m/web.yaml:9",
    ]);
  });

  test("may be a List, each item with its line", async () => {
    const text = `apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: { name: a }
    spec: { clusterIP: 10.96.0.1 }
  - apiVersion: v1
    kind: Service
    metadata: { name: b, namespace: x }
    spec: { clusterIP: 10.96.0.2 }
`;
    expect(await whole(text)).toEqual([
      "Service default/a /m/web.yaml:4",
      "Service x/b /m/web.yaml:8",
    ]);
  });

  test("may be JSON, an object or a List", async () => {
    const node = { apiVersion: "v1", kind: "Node", metadata: { name: "here" } };
    expect(await whole(JSON.stringify(node), "/m/a.json")).toEqual(["Node here /m/a.json:1"]);
    const list = { apiVersion: "v1", kind: "NodeList", items: [node] };
    expect(await whole(JSON.stringify(list), "/m/a.json")).toEqual(["Node here /m/a.json:1"]);
  });

  test("may be empty", async () => {
    expect(await whole("# nothing yet\n")).toEqual([]);
    expect(await whole("")).toEqual([]);
  });

  test.each([
    ["YAML", "/m/web.yaml", `${SERVICE}  - x\n`, "/m/web.yaml:7"],
    ["YAML that is cut off", "/m/web.yaml", SERVICE.slice(0, -4), "/m/web.yaml:6"],
    ["JSON that is cut off", "/m/web.json", '{\n"kind": "Service",\n"meta', "/m/web.json:3"],
  ])(
    "that is broken %s is rejected completely, with its line",
    async (_what, path, text, where) => {
      const problem = await parseManifest(path, text);
      expect(problem).toMatchObject({ subject: where, code: "MANIFEST_INVALID" });
    },
  );

  test.each([
    ["another kind", "kind: Service", "kind: Pod", 'kind: invalid value "Pod": must be one of'],
    ["no kind", "kind: Service", "", "kind: required value: must be one of"],
    [
      "another version",
      "apiVersion: v1",
      "apiVersion: v2",
      'apiVersion: invalid value "v2": must be v1',
    ],
    ["no name", "name: web", "", "metadata.name: required value: must be a name"],
    [
      "no address",
      "clusterIP: 10.96.0.10",
      "",
      "spec.clusterIP: required value: must be an IP address",
    ],
    ["no object", SERVICE, "[1]\n", "invalid value [1]: must be an object"],
  ])("with %s loses only that object", async (_what, from, to, message) => {
    const { objects, problems } = await parse(`${SERVICE.replace(from, to)}---\n${SLICE}`);
    expect(objects.map((each) => each.kind)).toEqual(["EndpointSlice"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.subject).toStartWith("/m/web.yaml:");
    expect(problems[0]?.message).toContain(message);
  });

  test.each([
    [
      "a Service of another proxy",
      SERVICE,
      "web",
      "web, labels: { service.kubernetes.io/service-proxy-name: x }",
    ],
    ["a headless Service", SERVICE, "10.96.0.10", "None"],
    ["a headless slice", SLICE, "labels: {", "labels: { service.kubernetes.io/headless: '',"],
  ])("leaves out %s, as the API server's selectors do", async (_what, text, from, to) => {
    expect(await whole(text.replace(from, to))).toEqual([]);
  });
});

describe("defaults", () => {
  const first = async (text: string) => (await parse(text)).objects[0]?.object;
  const spec = (more: string) => SERVICE.replace("  ports", `${more}\n  ports`);

  test("of a Service are the same as the API server's", async () => {
    expect(await first(SERVICE)).toEqual({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: {
        type: "ClusterIP",
        clusterIP: "10.96.0.10",
        clusterIPs: ["10.96.0.10"],
        ipFamilies: ["IPv4"],
        sessionAffinity: "None",
        internalTrafficPolicy: "Cluster",
        ports: [{ port: 80, protocol: "TCP" }],
      },
    });
  });

  test.each([
    ["  type: NodePort", { externalTrafficPolicy: "Cluster" }],
    ["  externalIPs: [192.0.2.1]", { externalTrafficPolicy: "Cluster" }],
    ["  type: LoadBalancer\n  externalTrafficPolicy: Local", { externalTrafficPolicy: "Local" }],
    [
      "  sessionAffinity: ClientIP",
      { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } },
    ],
    [
      "  sessionAffinity: ClientIP\n  sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } }",
      { sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } },
    ],
    ["  clusterIPs: [10.96.0.10, 'fd00::1']", { ipFamilies: ["IPv4", "IPv6"] }],
  ])("with %p", async (more, expected) => {
    expect(await first(spec(more))).toMatchObject({ spec: expected });
  });

  test("fill in clusterIP from clusterIPs", async () => {
    const text = SERVICE.replace("clusterIP: 10.96.0.10", "clusterIPs: ['fd00::1']");
    expect(await first(text)).toMatchObject({
      spec: { clusterIP: "fd00::1", ipFamilies: ["IPv6"] },
    });
  });

  test("of a load balancer's addresses", async () => {
    const text = `${SERVICE}status: { loadBalancer: { ingress: [{ ip: 1.2.3.4 }, { hostname: x }, { ip: 1.2.3.5, ipMode: Proxy }] } }\n`;
    expect(await first(text)).toMatchObject({
      status: {
        loadBalancer: {
          ingress: [
            { ip: "1.2.3.4", ipMode: "VIP" },
            { hostname: "x" },
            { ip: "1.2.3.5", ipMode: "Proxy" },
          ],
        },
      },
    });
  });

  test("of a slice's ports", async () => {
    expect(await first(SLICE)).toMatchObject({
      ports: [{ port: 8080, protocol: "TCP", name: "" }],
    });
  });

  test("keep values of an unexpected shape", async () => {
    const text = SERVICE.replace("[{ port: 80 }]", "80");
    expect(await first(text)).toMatchObject({ spec: { ports: 80 } });
  });
});
