/** Provides what all HTTP servers here have in common. */
import { type Context, Hono, type Next } from "hono";
import { messageOf } from "../base/errors.ts";

/** Go's text, which some scripts look for. */
const NOT_FOUND = "404 page not found\n";

const TEXT = "text/plain; charset=utf-8";

/**
 * Creates a Hono app that forbids browsers to guess a content type and lists its routes in a 404.
 * HEAD is answered like GET without the body. `onError` receives a defect in a handler, which the
 * client sees as 500.
 */
export function createApp(
  routes: () => readonly string[],
  onError: (error: unknown) => void,
): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    const { headers } = context.res;
    headers.set("X-Content-Type-Options", "nosniff");
    // Hono writes the charset as UTF-8. kube-proxy writes it in lower case.
    const type = headers.get("Content-Type") ?? TEXT;
    if (type.toLowerCase() === TEXT) headers.set("Content-Type", TEXT);
  });
  app.notFound((context) => {
    const list = routes();
    return context.text(list.length === 0 ? NOT_FOUND : `${NOT_FOUND}\n${list.join("\n")}\n`, 404);
  });
  app.onError((error, context) => {
    onError(error);
    return context.json({ error: messageOf(error) }, 500);
  });
  return app;
}

/** A middleware that rejects all methods except GET and HEAD. */
export async function readOnly(context: Context, next: Next): Promise<Response | undefined> {
  const { method } = context.req;
  if (method === "GET" || method === "HEAD") {
    await next();
    return undefined;
  }
  return context.text(`${method} is not allowed: this path is read-only\n`, 405, {
    Allow: "GET, HEAD",
  });
}
