/** What both HTTP servers have in common: they only read, and say so. */
import { Hono } from "hono";
import { messageOf } from "../errors.ts";

/**
 * A Hono app that answers GET and HEAD alone, never lets a browser guess a type, and tells of its routes
 * where there is none. `onError` hears of a defect in a handler.
 */
export function createReadOnlyApp(
  routes: readonly string[],
  onError: (error: unknown) => void,
): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    const { method } = context.req;
    if (method !== "GET" && method !== "HEAD") {
      return context.text(`Cannot ${method}: this server is read only\n`, 405, {
        Allow: "GET, HEAD",
        "X-Content-Type-Options": "nosniff",
      });
    }
    await next();
    const { headers } = context.res;
    headers.set("X-Content-Type-Options", "nosniff");
    if (!headers.has("Content-Type")) headers.set("Content-Type", "text/plain; charset=utf-8");
    return undefined;
  });
  app.notFound((context) =>
    context.text(`No such path: ${context.req.path}\n\n${routes.join("\n")}\n`, 404),
  );
  app.onError((error, context) => {
    onError(error);
    return context.json({ error: messageOf(error) }, 500);
  });
  return app;
}
