/**
 * Generates random API objects: mostly correct, sometimes wrong in every way that the decoders
 * know.
 */
import fc from "fast-check";
import type { ApiService, ApiSlice } from "../../harness/specification/ingest.ts";

const TIMES = ["2025-03-04T05:06:07Z", "1970-01-01T00:00:01Z", "2024-02-29T23:59:59+05:30"];
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const address4 = fc
  .tuple(...Array.from({ length: 4 }, () => fc.nat(255)))
  .map((octets) => octets.map((octet) => (octet % 7 === 0 ? `0${octet}` : `${octet}`)).join("."));
const address6 = fc.oneof(
  fc.ipV6().filter((text) => !text.includes("%")),
  fc.constantFrom(
    "::",
    "::1",
    "FD00:96::C",
    "::ffff:10.1.2.3",
    "::FFFF:0A01:0203",
    "1::2:3:4.5.6.7",
  ),
);
const badAddress = fc.oneof(
  fc.constantFrom(
    "",
    "None.",
    "10.0.0",
    "10.0.0.0.0",
    "10.0.0.256",
    "1:2",
    ":::",
    "fe80::1%eth0",
    "g::",
    "1.2.3.4 ",
  ),
  fc.string({ maxLength: 12 }),
);
const address = fc.oneof(
  { weight: 6, arbitrary: address4 },
  { weight: 3, arbitrary: address6 },
  { weight: 1, arbitrary: badAddress },
);
const range = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(address, fc.nat(140)).map(([text, prefix]) => `${text}/${prefix}`),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(address4, fc.nat(32)).map(([text, prefix]) => ` ${text}/0${prefix}\n`),
  },
  { weight: 1, arbitrary: address },
);
const port = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(1, 53, 80, 443, 65_535) },
  { weight: 1, arbitrary: fc.constantFrom(0, -1, 65_536, 2_147_483_647, -2_147_483_648) },
);
const protocol = fc.constantFrom("TCP", "TCP", "TCP", "UDP", "SCTP", "", "tcp", undefined);
const portName = fc.constantFrom("http", "dns", "metrics", "", "überlang-und-mehr", undefined);
const key = fc.constantFrom(
  "web",
  "api",
  "db",
  "a-rather-long-name-of-more-than-forty-bytes-in-all",
);
const node = fc.constantFrom("node-a", "node-b", "", undefined);
const zones = fc.array(fc.constantFrom("zone-a", "zone-b", "zone-c", "", undefined), {
  maxLength: 4,
});

const meta = (labels: fc.Arbitrary<Record<string, string>>) =>
  fc.record(
    {
      name: key,
      namespace: fc.constantFrom("default", "shop"),
      uid: fc.constantFrom("u1", "u2"),
      creationTimestamp: fc.constantFrom(...TIMES),
      labels,
      annotations: fc.constant({ note: "x".repeat(200) }),
    },
    { requiredKeys: ["name", "namespace"] },
  );

/** Each has its own resourceVersion, so that each is decoded. */
export const anyService: fc.Arbitrary<ApiService> = fc.record(
  {
    metadata: meta(
      fc.constantFrom<Record<string, string>>(
        {},
        {},
        {},
        {},
        { "service.kubernetes.io/service-proxy-name": "" },
      ),
    ),
    spec: fc.record(
      {
        type: fc.constantFrom(
          "ClusterIP",
          "ClusterIP",
          "NodePort",
          "LoadBalancer",
          "ExternalName",
          "",
          "Odd",
        ),
        clusterIP: fc.oneof(
          { weight: 9, arbitrary: address },
          { weight: 1, arbitrary: fc.constantFrom("None", "") },
        ),
        clusterIPs: fc.array(fc.oneof({ weight: 20, arbitrary: address }, fc.constant("None")), {
          maxLength: 2,
        }),
        externalIPs: fc.array(address, { maxLength: 4 }),
        loadBalancerSourceRanges: fc.array(range, { maxLength: 4 }),
        externalTrafficPolicy: fc.constantFrom("Local", "Cluster", "", "local"),
        internalTrafficPolicy: fc.constantFrom("Local", "Cluster", "", "None"),
        sessionAffinity: fc.constantFrom("None", "ClientIP", "", "Client"),
        sessionAffinityConfig: fc.record(
          {
            clientIP: fc.record(
              { timeoutSeconds: fc.constantFrom(600, 1, 86_400, 0, -5, 86_401) },
              { requiredKeys: [] },
            ),
          },
          { requiredKeys: [] },
        ),
        healthCheckNodePort: port,
        ports: fc.array(
          fc.record(
            {
              name: portName,
              protocol,
              port,
              nodePort: fc.constantFrom(0, 30_000, 30_080, -1, 70_000),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 5 },
        ),
      },
      { requiredKeys: ["clusterIP", "ports"] },
    ),
    status: fc.record({
      loadBalancer: fc.record({
        ingress: fc.array(
          fc.record(
            {
              ip: address,
              hostname: fc.constant("lb.example"),
              ipMode: fc.constantFrom("VIP", "Proxy", "Other"),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 3 },
        ),
      }),
    }),
  },
  { requiredKeys: ["metadata", "spec"] },
) as fc.Arbitrary<ApiService>;

export const anySlice: fc.Arbitrary<ApiSlice> = fc.record(
  {
    metadata: meta(
      fc.tuple(key, fc.nat(20)).map(([service, dice]): Record<string, string> => {
        if (dice === 0) return {};
        const labels = { "kubernetes.io/service-name": dice === 1 ? "" : service };
        return dice === 2 ? { ...labels, "service.kubernetes.io/headless": "" } : labels;
      }),
    ),
    addressType: fc.constantFrom(
      "IPv4",
      "IPv4",
      "IPv4",
      "IPv4",
      "IPv6",
      "IPv6",
      "FQDN",
      "",
      undefined,
    ),
    ports: fc.array(fc.record({ name: portName, protocol, port }, { requiredKeys: [] }), {
      maxLength: 3,
    }),
    endpoints: fc.array(
      fc.record(
        {
          addresses: fc.array(address, { maxLength: 2 }),
          conditions: fc.record(
            {
              ready: maybe(fc.boolean()),
              serving: maybe(fc.boolean()),
              terminating: maybe(fc.boolean()),
            },
            { requiredKeys: [] },
          ),
          nodeName: node,
          hints: fc.record(
            {
              forZones: zones.map((names) =>
                names.map((name) => (name === undefined ? {} : { name })),
              ),
              forNodes: fc.array(fc.record({ name: fc.constantFrom("node-a", "node-b") }), {
                maxLength: 2,
              }),
            },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: ["addresses"] },
      ),
      { maxLength: 6 },
    ),
  },
  { requiredKeys: ["metadata", "addressType"] },
) as fc.Arbitrary<ApiSlice>;
