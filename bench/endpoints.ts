/**
 * Runs in the network namespace of all pods, which owns every pod address. It answers at PORT with
 * the four bytes of the called address.
 *
 * usage: bun bench/endpoints.ts PORT
 */
import { writeSync } from "node:fs";

Bun.listen({
  hostname: "0.0.0.0",
  port: Number(process.argv[2]),
  socket: {
    open(socket) {
      socket.write(Uint8Array.from(socket.localAddress.split("."), Number));
      // The side that closes first keeps the port for a minute. It must not be the caller, who
      // needs many ports.
      socket.end();
    },
    data() {},
  },
});
writeSync(1, "ready\n");
