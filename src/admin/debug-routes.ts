/**
 * Serves /debug if enableProfiling is set: the log level (apiserver/pkg/server/routes/flags.go) and
 * the content of the heap. There are no pprof profiles, which are specific to Go; those paths
 * answer with a list of the alternatives.
 */
import { heapStats } from "bun:jsc";
import type { Hono } from "hono";

export const DEBUG_ROUTES = [
  "/debug/flags",
  "/debug/flags/v",
  "/debug/heap",
  "/debug/heap/snapshot",
];

const LEVEL_MAX = 2 ** 31 - 1;
const FLAGS_PAGE = "/debug/flags/\n\nflags:\nv\n\nPUT a number to /debug/flags/v\n";
const NO_PPROF = `Sluice is not a Go program, so it has no pprof profiles. Use instead:

/debug/heap            object counts and sizes of the JavaScript heap, as JSON
/debug/heap/snapshot   a .heapsnapshot file for Chrome DevTools; Sluice pauses while writing it
`;

/** Adds the routes. The caller checks whether they are enabled. */
export function addDebugRoutes(app: Hono, setVerbosity: (level: number) => void): void {
  for (const path of ["/debug/flags", "/debug/flags/"]) {
    app.all(path, (context) => context.text(FLAGS_PAGE));
  }

  app.all("/debug/flags/v", async (context) => {
    const respond = (text: string, code: 200 | 400 | 406) =>
      context.body(`${text}\n`, code, { "Content-Type": "text/plain" });
    if (context.req.method !== "PUT") return respond("unsupported http method", 406);
    const text = await context.req.text();
    if (!/^\d{1,10}$/.test(text) || Number(text) > LEVEL_MAX) {
      // kube-proxy's text, except that it repeats at most 32 characters of the input.
      const shown = JSON.stringify(text.slice(0, 32));
      return respond(`strconv.ParseUint: parsing ${shown}: invalid syntax`, 400);
    }
    setVerbosity(Number(text));
    return respond(`successfully set klog.logging.verbosity to ${Number(text)}`, 200);
  });

  app.all("/debug/pprof", (context) => context.text(NO_PPROF, 501));
  app.all("/debug/pprof/*", (context) => context.text(NO_PPROF, 501));

  app.get("/debug/heap", (context) => {
    const { heapSize, heapCapacity, extraMemorySize, objectCount, objectTypeCounts } = heapStats();
    const { rss, external, arrayBuffers } = process.memoryUsage();
    const objects = Object.entries(objectTypeCounts).sort(([, a], [, b]) => b - a);
    return context.json({
      rssBytes: rss,
      heapBytes: heapSize,
      heapCapacityBytes: heapCapacity,
      extraBytes: extraMemorySize,
      externalBytes: external,
      arrayBufferBytes: arrayBuffers,
      objects: objectCount,
      objectsByType: Object.fromEntries(objects),
    });
  });

  app.get("/debug/heap/snapshot", (context) =>
    context.body(Bun.generateHeapSnapshot("v8"), 200, {
      "Content-Type": "application/json",
      "Content-Disposition": 'attachment; filename="sluice.heapsnapshot"',
    }),
  );
}
