import assert from "node:assert/strict";
import { parsePortInfo, readPortInfo } from "../../lib/server/port_info.ts";
import { withFolder } from "../programs.ts";

Deno.test("parsePortInfo() takes a port number and nothing else", () => {
  for (const text of ["1357", " 1357 ", "1357\n", "1357\r\n", "\uFEFF1357", "01357"]) {
    assert.equal(parsePortInfo(text), 1357, JSON.stringify(text));
  }
  for (const text of ["", "0", "65536", "-1", "1357 1358", "port", "1e3", "13.57"]) {
    assert.equal(parsePortInfo(text), undefined, JSON.stringify(text));
  }
});

Deno.test("readPortInfo() warns and takes 1357 when there is no usable file", () =>
  withFolder(async (folder) => {
    const warnings: string[] = [];
    const read = (...folders: string[]) => readPortInfo(folders, (reason) => warnings.push(reason));
    assert.equal(read(folder), 1357);
    await Deno.mkdir(`${folder}/unreadable/port.info`, { recursive: true });
    assert.equal(read(`${folder}/unreadable`), 1357);
    Deno.writeTextFileSync(`${folder}/port.info`, "nothing");
    assert.equal(read(folder), 1357);
    assert.equal(warnings.length, 3);
    Deno.writeTextFileSync(`${folder}/port.info`, "4321\n");
    assert.equal(read(`${folder}/missing`, folder), 4321);
    assert.equal(warnings.length, 3);
  }));
