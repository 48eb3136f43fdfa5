import { expect, test } from "bun:test";
import { textOf } from "../../harness/repository.ts";
import { SLUICE_ROUTES } from "../../src/admin/sluice-api.ts";

const document = textOf("docs/admin-api.md");

test("every path has a section", () => {
  const sections = document.match(/(?<=^## )\/sluice.*$/gm) ?? [];
  const named = SLUICE_ROUTES.map((route) =>
    route.replace("{namespace}", "NAMESPACE").replace("{name}", "NAME"),
  );
  expect([...sections]).toEqual(named);
});

test("the examples are JSON", () => {
  const examples = [...document.matchAll(/^```json\n(.*?)^```$/gms)].map(([, text = ""]) => text);
  expect(examples).toHaveLength(4);
  for (const example of examples) expect(() => JSON.parse(example)).not.toThrow();
});
