import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

Deno.test("the demo works", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "demo"],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.equal(code, 0, text);
  assert.match(text, /identical to the original/);
  assert.equal(text.match(/files of snapshot [0-9a-f]+ are identical/g)?.length, 2);
  assert.match(text, /things in the clear: nothing/);
  const folder = /its folder (.*) is removed/.exec(text)![1];
  await assert.rejects(Deno.lstat(folder), Deno.errors.NotFound);
});
