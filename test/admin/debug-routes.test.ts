import { describe, expect, test } from "bun:test";
import { Hono } from "hono";
import { addDebugRoutes } from "../../src/admin/debug-routes.ts";

const levels: number[] = [];
const app = new Hono();
addDebugRoutes(app, (level) => levels.push(level));

async function put(body: string) {
  const response = await app.request("/debug/flags/v", { method: "PUT", body });
  return { status: response.status, text: await response.text() };
}

describe("the level of the log", () => {
  test("is set, and told in upstream's words", async () => {
    expect(await put("3")).toEqual({
      status: 200,
      text: "successfully set klog.logging.verbosity to 3\n",
    });
    expect(levels).toEqual([3]);
  });

  test.each(["x", "", "-1", "3.5", "99999999999", "2147483648", "9".repeat(900)])(
    "is not set to %p",
    async (body) => {
      levels.length = 0;
      const { status, text } = await put(body);
      expect([status, levels]).toEqual([400, []]);
      expect(text).toEndWith(": invalid syntax\n");
      expect(text.length).toBeLessThan(100);
    },
  );

  test("is only set by PUT", async () => {
    const response = await app.request("/debug/flags/v");
    expect([response.status, await response.text()]).toEqual([406, "unsupported http method\n"]);
  });

  test("is named by the list of flags", async () => {
    expect(await (await app.request("/debug/flags")).text()).toContain("flags:\nv\n");
  });
});

test.each(["/debug/pprof", "/debug/pprof/", "/debug/pprof/heap"])(
  "%s says what there is in its place",
  async (path) => {
    const response = await app.request(path);
    expect(response.status).toBe(501);
    expect(await response.text()).toContain("/debug/heap ");
  },
);

test("the heap is told by type, the largest number first", async () => {
  const response = await app.request("/debug/heap");
  const heap = (await response.json()) as {
    readonly heapBytes: number;
    readonly objectsByType: { readonly [type: string]: number };
  };
  expect(heap.heapBytes).toBeGreaterThan(100_000);
  const counts = Object.values(heap.objectsByType);
  expect(counts.length).toBeGreaterThan(10);
  expect(counts).toEqual(counts.toSorted((a, b) => b - a));
});

test("a snapshot of the heap is one that Chrome reads", async () => {
  const response = await app.request("/debug/heap/snapshot");
  expect(response.headers.get("Content-Disposition")).toContain(".heapsnapshot");
  expect(await response.json()).toMatchObject({ snapshot: { meta: {} }, nodes: {}, strings: {} });
});
