import { expect, test } from "bun:test";
import { libraryPath } from "../../src/os/libc.ts";

test.each([
  ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"],
  ["/lib64/libc-2.28.so", "/lib64/libc-2.28.so"],
  ["/nix/store/a b-glibc/lib/libc.so.6", "/nix/store/a b-glibc/lib/libc.so.6"],
  ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1"],
  ["/lib/ld-musl-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"],
  ["/usr/lib/libc.musl-x86_64.so.1", "/usr/lib/libc.musl-x86_64.so.1"],
  ["/usr/lib/libcrypto.so.3", "libc.so.6"],
  ["libc.so.6", "libc.so.6"],
])("with %s in memory, loads %s", (mapped, path) => {
  const maps = `55d0c0000000-55d0c0001000 r-xp 00000000 fe:00 10    /usr/bin/sluice
7f8780a73000-7f8780bc9000 r-xp 00026000 fe:00 326269                     ${mapped}
7ffc7e17d000-7ffc7e19e000 rw-p 00000000 00:00 0                          [stack]
`;
  expect(libraryPath(maps)).toBe(path);
});
