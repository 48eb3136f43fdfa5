/** Tests the Event recorder with a fake API server and a fake clock. */
import { beforeEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { flushPromises } from "../../harness/waiting.ts";
import type {
  ResponseHandler,
  WritableTransport,
  WriteRequest,
} from "../../src/api-client/transport.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger, type Logger } from "../../src/base/log.ts";
import type { EventObject, EventSeries } from "../../src/events/event-object.ts";
import { ApiEventRecorder } from "../../src/events/event-recorder.ts";
import { type KubeEvent, nodeReference, startedEvent } from "../../src/events/events.ts";

const MINUTE = 60_000;
const EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events";

/** A status, or the way in which the request ends without one. */
type Answer = number | "unreachable" | "never" | { readonly code: number; readonly after: number };

class FakeServer {
  readonly requests: WriteRequest[] = [];
  readonly answers: Answer[] = [];
  /** The answer after all `answers` are used. */
  otherwise: Answer = 200;
  open = 0;
  opened = 0;

  connect(): WritableTransport {
    this.open += 1;
    this.opened += 1;
    return {
      connections: 1,
      get() {
        throw new Error("unexpected read");
      },
      send: (request, handler) => this.#answer(request, handler),
      close: () => {
        this.open -= 1;
      },
    };
  }

  /** Methods with the counts that they sent. 1 is a single Event. */
  get writes(): string[] {
    return this.requests.map(({ method, body }) => {
      const { series }: { series?: EventSeries } = JSON.parse(body);
      return `${method} ${series?.count ?? 1}`;
    });
  }

  #answer(request: WriteRequest, handler: ResponseHandler): (reason: SluiceError) => void {
    this.requests.push(request);
    const answer = this.answers.shift() ?? this.otherwise;
    if (answer === "never") return (reason) => handler.onError(reason);
    queueMicrotask(() => {
      if (answer === "unreachable") {
        handler.onError(new SluiceError("API_UNREACHABLE", "Cannot reach it"));
        return;
      }
      const { code, after } = typeof answer === "number" ? { code: answer, after: 0 } : answer;
      handler.onStart(code, "application/json", after);
      handler.onData(Buffer.from(JSON.stringify({ reason: "Test", message: `because ${code}` })));
      handler.onEnd();
    });
    return () => {};
  }
}

let server: FakeServer;
let clock: FakeClock;
let lines: string[];
let log: Logger;
let recorder: ApiEventRecorder;
let dropped: number;

beforeEach(() => {
  server = new FakeServer();
  clock = new FakeClock();
  lines = [];
  dropped = 0;
  log = createLogger({
    verbosity: 0,
    format: "json",
    now: () => 0,
    pid: 1,
    write: (line) => lines.push(line),
  });
  recorder = new ApiEventRecorder({
    access: {
      server: "https://api.test",
      identity: () => Promise.reject(new Error("the transport is a fake")),
      credentialsRefused() {},
    },
    clock,
    random: () => 0,
    log,
    hostname: "machine",
    onDropped: () => {
      dropped += 1;
    },
    openTransport: () => server.connect(),
  });
});

/** Waits for pending promises first, because they may set timers. */
async function advance(ms: number): Promise<void> {
  await flushPromises();
  await clock.advance(ms);
  await flushPromises();
}

function event(name: string): KubeEvent {
  return startedEvent(nodeReference(name, ""));
}

function objectIn(request: WriteRequest | undefined): EventObject {
  return JSON.parse(request?.body ?? "null");
}

describe("an Event", () => {
  test("is created in the form of events.k8s.io/v1", async () => {
    recorder.record({ ...event("here"), note: "a note" }, 1_700_000_000_123);
    await flushPromises();
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: "POST",
      path: EVENTS,
      contentType: "application/json",
    });
    expect(objectIn(request)).toEqual({
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { namespace: "default", name: "here.17979cfe3d7ed4c0" },
      eventTime: "2023-11-14T22:13:20.123000Z",
      reportingController: "kube-proxy",
      reportingInstance: "kube-proxy-machine",
      type: "Normal",
      reason: "Starting",
      action: "StartKubeProxy",
      note: "a note",
      regarding: { apiVersion: "v1", kind: "Node", name: "here" },
    });
  });

  test("on a Service is in the Service's namespace", async () => {
    const regarding = {
      apiVersion: "v1",
      kind: "Service",
      namespace: "shop",
      name: "web",
    } as const;
    recorder.record({ ...event(""), regarding });
    await flushPromises();
    expect(server.requests[0]?.path).toBe("/apis/events.k8s.io/v1/namespaces/shop/events");
    expect(objectIn(server.requests[0]).metadata.namespace).toBe("shop");
  });

  test("has a unique name, also in the same millisecond", async () => {
    recorder.record(event("here"), 5);
    recorder.record({ ...event("here"), reason: "Other" }, 5);
    await advance(1000);
    const names = server.requests.map((request) => objectIn(request).metadata.name);
    expect(names).toEqual(["here.4c4b40", "here.4c4b41"]);
  });

  test.each([
    ["upper case in its name", "Here"],
    ["a name that is too long", "a".repeat(250)],
  ])("on an object with %s gets a name that the API accepts", async (_what, name) => {
    recorder.record(event(name));
    await flushPromises();
    expect(objectIn(server.requests[0]).metadata.name).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("has a `note` of at most 1024 bytes, cut between characters", async () => {
    recorder.record({ ...event("here"), note: `x${"ü".repeat(600)}` });
    await flushPromises();
    const { note } = objectIn(server.requests[0]);
    expect(note).toBe(`x${"ü".repeat(510)}…`);
    expect(Buffer.byteLength(note)).toBe(1024);
  });
});

describe("equal Events", () => {
  test("form a series: the second is sent at once, later ones every half hour and at the end", async () => {
    recorder.record(event("here"));
    await flushPromises();
    recorder.record(event("here"));
    await flushPromises();
    expect(server.writes).toEqual(["POST 1", "PATCH 2"]);
    const { metadata } = objectIn(server.requests[0]);
    expect(server.requests[1]).toMatchObject({
      method: "PATCH",
      path: `${EVENTS}/${metadata.name}`,
    });

    for (let minute = 0; minute < 35; minute++) {
      await advance(MINUTE);
      recorder.record(event("here"));
    }
    expect(server.writes).toEqual(["POST 1", "PATCH 2", "PATCH 31"]);
    const last = clock.now();
    await advance(20 * MINUTE);
    expect(server.writes.slice(3)).toEqual(["PATCH 37"]);
    expect(JSON.parse(server.requests[3]?.body ?? "")).toEqual({
      series: { count: 37, lastObservedTime: new Date(last).toISOString().replace("Z", "000Z") },
    });
    expect(clock.waiting).toBe(0);
  });

  test("that arrive while the first cannot be sent are created as a series", async () => {
    server.answers.push("unreachable");
    recorder.record(event("here"));
    await flushPromises();
    recorder.record(event("here"));
    recorder.record(event("here"));
    await advance(MINUTE);
    expect(server.writes).toEqual(["POST 1", "POST 3"]);
  });

  test("that arrive while the first is being sent are sent after it", async () => {
    recorder.record(event("here"));
    recorder.record(event("here"));
    await advance(1000);
    expect(server.writes).toEqual(["POST 1", "PATCH 2"]);
  });

  test("form a new series after six quiet minutes", async () => {
    recorder.record(event("here"));
    await advance(12 * MINUTE);
    recorder.record(event("here"));
    await flushPromises();
    expect(server.writes).toEqual(["POST 1", "POST 1"]);
  });

  test("are created again if the server deleted the first", async () => {
    recorder.record(event("here"));
    await flushPromises();
    server.answers.push(404);
    recorder.record(event("here"));
    await flushPromises();
    expect(server.writes).toEqual(["POST 1", "PATCH 2", "POST 2"]);
  });

  test("form at most 1,000 series: the newest displaces the oldest", async () => {
    for (let i = 0; i <= 1000; i++) {
      recorder.record(event(`node-${i}`));
      await advance(200);
    }
    expect(dropped).toBe(0);
    for (const name of ["node-1000", "node-1", "node-0"]) recorder.record(event(name));
    await advance(1000);
    expect(server.writes.slice(1001)).toEqual(["PATCH 2", "PATCH 2", "POST 1"]);
  });

  test.each([
    ["reason", { reason: "Other" }],
    ["type", { type: "Warning" }],
    ["action", { action: "Other" }],
    ["object", event("other")],
  ] as const)("must not differ in %s", async (_what, other) => {
    recorder.record(event("here"));
    recorder.record({ ...event("here"), ...other });
    await advance(1000);
    expect(server.writes).toEqual(["POST 1", "POST 1"]);
  });
});

describe("the server", () => {
  test.each([
    ["cannot be reached", "unreachable"],
    ["does not answer", "never"],
    ["has an error", 500],
    ["is not ready", 503],
    ["is overloaded", 429],
    ["no longer accepts the credentials", 401],
  ] as const)("that %s is asked again, and nothing is logged", async (_what, answer) => {
    server.answers.push(answer, answer);
    recorder.record(event("here"));
    await advance(MINUTE);
    expect(server.writes).toEqual(["POST 1", "POST 1", "POST 1"]);
    expect(dropped).toBe(0);
    expect(lines).toEqual([]);
  });

  test("that sends Retry-After is left alone for that time", async () => {
    server.answers.push({ code: 429, after: 30_000 });
    recorder.record(event("here"));
    await advance(29_999);
    expect(server.requests).toHaveLength(1);
    await advance(1);
    expect(server.requests).toHaveLength(2);
  });

  test.each([400, 403, 404, 422])(
    "that answers %d is not asked again, and one line is logged",
    async (code) => {
      server.otherwise = code;
      for (const name of ["one", "two", "three"]) recorder.record(event(name));
      await advance(MINUTE);
      expect(server.writes).toEqual(["POST 1", "POST 1", "POST 1"]);
      expect(dropped).toBe(3);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(`because ${code}`);
      expect(lines[0]?.includes("create, patch and update on events.events.k8s.io")).toBe(
        code === 403,
      );
    },
  );

  test("that refuses an Event of a long series is asked again after half an hour", async () => {
    server.otherwise = 403;
    recorder.record(event("here"));
    for (let minute = 0; minute < 29; minute++) {
      await advance(MINUTE);
      recorder.record(event("here"));
    }
    expect(server.writes).toEqual(["POST 1"]);
    server.otherwise = 200;
    for (let minute = 0; minute < 10; minute++) {
      await advance(MINUTE);
      recorder.record(event("here"));
    }
    expect(server.writes).toEqual(["POST 1", "POST 30"]);
  });

  test("that refuses the count of a series gets the next one after half an hour", async () => {
    server.answers.push(200, 403);
    recorder.record(event("here"));
    for (let minute = 0; minute < 40; minute++) {
      await advance(MINUTE);
      recorder.record(event("here"));
    }
    expect(server.writes).toEqual(["POST 1", "PATCH 2", "PATCH 36"]);
    expect(dropped).toBe(1);
  });

  test.each([2, 5])("that refuses a count gets count %d when the series ends", async (count) => {
    server.answers.push(200, 403);
    for (let i = 0; i < count; i++) {
      recorder.record(event("here"));
      await flushPromises();
    }
    expect(server.writes).toEqual(["POST 1", "PATCH 2"]);
    await advance(12 * MINUTE);
    expect(server.writes.slice(2)).toEqual([`PATCH ${count}`]);
    expect(dropped).toBe(1);
  });

  test("is logged again after it accepted an Event", async () => {
    server.answers.push(403, 200, 403);
    for (const name of ["one", "two", "three"]) recorder.record(event(name));
    await advance(MINUTE);
    expect(lines).toHaveLength(2);
  });

  test("that already has an Event got it from an attempt without an answer", async () => {
    server.answers.push("unreachable", 409);
    recorder.record(event("here"));
    await advance(MINUTE);
    expect(dropped).toBe(0);
    recorder.record(event("here"));
    await flushPromises();
    expect(server.writes).toEqual(["POST 1", "POST 1", "PATCH 2"]);
  });

  test("that answers 404 to a count and 409 to the Event refused the count", async () => {
    server.answers.push(200, 404, 409);
    recorder.record(event("here"));
    await flushPromises();
    recorder.record(event("here"));
    await flushPromises();
    expect(server.writes).toEqual(["POST 1", "PATCH 2", "POST 2"]);
    expect(dropped).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("because 409");
    await advance(12 * MINUTE);
    expect(server.writes.slice(3)).toEqual(["PATCH 2"]);
  });

  test("that always fails costs one Event, not later ones", async () => {
    for (let i = 0; i < 12; i++) server.answers.push(500);
    recorder.record(event("one"));
    recorder.record(event("two"));
    await advance(30 * MINUTE);
    expect(server.requests.map((request) => objectIn(request).regarding.name)).toEqual([
      ...Array(12).fill("one"),
      "two",
    ]);
    expect(dropped).toBe(1);
  });

  test("that is unreachable for hours is asked at most once a minute, and gets the Event", async () => {
    server.otherwise = "unreachable";
    recorder.record(event("here"));
    await advance(180 * MINUTE);
    expect(server.requests.length).toBeLessThan(190);
    server.otherwise = 200;
    await advance(MINUTE);
    expect(dropped).toBe(0);
    expect(server.open).toBe(0);
  });
});

describe("resources", () => {
  test("the connection is open only while an Event waits", async () => {
    recorder.record(event("one"));
    recorder.record(event("two"));
    expect(server.open).toBe(1);
    await advance(1000);
    expect([server.requests.length, server.open, server.opened]).toEqual([2, 0, 1]);
    recorder.record(event("three"));
    expect([server.open, server.opened]).toEqual([1, 2]);
  });

  test("at most five Events a second are sent", async () => {
    for (let i = 0; i < 20; i++) recorder.record(event(`node-${i}`));
    await advance(999);
    expect(server.requests).toHaveLength(5);
  });

  test("at most a hundred Events wait; newer ones displace older ones", async () => {
    server.answers.push("never");
    for (let i = 0; i < 111; i++) recorder.record(event(`node-${i}`));
    expect(dropped).toBe(10);
    expect(lines).toHaveLength(1);
    await advance(MINUTE);
    const names = server.requests.map((request) => objectIn(request).regarding.name);
    // The first one was being sent, and is retried.
    expect(names.slice(0, 3)).toEqual(["node-0", "node-0", "node-11"]);
    expect(names).toHaveLength(102);
  });
});

describe("the end", () => {
  test("a flush waits until everything is sent", async () => {
    recorder.record(event("one"));
    recorder.record(event("two"));
    let flushed = false;
    void recorder.flush(5000).then(() => {
      flushed = true;
    });
    await flushPromises();
    expect(flushed).toBe(false);
    await advance(300);
    expect([flushed, server.requests.length]).toEqual([true, 2]);
    expect(await recorder.flush(5000)).toBeUndefined();
  });

  test("a flush waits no longer than its limit", async () => {
    server.otherwise = "unreachable";
    recorder.record(event("one"));
    let flushed = false;
    void recorder.flush(5000).then(() => {
      flushed = true;
    });
    await advance(4999);
    expect(flushed).toBe(false);
    await advance(1);
    expect(flushed).toBe(true);
  });

  test.each(["never", "unreachable", 200] as const)(
    "after close nothing is sent, whether an Event was being sent or waited (answer: %p)",
    async (answer) => {
      server.otherwise = answer;
      recorder.record(event("one"));
      recorder.record(event("two"));
      await flushPromises();
      recorder.close();
      await flushPromises();
      expect([server.open, clock.waiting]).toEqual([0, 0]);
      recorder.record(event("three"));
      await advance(MINUTE);
      expect(server.requests).toHaveLength(1);
    },
  );
});
