import { expect, test } from "bun:test";
import type { Service, ServiceId } from "../../src/model/service.ts";
import { type HealthCheck, ServiceHealth } from "../../src/observe/service-health.ts";

const ID = 1 as ServiceId;
const SERVICE: Service = {
  id: ID,
  namespace: "default",
  name: "web",
  created: 0,
  type: "LoadBalancer",
  ports: [],
  clusterIPs: [],
  externalIPs: [],
  vips: [],
  sourceRanges: [],
  externalLocal: true,
  internalLocal: false,
  affinitySeconds: 0,
  healthCheckNodePort: 32000,
};
const CHECK = { port: 32000, namespace: "default", name: "web", localEndpoints: 2 };

test("a selected result is published once it is in the kernel, also to a late listener", () => {
  const checks = new ServiceHealth();
  const received: (readonly HealthCheck[])[] = [];
  checks.update(ID, SERVICE, 2);
  checks.listen((list) => received.push(list));
  checks.publish();
  checks.update(ID, undefined, 0);
  checks.publish();
  expect(received).toEqual([[], [CHECK], []]);
  checks.listen((list) => received.push(list));
  expect(received).toHaveLength(4);
});

test.each<[string, Partial<Service>, boolean]>([
  ["a load balancer with externalTrafficPolicy Local", {}, true],
  ["a load balancer without the policy", { externalLocal: false }, false],
  ["a node port Service", { type: "NodePort" }, false],
  ["a load balancer without a port", { healthCheckNodePort: 0 }, false],
])("%s", (_, parts, checked) => {
  const checks = new ServiceHealth();
  checks.update(ID, SERVICE, 2);
  checks.update(ID, { ...SERVICE, ...parts }, 2);
  checks.publish();
  checks.listen((list) => expect(list).toEqual(checked ? [CHECK] : []));
  expect.assertions(1);
});
