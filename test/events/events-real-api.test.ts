/** Tests Events with a real API server, kube-proxy's role, and kubectl. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { createNode } from "../../harness/cluster/many-objects.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/log.ts";
import type { EventObject } from "../../src/events/event-object.ts";
import { ApiEventRecorder } from "../../src/events/event-recorder.ts";
import {
  type KubeEvent,
  nodeReference,
  serviceHealthCheckFailedEvent,
  startedEvent,
} from "../../src/events/events.ts";

const why = await missingControlPlane();
if (why !== undefined) console.log(`skip: Events on a real API server: ${why}`);

const MINUTE = 60_000;
let plane: ControlPlane;
let uid: string;
let lines: string[] = [];
let dropped = 0;

beforeAll(async () => {
  if (why !== undefined) return;
  plane = await startControlPlane();
  await createNode(plane.api, "here", "10.0.0.1");
  const node = await plane.api.request<{ metadata: { uid: string } }>("GET", "/api/v1/nodes/here");
  uid = node.metadata.uid;
}, 5 * MINUTE);

afterAll(() => plane?.stop());

/** Records all Events with a kubeconfig, and waits until they are sent. */
async function send(kubeconfig: string, ...events: KubeEvent[]): Promise<void> {
  lines = [];
  dropped = 0;
  const recorder = new ApiEventRecorder({
    access: await openAccess({ kubeconfig, master: "", environment: {} }),
    clock: systemClock,
    random: Math.random,
    log: createLogger({
      verbosity: 10,
      format: "text",
      now: () => 0,
      write: (line) => lines.push(line),
      pid: 1,
    }),
    hostname: "machine",
    onDropped: () => {
      dropped += 1;
    },
  });
  for (const event of events) recorder.record(event);
  await recorder.flush(MINUTE);
  recorder.close();
}

async function eventsIn(namespace: string, reason: string): Promise<EventObject[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events?fieldSelector=reason%3D${reason}`;
  const { items } = await plane.api.request<{ items: EventObject[] }>("GET", path);
  return items;
}

test.skipIf(why !== undefined)(
  "an Event on the Node is accepted, and kubectl describe shows it",
  async () => {
    await send(plane.kubeconfigs.proxy, startedEvent(nodeReference("here", uid)));
    expect(lines).toEqual([]);
    const [event] = await eventsIn("default", "Starting");
    expect(event).toMatchObject({
      type: "Normal",
      action: "StartKubeProxy",
      reportingController: "kube-proxy",
      reportingInstance: "kube-proxy-machine",
      regarding: { apiVersion: "v1", kind: "Node", name: "here", uid },
    });
    expect(await plane.kubectl("describe", "node", "here")).toMatch(
      /Normal +Starting .*kube-proxy/,
    );
  },
  2 * MINUTE,
);

test.skipIf(why !== undefined)(
  "three failures of a health check are one Event on the Service, with a count",
  async () => {
    const failed = serviceHealthCheckFailedEvent({
      nodeName: "here",
      namespace: "kube-system",
      name: "web",
      port: 31000,
      error: "taken ".repeat(400),
    });
    await send(plane.kubeconfigs.proxy, failed, failed, failed);
    expect(lines).toEqual([]);
    const events = await eventsIn("kube-system", "FailedToStartServiceHealthcheck");
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: "Warning",
      action: "Listen",
      regarding: { apiVersion: "v1", kind: "Service", namespace: "kube-system", name: "web" },
      series: { count: 3 },
    });
    expect(await plane.kubectl("events", "-n", "kube-system", "--for", "service/web")).toContain(
      'node here failed to start healthcheck "kube-system/web" on port 31000',
    );
  },
  2 * MINUTE,
);

test.skipIf(why !== undefined)(
  "an Event in a deleted namespace is dropped, and the next one arrives",
  async () => {
    const nowhere = {
      apiVersion: "v1",
      kind: "Service",
      namespace: "nowhere",
      name: "web",
    } as const;
    const after = { ...startedEvent(nodeReference("here", uid)), reason: "After" };
    await send(plane.kubeconfigs.proxy, { ...after, regarding: nowhere }, after);
    expect(dropped).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('namespaces \\"nowhere\\" not found');
    expect(await eventsIn("default", "After")).toHaveLength(1);
  },
  2 * MINUTE,
);

test.skipIf(why !== undefined)(
  "a missing permission is named in the log",
  async () => {
    const bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:node-proxier";
    await plane.api.request("DELETE", bindings);
    const deadline = performance.now() + MINUTE;
    await send(plane.kubeconfigs.proxy, startedEvent(nodeReference("lost", "")));
    // The server's authorizer learns of the deletion from a watch.
    while (dropped === 0 && performance.now() < deadline) {
      await send(plane.kubeconfigs.proxy, startedEvent(nodeReference("lost", "")));
    }
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('cannot create resource \\"events\\" in API group');
    expect(lines[0]).toContain('needs="create, patch and update on events.events.k8s.io"');
  },
  2 * MINUTE,
);
