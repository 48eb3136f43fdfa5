import { describe, expect, test } from "bun:test";
import {
  EventOutbox,
  type EventRecorder,
  healthServerFailedEvent,
  type KubeEvent,
  metricsServerFailedEvent,
  nodeReference,
  serviceHealthCheckFailedEvent,
  startedEvent,
} from "../../src/events/events.ts";

const node = nodeReference("here", "1-2-3");

describe("Events have kube-proxy's text", () => {
  const table: [string, KubeEvent, KubeEvent][] = [
    [
      "the proxy started",
      startedEvent(node),
      { type: "Normal", reason: "Starting", action: "StartKubeProxy", note: "", regarding: node },
    ],
    [
      "no health server",
      healthServerFailedEvent(node, "port taken"),
      {
        type: "Warning",
        reason: "FailedToStartProxierHealthcheck",
        action: "StartKubeProxy",
        note: "healthz server failed: port taken",
        regarding: node,
      },
    ],
    [
      "no metrics server",
      metricsServerFailedEvent(node, "port taken"),
      {
        type: "Warning",
        reason: "FailedToStartMetricServer",
        action: "StartKubeProxy",
        note: "starting metrics server failed: port taken",
        regarding: node,
      },
    ],
    [
      "no health check server of a Service",
      serviceHealthCheckFailedEvent({
        nodeName: "here",
        namespace: "shop",
        name: "web",
        port: 31000,
        error: "port taken",
      }),
      {
        type: "Warning",
        reason: "FailedToStartServiceHealthcheck",
        action: "Listen",
        note: 'node here failed to start healthcheck "shop/web" on port 31000: port taken',
        regarding: { apiVersion: "v1", kind: "Service", namespace: "shop", name: "web" },
      },
    ],
  ];
  test.each(table)("%s", (_what, event, expected) => expect(event).toEqual(expected));

  test("a Node with an unknown uid has no uid", () => {
    expect(nodeReference("here", "")).toEqual({ apiVersion: "v1", kind: "Node", name: "here" });
  });
});

describe("the outbox", () => {
  class Recorder implements EventRecorder {
    readonly reported: string[] = [];
    closed = false;
    record(event: KubeEvent, at?: number): void {
      this.reported.push(`${event.note}@${at}`);
    }
    async flush(ms: number): Promise<void> {
      this.reported.push(`flush ${ms}`);
    }
    close(): void {
      this.closed = true;
    }
  }
  const event = (note: string) => ({ ...startedEvent(node), note });

  test("keeps Events with their time until a recorder is attached", async () => {
    let now = 1;
    const outbox = new EventOutbox(() => now);
    outbox.record(event("early"));
    now = 2;
    await outbox.flush(5);
    const recorder = new Recorder();
    await outbox.attach(async () => recorder);
    outbox.record(event("late"));
    await outbox.flush(5);
    expect(recorder.reported).toEqual(["early@1", "late@2", "flush 5"]);
  });

  test("creates one recorder, and every attach waits until it has the kept Events", async () => {
    const outbox = new EventOutbox(() => 0);
    const made = Promise.withResolvers<EventRecorder>();
    let asked = 0;
    const make = () => {
      asked++;
      return made.promise;
    };
    const first = outbox.attach(make);
    outbox.record(event("meanwhile"));
    // A process that exits because of a failure waits like this.
    const flushed = outbox.attach(make).then(() => outbox.flush(5));
    const recorder = new Recorder();
    made.resolve(recorder);
    await Promise.all([first, flushed]);
    expect([asked, recorder.reported]).toEqual([1, ["meanwhile@0", "flush 5"]]);
  });

  test("keeps the newest hundred", async () => {
    const outbox = new EventOutbox(() => 0);
    for (let i = 0; i < 150; i++) outbox.record(event(String(i)));
    const recorder = new Recorder();
    await outbox.attach(async () => recorder);
    expect(recorder.reported).toHaveLength(100);
    expect(recorder.reported[0]).toBe("50@0");
  });

  test("sends nothing after close, and closes a recorder that is attached later", async () => {
    const [before, after] = [new Recorder(), new Recorder()];
    const outbox = new EventOutbox(() => 0);
    await outbox.attach(async () => before);
    outbox.close();
    outbox.record(event("too late"));
    const other = new EventOutbox(() => 0);
    other.record(event("forgotten"));
    other.close();
    await other.attach(async () => after);
    expect([before, after].map(({ closed, reported }) => [closed, reported])).toEqual([
      [true, []],
      [true, []],
    ]);
  });
});
