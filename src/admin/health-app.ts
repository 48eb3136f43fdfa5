/**
 * /healthz and /livez as kube-proxy answers them on port 10256. Load balancers ask /healthz whether to send
 * new connections to this node, so it also says no while the node is going away; /livez is about the proxy.
 */
import type { Hono } from "hono";
import type { ReadOnlyView } from "../observe/view.ts";
import { createApp } from "./http-app.ts";

/** The paths of the health server, without their slash: label values of upstream's metrics. */
export type Probe = "healthz" | "livez";
type HealthView = Pick<
  ReadOnlyView,
  "now" | "health" | "node" | "sources" | "unserved" | "notices"
>;

/**
 * The app of healthzBindAddress: 200 or 503 with upstream's JSON to any method on these two paths, and upstream's
 * 404 elsewhere (pkg/proxy/healthcheck/proxy_health.go). `onAnswer` hears the status of each; `onError` what a
 * handler threw, which the client sees as 500.
 */
export function createHealthApp(
  view: HealthView,
  onAnswer: (probe: Probe, code: number) => void,
  onError: (error: unknown) => void,
): Hono {
  const app = createApp(() => [], onError);
  for (const probe of ["healthz", "livez"] as const) {
    app.all(`/${probe}`, (context) => {
      const { code, body } = answer(view, probe);
      onAnswer(probe, code);
      return context.body(body, code, { "Content-Type": "application/json" });
    });
  }
  return app;
}

/** Upstream's keys in upstream's order; what is ours comes last, and only while there is something to say. */
function answer(view: HealthView, probe: Probe): { code: 200 | 503; body: string } {
  const now = view.now();
  const { healthy, lastUpdated } = view.health();
  const { eligible } = view.node();
  const good = healthy && (probe === "livez" || eligible);
  const updated = lastUpdated === undefined ? ZERO_TIME : timeOf(lastUpdated);
  const cannot = view.unserved().map(({ family }) => family);
  const served = ([4, 6] as const).filter((family) => !cannot.includes(family));
  const status = served.map((family) => [`IPv${family}`, { lastUpdated: updated, healthy }]);
  const away = view.sources().find(({ connected }) => !connected);
  const notices = view.notices();
  const body = JSON.stringify({
    // As upstream: a good answer is as fresh as can be, a bad one says since when.
    lastUpdated: good ? timeOf(now) : updated,
    currentTime: timeOf(now),
    ...(probe === "healthz" && { nodeEligible: eligible }),
    healthy,
    // Upstream tells of the families that it serves, and before the first sync of none.
    ...(lastUpdated !== undefined && { status: Object.fromEntries(status) }),
    // No more than that: this port is open to the network, and an error's text names servers.
    ...(away && {
      source: {
        connected: false,
        lastEvent: away.lastEventAt === 0 ? ZERO_TIME : timeOf(away.lastEventAt),
      },
    }),
    ...(notices.length > 0 && { notices }),
  });
  return { code: good ? 200 : 503, body };
}

/** Go's zero time. */
const ZERO_TIME = "0001-01-01T00:00:00Z";

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
