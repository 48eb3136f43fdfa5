import { describe, expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { encode, FakeCore, list } from "../../harness/fakes/fake-core.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { bookmark, event, object } from "../../harness/fakes/watch-lines.ts";
import { flushPromises } from "../../harness/waiting.ts";
import { messageOf, SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import {
  ABSENT_RESOURCE_RETRY_MS,
  LIST_SILENCE_MS,
  STORE_CHECK_MS_MAX,
  WATCH_RETRY_MS,
  WATCH_RETRY_MS_MAX,
  WATCH_SILENCE_MS,
} from "../../src/base/limits.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import { type EncodeEvent, encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { Reflector } from "../../src/watch/reflector.ts";
import { SERVICE_CIDR_RESOURCE, SERVICE_RESOURCE } from "../../src/watch/resources.ts";
import { coreSink, mapSink } from "../../src/watch/sink.ts";
import { FakeTransport } from "./fake-transport.ts";

/** The fake core's format, for the same input as the real encoder. */
const encodeReal: EncodeEvent = (kind, type, content) => {
  encodeWatchEvent(kind, type, content);
  return encode(kind, type, content);
};

interface Setup {
  readonly encode?: EncodeEvent;
  readonly watchList?: boolean;
  readonly random?: number;
}

function setup({ watchList = false, random = 0, encode: encoder = encode }: Setup = {}) {
  const core = new FakeCore();
  const transport = new FakeTransport();
  const checks = new FakeTransport();
  const clock = new FakeClock();
  const problems = new RecordedProblems();
  const calls: string[] = [];
  const reflector = new Reflector({
    resource: SERVICE_RESOURCE,
    sink: coreSink(core, "Service", encoder, problems.report),
    transport,
    checkTransport: checks,
    server: "https://api.test",
    clock,
    random: () => random,
    watchList,
    onListed: () => calls.push("listed"),
    onAttempted: () => calls.push("attempted"),
    onChange: () => calls.push("change"),
    onProblems: problems.report,
    onFatal: (error) => calls.push(messageOf(error)),
  });
  reflector.start();
  return { core, transport, checks, clock, problems, calls, reflector };
}

/** Listed at version 10 with `a` and `b`. The watch waits for an answer. */
async function listed(options: Setup = {}) {
  const world = setup(options);
  await world.transport.last.answer(list(10, [object("a", 3), object("b", 4)]));
  return world;
}

/** The same with an answer for the watch. */
async function watching(options: Setup = {}) {
  const world = await listed(options);
  world.transport.last.start();
  return world;
}

describe("the initial read", () => {
  test("lists from the server's cache and watches from the list's version", async () => {
    const { core, transport, calls } = setup();
    const first = transport.last;
    expect(first.url.pathname).toBe("/api/v1/services");
    expect(first.isWatch).toBe(false);
    expect(first.parameter("resourceVersion")).toBe("0");
    expect(first.parameter("limit")).toBe("");
    expect(first.parameter("labelSelector")).toBe("!service.kubernetes.io/service-proxy-name");
    expect(first.parameter("fieldSelector")).toBe("spec.clusterIP!=None");
    expect(first.accept).toStartWith("application/vnd.kubernetes.protobuf");
    expect(calls).not.toContain("listed");

    await first.answer(list(10, [object("a", 3), object("b", 4)]));
    expect(core.names()).toEqual(["a", "b"]);
    expect(calls.filter((call) => call === "listed")).toHaveLength(1);
    const watch = transport.last;
    expect(watch.isWatch).toBe(true);
    expect(watch.parameter("resourceVersion")).toBe("10");
    expect(watch.parameter("allowWatchBookmarks")).toBe("true");
    expect(watch.parameter("sendInitialEvents")).toBe("");
    expect(watch.accept).toContain("stream=watch");
  });

  test("reports changes after each chunk, before the list is complete", async () => {
    const { transport, calls } = setup();
    transport.last.start().data(list(10, [object("a", 3)]));
    expect(calls).toEqual(["change"]);
  });

  test("follows continue tokens if the server pages", async () => {
    const { core, transport } = setup();
    await transport.last.answer(list(10, [object("a", 3)], "more"));
    expect(transport.last.parameter("continue")).toBe("more");
    expect(transport.last.parameter("resourceVersion")).toBe("");
    await transport.last.answer(list(10, [object("b", 4)]));
    expect(core.names()).toEqual(["a", "b"]);
    expect(transport.last.parameter("resourceVersion")).toBe("10");
  });

  test.each([
    [0, "300"],
    [0.5, "450"],
    [0.999, "599"],
  ])("asks for watches of 5 to 10 minutes: random %p gives %p s", async (random, seconds) => {
    const { transport } = await watching({ random });
    expect(transport.last.parameter("timeoutSeconds")).toBe(seconds);
  });

  test("reports a list that is malformed each time once, until one is complete", async () => {
    const { transport, problems, clock } = setup();
    for (let lists = 0; lists < 3; lists++) {
      await transport.last.answer('{"kind":"PodList","items":[]}', "application/json");
      await clock.advance(WATCH_RETRY_MS_MAX);
    }
    expect(problems.begun).toHaveLength(1);
    expect(problems.ended).toEqual([]);
    await transport.last.answer(list(10, []));
    expect(problems.ended).toHaveLength(1);
  });

  test("refuses a list without a version", async () => {
    const { transport, problems } = setup();
    await transport.last.answer(event("ADDED", object("a", 3)).replaceAll('"3"', '""'));
    expect(problems.begun[0]?.code).toBe("API_MALFORMED");
  });
});

describe("a watch", () => {
  test("that ends continues at once, from the version of its last event", async () => {
    const { core, transport, problems } = await watching();
    transport.last.data(event("ADDED", object("c", 12)) + event("DELETED", object("a", 13)));
    await transport.last.end();
    expect(core.names()).toEqual(["b", "c"]);
    expect(transport.last.parameter("resourceVersion")).toBe("13");
    expect(problems.events).toEqual([]);
  });

  test("continues from a bookmark's version", async () => {
    const { transport } = await watching();
    transport.last.data(bookmark(40));
    await transport.last.end();
    expect(transport.last.parameter("resourceVersion")).toBe("40");
  });

  test("that breaks is opened again after the first wait, from its last version", async () => {
    const { transport, clock, problems } = await watching();
    await transport.last.data(event("MODIFIED", object("a", 12))).break();
    expect(problems.begun.at(-1)?.code).toBe("API_UNREACHABLE");
    await clock.advance(WATCH_RETRY_MS - 1);
    expect(transport.requests).toHaveLength(2);
    await clock.advance(1);
    expect(transport.last.parameter("resourceVersion")).toBe("12");
    expect(transport.last.isWatch).toBe(true);
    transport.last.start();
    expect(problems.ended).toHaveLength(1);
  });

  test("that ends at once without events waits before it is opened again", async () => {
    const { transport, clock } = await watching();
    await transport.last.end();
    expect(transport.requests).toHaveLength(2);
    await clock.advance(WATCH_RETRY_MS);
    expect(transport.requests).toHaveLength(3);
  });

  test("that was open long without events is opened again at once", async () => {
    const { transport, clock } = await watching();
    await clock.advance(60_000);
    await transport.last.end();
    expect(transport.requests).toHaveLength(3);
  });

  test("with broken framing is dropped and everything listed again", async () => {
    const { transport, clock, problems } = await watching();
    transport.last.data("no JSON\n");
    await flushPromises();
    expect(problems.begun.at(-1)?.code).toBe("API_MALFORMED");
    await clock.advance(WATCH_RETRY_MS);
    expect(transport.last.isWatch).toBe(false);
    expect(transport.last.parameter("resourceVersion")).toBe("10");
  });

  test("closes the core's stream at every kind of end", async () => {
    const { core, transport, clock } = await watching();
    await transport.last.break();
    expect(core.openStreams).toBe(0);
    await clock.advance(WATCH_RETRY_MS);
    transport.last.start().data(bookmark(40));
    expect(core.openStreams).toBe(1);
    await transport.last.end();
    expect(core.openStreams).toBe(0);
  });
});

describe("waits", () => {
  test("double up to the longest, and a success starts over", async () => {
    const { transport, clock } = setup();
    for (const wait of [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]) {
      const before = transport.requests.length;
      await transport.last.break();
      await clock.advance(wait - 1);
      expect(transport.requests).toHaveLength(before);
      await clock.advance(1);
      expect(transport.requests).toHaveLength(before + 1);
    }
    await transport.last.answer(list(10, []));
    transport.last.start().data(bookmark(11));
    await transport.last.break();
    await clock.advance(WATCH_RETRY_MS);
    expect(transport.last.isWatch).toBe(true);
  });

  test("have random extra time, but never exceed the maximum", async () => {
    const { transport, clock } = setup({ random: 0.75 });
    for (const wait of [1400, 2800, 5600, 11_200, 22_400, WATCH_RETRY_MS_MAX]) {
      const before = transport.requests.length;
      await transport.last.break();
      await clock.advance(wait - 1);
      expect(transport.requests).toHaveLength(before);
      await clock.advance(1);
      expect(transport.requests).toHaveLength(before + 1);
    }
  });

  test("respect Retry-After", async () => {
    const { transport, clock } = setup();
    await transport.last.refuse(429, "too many requests", 5000);
    await clock.advance(4999);
    expect(transport.requests).toHaveLength(1);
    await clock.advance(1);
    expect(transport.requests).toHaveLength(2);
  });
});

describe("410 Gone", () => {
  const ways = {
    "as a status": async (world: Awaited<ReturnType<typeof watching>>) => {
      await world.transport.last.data(bookmark(11)).end();
      await world.transport.last.refuse(410, "too old resource version");
    },
    "as an event": async (world: Awaited<ReturnType<typeof watching>>) => {
      world.transport.last.data(bookmark(11));
      world.transport.last.data(event("ERROR", { code: 410, message: "too old", metadata: {} }));
      await flushPromises();
    },
  };
  for (const [name, gone] of Object.entries(ways)) {
    test(`${name} lists again at once, no older than before, and removes vanished objects`, async () => {
      const world = await watching();
      await gone(world);
      const { transport, core, problems } = world;
      expect(transport.last.isWatch).toBe(false);
      expect(transport.last.parameter("resourceVersion")).toBe("11");
      await transport.last.answer(list(90, [object("b", 80)]));
      expect(core.names()).toEqual(["b"]);
      expect(transport.last.parameter("resourceVersion")).toBe("90");
      expect(problems.events).toEqual([]);
    });
  }

  test("repeatedly waits", async () => {
    const { transport, clock } = await listed();
    await transport.last.refuse(410);
    await transport.last.answer(list(90, []));
    const before = transport.requests.length;
    await transport.last.refuse(410);
    expect(transport.requests).toHaveLength(before);
    await clock.advance(2 * WATCH_RETRY_MS);
    expect(transport.requests).toHaveLength(before + 1);
  });

  test("of a list reads the store itself, by WatchList", async () => {
    const { transport, core, clock } = await listed();
    await transport.last.refuse(410);
    await transport.last.refuse(410);
    await clock.advance(2 * WATCH_RETRY_MS);
    const read = transport.last;
    expect(read.isWatch).toBe(true);
    expect(read.parameter("sendInitialEvents")).toBe("true");
    expect(read.parameter("resourceVersionMatch")).toBe("NotOlderThan");
    expect(read.parameter("resourceVersion")).toBe("");
    read.start().data(event("ADDED", object("b", 2)) + bookmark(5, true));
    expect(core.names()).toEqual(["b"]);
    await read.end();
    expect(transport.last.parameter("resourceVersion")).toBe("5");
  });

  test("of a continue token lists again without pages", async () => {
    const { transport, core, clock } = await listed();
    await transport.last.refuse(504, "Too large resource version: 10, current: 3");
    await transport.last.refuse(422, "sendInitialEvents is forbidden");
    expect(transport.last.parameter("limit")).toBe("500");
    await transport.last.answer(list(3, [object("b", 2)], "more"));
    await transport.last.refuse(410, "continue token expired");
    await clock.advance(2 * WATCH_RETRY_MS);
    expect(transport.last.parameter("limit")).toBe("");
    expect(transport.last.parameter("continue")).toBe("");
    await transport.last.answer(list(4, [object("c", 4)]));
    expect(core.names()).toEqual(["c"]);
  });
});

describe("a store that went back in time", () => {
  test("is read again if the server requests it", async () => {
    const { transport } = await listed();
    await transport.last.refuse(504, "Too large resource version: 10, current: 3");
    expect(transport.last.parameter("sendInitialEvents")).toBe("true");
    expect(transport.last.parameter("resourceVersion")).toBe("");
  });

  /** Answers the check that waits for an answer. */
  const answerCheck = (world: Awaited<ReturnType<typeof listed>>, version: number) => {
    const check = world.checks.last;
    expect(check.parameter("limit")).toBe("1");
    expect(check.parameter("resourceVersion")).toBe("");
    const head = { metadata: { resourceVersion: String(version) }, items: [object("x", 9)] };
    return check.answer(JSON.stringify(head), "application/json");
  };

  /** The watch broke, and is open again. */
  async function reconnected(options: Setup = {}) {
    const world = await watching(options);
    await world.transport.last.break();
    await world.clock.advance(2 * WATCH_RETRY_MS);
    world.transport.last.start();
    return world;
  }

  const ways: { readonly [name: string]: () => ReturnType<typeof watching> } = {
    "after an error": reconnected,
    "after a silent watch": async () => {
      const world = await watching();
      await world.clock.advance(WATCH_SILENCE_MS);
      world.transport.last.start();
      return world;
    },
    "on a new connection": async () => {
      const world = await watching();
      await world.transport.last.data(bookmark(10)).end();
      world.transport.connections += 1;
      world.transport.last.start();
      return world;
    },
  };
  test.each(Object.entries(ways))("is detected and read again at once %s", async (_name, lose) => {
    const world = await lose();
    const { transport, clock, core, problems } = world;
    const watch = transport.last;
    await clock.advance(0);
    await answerCheck(world, 9);
    expect(watch.ended).toBe(true);
    expect(problems.begun.at(-1)).toMatchObject({
      code: "API_GONE",
      message: "watch services: the API store went back from version 10 to 9; reading it again",
    });
    expect(core.names()).toEqual(["a", "b"]);
    expect(transport.last.parameter("sendInitialEvents")).toBe("true");
    expect(transport.last.parameter("resourceVersion")).toBe("");
    transport.last.start().data(event("ADDED", object("x", 9)) + bookmark(9, true));
    expect(core.names()).toEqual(["x"]);
    expect(problems.ended.length).toBe(problems.begun.length);
    // The state is complete, so nothing is left to check.
    await transport.last.end();
    transport.last.start();
    await clock.advance(STORE_CHECK_MS_MAX);
    expect(world.checks.requests).toHaveLength(1);
  });

  test.each([10, 100])("is not assumed of a store at version %p", async (version) => {
    const world = await reconnected();
    const { transport, clock } = world;
    const watch = transport.last;
    await clock.advance(0);
    await answerCheck(world, version);
    expect(transport.last).toBe(watch);
    await watch.data(bookmark(101)).end();
    transport.last.start();
    await clock.advance(STORE_CHECK_MS_MAX);
    expect(world.checks.requests).toHaveLength(1);
  });

  test("is not assumed because of events that arrive during the check", async () => {
    const world = await reconnected();
    await world.clock.advance(0);
    world.transport.last.data(event("ADDED", object("c", 20)));
    await answerCheck(world, 15);
    expect(world.transport.last.ended).toBe(false);
  });

  test.each([
    [0, 0],
    [0.5, STORE_CHECK_MS_MAX / 2],
    [0.999, STORE_CHECK_MS_MAX * 0.999],
  ])("is looked for after a random time: %p means %p ms", async (random, ms) => {
    const { checks, clock } = await reconnected({ random });
    if (ms > 0) await clock.advance(ms - 1);
    expect(checks.requests).toHaveLength(0);
    await clock.advance(1);
    expect(checks.requests).toHaveLength(1);
  });

  test("is not looked for without a lost connection", async () => {
    const { transport, checks, clock } = await watching();
    for (let watches = 0; watches < 3; watches++) {
      await clock.advance(60_000);
      await transport.last.data(bookmark(20 + watches)).end();
      transport.last.start();
    }
    await clock.advance(STORE_CHECK_MS_MAX);
    expect(checks.requests).toHaveLength(0);
  });

  test("is looked for again if the check fails, no sooner than the server asks for", async () => {
    const world = await reconnected();
    const { clock, checks, problems } = world;
    await clock.advance(0);
    const before = problems.events.length;
    await checks.last.refuse(429, "slow down", 9000);
    await clock.advance(8999);
    expect(checks.requests).toHaveLength(1);
    await clock.advance(1);
    await checks.last.break();
    await clock.advance(WATCH_RETRY_MS);
    expect(problems.events).toHaveLength(before);
    await answerCheck(world, 9);
    expect(world.transport.last.parameter("sendInitialEvents")).toBe("true");
  });

  test("is not looked for while the server is unreachable, and then again", async () => {
    const { transport, clock, checks } = await reconnected();
    await clock.advance(0);
    await transport.last.break();
    await checks.last.break();
    await clock.advance(WATCH_RETRY_MS);
    expect(checks.requests).toHaveLength(1);
    await clock.advance(2 * WATCH_RETRY_MS);
    transport.last.start();
    await clock.advance(0);
    expect(checks.requests).toHaveLength(2);
  });

  test("is no longer looked for after a stop", async () => {
    const { clock, checks, reflector } = await reconnected();
    await clock.advance(0);
    reflector.stop();
    await flushPromises();
    expect(checks.requests[0]?.ended).toBe(true);
    await clock.advance(10 * STORE_CHECK_MS_MAX);
    expect(checks.requests).toHaveLength(1);
    expect(clock.waiting).toBe(0);
  });
});

describe("silence", () => {
  test("of a watch is ended by any byte", async () => {
    const { transport, clock } = await watching();
    const watch = transport.last;
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(60_000);
      watch.data(bookmark(20 + minute));
    }
    expect(transport.last).toBe(watch);
    await clock.advance(WATCH_SILENCE_MS - 1);
    expect(transport.last).toBe(watch);
    await clock.advance(1);
    expect(watch.ended).toBe(true);
  });

  test("of a list is an error", async () => {
    const { transport, clock, problems } = setup();
    await clock.advance(LIST_SILENCE_MS);
    expect(problems.begun[0]?.code).toBe("API_UNREACHABLE");
    expect(problems.begun[0]?.message).toEndWith(
      " (check the address, the firewall and the certificate)",
    );
    await clock.advance(WATCH_RETRY_MS);
    expect(transport.requests).toHaveLength(2);
  });
});

describe("WatchList", () => {
  test("is complete at its bookmark, and continues as a watch", async () => {
    const { core, transport, calls } = setup({ watchList: true });
    const watch = transport.last;
    expect(watch.parameter("sendInitialEvents")).toBe("true");
    expect(watch.parameter("resourceVersion")).toBe("");
    watch.start().data(event("ADDED", object("a", 3)));
    expect(calls).not.toContain("listed");
    watch.data(bookmark(10, true));
    expect(calls).toContain("listed");
    watch.data(event("ADDED", object("b", 11)));
    expect(core.names()).toEqual(["a", "b"]);
    await watch.end();
    expect(transport.last.parameter("resourceVersion")).toBe("11");
    expect(transport.last.parameter("sendInitialEvents")).toBe("");
  });

  test("that breaks before its bookmark starts over, and loses nothing", async () => {
    const { core, transport, clock } = setup({ watchList: true });
    transport.last.start().data(event("ADDED", object("a", 3)) + event("ADDED", object("b", 4)));
    await transport.last.break();
    expect(core.names()).toEqual(["a", "b"]);
    await clock.advance(WATCH_RETRY_MS);
    transport.last.start().data(event("ADDED", object("b", 4)) + bookmark(12, true));
    expect(core.names()).toEqual(["b"]);
  });

  test("is abandoned if the server does not support it", async () => {
    const { transport, problems } = setup({ watchList: true });
    await transport.last.refuse(422, "sendInitialEvents is forbidden for watch");
    expect(transport.last.isWatch).toBe(false);
    expect(problems.events).toEqual([]);
  });
});

describe("a refusal", () => {
  test("of the login causes a new login and one immediate retry", async () => {
    const { transport, clock, problems } = setup();
    await transport.last.refuse(401);
    expect(problems.events).toEqual([]);
    await transport.last.refuse(401);
    expect(problems.begun.at(-1)?.message).toContain("401");
    await clock.advance(WATCH_RETRY_MS);
    expect(transport.requests).toHaveLength(3);
  });

  test("is logged once, with the server's message, and so is its end", async () => {
    const { transport, clock, problems, reflector } = setup();
    await transport.last.refuse(403, "services is forbidden: User cannot list");
    await clock.advance(WATCH_RETRY_MS);
    await transport.last.refuse(403, "services is forbidden: User cannot list");
    expect(problems.begun).toHaveLength(1);
    expect(problems.begun[0]?.code).toBe("API_STATUS");
    expect(problems.begun[0]?.message).toContain(
      "403 Test: services is forbidden: User cannot list",
    );
    expect(reflector.status().lastError).toBe(problems.begun[0]?.message ?? "");
    await clock.advance(2 * WATCH_RETRY_MS);
    transport.last.start();
    expect(problems.ended).toHaveLength(1);
    expect(reflector.status().lastError).toBe("");
  });

  for (const code of [406, 415]) {
    test(`of protobuf (${code}) falls back to JSON`, async () => {
      const { core, transport, problems } = setup();
      await transport.last.refuse(code);
      expect(transport.last.accept).toBe("application/json");
      const items = [object("a", 3)];
      const body = JSON.stringify({ metadata: { resourceVersion: "10" }, items });
      await transport.last.answer(body, "application/json");
      expect(core.names()).toEqual(["a"]);
      transport.last.start("application/json").data(event("ADDED", object("b", 11)));
      expect(core.names()).toEqual(["a", "b"]);
      expect(transport.last.accept).toBe("application/json");
      expect(problems.events).toEqual([]);
    });
  }

  test("of an optional resource (404) is no problem, and is requested again much later", async () => {
    const transport = new FakeTransport();
    const clock = new FakeClock();
    const problems = new RecordedProblems();
    let attempted = 0;
    const reflector = new Reflector({
      resource: SERVICE_CIDR_RESOURCE,
      sink: mapSink(SERVICE_CIDR_RESOURCE, () => {}),
      transport,
      checkTransport: new FakeTransport(),
      server: "https://api.test",
      clock,
      random: () => 0,
      watchList: false,
      onListed() {},
      onAttempted: () => {
        attempted += 1;
      },
      onChange() {},
      onProblems: problems.report,
      onFatal: unexpectedError,
    });
    reflector.start();
    await transport.last.refuse(404);
    expect(attempted).toBe(1);
    expect(problems.events).toEqual([]);
    await clock.advance(ABSENT_RESOURCE_RETRY_MS - 1);
    expect(transport.requests).toHaveLength(1);
    await clock.advance(1);
    expect(transport.requests).toHaveLength(2);
  });
});

describe("a defect", () => {
  const stopped = new SluiceError("CORE_ABORT", "core aborted at ingest.ts:1:1");

  test.each([
    ["a core that stopped", stopped],
    ["an error of ours", new TypeError("undefined is no object")],
  ])(
    "(%s) while a list is read ends the process, without another request",
    async (_what, error) => {
      const { core, transport, clock, calls, problems } = setup();
      core.broken = error;
      transport.last.start().data(list(10, [object("a", 3)]));
      await flushPromises();
      expect(calls).toEqual([error.message]);
      expect(problems.events).toEqual([]);
      await clock.advance(10 * WATCH_RETRY_MS_MAX);
      expect(transport.requests).toHaveLength(1);
      expect(core.openStreams).toBe(1);
    },
  );

  test("while a watch in JSON is read ends the process", async () => {
    const { core, transport, calls } = await listed();
    core.broken = stopped;
    transport.last.start("application/json").data(event("ADDED", object("c", 11)));
    await flushPromises();
    expect(calls.at(-1)).toBe(stopped.message);
  });

  test("in a callback, when a list is complete, ends the process", async () => {
    const { core, transport, calls } = setup();
    core.endReplace = () => {
      throw stopped;
    };
    await transport.last.answer(list(10, []));
    expect(calls.at(-1)).toBe(stopped.message);
  });
});

describe("the problem of a resource", () => {
  const subject = "services at https://api.test";

  test("ends with the code that it began with", async () => {
    const { transport, clock, problems } = setup();
    await transport.last.refuse(403);
    await clock.advance(WATCH_RETRY_MS);
    transport.last.start();
    expect(problems.ended).toEqual([{ subject, code: "API_STATUS", field: "" }]);
  });

  test("that becomes another one is resolved before the new one begins", async () => {
    const { transport, clock, problems } = setup();
    await transport.last.refuse(500);
    await clock.advance(WATCH_RETRY_MS);
    await transport.last.break();
    expect(problems.events.slice(1)).toMatchObject([
      { end: { subject, code: "API_STATUS" } },
      { begin: { subject, code: "API_UNREACHABLE" } },
    ]);
    await clock.advance(2 * WATCH_RETRY_MS);
    transport.last.start();
    expect(problems.ended.at(-1)).toEqual({ subject, code: "API_UNREACHABLE", field: "" });
  });
});

describe("a JSON object with a wrong type", () => {
  const wrong = (name: string, version: number) => {
    const { metadata } = object(name, version);
    return { metadata: { ...(metadata as JsonObject), labels: "foo" } };
  };

  /** Real encoding, JSON only. */
  async function listedWrong() {
    const world = setup({ encode: encodeReal });
    const items = [wrong("bad", 3), object("good", 4)];
    await world.transport.last.answer(
      JSON.stringify({ metadata: { resourceVersion: "10" }, items }),
      "application/json",
    );
    return world;
  }

  test("is left out and named, and the rest of the list is read", async () => {
    const { core, problems, calls } = await listedWrong();
    expect(calls).toContain("listed");
    expect(core.names()).toEqual(["good"]);
    expect(problems.begun).toMatchObject([
      { subject: "Service default/bad", code: "OBJECT_INVALID" },
    ]);
    expect(problems.begun[0]?.message).toContain("Service default/bad: metadata.labels: ");
  });

  test("is a problem again, if the core resolved all problems of its name meanwhile", async () => {
    const { transport, problems } = await listedWrong();
    const registry = new ProblemRegistry(() => {});
    registry.report(problems.events);
    // As the core does when it resolves its problems of an object with this name.
    registry.report([{ end: { subject: "Service default/bad", code: "OBJECT_INVALID" } }]);
    expect(registry.list()).toEqual([]);
    const before = problems.events.length;
    transport.last.start("application/json").data(event("MODIFIED", wrong("bad", 11)));
    registry.report(problems.events.slice(before));
    expect(registry.list()).toMatchObject([
      { subject: "Service default/bad", code: "OBJECT_INVALID" },
    ]);
  });

  test("is resolved when it is deleted, and the deletion is passed on", async () => {
    const { core, transport, problems } = await listedWrong();
    transport.last.start("application/json").data(event("DELETED", wrong("bad", 11)));
    expect(core.log.at(-1)).toBe("DELETED Service default/bad@11");
    expect(problems.ended).toMatchObject([{ subject: "Service default/bad" }]);
  });

  test("is resolved when a later list lacks it", async () => {
    const { transport, problems } = await listedWrong();
    await transport.last.refuse(410);
    await transport.last.answer(list(20, []));
    expect(problems.ended.map((each) => each.subject)).toEqual(["Service default/bad"]);
  });
});

describe("JSON instead of the requested protobuf", () => {
  test("is recognized by its Content-Type", async () => {
    const { core, transport } = setup();
    const body = JSON.stringify({ metadata: { resourceVersion: "10" }, items: [object("a", 3)] });
    await transport.last.answer(body, "application/json");
    expect(core.log).toEqual(["ADDED Service default/a@3"]);
    expect(transport.last.accept).toContain("protobuf");
  });
});

describe("stop", () => {
  test("ends the running request and sends no other", async () => {
    const { transport, reflector, problems } = await watching();
    reflector.stop();
    await flushPromises();
    expect(transport.requests.every((request) => request.ended)).toBe(true);
    expect(transport.closed).toBe(true);
    expect(problems.events).toEqual([]);
  });

  test("ends a wait", async () => {
    const { transport, reflector, clock } = setup();
    await transport.last.break();
    reflector.stop();
    await clock.advance(10 * WATCH_RETRY_MS_MAX);
    expect(transport.requests).toHaveLength(1);
    expect(clock.waiting).toBe(0);
  });
});
