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

describe("the log level", () => {
  test("is set, with kube-proxy's answer", async () => {
    expect(await put("3")).toEqual({
      status: 200,
      text: "successfully set klog.logging.verbosity to 3\n",
    });
    expect(levels).toEqual([3]);
  });

  test.each(["x", "", "-1", "3.5", "99999999999", "2147483648", "9".repeat(900)])(
    "rejects %p",
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

  test("is in the list of flags", async () => {
    expect(await (await app.request("/debug/flags")).text()).toContain("flags:\nv\n");
  });
});

test.each(["/debug/pprof", "/debug/pprof/", "/debug/pprof/heap"])(
  "%s lists the alternatives",
  async (path) => {
    const response = await app.request(path);
    expect(response.status).toBe(501);
    expect(await response.text()).toContain("/debug/heap ");
  },
);

test("the heap is listed by type, the largest count first", async () => {
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

test("a heap snapshot has the format of Chrome DevTools", async () => {
  const response = await app.request("/debug/heap/snapshot");
  expect(response.headers.get("Content-Disposition")).toContain(".heapsnapshot");
  expect(await response.json()).toMatchObject({ snapshot: { meta: {} }, nodes: {}, strings: {} });
});
