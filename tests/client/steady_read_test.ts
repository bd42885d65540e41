import assert from "node:assert/strict";
import type { FileToRead } from "../../lib/client/file_list.ts";
import { isFresh } from "../../lib/client/file_state.ts";
import { readSteadily } from "../../lib/client/steady_read.ts";

const EXPECTED: FileToRead = {
  ...{ path: "/x", size: 10, mtimeMs: 1000, ctimeMs: 2000, inode: 3, isSparse: false },
};

Deno.test("readSteadily() reads once what stays the same", async () => {
  const { result, reads } = await readWith([state()], [10]);
  assert.deepEqual(result, { read: { size: 10 } });
  assert.equal(reads.length, 1);
});

Deno.test("readSteadily() reads again what has changed, and gives its new state", async () => {
  const later = state({ mtime: new Date(5000), size: 12 });
  const { result, reads } = await readWith([later, later, later], [10, 12]);
  assert.deepEqual(reads, [10, 12]);
  assert.equal(result.state?.mtimeMs, 5000);
  assert.equal(result.read?.size, 12);
  assert.equal(result.isTorn, undefined);
});

Deno.test("readSteadily() tells when it changes each time, and keeps the older time", async () => {
  const states = [4000, 5000, 6000].map((ms) => state({ mtime: new Date(ms) }));
  const { result, reads } = await readWith(states, [10, 10]);
  assert.equal(reads.length, 2);
  assert.equal(result.isTorn, true);
  assert.equal(result.state?.mtimeMs, 5000);
});

Deno.test("readSteadily() asks the open file where the path does not tell", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "holdfast-test-" });
  try {
    const path = `${folder}/file`;
    Deno.writeTextFileSync(path, "0123456789");
    const { size, mtime, ctime, ino } = Deno.lstatSync(path);
    const marks = { path, size, mtimeMs: mtime!.getTime(), ctimeMs: ctime!.getTime(), inode: ino! };
    const read = async (file: FileToRead) => {
      let asked = 0;
      await readSteadily(file, {
        open: () => ({ stat: () => (asked++, Deno.lstatSync(path)), [Symbol.dispose]: () => {} }),
        read: () => Promise.resolve({ size: 10 }),
      });
      return asked;
    };
    const fresh = { ...marks, isSparse: false };
    assert.equal(await read(fresh), 1, "its ctime may be that of a renaming just now");
    // That a file is old is hard to make: so it is the clock that goes on.
    const { now } = Date;
    try {
      Date.now = () => now() + 60_000;
      assert.equal(await read(fresh), 0);
      assert.notEqual(await read({ ...fresh, inode: fresh.inode + 1 }), 0, "another file");
      assert.notEqual(await read({ ...fresh, mtimeMs: fresh.mtimeMs - 1 }), 0, "changed");
    } finally {
      Date.now = now;
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("readSteadily() tells that a file is gone, and passes on what is not the file's fault", async () => {
  const gone = await readSteadily(EXPECTED, {
    open: () => {
      throw new Deno.errors.NotFound("no such file");
    },
    read: () => Promise.resolve({ size: 0 }),
  });
  assert.deepEqual(gone, { fault: "it is gone" });
  const failing = readSteadily(EXPECTED, {
    open: () => ({ stat: () => state(), [Symbol.dispose]: () => {} }),
    read: () => Promise.reject(new TypeError("a bug")),
  });
  await assert.rejects(failing, /a bug/);
});

Deno.test("isFresh() is true for what may change again without a trace", () => {
  assert.equal(isFresh(5500, 5500), true);
  assert.equal(isFresh(6000, 5500), true, "written during the backup, or in the future");
  assert.equal(isFresh(5490, 5500), true, "the clock's tick");
  assert.equal(isFresh(5400, 5500), false);
  assert.equal(isFresh(5000, 5500), true, "perhaps a file system of whole seconds");
  assert.equal(isFresh(4000, 5500), false);
});

function state(fields: Partial<Deno.FileInfo> = {}): Deno.FileInfo {
  return {
    ...{ isFile: true, size: 10, mtime: new Date(1000), ctime: new Date(2000), ino: 3 },
    ...{ mode: 0o100644, uid: 0, gid: 0, nlink: 1, ...fields },
  } as Deno.FileInfo;
}

/** Reads a file that looks like `states` one after another, with so many bytes each time. */
async function readWith(states: Deno.FileInfo[], sizes: number[]) {
  const reads: number[] = [];
  const result = await readSteadily(EXPECTED, {
    open: () => ({ stat: () => states.shift()!, [Symbol.dispose]: () => {} }),
    read: (_, sizeMax) => {
      reads.push(sizeMax);
      return Promise.resolve({ size: sizes.shift()! });
    },
  });
  return { result, reads };
}
