import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveRootedName } from "../../src/api-client/hosts-file.ts";

let folder: string;
let hosts: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-hosts-"));
  hosts = join(folder, "hosts");
  writeFileSync(
    hosts,
    "127.0.0.1\tlocalhost\n# 10.0.0.9 api.test\n10.0.0.1  other api.Test # api2\nfd00::1 six.test.\n10.0.0.2 api.test\n",
  );
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["api.test.", "10.0.0.1"],
  ["API.test.", "10.0.0.1"],
  ["six.test.", "fd00::1"],
  ["api2.", "api2."],
  ["test.", "test."],
  ["api.test", "api.test"],
  ["10.0.0.1", "10.0.0.1"],
])("%s is reached as %s", (host, reached) => {
  expect(resolveRootedName(host, hosts)).toBe(reached);
});

test("without a hosts file, names are left to the resolver", () => {
  expect(resolveRootedName("api.test.", join(folder, "absent"))).toBe("api.test.");
});
