/**
 * Serves on an address of its network namespace, and calls a Service there continuously, several
 * connections at a time. At this rate, a masqueraded connection finds a free port for a minute.
 * Prints the number of answers and the failures: one line after the first answer, and one on each
 * SIGUSR1.
 *
 * Arguments: address and port to serve on, address and port to call.
 */
import { connect, createServer } from "node:net";

const [address = "", port = "", service = "", servicePort = ""] = process.argv.slice(2);
const AT_ONCE = 4;
const REST_MS = 10;
const PATIENCE_MS = 10_000;
let answered = 0;
const failed: string[] = [];

createServer((socket) => {
  socket.on("error", () => {});
  socket.end("here\n");
}).listen(Number(port), address);

function call(): Promise<void> {
  return new Promise((resolve) => {
    const began = new Date().toISOString();
    const socket = connect({ host: service, port: Number(servicePort) });
    const end = (error?: string) => {
      if (error !== undefined) failed.push(`${error} of ${began}`);
      socket.destroy();
      resolve();
    };
    socket.setTimeout(PATIENCE_MS, () => end("timeout"));
    socket.on("error", ({ message }) => end(message));
    socket.on("data", () => {
      answered++;
      end();
      if (answered === 1) say();
    });
  });
}

function say(): void {
  process.stdout.write(`${JSON.stringify({ answered, failed })}\n`);
}

process.on("SIGUSR1", say);
for (let each = 0; each < AT_ONCE; each++) {
  void (async () => {
    for (;;) {
      await call();
      await Bun.sleep(REST_MS);
    }
  })();
}
