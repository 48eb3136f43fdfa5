/**
 * Runs inside the network namespace of all pods, whose every address is its own, and answers at
 * port 8080 with the four bytes of the address that was called.
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
      // The side that ends first keeps the ports for a minute: not the caller, who needs many.
      socket.end();
    },
    data() {},
  },
});
writeSync(1, "ready\n");
