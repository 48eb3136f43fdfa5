import { expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";

useFreshNetns();

/** The size of the buffer that a process with CAP_NET_ADMIN gets. */
const WITH_FORCE = 398_458;

const child = (name: string) => [process.execPath, `${import.meta.dir}/children/${name}.ts`];

test("without CAP_NET_ADMIN the error names the missing right", () => {
  const output = run(
    "setpriv",
    "--inh-caps=-all",
    "--bounding-set=-all",
    ...child("without-rights"),
  );
  const cause =
    "operation not permitted (EPERM) (Sluice needs CAP_NET_ADMIN in this network namespace)";
  expect(output.trim().split("\n")).toEqual([
    `PERMISSION_DENIED: probe nftables: ${cause}`,
    `PERMISSION_DENIED: read table inet sluice: ${cause}`,
  ]);
});

test("without the right to a larger socket buffer, transactions within the stated limit succeed", () => {
  const result = JSON.parse(
    run("unshare", "--user", "--map-root-user", "--net", ...child("without-force")),
  );
  expect(result.max).toBeGreaterThan(100);
  expect(result.max).toBeLessThan(WITH_FORCE);
  expect(result.within).toEqual([true, true]);
  expect(result.adopted).toBe(2 * result.max);
  expect(result.beyond).toContain("message too long (EMSGSIZE)");
}, 60_000);
